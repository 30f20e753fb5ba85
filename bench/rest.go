package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"playnode/node/embedded"
	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

const (
	// settling is how long a world is left alone before its rest is measured,
	// resting how long it is measured; restingBeside is that beside peers.
	settling, resting, restingBeside = 20 * time.Second, 40 * time.Second, 20 * time.Second
	// restPort is where everyone listens.
	restPort = 4001
)

// besides are how many peers one daemon is connected with, besideEach how many
// of them have one address.
var besides = []int{10, 100, 500}

const besideEach = 25

// rest measures what daemons do when there is nothing to do.
func (r *runner) rest() error {
	w, err := netns.Open(r.ctx, netns.Config{Boxes: make([]netns.BoxConfig, 13), Seed: 1})
	if errors.Is(err, netns.ErrUnsupported) {
		fmt.Fprintln(os.Stderr, "rest is not measured here:", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer w.Close()
	if err := r.restOfWorld(w); err != nil {
		return fmt.Errorf("rest: %w", err)
	}
	for _, n := range besides {
		if err := r.restBeside(n); err != nil {
			return fmt.Errorf("rest beside %d peers: %w", n, err)
		}
	}
	return nil
}

// restIn begins a daemon in a box.
func (r *runner) restIn(w *netns.World, i int, dir string, args ...string) (box.Box, *box.Daemon, error) {
	b := box.Box{Program: r.Playnode, Repo: filepath.Join(dir, fmt.Sprint("rest", i)), Within: w.Boxes[i].Within()}
	if err := b.JSON(r.ctx, nil, "init", "--network", "none"); err != nil {
		return b, nil, err
	}
	d, err := b.Start(r.ctx, append([]string{fmt.Sprintf("--listen=/ip4/%s/tcp/%d", w.Boxes[i].Addr(), restPort)}, args...)...)
	return b, d, err
}

// restOfWorld is a venue with its DJ and an archivist, and with ten more.
func (r *runner) restOfWorld(w *netns.World) error {
	dir, err := os.MkdirTemp(r.dir, "rest")
	if err != nil {
		return err
	}
	music := filepath.Join(dir, "noise")
	if err := box.Noise(music, 1<<20); err != nil {
		return err
	}
	dj, djd, err := r.restIn(w, 0, dir)
	if err != nil {
		return err
	}
	defer djd.Kill()
	if err := dj.JSON(r.ctx, nil, "publish", music); err != nil {
		return err
	}
	var id struct{ Name string }
	if err := dj.JSON(r.ctx, &id, "id"); err != nil {
		return err
	}
	var venue *box.Daemon
	for i, verb := range []string{1: "archive", 2: "follow"} {
		if verb == "" {
			continue
		}
		b, d, err := r.restIn(w, i, dir, "--peer="+djd.Addrs[0])
		if err != nil {
			return err
		}
		defer d.Kill()
		if err := b.JSON(r.ctx, nil, verb, id.Name, "--once"); err != nil {
			return err
		}
		venue = d
	}
	if err := r.restFor(w.Boxes[2], venue.PID(), "rest in a world of 3", resting); err != nil {
		return err
	}
	for i := 3; i < len(w.Boxes); i++ {
		b, d, err := r.restIn(w, i, dir, "--peer="+djd.Addrs[0])
		if err != nil {
			return err
		}
		defer d.Kill()
		if err := b.JSON(r.ctx, nil, "follow", id.Name, "--once"); err != nil {
			return err
		}
	}
	return r.restFor(w.Boxes[2], venue.PID(), "rest in a world of 13", resting)
}

// restFor measures one daemon for a while: bytes an hour each way, the share of
// a core, and memory.
func (r *runner) restFor(b *netns.Box, pid int, key string, long time.Duration) error {
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
	if err := wait(settling); err != nil {
		return err
	}
	before, err := b.Counters()
	if err != nil {
		return err
	}
	used, began := cpu(pid), time.Now()
	if err := wait(long); err != nil {
		return err
	}
	after, err := b.Counters()
	if err != nil {
		return err
	}
	hours := time.Since(began).Hours()
	r.keep(key+", up", float64(after.Sent-before.Sent)/hours/1e6)
	r.keep(key+", down", float64(after.Received-before.Received)/hours/1e6)
	r.keep(key+", cpu", 100*(cpu(pid)-used)/3600/hours)
	r.keep(key+", memory", memory(pid, "VmRSS"))
	fmt.Fprintf(os.Stderr, "%s: %.2f and %.2f MB an hour, %.2f %% of a core, %.0f MB\n", key, r.median(key+", up"), r.median(key+", down"), r.median(key+", cpu"), r.median(key+", memory"))
	return nil
}

// restBeside is a daemon with n peers of libp2p, which children of ours have.
func (r *runner) restBeside(n int) error {
	homes := (n + besideEach - 1) / besideEach
	w, err := netns.Open(r.ctx, netns.Config{Boxes: make([]netns.BoxConfig, 1+homes), Seed: 1})
	if err != nil {
		return err
	}
	defer w.Close()
	dir, err := os.MkdirTemp(r.dir, "beside")
	if err != nil {
		return err
	}
	b, d, err := r.restIn(w, 0, dir)
	if err != nil {
		return err
	}
	defer d.Kill()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for i := range homes {
		within := w.Boxes[1+i].Within()
		child := exec.CommandContext(r.ctx, within[0], append(within[1:], self, "peers", strconv.Itoa(min(besideEach, n-i*besideEach)), d.Addrs[0])...)
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			return err
		}
		defer func() {
			child.Process.Kill()
			child.Wait()
		}()
	}
	for ends := time.After(patience); ; {
		var s struct{ Peers int }
		if err := b.JSON(r.ctx, &s, "status"); err != nil {
			return err
		}
		if s.Peers >= n {
			break
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ends:
			fmt.Fprintf(os.Stderr, "%d of %d peers are connected: not measured\n", s.Peers, n) // a busy machine
			return nil
		}
	}
	return r.restFor(w.Boxes[0], d.PID(), fmt.Sprintf("rest beside %d", n), restingBeside)
}

// peers is n peers of one daemon, until the process is ended.
func peers(ctx context.Context, n int, addr string) error {
	for range n {
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return err
		}
		h, err := embedded.OpenHost(embedded.Config{
			Identity: key, Listen: []string{"none"}, Peers: []string{addr}, Network: embedded.None, Room: embedded.Room{Memory: 64 << 20, Files: 256},
		})
		if err != nil {
			return err
		}
		defer h.Close()
	}
	<-ctx.Done()
	return nil
}

