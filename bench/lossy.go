package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

const (
	// piece is how long a track of a playlist is that is heard over a bad line,
	// coldAfter how long a venue listens until it begins anew and holds nothing.
	piece, coldAfter = 10 * time.Second, 3 * time.Minute
	// loading is how long plain HTTP loads.
	loading = 30 * time.Second
)

var (
	remote  = netns.Line{Delay: 250 * time.Millisecond, Up: 250_000, Down: 250_000}
	sitting = []session{
		{12 * time.Minute, []listening{
			{line: remote, name: "500 ms and 2 Mbit/s", loss: .1, venues: 16},
			{line: remote, name: "500 ms and 2 Mbit/s", loss: .01, venues: 3},
			{line: remote, name: "500 ms and 2 Mbit/s", venues: 3},
		}},
		{80 * time.Second, []listening{
			{line: far, name: "20 ms and 10 Mbit/s", loss: .1, venues: 4},
			{line: far, name: "20 ms and 10 Mbit/s", loss: .01, venues: 2},
			{line: far, name: "20 ms and 10 Mbit/s", venues: 2},
			{line: remote, name: "500 ms and 2 Mbit/s, no UDP", loss: .1, venues: 4, tcp: true},
		}},
	}
)

// session is who listens at the same time, to one DJ, and for how long.
type session struct {
	lasts time.Duration
	all   []listening
}

// listening is what several venues do, each over a line of its own.
type listening struct {
	line   netns.Line
	name   string
	loss   float64 // of packets, each way
	venues int
	tcp    bool // alone: UDP does not leave the venue
}

func (l listening) key(what string) string {
	return fmt.Sprintf("lossy, %s, %g, %s", l.name, l.loss, what)
}

// audience is how many venues listen in a session.
func (s session) audience() (n int) {
	for _, l := range s.all {
		n += l.venues
	}
	return n
}

// lossy has venues play as a loudspeaker does, from a DJ behind lines that lose more
// and more, tracks of which they hold nothing.
func (r *runner) lossy() error {
	if ok, err := r.worlds("lossy lines are"); !ok {
		return err
	}
	r.keep("lossy, load", load())
	s, venues, err := r.audience()
	if err != nil {
		return err
	}
	for _, x := range sitting {
		if err := s.sit(x, venues[:x.audience()]); err != nil {
			return err
		}
	}
	return nil
}

