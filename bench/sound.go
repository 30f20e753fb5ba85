package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	box "playnode/testnet/binary"
)

const (
	// catalogue is how many tracks there are, held how many of them are real
	// music: those are played.
	catalogue = 10_000
	held      = 10
	// soundFor is how long CPU is counted.
	soundFor = 20 * time.Second
)

// layHeld puts the real music into a directory. It is copied: publishing a
// directory passes over links.
func (r *runner) layHeld(dir string) error {
	files := r.files
	if len(files) < held { // measured alone
		c := r.Config
		c.Tracks = held
		var err error
		if files, err = encode(r.ctx, c); err != nil {
			return err
		}
	}
	for i, f := range files[:held] {
		b, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d.mp3", i)), b, 0o644)
		}
		if err != nil {
			return fmt.Errorf("lay out the music: %w", err)
		}
	}
	return nil
}

// sound measures starts within a large catalogue, and what playing costs.
func (r *runner) sound() error {
	music := filepath.Join(r.dir, "large")
	if err := os.MkdirAll(music, 0o755); err != nil {
		return err
	}
	if err := r.layHeld(music); err != nil {
		return err
	}
	for i := held; i < catalogue; i++ {
		if err := os.WriteFile(filepath.Join(music, fmt.Sprintf("%05d.wav", i)), blip(i), 0o644); err != nil {
			return err
		}
	}
	dj := box.Box{Program: r.Playnode, Repo: filepath.Join(r.dir, "large-dj")}
	venue := box.Box{Program: r.Playnode, Repo: filepath.Join(r.dir, "large-venue")}
	var id struct{ Name, Device string }
	for _, b := range []box.Box{dj, venue} {
		if err := b.JSON(r.ctx, &id, "init", "--network", "none"); err != nil {
			return err
		}
	}
	device := id.Device
	if err := dj.JSON(r.ctx, &id, "id"); err != nil {
		return err
	}
	name := id.Name
	fmt.Fprintf(os.Stderr, "  publishing %d tracks\n", catalogue)
	if err := r.time("sound publish", func() error {
		return dj.JSON(r.ctx, nil, "--quiet", "publish", music, "--playlist", "large", "--no-archive-key")
	}); err != nil {
		return err
	}
	grant := filepath.Join(r.dir, "large.grant")
	if err := dj.JSON(r.ctx, nil, "lease", "grant", "large", "--device", device, "--for", "1d", "--out", grant); err != nil {
		return err
	}
	djd, err := dj.Start(r.ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return err
	}
	err = r.time("sound follow", func() error {
		return venue.JSON(r.ctx, nil, "--quiet", "follow", name, "--once", "--peer", djd.Addrs[0], "--timeout", "10m")
	})
	djd.Stop()
	if err == nil {
		err = venue.JSON(r.ctx, nil, "lease", "import", grant)
	}
	if err != nil {
		return err
	}
	vd, err := venue.Start(r.ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return err
	}
	defer vd.Stop()
	if err := r.soundStarts(venue); err != nil {
		return err
	}
	if err := r.soundCPU(venue, vd.PID()); err != nil {
		return err
	}
	return r.soundMemory(name, venue, vd)
}

// blip is a WAV of a quarter of a second that no other is like.
func blip(n int) []byte {
	const frames = 2000
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data")
	b = binary.LittleEndian.AppendUint32(b, 2*frames)
	binary.LittleEndian.PutUint32(b[4:], 36+2*frames)
	for i := range frames {
		b = binary.LittleEndian.AppendUint16(b, uint16(i*(n+1)))
	}
	return b
}

// heardState is what ctl says.
type heardState struct {
	State    string
	AtMs, Ms int64
	StartUs  int64

	Underruns int64
}

