package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

const (
	// swarmBytes is what each venue of a swarm wants, neighbours how many other
	// venues each one knows.
	swarmBytes = 10 << 20
	neighbours = 5
	// patience is how long anything is waited for, patienceSlow how long a swarm
	// over the slowest uplinks, where Kubo takes eight times the floor.
	patience, patienceSlow = 3 * time.Minute, 5 * time.Minute
)

// swarmUps are the swarms, by what everyone's uplink carries in bytes a second, 0
// for any number: twenty programs over 2 MB/s want more than two cores have, and
// over a quarter of that less.
var swarmUps = []int64{0, 2_000_000, 500_000}

// over is what a swarm over such uplinks is called.
func over(up int64) string {
	if up == 0 {
		return "no limit"
	}
	return fmt.Sprintf("%g MB/s up", float64(up)/1e6)
}

// waited is how long a swarm over such uplinks is waited for.
func waited(up int64) time.Duration {
	if up == slices.Max(swarmUps) || up == 0 {
		return patience
	}
	return patienceSlow
}

// swarm measures one peer to one, and one to many, in namespaces.
func (r *runner) swarm() error {
	probe, err := netns.Open(r.ctx, netns.Config{})
	if errors.Is(err, netns.ErrUnsupported) {
		fmt.Fprintln(os.Stderr, "swarm is not measured here:", err)
		return nil
	}
	if err != nil {
		return err
	}
	probe.Close()
	if err := r.onePeer(); err != nil {
		return fmt.Errorf("one peer to one: %w", err)
	}
	music := filepath.Join(r.dir, "catalogue")
	if err := box.Noise(music, swarmBytes); err != nil {
		return err
	}
	for _, up := range swarmUps {
		for _, name := range carrierNames[:3] { // what HTTP takes is arithmetic
			if err := r.crowded(up, name, music); err != nil {
				return fmt.Errorf("swarm of %s, %s: %w", name, over(up), err)
			}
		}
	}
	return nil
}