// audience are a DJ's venues in place, each with a playlist of its own, that
// nobody else plays, and that lasts for as long as it listens.
func (r *runner) audience() (s *stage, venues []box.Box, err error) {
	n := 0
	for _, x := range sitting {
		n = max(n, x.audience())
	}
	s = &stage{runner: &runner{Config: r.Config, ctx: r.ctx, dir: filepath.Join(r.dir, "loss"), taken: r.taken}}
	lists, err := r.pieces(filepath.Join(s.dir, "pieces"), n, int((coldAfter+piece)/piece))
	if err != nil {
		return nil, nil, err
	}
	s.dj = box.Box{Program: r.Playnode, Repo: filepath.Join(s.dir, "dj")}
	var id struct{ Name string }
	if err := s.dj.JSON(r.ctx, &id, "init", "--network", "none"); err != nil {
		return nil, nil, err
	}
	s.name = id.Name
	for i, files := range lists {
		if err := s.dj.JSON(r.ctx, nil, append([]string{"publish", "--playlist", fmt.Sprint("p", i)}, files...)...); err != nil {
			return nil, nil, err
		}
		v := box.Box{Program: s.Playnode, Repo: filepath.Join(s.dir, fmt.Sprint("venue", i))}
		if err := v.JSON(s.ctx, nil, "init", "--network", "none"); err != nil {
			return nil, nil, err
		}
		if err := s.leaseOf(v, fmt.Sprint("p", i), filepath.Join(s.dir, "grant")); err != nil {
			return nil, nil, err
		}
		venues = append(venues, v)
	}
	djd, err := s.dj.Start(s.ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return nil, nil, err
	}
	defer djd.Stop()
	for i, v := range venues {
		var followed struct{ Manifest string }
		if err := v.JSON(s.ctx, &followed, "follow", s.name, "--once", "--peer", djd.Addrs[0]); err != nil {
			return nil, nil, err
		}
		if i == 0 {
			s.venue = v
			err = s.list(followed.Manifest)
			s.one = followed.Manifest // and all below it: more than a line carries meanwhile
		}
		if err == nil {
			err = s.evictFrom(v) // all of them would be gigabytes
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return s, venues, nil
}

// pieces cuts the music into lists of tracks as long as piece, no two of which
// are alike: where it is too short, anew and a little later.
func (r *runner) pieces(dir string, lists, each int) ([][]string, error) {
	c := r.Config
	c.Tracks = startTracks
	files, err := encode(r.ctx, c)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var all []string
	for turn := 0; len(all) < lists*each; turn++ {
		before := len(all)
		for i, f := range files {
			name := filepath.Join(dir, fmt.Sprintf("%d-%d-", turn, i))
			cut := exec.CommandContext(r.ctx, "ffmpeg", "-v", "error", "-ss", fmt.Sprint(.7*float64(turn)), "-i", f, "-map", "0:a", "-map_metadata", "-1", "-c", "copy",
				"-f", "segment", "-segment_time", fmt.Sprint(piece.Seconds()), name+"%03d.mp3")
			if out, err := cut.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("cut %s: %w: %s", f, err, out)
			}
			cuts, err := filepath.Glob(name + "*.mp3")
			if err != nil {
				return nil, err
			}
			all = append(all, cuts[:max(0, len(cuts)-1)]...) // the last one is shorter
		}
		if len(all) == before {
			return nil, fmt.Errorf("cut music: %s holds too little", c.Music)
		}
	}
	out := make([][]string, lists)
	for i := range out {
		out[i] = all[i*each:][:each]
	}
	return out, nil
}

// sit has all of a session listen, and sees what plain HTTP carries over one more
// line of each kind.
func (s *stage) sit(x session, venues []box.Box) error {
	cfg := netns.Config{Boxes: []netns.BoxConfig{{}}, Seed: 1}
	for _, l := range x.all {
		l.line.Loss = l.loss
		for range l.venues + 1 {
			cfg.Boxes = append(cfg.Boxes, netns.BoxConfig{Line: l.line})
		}
	}
	w, err := netns.Open(s.ctx, cfg)
	if err != nil {
		return err
	}
	defer w.Close()
	dj := s.dj
	dj.Within = w.Boxes[0].Within()
	djd, err := dj.Start(s.ctx, append(listenOn(w.Boxes[0], port), "--gateway", fmt.Sprintf("%s:8080", listenAt(w.Boxes[0])))...)
	if err != nil {
		return err
	}
	defer djd.Kill()
	boxes, begun, rested := w.Boxes[1:], time.Now(), idled()
	g, ctx := errgroup.WithContext(s.ctx)
	for _, l := range x.all {
		for i := range l.venues {
			e := &listener{stage: s, listening: l, venue: venues[0], playlist: fmt.Sprint("p", x.audience()-len(venues)), peers: djd.Addrs, until: begun.Add(x.lasts)}
			if l.tcp {
				e.peers = byTCP(e.peers)
			}
			at := boxes[i]
			venues = venues[1:]
			lag := time.Duration(len(venues)) * time.Second // all at once would want the cores
			g.Go(func() error { return e.listen(ctx, at, lag) })
		}
		last := boxes[l.venues]
		boxes = boxes[l.venues+1:]
		g.Go(func() error { return s.loads(ctx, l, w.Boxes[0], last) })
	}
	err = g.Wait()
	s.keep("lossy, cores", float64(runtime.NumCPU())-(idled()-rested)/time.Since(begun).Seconds())
	return err
}

// listenOn is what a daemon in a box is told.
func listenOn(b *netns.Box, port int) []string {
	return []string{"--listen", fmt.Sprintf("/ip4/%s/tcp/%d", listenAt(b), port), "--listen", fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", listenAt(b), port)}
}

// knowing has a daemon know a peer by all its addresses.
func knowing(addrs []string) (args []string) {
	for _, a := range addrs {
		args = append(args, "--peer", a)
	}
	return args
}

func byTCP(addrs []string) (out []string) {
	for _, a := range addrs {
		if strings.Contains(a, "/tcp/") {
			out = append(out, a)
		}
	}
	return out
}

// lossyPage is the section of lossy lines.
func (r *runner) lossyPage(b *bytes.Buffer) {
	if len(r.taken["lossy, load"]) == 0 {
		fmt.Fprintf(b, "Not measured: it takes Linux, root, ip, tc and nft.\n")
		return
	}
	fmt.Fprintf(b, "Venues in place, each behind a line of its own that loses a share of its packets each way, play tracks of %.0f s at 128 kbit/s to a loudspeaker at the clock's pace. They come from one DJ,\n"+
		"who has nothing in common for any two of them. 500 ms is there and back. Every peer is a process in a namespace of its own. A venue holds no block of what it plays: what comes next is fetched while the\n"+
		"track before plays. Every %.0f minutes, where it listens for so long, it begins anew, with a daemon that has just begun and a line of which nobody knows anything: that is a cold start. A play is one of one track, to its end; it is interrupted\n"+
		"where its sound runs out or it is left for want of a block. What was passed over was not here when its turn came, and another track was. What one connection of plain HTTP loads meanwhile, over one\n"+
		"more such line, is what TCP makes of it. When it began %.0f processes wanted the cores; meanwhile, all else on this machine included, %.1f cores were busy in the mean.\n\n",
		piece.Seconds(), coldAfter.Minutes(), r.median("lossy, load"), r.quantile("lossy, cores", 1))
	fmt.Fprintf(b, "| over | loss | HTTP, kB/s | connected after s, p50 | first sound after s, p50 | p95 | slowest | cold starts | heard nothing | plays | passed over | plays interrupted |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	var goals []goal
	for _, x := range sitting {
		for _, l := range x.all {
			starts := len(r.taken[l.key("first")])
			if starts == 0 {
				continue
			}
			sum := func(what string) (n float64) {
				for _, k := range r.taken[l.key(what)] {
					n += k
				}
				return n
			}
			plays, interrupted, silent := sum("plays"), sum("interrupted"), sum("silent")
			p50, p95 := r.median(l.key("first")), r.quantile(l.key("first"), .95)
			fmt.Fprintf(b, "| %s | %g %% | %.0f | %.1f | %.1f | %.1f | %.1f | %d, %.0f %% | %.0f | %.0f | %.0f | %.0f |\n", l.name, 100*l.loss, r.median(l.key("HTTP"))/1000, r.median(l.key("connected")),
				p50, p95, r.quantile(l.key("first"), 1), starts, 100*float64(starts)/max(1, plays), silent, plays, sum("passed"), interrupted)
			if l.loss == .1 {
				goals = append(goals, goal{"at 10 % loss over " + l.name + ": all hear something, and at most 0.1 % of plays are interrupted", fmt.Sprintf("%.0f of %d silent, %.0f of %.0f plays: %.2f %%", silent, starts, interrupted, plays, 100*interrupted/max(1, plays)),
					plays > 0 && silent == 0 && interrupted <= .001*plays})
			}
		}
	}
	writeGoals(b, goals...)
}
