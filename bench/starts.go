package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
	"playnode/node"
	"playnode/node/embedded/pack"
	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

const (
	// startPatience is how long one start may take, startsFor when no further
	// one begins on its line, and goalFor where there is a goal: each has a world
	// and daemons of its own, which take longer than it does.
	startPatience = 10 * time.Second
	startsFor     = 12 * time.Second
	goalFor       = 80 * time.Second
	// startTracks is how much real music there is where starts are timed.
	startTracks = 8
)

// far is a line 20 ms and 10 Mbit/s long, there and back.
var far = netns.Line{Delay: 10 * time.Millisecond, Up: 1_250_000, Down: 1_250_000}

// situation is one in which a track starts that is not here.
type situation struct {
	name string
	line netns.Line
	// origin says that the only one who gives it is a gateway, beside a peer
	// that says nothing.
	origin bool
	// filling says that all else is being fetched at the same time.
	filling bool
	most    float64 // what the p95 is to be, in ms; 0 for no goal
}

var situations = []situation{
	{name: "a peer on the LAN", most: 150},
	{name: "a peer 20 ms and 10 Mbit/s away", line: far, most: 300},
	{name: "the same, all else being fetched", line: far, filling: true},
	{name: "a gateway 20 ms and 10 Mbit/s away, the peer silent", line: far, origin: true, most: 500},
}

var losses = []float64{0, .01, .1}

// times is how many starts there are to be, of a run's n, and for how long: a p95
// that has a goal is to stand on more than the slowest one.
func (at situation) times(n int) (int, time.Duration) {
	if at.most > 0 && at.line.Loss == 0 {
		return 2 * n, goalFor
	}
	return n, startsFor
}

// starting measures how soon a track starts that is not here.
func (r *runner) starting() error {
	if ok, err := r.worlds("starts are"); !ok {
		return err
	}
	r.keep("load", load())
	s, err := r.stageStarts()
	if err != nil {
		return err
	}
	for range starts {
		if err := s.time("spawn", func() error { return s.venue.JSON(s.ctx, nil, "version") }); err != nil {
			return err
		}
	}
	for _, at := range situations {
		for _, loss := range losses {
			if loss > 0 && at.filling {
				continue
			}
			at.line.Loss = loss
			if err := s.startsOf(at); err != nil {
				return fmt.Errorf("start from %s, loss %.2f: %w", at.name, loss, err)
			}
		}
	}
	// A lease is a newer version, which a venue in place would fetch beside what is
	// timed: all fresh ones come last.
	for _, at := range situations {
		if at.filling {
			continue
		}
		if err := s.startsFresh(at); err != nil {
			return fmt.Errorf("start of a fresh venue from %s: %w", at.name, err)
		}
	}
	return nil
}

// load is how many processes wanted a core in the last minute; 0 where the
// system does not tell.
func load() (n float64) {
	b, _ := os.ReadFile("/proc/loadavg")
	fmt.Sscan(string(b), &n)
	return n
}

// stage is a DJ, a venue in place, and what of the venue's is a track's.
type stage struct {
	*runner
	tracks []cid.Cid // of the blocks of tracks
	one    string    // a track's CID
	made   uint64    // worlds: each loses other packets
}

// stageStarts publishes music and has a venue hold all of it.
func (r *runner) stageStarts() (*stage, error) {
	c := r.Config
	c.Tracks = startTracks
	files, err := encode(r.ctx, c)
	if err != nil {
		return nil, err
	}
	s := &stage{runner: &runner{Config: r.Config, ctx: r.ctx, dir: filepath.Join(r.dir, "starts"), taken: r.taken}}
	s.dj = box.Box{Program: r.Playnode, Repo: filepath.Join(s.dir, "dj")}
	s.venue = box.Box{Program: r.Playnode, Repo: filepath.Join(s.dir, "venue")}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	var id struct{ Name string }
	if err := s.dj.JSON(r.ctx, &id, "init", "--network", "none"); err != nil {
		return nil, err
	}
	s.name = id.Name
	if err := s.dj.JSON(r.ctx, nil, append([]string{"publish"}, files...)...); err != nil {
		return nil, err
	}
	if err := s.venue.JSON(r.ctx, nil, "init", "--network", "none"); err != nil {
		return nil, err
	}
	if err := s.lease(s.venue, filepath.Join(s.dir, "grant")); err != nil {
		return nil, err
	}
	djd, err := s.dj.Start(r.ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return nil, err
	}
	defer djd.Stop()
	var followed struct{ Manifest string }
	if err := s.venue.JSON(r.ctx, &followed, "follow", s.name, "--once", "--peer", djd.Addrs[0]); err != nil {
		return nil, err
	}
	return s, s.list(followed.Manifest)
}

