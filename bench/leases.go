package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	box "playnode/testnet/binary"
)

// leases measures what leases cost a DJ and a venue: the publisher on a real
// repo by its own benchmarks, and a venue's daemon by the binary.
func (r *runner) leases() error {
	for _, pass := range []struct{ sizes, times string }{
		{"/^(40|400|100|2000|100000|100-0|2000-0|2000-400|100000-0)$", "3x"},
		{"/^4000$", "1x"}, // half a minute to set up
	} {
		if err := r.publisher(pass.sizes, pass.times); err != nil {
			return err
		}
	}
	return r.venueStarts()
}

// publisher runs those of the publisher's benchmarks so many times each.
func (r *runner) publisher(bench, times string) error {
	cmd := exec.CommandContext(r.ctx, "go", "test", "./publisher", "-run", "^$", "-bench", "."+bench, "-benchtime", times, "-timeout", "30m")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("measure the publisher: %w: %s", err, out)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		var n int
		var ns, size float64
		name, rest, ok := strings.Cut(lines.Text(), " ")
		if !ok || !strings.HasPrefix(name, "Benchmark") {
			continue
		}
		if _, err := fmt.Sscanf(strings.Join(strings.Fields(rest), " "), "%d %f ns/op %f B/venue", &n, &ns, &size); err != nil {
			return fmt.Errorf("read %q: %w", lines.Text(), err)
		}
		if i := strings.LastIndexByte(name, '-'); i > 0 { // the number of cores
			name = name[:i]
		}
		name = strings.TrimPrefix(name, "Benchmark")
		r.keep(name, ns/1e9)
		r.keep(name+" bytes", size)
		fmt.Fprintf(os.Stderr, "  %-28s %8.3f s\n", name, ns/1e9)
	}
	return lines.Err()
}

// venueStarts has a venue follow 5 DJs and hold 20 leases of theirs.
func (r *runner) venueStarts() error {
	dir := filepath.Join(r.dir, "leases")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	track := filepath.Join(dir, "tone.wav")
	if err := os.WriteFile(track, silence(44100), 0o644); err != nil {
		return err
	}
	venue := box.Box{Program: r.Playnode, Repo: filepath.Join(dir, "venue")}
	var id struct{ Device string }
	if err := venue.JSON(r.ctx, &id, "init", "--network", "none"); err != nil {
		return err
	}
	for i := range 5 {
		dj := box.Box{Program: r.Playnode, Repo: filepath.Join(dir, fmt.Sprint("dj", i))}
		var name struct{ Name string }
		if err := dj.JSON(r.ctx, &name, "init", "--network", "none"); err != nil {
			return err
		}
		if err := dj.JSON(r.ctx, nil, "publish", track); err != nil {
			return err
		}
		for j := range 4 {
			file := filepath.Join(dir, fmt.Sprintf("%d-%d.lease", i, j))
			if err := dj.JSON(r.ctx, nil, "lease", "grant", "main", "--device", id.Device, "--for", "30d", "--out", file); err != nil {
				return err
			}
			took := "open a grant"
			if i == 0 && j == 0 {
				took = "" // it makes the repo's database as well
			}
			start := time.Now()
			if err := venue.JSON(r.ctx, nil, "lease", "import", file); err != nil {
				return err
			}
			if took != "" {
				r.keep(took, time.Since(start).Seconds())
			}
		}
		if err := r.follow(dj, venue, name.Name); err != nil {
			return err
		}
	}
	for range 5 {
		start := time.Now()
		d, err := venue.Start(r.ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
		if err != nil {
			return err
		}
		r.keep("venue start", time.Since(start).Seconds())
		var held struct{ Leases []struct{ State string } }
		err = venue.JSON(r.ctx, &held, "lease", "ls")
		d.Stop()
		if err != nil {
			return err
		}
		if len(held.Leases) != 20 {
			return fmt.Errorf("the venue holds %d leases of 20", len(held.Leases))
		}
	}
	return nil
}

func (r *runner) follow(dj, venue box.Box, name string) error {
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	d, err := dj.Start(ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return err
	}
	defer d.Stop()
	return venue.JSON(ctx, nil, "follow", name, "--once", "--peer", d.Addrs[0])
}

// silence is a WAV of so many stereo samples.
func silence(frames int) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x44\xac\x00\x00\x10\xb1\x02\x00\x04\x00\x10\x00data")
	b = binary.LittleEndian.AppendUint32(b, uint32(4*frames))
	binary.LittleEndian.PutUint32(b[4:], uint32(36+4*frames))
	return append(b, make([]byte, 4*frames)...)
}

func (r *runner) leasesPage(b *bytes.Buffer) {
	fmt.Fprintf(b, "The publisher on its own disk: rows, blocks and name record durable, grants and records signed; bytes are the new blocks that each venue fetches.\n\n")
	fmt.Fprintf(b, "| | seconds | kB a venue |\n|---|---:|---:|\n")
	for _, row := range [][2]string{
		{"Renew/40", "renew 40 leases"}, {"Renew/400", "renew 400"}, {"Renew/4000", "renew 4,000"},
		{"RevokeOne/40", "revoke one of 40"}, {"RevokeOne/400", "revoke one of 400"}, {"RevokeOne/4000", "revoke one of 4,000"},
		{"Rotate/100-0", "a new period, 100 tracks"}, {"Rotate/2000-0", "2,000 tracks"}, {"Rotate/2000-400", "2,000 tracks, 400 leases"}, {"Rotate/100000-0", "100,000 tracks"},
		{"OneTrack/100", "one track more, of 100"}, {"OneTrack/2000", "of 2,000"}, {"OneTrack/100000", "of 100,000"},
	} {
		fmt.Fprintf(b, "| %s | %.3f | %.0f |\n", row[1], r.median(row[0]), r.median(row[0]+" bytes")/1000)
	}
	fmt.Fprintf(b, "| `playnode lease import`: open a grant | %.3f | |\n", r.median("open a grant"))
	fmt.Fprintf(b, "| start of a venue's daemon, 5 DJs and 20 leases | %.3f | |\n", r.median("venue start"))
	var goals []goal
	for _, g := range []struct{ goal, what string }{
		{"renew 400 leases in at most 1 s", "Renew/400"}, {"revoke one of 400 in at most 1 s", "RevokeOne/400"},
		{"rotate 2,000 tracks with 400 leases in at most 1 s", "Rotate/2000-400"}, {"open a grant in at most 1 s", "open a grant"},
		{"start a venue with 5 DJs and 20 leases in at most 1 s", "venue start"},
	} {
		goals = append(goals, goal{g.goal, fmt.Sprintf("%.2f s", r.median(g.what)), r.median(g.what) <= 1})
	}
	size, ratio := r.median("OneTrack/100000 bytes"), r.median("OneTrack/100000")/r.median("OneTrack/100")
	writeGoals(b, append(goals,
		goal{"a track more in 100,000 moves at most 64 KiB of new blocks", fmt.Sprintf("%.1f KiB", size/1024), size <= 64<<10},
		goal{"and takes at most twice the time of one more in 100", fmt.Sprintf("%.1f times", ratio), ratio <= 2})...)
}
