package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"playnode/testnet/netns"
)

// worlds tells whether there can be worlds of namespaces here, and says so where
// not, of what is not measured: "swarms are".
func (r *runner) worlds(what string) (bool, error) {
	probe, err := netns.Open(r.ctx, netns.Config{})
	if errors.Is(err, netns.ErrUnsupported) {
		fmt.Fprintln(os.Stderr, what, "not measured here:", err)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	probe.Close()
	return true, nil
}

// onePeer times how long a box takes to have music from another, disk to disk: over
// a line of its own, or with nothing between them but the kernel.
func (r *runner) onePeer(key, name, music string, line netns.Line, how manner) error {
	err := r.carried(name, []netns.Line{{}, line}, how, func(w *netns.World, c carrier) error {
		if err := c.seed(w.Boxes[0], music); err != nil {
			return err
		}
		if err := c.enter(1, w.Boxes[1], []int{0}); err != nil {
			return err
		}
		return r.time(key, func() error { return within(how.patience, func() error { return c.fetch(1) }) })
	})
	if errors.Is(err, errStands) && name != carrierNames[0] {
		r.keep(key+", stands", 1)
		fmt.Fprintf(os.Stderr, "  %-28s stands still\n", key)
		return nil
	}
	return err
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

// manner is how something is fetched.
type manner struct {
	patience time.Duration // how long it is waited for
	udp      bool          // by QUIC as well, where the contender speaks it
	seed     uint64        // which packets are lost
}

// carried runs f with a world that has a box on each line and a carrier, and ends
// both.
func (r *runner) carried(name string, lines []netns.Line, how manner, f func(*netns.World, carrier) error) error {
	cfg := netns.Config{Seed: how.seed}
	for _, line := range lines {
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
	c := r.carriers(dir, how.udp)[name]
	if err := f(w, c); err != nil {
		c.close()
		return err
	}
	c.close()
	return nil
}

// rush is venues that want everything of one source at once. What is noted of it
// begins with its key.
type rush struct {
	key           string
	venues        int
	bytes         int64 // about how large the catalogue is
	source, venue netns.Line
	manner
}

// crowded has all venues of a rush want everything of the first box at once.
func (r *runner) crowded(x rush, name, music string) error {
	key := x.key
	lines := append([]netns.Line{x.source}, slices.Repeat([]netns.Line{x.venue}, x.venues)...)
	return r.carried(name, lines, x.manner, func(w *netns.World, c carrier) error {
		if err := c.seed(w.Boxes[0], music); err != nil {
			return err
		}
		rnd := rand.New(rand.NewPCG(1, 1))
		for i := 1; i <= x.venues; i++ {
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
		ctx, cancel := context.WithTimeout(r.ctx, x.patience)
		defer cancel()
		begin, rested := time.Now(), idled()
		var g errgroup.Group
		for i := 1; i <= x.venues; i++ {
			g.Go(func() error {
				ended := make(chan error, 1)
				go func() { ended <- c.fetch(i) }()
				select {
				case err := <-ended:
					r.keep(key+", venue", time.Since(begin).Seconds())
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			})
		}
		err = g.Wait()
		r.keep(key+", idle", (idled()-rested)/time.Since(begin).Seconds()/float64(runtime.NumCPU()))
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			r.keep(key+", unfinished", float64(x.venues-len(r.taken[key+", venue"])))
		case err != nil:
			return err
		default:
			r.keep(key, time.Since(begin).Seconds())
		}
		after, err := count(w)
		if err != nil {
			return err
		}
		r.keep(key+", source", float64(after[0].Sent-before[0].Sent)/float64(x.bytes))
		for i := 1; i <= x.venues; i++ {
			r.keep(key+", received", float64(after[i].Received-before[i].Received)/float64(x.bytes))
			if len(r.taken[key]) == 0 {
				continue
			}
			twice, err := c.twice(i)
			if err != nil {
				return err
			}
			r.keep(key+", twice", float64(twice)/float64(x.bytes))
		}
		fmt.Fprintf(os.Stderr, "  %-28s %8.3f s, source %.2f, %.0f unfinished, idle %.2f, twice %.3f\n", key, r.median(key), r.median(key+", source"), r.median(key+", unfinished"), r.median(key+", idle"), r.median(key+", twice"))
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