// soundStarts times starts by the daemon's own account: from the request until
// the sink had the first sample.
func (r *runner) soundStarts(venue box.Box) error {
	ctl := func(args ...string) (s heardState, err error) {
		return s, venue.JSON(r.ctx, &s, append([]string{"ctl"}, args...)...)
	}
	playing := func() (heardState, error) {
		for {
			s, err := ctl("now")
			if err == nil && s.Ms > 0 && s.Ms < 10_000 {
				err = fmt.Errorf("a track of %d ms plays, and not the real music", s.Ms)
			}
			if err != nil || s.State == "playing" && s.AtMs > 0 {
				return s, err
			}
		}
	}
	for n := range 20 {
		if err := venue.JSON(r.ctx, nil, "play", "--detach", "--sink", "null"); err != nil {
			return err
		}
		s, err := playing()
		if err != nil {
			return err
		}
		r.keep("sound play", float64(s.StartUs)/1e6)
		fmt.Fprintf(os.Stderr, "  start %d: %d us\n", n, s.StartUs)
		step := func(what string, args ...string) error {
			if _, err := ctl(args...); err != nil {
				return err
			}
			if s, err = playing(); err == nil {
				r.keep(what, float64(s.StartUs)/1e6)
			}
			return err
		}
		for k := range 3 {
			if err := step("sound next", "next"); err != nil {
				return err
			}
			if err := step("sound seek", "seek", fmt.Sprint(s.Ms*int64(1+(7*n+13*k)%18)/20000, "s")); err != nil {
				return err
			}
		}
		if _, err := ctl("stop"); err != nil {
			return err
		}
	}
	return nil
}

// soundCPU counts what a daemon and MPD take to play the same files to nowhere.
func (r *runner) soundCPU(venue box.Box, pid int) error {
	measure := func(what string, pid int) error {
		was := cpu(pid)
		t := time.NewTimer(soundFor)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
		r.keep(what, 100*(cpu(pid)-was)/soundFor.Seconds())
		return nil
	}
	if err := measure("sound cpu idle", pid); err != nil {
		return err
	}
	if err := venue.JSON(r.ctx, nil, "play", "--detach", "--sink", "null"); err != nil {
		return err
	}
	if err := measure("sound cpu", pid); err != nil {
		return err
	}
	r.keep("sound MB", memory(pid, "VmRSS"))
	return r.mpd(measure)
}

// soundMemory watches the memory of the daemon that plays on while another box
// fetches all it has from it.
func (r *runner) soundMemory(name string, venue box.Box, vd *box.Daemon) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", vd.PID()), []byte("5"), 0); err != nil { // the peak begins anew
		return fmt.Errorf("watch memory: %w", err)
	}
	archive := box.Box{Program: r.Playnode, Repo: filepath.Join(r.dir, "large-archive")}
	if err := archive.JSON(r.ctx, nil, "init", "--network", "none"); err != nil {
		return err
	}
	was, err := traffic(r.ctx, venue)
	if err != nil {
		return err
	}
	if err := r.time("sound seeding", func() error {
		return archive.JSON(r.ctx, nil, "--quiet", "archive", name, "--once", "--peer", vd.Addrs[0], "--timeout", "10m")
	}); err != nil {
		return err
	}
	r.keep("sound seeding MB", memory(vd.PID(), "VmHWM"))
	now, err := traffic(r.ctx, venue)
	if err != nil {
		return err
	}
	r.keep("sound seeding sent", float64(now-was))
	var s heardState
	if err := venue.JSON(r.ctx, &s, "ctl", "now"); err != nil {
		return err
	}
	if s.State != "playing" || s.Underruns > 0 {
		return fmt.Errorf("while another box fetched, the music was %s, with %d underruns", s.State, s.Underruns)
	}
	return nil
}

// traffic is what a box has sent, in bytes of blocks.
func traffic(ctx context.Context, b box.Box) (int64, error) {
	var s struct{ Traffic struct{ Sent int64 } }
	err := b.JSON(ctx, &s, "status")
	return s.Traffic.Sent, err
}