// list notes all blocks that are tracks': their metadata, trees and leaves.
func (s *stage) list(head string) error {
	at, err := cid.Decode(head)
	if err != nil {
		return err
	}
	held, err := packsOf(s.venue)
	if err != nil {
		return err
	}
	defer held.Close()
	payload := func(c cid.Cid) ([]byte, error) {
		data, err := held.Read(s.ctx, c)
		if err != nil {
			return nil, err
		}
		e, err := manifests.OpenEnvelope(data)
		if err != nil {
			return nil, err
		}
		return held.Read(s.ctx, e.Payload)
	}
	data, err := payload(at)
	if err != nil {
		return err
	}
	h, err := manifests.DecodeHead(data)
	if err != nil {
		return err
	}
	for _, sel := range h.Sels {
		if data, err = payload(sel.Manifest); err != nil {
			return err
		}
		m, err := manifests.DecodeManifest(data)
		if err != nil {
			return err
		}
		t, err := manifests.ReadTracks(m.Tracks, func(cids []cid.Cid) (out [][]byte, err error) {
			for _, c := range cids {
				data, err := held.Read(s.ctx, c)
				if err != nil {
					return nil, err
				}
				out = append(out, data)
			}
			return out, nil
		})
		if err != nil {
			return err
		}
		for _, e := range t.Entries {
			s.tracks, s.one = append(s.tracks, e.Info), e.Track.String()
			if err := s.below(held, e.Track); err != nil {
				return err
			}
		}
	}
	return nil
}

// below notes c and all below it.
func (s *stage) below(held *pack.Store, c cid.Cid) error {
	s.tracks = append(s.tracks, c)
	if c.Prefix().Codec == cid.Raw {
		return nil
	}
	data, err := held.Read(s.ctx, c)
	if err != nil {
		return err
	}
	links, err := node.Links(c, data)
	for _, l := range links {
		if err == nil {
			err = s.below(held, l)
		}
	}
	return err
}

// packsOf is what a box holds, while it does not run.
func packsOf(b box.Box) (*pack.Store, error) {
	return pack.Open(pack.Config{Dir: filepath.Join(b.Repo, "ipfs", "packs")})
}

// evict takes all that is a track's from the venue, which does not run.
func (s *stage) evict() error { return s.evictFrom(s.venue) }

// evictFrom takes it from a box that holds the same.
func (s *stage) evictFrom(b box.Box) error {
	held, err := packsOf(b)
	if err != nil {
		return err
	}
	for _, c := range s.tracks {
		held.Drop(c)
	}
	return errors.Join(held.Sweep(s.ctx), held.Close())
}