// onePeer has one box fetch from another, disk to disk, with nothing between
// them but the kernel.
func (r *runner) onePeer() error {
	music := filepath.Join(r.dir, "whole")
	if err := box.Noise(music, r.Bytes); err != nil {
		return err
	}
	for range r.Rounds {
		for _, name := range carrierNames {
			key := "one peer, " + name
			err := r.carried(name, 2, netns.Line{}, func(w *netns.World, c carrier) error {
				if err := c.seed(w.Boxes[0], music); err != nil {
					return err
				}
				if err := c.enter(1, w.Boxes[1], []int{0}); err != nil {
					return err
				}
				return r.time(key, func() error { return within(patience, func() error { return c.fetch(1) }) })
			})
			if errors.Is(err, errStands) && name != carrierNames[0] {
				r.keep(key+", stands", 1)
				fmt.Fprintf(os.Stderr, "  %-28s stands still\n", key)
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(music)
}

// errStands is what becomes of a fetch that is not waited for any longer: stock
// Kubo stands still for ever, once in a while. Ours may not.
var errStands = errors.New("it stands still")

// within runs f and waits for it so long. What goes on after that ends with
// its carrier.
func within(limit time.Duration, f func() error) error {
	ended := make(chan error, 1)
	go func() { ended <- f() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(limit):
		return errStands
	}
}

// carried runs f with a world of boxes and a carrier, and ends both.
func (r *runner) carried(name string, boxes int, line netns.Line, f func(*netns.World, carrier) error) error {
	cfg := netns.Config{}
	for range boxes {
		cfg.Boxes = append(cfg.Boxes, netns.BoxConfig{Line: line})
	}
	w, err := netns.Open(r.ctx, cfg)
	if err != nil {
		return err
	}
	defer w.Close()
	dir, err := os.MkdirTemp(r.dir, "carried")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	c := r.carriers(dir)[name]
	if err := f(w, c); err != nil {
		c.close()
		return err
	}
	c.close()
	return nil
}

// crowded has all venues want everything of the first box at once.
func (r *runner) crowded(up int64, name, music string) error {
	key := "swarm, " + over(up) + ", " + name
	return r.carried(name, r.Venues+1, netns.Line{Up: up}, func(w *netns.World, c carrier) error {
		if err := c.seed(w.Boxes[0], music); err != nil {
			return err
		}
		rnd := rand.New(rand.NewPCG(1, 1))
		for i := 1; i <= r.Venues; i++ {
			know := []int{0}
			for _, k := range rnd.Perm(i - 1)[:min(neighbours, i-1)] {
				know = append(know, k+1)
			}
			if err := c.enter(i, w.Boxes[i], know); err != nil {
				return err
			}
		}
		before, err := count(w)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.ctx, waited(up))
		defer cancel()
		begin, rested := time.Now(), idled()
		var g errgroup.Group
		for i := 1; i <= r.Venues; i++ {
			g.Go(func() error {
				ended := make(chan error, 1)
				go func() { ended <- c.fetch(i) }()
				select {
				case err := <-ended:
					r.mu.Lock()
					defer r.mu.Unlock()
					r.keep(key+", venue", time.Since(begin).Seconds())
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}
		err = g.Wait()
		r.keep(key+", idle", (idled()-rested)/time.Since(begin).Seconds()/float64(runtime.NumCPU()))
		if errors.Is(err, context.DeadlineExceeded) {
			r.keep(key+", unfinished", float64(r.Venues-len(r.taken[key+", venue"])))
			return nil
		}
		if err != nil {
			return err
		}
		r.keep(key, time.Since(begin).Seconds())
		after, err := count(w)
		if err != nil {
			return err
		}
		r.keep(key+", source", float64(after[0].Sent-before[0].Sent)/swarmBytes)
		for i := 1; i <= r.Venues; i++ {
			r.keep(key+", received", float64(after[i].Received-before[i].Received)/swarmBytes)
			twice, err := c.twice(i)
			if err != nil {
				return err
			}
			r.keep(key+", twice", float64(twice)/swarmBytes)
		}
		fmt.Fprintf(os.Stderr, "  %-28s %8.3f s, source %.2f\n", key, r.median(key), r.median(key+", source"))
		return nil
	})
}

// idled is how long the cores have had nothing to do, in seconds, all together;
// a disk that they wait for leaves them idle, too.
func idled() float64 {
	text, _ := os.ReadFile("/proc/stat")
	f := strings.Fields(string(text))
	if len(f) < 6 {
		return 0
	}
	var idle, waiting float64
	fmt.Sscan(f[4]+" "+f[5], &idle, &waiting)
	return (idle + waiting) / 100 // the kernel's hundredths
}

// count reads all lines.
func count(w *netns.World) ([]netns.Counters, error) {
	all := make([]netns.Counters, len(w.Boxes))
	for i, b := range w.Boxes {
		var err error
		if all[i], err = b.Counters(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// swarmPage is the section of swarms.
func (r *runner) swarmPage(b *bytes.Buffer) {
	if len(r.taken["one peer, playnode"]) == 0 {
		fmt.Fprintf(b, "Not measured: it takes Linux, root, ip, tc and nft.\n")
		return
	}
	fmt.Fprintf(b, "Every peer is a process in a namespace of its own; bytes are counted on its line, headers included. The catalogue is noise in WAV files, published beforehand. Kubo's daemons and ours run\nand are connected when the clock starts; a BitTorrent client (anacrolix/torrent, over TCP) is started then. All share this machine's cores: where those are busy, times are theirs, and bytes are not.\n\n")
	fmt.Fprintf(b, "One peer to one, disk to disk, %.0f MiB, %d rounds:\n\n| | seconds | MB/s | of HTTP's time |\n|---|---:|---:|---:|\n", float64(r.Bytes)/(1<<20), len(r.taken["one peer, playnode"]))
	http := r.median("one peer, HTTP")
	for _, name := range carrierNames {
		key := "one peer, " + name
		s := r.median(key)
		if n := len(r.taken[key+", stands"]); n > 0 {
			name = fmt.Sprintf("%s (stood still for %.0f s in %d of %d)", name, patience.Seconds(), n, n+len(r.taken[key]))
		}
		fmt.Fprintf(b, "| %s | %.2f | %.0f | %.1f |\n", name, s, float64(r.Bytes)/1e6/s, s/http)
	}
	fmt.Fprintf(b, "\nOne source, %d venues that want the same %.0f MiB at once, each of which knows the source and up to %d others. Multiples are of the catalogue. The floor is what uplinks allow, and what the source would take for one\nby plain HTTP:",
		r.Venues, swarmBytes/float64(1<<20), neighbours)
	for _, up := range swarmUps[1:] {
		fmt.Fprintf(b, " %.1f s at %s, and %.0f for all of them one after the other;", floor(up), over(up), floor(up)*float64(r.Venues))
	}
	fmt.Fprintf(b, "\nwhere the cores are hardly idle, a swarm waits for them, and not for its lines.\n\n")
	fmt.Fprintf(b, "| | last venue, s | of the floor | median venue, s | source sends | a venue receives | of that twice | cores idle | unfinished |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, up := range swarmUps {
		for _, name := range carrierNames[:3] {
			r.swarmRow(b, up, name)
		}
	}
	goals := []goal{
		{"one peer to one: faster than Kubo", fmt.Sprintf("%.2f of its time", r.median("one peer, playnode")/r.median("one peer, Kubo")), r.median("one peer, playnode") < r.median("one peer, Kubo")},
		{"in at most twice the time of plain HTTP", fmt.Sprintf("%.1f times", r.median("one peer, playnode")/http), r.median("one peer, playnode") <= 2*http},
	}
	for _, up := range swarmUps {
		key := "swarm, " + over(up) + ", playnode"
		took, source, twice := r.median(key), r.median(key+", source"), r.median(key+", twice")
		goals = append(goals, goal{over(up) + ": the source sends at most 1.3 catalogues", fmt.Sprintf("%.2f", source), source > 0 && source <= 1.3})
		if up > 0 {
			goals = append(goals, goal{"all have it in at most 1.6 times the floor", fmt.Sprintf("%.2f", took/floor(up)), took > 0 && took <= 1.6*floor(up)})
		}
		goals = append(goals, goal{"at most 5 % come twice", fmt.Sprintf("%.1f %%", 100*twice), took > 0 && twice <= .05})
	}
	writeGoals(b, goals...)
}

// floor is how long a catalogue takes over such an uplink, in seconds.
func floor(up int64) float64 { return swarmBytes / float64(up) }

// swarmRow is one swarm.
func (r *runner) swarmRow(b *bytes.Buffer, up int64, name string) {
	key := "swarm, " + over(up) + ", " + name
	idle := 100 * r.median(key+", idle")
	if n := r.taken[key+", unfinished"]; len(n) > 0 {
		fmt.Fprintf(b, "| %s, %s | over %.0f | | | | | | %.0f %% | %.0f |\n", name, over(up), waited(up).Seconds(), idle, n[0])
		return
	}
	times := ""
	if up > 0 {
		times = fmt.Sprintf("%.2f", r.median(key)/floor(up))
	}
	fmt.Fprintf(b, "| %s, %s | %.1f | %s | %.1f | %.2f | %.2f | %.2f | %.0f %% | 0 |\n", name, over(up), r.median(key), times, r.median(key+", venue"),
		r.median(key+", source"), r.median(key+", received"), r.quantile(key+", twice", .5), idle)
}