// restPage writes the tables.
func (r *runner) restPage(b *bytes.Buffer) {
	if len(r.taken["rest in a world of 3, up"]) == 0 {
		fmt.Fprint(b, "Not measured: it takes Linux and root.\n")
		return
	}
	fmt.Fprintf(b, "Daemons that have nothing to do, each in a namespace: %s after the last has come, for %s (%s beside peers), at their lines' counters, headers included.\nThe peers are libp2p hosts of ours without blocks, on TCP.\n\n",
		settling, resting, restingBeside)
	fmt.Fprint(b, "| a daemon beside | up, MB an hour | down, MB an hour | CPU, % of a core | resident, MB |\n|---|---:|---:|---:|---:|\n")
	row := func(what, key string) {
		if len(r.taken[key+", up"]) == 0 {
			fmt.Fprintf(b, "| %s | not measured | | | |\n", what)
			return
		}
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %.2f | %.0f |\n", what, r.median(key+", up"), r.median(key+", down"), r.median(key+", cpu"), r.median(key+", memory"))
	}
	row("its DJ and an archivist: a venue", "rest in a world of 3")
	row("them and ten more venues", "rest in a world of 13")
	for _, n := range besides {
		row(fmt.Sprintf("%d peers", n), fmt.Sprintf("rest beside %d", n))
	}
}