// worldOf has a DJ in a world, and what the daemon of a venue in its other box
// is to be told; silence has a peer say nothing from then on.
func (s *stage) worldOf(at situation) (w *netns.World, from []string, silence func() error, err error) {
	s.made++
	if w, err = netns.Open(s.ctx, netns.Config{Boxes: []netns.BoxConfig{{}, {Line: at.line}, {}}, Seed: s.made}); err != nil {
		return nil, nil, nil, err
	}
	dj := s.dj
	dj.Within = w.Boxes[0].Within()
	gateway := w.Boxes[0].Addr().String() + ":8080"
	djd, err := dj.Start(s.ctx, append(listenOn(w.Boxes[0], port), "--gateway", gateway)...)
	if err != nil {
		return w, nil, nil, err
	}
	if !at.origin {
		return w, knowing(djd.Addrs), func() error { return nil }, nil
	}
	silent := box.Box{Program: s.Playnode, Repo: filepath.Join(s.dir, "silent"), Within: w.Boxes[2].Within()}
	os.RemoveAll(silent.Repo)
	if err := silent.JSON(s.ctx, nil, "init", "--network", "none"); err != nil {
		return w, nil, nil, err
	}
	sd, err := silent.Start(s.ctx, listenOn(w.Boxes[2], port)...)
	if err != nil {
		return w, nil, nil, err
	}
	silence = func() error { return exec.CommandContext(s.ctx, "kill", "-STOP", fmt.Sprint(sd.PID())).Run() }
	return w, append(knowing(sd.Addrs), "--origin", "http://"+gateway, "--router", "http://"+gateway), silence, nil
}

// enter starts a venue's daemon, and waits until it is connected.
func (s *stage) enter(venue box.Box, w *netns.World, from []string) (*box.Daemon, error) {
	d, err := venue.Start(s.ctx, append(listenOn(w.Boxes[1], port), from...)...)
	if err != nil {
		return nil, err
	}
	for {
		var status struct{ Peers int }
		if err := venue.JSON(s.ctx, &status, "status"); err != nil || status.Peers > 0 {
			return d, err
		}
	}
}

// inPlace is a venue in a situation: the name is followed, the lease is there,
// the daemon is connected. leave ends it, and is not nil; silence is worldOf's.
func (s *stage) inPlace(at situation) (venue box.Box, silence func() error, leave func(), err error) {
	w, from, silence, err := s.worldOf(at)
	leave = func() {
		if w != nil {
			w.Close()
		}
	}
	if err != nil {
		return venue, nil, leave, err
	}
	venue = s.venue
	venue.Within = w.Boxes[1].Within()
	d, err := s.enter(venue, w, from)
	if err != nil {
		return venue, nil, leave, err
	}
	return venue, silence, func() { d.Kill(); w.Close() }, nil
}