// cpu is the seconds of CPU that a process has taken.
func cpu(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// mpd runs MPD with a null output that keeps the clock's pace.
func (r *runner) mpd(measure func(string, int) error) error {
	dir := filepath.Join(r.dir, "mpd")
	if err := os.MkdirAll(filepath.Join(dir, "music"), 0o755); err != nil {
		return err
	}
	if err := r.layHeld(filepath.Join(dir, "music")); err != nil {
		return err
	}
	sock := filepath.Join(dir, "sock")
	conf := fmt.Sprintf("music_directory %q\ndb_file %q\nbind_to_address %q\nreplaygain \"off\"\nauto_update \"no\"\naudio_output {\n type \"null\"\n name \"null\"\n sync \"yes\"\n}\n",
		filepath.Join(dir, "music"), filepath.Join(dir, "db"), sock)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(r.ctx, "mpd", "--no-daemon", filepath.Join(dir, "conf"))
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start mpd: %w", err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	var conn net.Conn
	var err error
	for range 100 {
		if conn, err = net.Dial("unix", sock); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("reach mpd: %w", err)
	}
	defer conn.Close()
	in := bufio.NewScanner(conn)
	ask := func(what string) error {
		fmt.Fprintln(conn, what)
		for in.Scan() {
			if in.Text() == "OK" || strings.HasPrefix(in.Text(), "OK MPD") && what == "" {
				return nil
			}
			if strings.HasPrefix(in.Text(), "ACK") {
				return fmt.Errorf("mpd: %s: %s", what, in.Text())
			}
		}
		return fmt.Errorf("mpd: %s: no answer", what)
	}
	if !in.Scan() {
		return fmt.Errorf("mpd does not greet")
	}
	if err := ask("update"); err != nil {
		return err
	}
	for range 100 { // until the update is done
		if err = ask(`add ""`); err == nil {
			if err = ask("play 0"); err == nil {
				break
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	return measure("sound cpu mpd", cmd.Process.Pid)
}

func (r *runner) soundPage(b *bytes.Buffer) {
	fmt.Fprintf(b, "A daemon with a catalogue of %d tracks, of which %d are real music and are played, by its own account: from when its playback is told\nuntil it hands the first sample of what was asked for to its sink. What is heard of it comes after the 25 ms in which the old fades.\n\n", catalogue, held)
	fmt.Fprintf(b, "| start of a held track | p50 ms | p95 ms | p99 ms | n |\n|---|---:|---:|---:|---:|\n")
	for _, row := range [][2]string{{"sound play", "`play`"}, {"sound next", "`ctl next`"}, {"sound seek", "`ctl seek`"}} {
		fmt.Fprintf(b, "| %s | %.1f | %.1f | %.1f | %d |\n", row[1], 1000*r.median(row[0]), 1000*r.quantile(row[0], .95), 1000*r.quantile(row[0], .99), len(r.taken[row[0]]))
	}
	fmt.Fprintf(b, "\nPlaying mp3 of 128 kbit/s to nowhere at the clock's pace, percent of a core over %s:\n\n| | %% |\n|---|---:|\n", soundFor)
	for _, row := range [][2]string{{"sound cpu", "playnode's daemon, playing: decrypting, verifying and decoding"}, {"sound cpu idle", "playnode's daemon, idle"}, {"sound cpu mpd", "MPD, null output, plain files"}} {
		fmt.Fprintf(b, "| %s | %.1f |\n", row[1], r.median(row[0]))
	}
	fmt.Fprintf(b, "\nThe daemon with that catalogue has %.0f MB resident while it plays; and %.0f MB at the most while it plays and another box\nfetches all of it from it, %.0f MB in %.0f s.\n",
		r.median("sound MB"), r.median("sound seeding MB"), r.median("sound seeding sent")/1e6, r.median("sound seeding"))
	var goals []goal
	for _, w := range []string{"play", "next", "seek"} {
		ms := 1000 * r.median("sound "+w)
		goals = append(goals, goal{"`" + w + "` of a held track: p50 at most 20 ms", fmt.Sprintf("%.1f ms", ms), ms <= 20})
	}
	writeGoals(b, append(goals, goal{"at most 100 MB with 10,000 tracks, playing and seeding", fmt.Sprintf("%.0f MB", r.median("sound seeding MB")), r.median("sound seeding MB") <= 100})...)
}
