package testnet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"playnode/daemon"
	"playnode/testnet/binary"
	"playnode/testnet/music"
)

// DemoConfig is what the demo plays, and where.
type DemoConfig struct {
	// Binary is playnode itself. Required.
	Binary string
	// Files are sound files or folders; none means those that come along.
	Files []string
	// WAV is the file that always gets what is played. Required.
	WAV string
	// Sink is "none", a sink as play takes it, or empty for the sound card
	// where there is one.
	Sink string
	// Dir keeps the three repos; empty means a temporary directory, removed.
	Dir string
	// Out is where the story is told; with JSON one document at its end.
	Out  io.Writer
	JSON bool
}

// DemoReport is what happened.
type DemoReport struct {
	Tracks  int   `json:"tracks"`
	Samples int64 `json:"samples"`
	Joins   int   `json:"joins"`
	Skipped int   `json:"skipped"`
	Rate    int   `json:"rate"`
	// FirstSampleMs is from the play command to the first sample.
	FirstSampleMs int64 `json:"firstSampleMs"`
	// BySource is the venue's bytes by where they came from.
	BySource map[string]int64 `json:"bySource"`
	// ArchivistBlocks and Bytes are what it keeps; ArchivistRead is how many
	// of the tracks' titles could be found in them.
	ArchivistBlocks int64  `json:"archivistBlocks"`
	ArchivistBytes  int64  `json:"archivistBytes"`
	ArchivistRead   int    `json:"archivistRead"`
	WithoutLease    int    `json:"withoutLeaseExit"`
	AfterLapse      int    `json:"afterLapseExit"`
	DJAway          bool   `json:"playedWithDJAway"`
	Card            string `json:"card"`
	Seconds         int    `json:"seconds"`
	WAV             string `json:"wav"`
}

// Demo tells the whole story once on this machine, through the same commands
// and sockets that everyone uses.
func Demo(ctx context.Context, cfg DemoConfig) (err error) {
	d := &demo{cfg: cfg, began: time.Now()}
	if cfg.Dir == "" {
		// Short, so that the sockets' paths are too.
		if d.dir, err = os.MkdirTemp("", "playnode-demo-"); err != nil {
			return fmt.Errorf("make the demo's directory: %w", err)
		}
		defer os.RemoveAll(d.dir)
	} else if d.dir, err = filepath.Abs(cfg.Dir); err != nil {
		return err
	}
	return d.tellAll(ctx)
}