// startsOf times starts of a track of which nothing is held, each on a venue
// that has just been put in place.
func (s *stage) startsOf(at situation) error {
	begin := time.Now()
	n, most := at.times(s.Starts)
	for range n {
		if time.Since(begin) > most {
			break
		}
		if err := s.startOf(at); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) startOf(at situation) error {
	if err := s.evict(); err != nil {
		return err
	}
	venue, silence, leave, err := s.inPlace(at)
	defer leave()
	if err == nil {
		err = silence()
	}
	if err != nil {
		return err
	}
	return s.start(at, venue)
}

// start times one.
func (s *stage) start(at situation, venue box.Box) error {
	ctx, cancel := context.WithTimeout(s.ctx, startPatience)
	defer cancel()
	if at.filling {
		fill := venue.Command(ctx, "--quiet", "follow", s.name)
		if err := fill.Start(); err != nil {
			return err
		}
		defer fill.Wait()
		defer cancel()
		select { // until its queues are full
		case <-time.After(400 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	one := &runner{Config: s.Config, ctx: ctx, dir: s.dir, taken: s.taken, dj: s.dj, name: s.name}
	return one.time(startName(at), func() error {
		if err := one.firstSample(venue); ctx.Err() == nil {
			return err
		}
		return s.ctx.Err() // it counts as all the time there was
	})
}

// startsFresh times starts of fresh venues, from follow to music.
func (s *stage) startsFresh(at situation) error {
	w, from, silence, err := s.worldOf(at)
	if w != nil {
		defer w.Close()
	}
	if err != nil {
		return err
	}
	for i := range max(2, s.Starts/4) {
		fresh := box.Box{Program: s.Playnode, Repo: filepath.Join(s.dir, fmt.Sprint("fresh", i)), Within: w.Boxes[1].Within()}
		if err := fresh.JSON(s.ctx, nil, "init", "--network", "none"); err != nil {
			return err
		}
		if err := s.lease(fresh, filepath.Join(s.dir, "grant")); err != nil {
			return err
		}
		d, err := s.enter(fresh, w, from)
		if err == nil {
			err = silence()
		}
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(s.ctx, 2*startPatience)
		one := &runner{Config: s.Config, ctx: ctx, dir: s.dir, taken: s.taken, dj: s.dj, name: s.name}
		err = one.time(freshName(at), func() error {
			if err := one.firstOfAll(fresh); ctx.Err() == nil {
				return err
			}
			return s.ctx.Err()
		})
		cancel()
		d.Kill()
		os.RemoveAll(fresh.Repo)
		if err != nil || at.origin { // a peer is silent once
			return err
		}
	}
	return nil
}

func startName(at situation) string { return fmt.Sprintf("start, %s, %g", at.name, at.line.Loss) }

func freshName(at situation) string { return "from nothing, " + at.name }

// startingPage is the section of starts.
func (r *runner) startingPage(b *bytes.Buffer) {
	if len(r.taken[startName(situations[0])]) == 0 {
		fmt.Fprintf(b, "Not measured: it takes Linux, root, ip, tc and nft.\n")
		return
	}
	fmt.Fprintf(b, "From the command `playnode play NAME/P --sink raw:-` until the first sample is out of the pipe. Every peer is a process in a namespace of its own. `playnode version` alone takes %.0f ms (p50; %.0f p95).\nWhen it began %.0f processes wanted the cores (load average of a minute): what is above two is in the times.\n\n",
		1000*r.median("spawn"), 1000*r.quantile("spawn", .95), r.median("load"))
	fmt.Fprintf(b, "A track, on a venue in place: the name is followed, its records and lease are there, the daemon has just begun and is connected; of the tracks it holds no block at all.\nAll listen by QUIC and by TCP, and know each other by both. The share of packets is lost each way. None is waited for longer than %.0f s. Each has a world and daemons of its own, and loses other packets than the others; where there is a goal %d are timed within %.0f s, else %d within %.0f s, or as many as that time has room for.\n\n",
		startPatience.Seconds(), 2*r.Starts, goalFor.Seconds(), r.Starts, startsFor.Seconds())
	fmt.Fprintf(b, "| a track from | loss | p50 ms | p95 ms | p99 ms | n |\n|---|---:|---:|---:|---:|---:|\n")
	var goals []goal
	for _, at := range situations {
		for _, loss := range losses {
			at.line.Loss = loss
			key := startName(at)
			if len(r.taken[key]) == 0 {
				continue
			}
			p95 := 1000 * r.quantile(key, .95)
			fmt.Fprintf(b, "| %s | %g %% | %.0f | %.0f | %.0f | %d |\n", at.name, 100*loss, 1000*r.median(key), p95, 1000*r.quantile(key, .99), len(r.taken[key]))
			if loss == 0 && at.most > 0 {
				goals = append(goals, goal{fmt.Sprintf("a track from %s: p95 at most %.0f ms", at.name, at.most), fmt.Sprintf("%.0f ms", p95), p95 <= at.most})
			}
		}
	}
	fmt.Fprintf(b, "\nFrom nothing: a fresh venue with a lease and a connected daemon; from `follow` and `play`, given at once, to the first sample, while all else is being fetched.\n\n")
	fmt.Fprintf(b, "| from nothing, by | p50 s | slowest s | n |\n|---|---:|---:|---:|\n")
	slowest := 0.0
	for _, at := range situations {
		key := freshName(at)
		if len(r.taken[key]) == 0 {
			continue
		}
		slowest = max(slowest, r.quantile(key, 1))
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %d |\n", at.name, r.median(key), r.quantile(key, 1), len(r.taken[key]))
	}
	goals = append(goals, goal{"from nothing: music at most 10 s after `follow`", fmt.Sprintf("%.1f s", slowest), slowest <= 10})
	writeGoals(b, goals...)
}