// tellAll plays all acts, and leaves no process behind.
func (d *demo) tellAll(ctx context.Context) error {
	if d.cfg.Sink == "" && !soundCard() {
		d.cfg.Sink = "none" // so that the lease need not last for a listening
		d.tell("No sound card here; %s will have it all.", d.cfg.WAV)
	}
	defer func() {
		for _, r := range d.roles {
			r.kill()
		}
	}()
	for _, act := range []func(context.Context) error{
		d.cast, d.publish, d.follow, d.refused, d.lease, d.listen, d.leave, d.lapse, d.account,
	} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

type demo struct {
	cfg   DemoConfig
	dir   string
	began time.Time
	roles []*role

	dj, venue, archivist       *role
	djID, venueID, archivistID daemon.Identity
	published                  daemon.Published
	link                       string
	until                      time.Time
	report                     DemoReport
}

func (d *demo) tell(format string, args ...any) {
	if !d.cfg.JSON {
		fmt.Fprintf(d.cfg.Out, "%5.1f s  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
	}
}

// cast makes the three, each with a repo and keys of its own.
func (d *demo) cast(ctx context.Context) error {
	for _, r := range []struct {
		name string
		role **role
		id   *daemon.Identity
	}{{"dj", &d.dj, &d.djID}, {"venue", &d.venue, &d.venueID}, {"archivist", &d.archivist, &d.archivistID}} {
		var err error
		if *r.role, *r.id, err = newRole(ctx, d.cfg.Binary, d.dir, r.name, time.Time{}); err != nil {
			return err
		}
		d.roles = append(d.roles, *r.role)
	}
	d.tell("A DJ, a venue and an archivist, each with a repo and keys of its own.")
	return nil
}

// publish seals the files and puts the catalogue on air.
func (d *demo) publish(ctx context.Context) error {
	files := d.cfg.Files
	if len(files) == 0 {
		dir := filepath.Join(d.dir, "files")
		if err := unpack(music.Files(), dir); err != nil {
			return err
		}
		files = []string{dir}
	}
	args := append([]string{"publish", "--playlist", "demo"}, files...)
	code, said, err := d.dj.run(ctx, func(m json.RawMessage) error { return json.Unmarshal(m, &d.published) }, args...)
	if err != nil {
		return err
	}
	if code != 0 && code != 3 {
		return fmt.Errorf("the DJ's publish ended with %d: %s", code, said)
	}
	for _, s := range d.published.Skipped {
		d.tell("  skipped %s: %s", filepath.Base(s.Path), s.Why)
	}
	var ms int64
	for _, t := range d.tracks() {
		ms += t.Ms
		d.tell("  sealed  %-34s %2d:%02d  %s...", t.Title, t.Ms/60000, t.Ms/1000%60, t.CID[:16])
	}
	d.report.Tracks = len(d.tracks())
	d.tell("The DJ publishes %d tracks, sealed and signed, as", d.report.Tracks)
	d.tell("  %s (revision %d)", d.published.Name, d.published.Seq)
	if err := d.dj.start(ctx); err != nil {
		return err
	}
	var s daemon.Shared
	if err := d.dj.must(ctx, &s, "share", "demo"); err != nil {
		return err
	}
	d.link = s.Link
	return nil
}

func (d *demo) tracks() []daemon.Track {
	for _, p := range d.published.Playlists {
		if p.Name == "demo" {
			return p.Tracks
		}
	}
	return nil
}

// follow brings the catalogue to the archivist and from there and the DJ to
// the venue.
func (d *demo) follow(ctx context.Context) error {
	if err := d.archivist.start(ctx); err != nil {
		return err
	}
	var a daemon.Archived
	if err := d.archivist.must(ctx, &a, "archive", d.link, "--once", "--peer", d.dj.addr()); err != nil {
		return err
	}
	d.report.ArchivistBlocks, d.report.ArchivistBytes = a.Blocks, a.Bytes
	d.tell("The archivist keeps it: %d blocks, %d bytes, %d missing.", a.Blocks, a.Bytes, a.Missing)
	if err := d.venue.start(ctx); err != nil {
		return err
	}
	begin := time.Now()
	var f daemon.Followed
	if err := d.venue.must(ctx, &f, "follow", d.link, "--once", "--peer", d.dj.addr(), "--peer", d.archivist.addr()); err != nil {
		return err
	}
	d.tell("The venue follows the DJ's link: revision %d verified, %d of %d tracks here after %d ms.", f.Seq, f.Held, f.Tracks, time.Since(begin).Milliseconds())
	return nil
}

// refused shows that nothing sounds without a lease.
func (d *demo) refused(ctx context.Context) error {
	code, said, err := d.venue.run(ctx, nil, "play", d.published.Name+"/demo", "--sink", "wav:"+filepath.Join(d.dir, "refused.wav"), "--once")
	if err != nil {
		return err
	}
	if code != 22 {
		return fmt.Errorf("without a lease play ended with %d, not 22: %s", code, said)
	}
	d.report.WithoutLease = code
	first, _, _ := strings.Cut(said, "\n")
	d.tell("It holds every byte and no key: play ends with 22 (%s).", strings.TrimPrefix(first, "playnode: "))
	return nil
}

// lease unlocks the music for about as long as the demo takes.
func (d *demo) lease(ctx context.Context) error {
	var length time.Duration
	for _, t := range d.tracks() {
		length += time.Duration(t.Ms) * time.Millisecond
	}
	term := 8*time.Second + length/10
	if d.cfg.Sink != "none" {
		term += min(length, 40*time.Second)
	}
	file := filepath.Join(d.dir, "lease")
	var g daemon.Leased
	if err := d.dj.must(ctx, &g, "lease", "grant", "demo", "--device", d.venueID.Device, "--for", fmt.Sprintf("%ds", int(term.Seconds())), "--out", file); err != nil {
		return err
	}
	if err := d.venue.must(ctx, &g, "lease", "import", file); err != nil {
		return err
	}
	d.until = g.Until
	d.tell("The DJ leases \"demo\" to this one device for %d seconds; the venue takes the lease in.", int(term.Seconds()))
	return nil
}

// listen plays to the file, as fast as it can.
func (d *demo) listen(ctx context.Context) error {
	wav, err := filepath.Abs(d.cfg.WAV)
	if err != nil {
		return err
	}
	d.report.WAV = wav
	began := time.Now()
	code, said, err := d.play(ctx, "wav:"+wav, func(e binary.Event) {
		switch e.Event {
		case "start":
			d.report.FirstSampleMs = time.Since(began).Milliseconds()
		case "track":
			d.tell("  playing %s", e.Title)
		case "done":
			d.report.Samples, d.report.Joins, d.report.Skipped, d.report.Rate = e.Samples, e.Joins, e.Skipped, e.Rate
		}
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("play ended with %d: %s", code, said)
	}
	d.tell("Played to %s: %d samples at %d Hz, %d joins without a gap; first sample after %d ms.", d.cfg.WAV, d.report.Samples, d.report.Rate, d.report.Joins, d.report.FirstSampleMs)
	return nil
}

func (d *demo) play(ctx context.Context, sink string, on func(binary.Event)) (int, string, error) {
	return d.venue.run(ctx, func(m json.RawMessage) error {
		var e binary.Event
		if err := json.Unmarshal(m, &e); err != nil {
			return err
		}
		on(e)
		return nil
	}, "play", d.published.Name+"/demo", "--sink", sink, "--once")
}

// leave sends the DJ home; the music goes on, to the sound card if there is
// one.
func (d *demo) leave(ctx context.Context) error {
	took, err := d.dj.stop()
	if err != nil {
		return err
	}
	d.tell("The DJ shuts the laptop (%d ms).", took.Milliseconds())
	var st daemon.Status
	if err := d.venue.must(ctx, &st, "status"); err != nil {
		return err
	}
	d.report.BySource = st.Traffic.BySource
	card := d.cfg.Sink
	if card == "" {
		card = "default"
	}
	if card != "none" {
		sounded := false
		code, said, err := d.play(ctx, card, func(e binary.Event) {
			if e.Event == "start" {
				sounded = true
				d.tell("It plays on, from what the venue holds, to your sound card.")
			}
		})
		if err != nil {
			return err
		}
		switch {
		case sounded && (code == 0 || code == 22):
			d.report.DJAway, d.report.Card = true, card
			return nil
		case d.cfg.Sink != "":
			return fmt.Errorf("play to %s ended with %d: %s", card, code, said)
		}
		d.report.Card = "none"
		d.tell("No sound card here; %s has it all.", d.cfg.WAV)
	}
	var n int64
	code, said, err := d.play(ctx, "wav:"+filepath.Join(d.dir, "away.wav"), func(e binary.Event) {
		if e.Event == "done" {
			n = e.Samples
		}
	})
	if err != nil {
		return err
	}
	if code != 0 || n != d.report.Samples {
		return fmt.Errorf("with the DJ away play ended with %d after %d of %d samples: %s", code, n, d.report.Samples, said)
	}
	d.report.DJAway = true
	d.tell("It plays on, from what the venue holds: the same %d samples.", n)
	return nil
}

// lapse waits for the lease to end.
func (d *demo) lapse(ctx context.Context) error {
	if wait := time.Until(d.until); wait > 0 {
		d.tell("The lease has %d s left ...", int(wait.Seconds()+1))
		select {
		case <-time.After(wait + time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	code, said, err := d.play(ctx, "wav:"+filepath.Join(d.dir, "lapsed.wav"), func(binary.Event) {})
	if err != nil {
		return err
	}
	if code != 22 {
		return fmt.Errorf("after the lease's end play ended with %d, not 22: %s", code, said)
	}
	d.report.AfterLapse = code
	first, _, _ := strings.Cut(said, "\n")
	d.tell("It lapsed: play ends with 22 (%s).", strings.TrimPrefix(first, "playnode: "))
	return nil
}

// account says what the archivist could read, and sums up.
func (d *demo) account(ctx context.Context) error {
	if _, err := d.archivist.stop(); err != nil {
		return err
	}
	if _, err := d.venue.stop(); err != nil {
		return err
	}
	for _, t := range d.tracks() {
		if len(t.Title) < 4 {
			continue // too short to mean anything when found
		}
		found, err := contains(d.archivist.Repo, t.Title)
		if err != nil {
			return err
		}
		if found {
			d.report.ArchivistRead++
		}
	}
	d.report.Seconds = int(time.Since(d.began).Seconds())
	r := d.report
	if d.cfg.JSON {
		return json.NewEncoder(d.cfg.Out).Encode(r)
	}
	fmt.Fprintf(d.cfg.Out, `
What happened, in %d seconds:
  played      %d tracks, %d samples at %d Hz, %d joins, %d skipped: %s
  the bytes   `, r.Seconds, r.Tracks, r.Samples, r.Rate, r.Joins, r.Skipped, d.cfg.WAV)
	sep := ""
	for from, n := range r.BySource {
		if n == 0 {
			continue
		}
		fmt.Fprintf(d.cfg.Out, "%s%d by %s from the DJ and the archivist", sep, n, from)
		sep = ", "
	}
	if sep == "" {
		fmt.Fprint(d.cfg.Out, "none fetched")
	}
	fmt.Fprintf(d.cfg.Out, `
  archivist   keeps %d blocks (%d bytes) and serves them to anyone. It sees how many tracks
              there are, how long each is and the playlist's label; of %d titles it has %d
  the lease   without one: exit %d; while it ran, with the DJ away: played; after it: exit %d
  honestly    a lease ends access to what was not yet unlocked. While it ran, this box had
              the keys in memory; a venue that wants to can record its own loudspeaker
`, r.ArchivistBlocks, r.ArchivistBytes, r.Tracks, r.ArchivistRead, r.WithoutLease, r.AfterLapse)
	return nil
}

// contains tells whether any file below dir holds text.
func contains(dir, text string) (bool, error) {
	found := false
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || found || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		found = found || strings.Contains(string(b), text)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("search %s: %w", dir, err)
	}
	return found, nil
}

// soundCard tells whether there may be one: a guess, which play then proves.
func soundCard() bool {
	if runtime.GOOS != "linux" || os.Getenv("PULSE_SERVER") != "" {
		return true
	}
	for _, sign := range []string{"/dev/snd/pcmC*p", filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "pulse", "native")} {
		if found, err := filepath.Glob(sign); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// unpack writes the files of src into dir.
func unpack(src fs.FS, dir string) error {
	if err := os.CopyFS(dir, src); err != nil {
		return fmt.Errorf("unpack the music: %w", err)
	}
	return nil
}
