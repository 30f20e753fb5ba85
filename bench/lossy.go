package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

// audience is how many venues play at once, each over a line of its own and
// something that nobody else plays.
const audience = 8

// bad are lines on which plays are listened to.
var bad = []struct {
	line   netns.Line
	name   string
	tcp    bool // alone; else QUIC is offered too, as a box offers it
	losses []float64
	lasts  []time.Duration // how long is listened, by loss
}{
	{netns.Line{Delay: 10 * time.Millisecond, Up: 1_250_000, Down: 1_250_000}, "20 ms and 10 Mbit/s", false, losses, []time.Duration{15 * time.Second, 15 * time.Second, 15 * time.Second}},
	{netns.Line{Delay: 250 * time.Millisecond, Up: 250_000, Down: 250_000}, "500 ms and 2 Mbit/s", false, losses, []time.Duration{15 * time.Second, 20 * time.Second, 55 * time.Second}},
	{netns.Line{Delay: 250 * time.Millisecond, Up: 250_000, Down: 250_000}, "500 ms and 2 Mbit/s, no UDP", true, losses[2:], []time.Duration{30 * time.Second}},
}

// listening is one line with a loss.
type listening struct {
	line  netns.Line
	name  string
	tcp   bool
	lasts time.Duration
}

func (l listening) key(what string) string {
	return fmt.Sprintf("lossy, %s, %g, %s", l.name, l.line.Loss, what)
}

// listenings are all of them.
func listenings() (all []listening) {
	for _, at := range bad {
		for i, loss := range at.losses {
			at.line.Loss = loss
			all = append(all, listening{at.line, at.name, at.tcp, at.lasts[i]})
		}
	}
	return all
}

// lossy has venues of whose tracks nothing is held play as a loudspeaker does,
// from a peer behind lines that lose more and more.
func (r *runner) lossy() error {
	probe, err := netns.Open(r.ctx, netns.Config{})
	if errors.Is(err, netns.ErrUnsupported) {
		fmt.Fprintln(os.Stderr, "lossy lines are not measured here:", err)
		return nil
	}
	if err != nil {
		return err
	}
	probe.Close()
	r.keep("lossy, load", load())
	s, venues, err := r.audience()
	if err != nil {
		return err
	}
	for _, l := range listenings() {
		if err := s.hear(l, venues); err != nil {
			return fmt.Errorf("play over %s, loss %.2f: %w", l.name, l.line.Loss, err)
		}
	}
	return nil
}

// audience are a DJ's venues in place, each with a playlist of its own.
func (r *runner) audience() (s *stage, venues []box.Box, err error) {
	c := r.Config
	c.Tracks = audience
	files, err := encode(r.ctx, c)
	if err != nil {
		return nil, nil, err
	}
	s = &stage{runner: &runner{Config: r.Config, ctx: r.ctx, dir: filepath.Join(r.dir, "loss"), taken: r.taken}}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, nil, err
	}
	s.dj = box.Box{Program: r.Playnode, Repo: filepath.Join(s.dir, "dj")}
	var id struct{ Name string }
	if err := s.dj.JSON(r.ctx, &id, "init", "--network", "none"); err != nil {
		return nil, nil, err
	}
	s.name = id.Name
	for i, f := range files {
		if err := s.dj.JSON(r.ctx, nil, "publish", "--playlist", fmt.Sprint("p", i), f); err != nil {
			return nil, nil, err
		}
	}
	var followed struct{ Manifest string }
	for i := range files {
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
	for _, v := range venues {
		if err := v.JSON(s.ctx, &followed, "follow", s.name, "--once", "--peer", djd.Addrs[0]); err != nil {
			return nil, nil, err
		}
	}
	s.venue = venues[0]
	return s, venues, s.list(followed.Manifest)
}

// hear listens to all venues for a while, and sees what plain HTTP carries over one
// more such line.
func (s *stage) hear(l listening, venues []box.Box) error {
	cfg := netns.Config{Boxes: []netns.BoxConfig{{}}, Seed: 1}
	for range len(venues) + 1 {
		cfg.Boxes = append(cfg.Boxes, netns.BoxConfig{Line: l.line})
	}
	w, err := netns.Open(s.ctx, cfg)
	if err != nil {
		return err
	}
	defer w.Close()
	dj := s.dj
	dj.Within = w.Boxes[0].Within()
	djd, err := dj.Start(s.ctx, append(l.listen(w.Boxes[0]), "--gateway", fmt.Sprintf("%s:8080", listenAt(w.Boxes[0])))...)
	if err != nil {
		return err
	}
	defer djd.Kill()
	var g errgroup.Group
	for i, v := range venues {
		v.Within = w.Boxes[i+1].Within()
		g.Go(func() error { return s.listenTo(l, v, fmt.Sprint("p", i), w.Boxes[i+1], djd.Addrs) })
	}
	g.Go(func() error { return s.loads(l, w) })
	return g.Wait()
}

// listen is what a daemon in a box is told.
func (l listening) listen(b *netns.Box) []string {
	args := []string{"--listen", fmt.Sprintf("/ip4/%s/tcp/%d", listenAt(b), port)}
	if !l.tcp {
		args = append(args, "--listen", fmt.Sprintf("/ip4/%s/udp/%d/quic-v1", listenAt(b), port))
	}
	return args
}

// listenTo has one venue play.
func (s *stage) listenTo(l listening, v box.Box, playlist string, b *netns.Box, peers []string) error {
	if err := s.evictFrom(v); err != nil {
		return err
	}
	args := l.listen(b)
	for _, p := range peers {
		args = append(args, "--peer", p)
	}
	begun := time.Now()
	d, err := v.Start(s.ctx, args...)
	if err != nil {
		return err
	}
	defer d.Kill()
	for connected := false; !connected; {
		var status struct{ Peers int }
		if err := v.JSON(s.ctx, &status, "status"); err != nil {
			return err
		}
		connected = status.Peers > 0
	}
	took := time.Since(begun)
	ctx, cancel := context.WithTimeout(s.ctx, l.lasts)
	defer cancel()
	begin, first := time.Now(), l.lasts
	heard := map[string]float64{}
	_, err = v.Stream(ctx, func(m json.RawMessage) error {
		var e struct{ Event, Message string }
		if err := json.Unmarshal(m, &e); err != nil {
			return err
		}
		switch {
		case e.Event == "track":
			if heard["plays"]++; heard["plays"] == 1 {
				first = time.Since(begin)
			}
		case e.Event == "underrun", e.Event == "error" && strings.Contains(e.Message, "a block was not here in time"):
			heard["interrupted"]++
		}
		return nil
	}, "play", s.name+"/"+playlist, "--sink", "null")
	if err != nil && ctx.Err() == nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(l.key("connected"), took.Seconds())
	s.keep(l.key("first"), first.Seconds())
	for _, what := range []string{"plays", "interrupted"} {
		s.keep(l.key(what), heard[what])
	}
	fmt.Fprintf(os.Stderr, "  %s, loss %g: connected after %.1f s, heard after %.1f s, %v\n", l.name, l.line.Loss, took.Seconds(), first.Seconds(), heard)
	return s.ctx.Err()
}

// loads sees what plain HTTP carries, by one connection of TCP.
func (s *stage) loads(l listening, w *netns.World) error {
	last := w.Boxes[len(w.Boxes)-1]
	words := append(last.Within(), "curl", "-s", "-o", "/dev/null", "-m", fmt.Sprint(l.lasts.Seconds()), "-w", "%{speed_download}",
		fmt.Sprintf("http://%s:8080/ipfs/%s?format=car", w.Boxes[0].Addr(), s.one))
	out, err := exec.CommandContext(s.ctx, words[0], words[1:]...).Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) { // that it took too long is as it is
		return err
	}
	var rate float64
	fmt.Sscan(string(out), &rate)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(l.key("HTTP"), rate)
	fmt.Fprintf(os.Stderr, "  %s, loss %g: HTTP %.0f bytes a second\n", l.name, l.line.Loss, rate)
	return s.ctx.Err()
}

// lossyPage is the section of lossy lines.
func (r *runner) lossyPage(b *bytes.Buffer) {
	if len(r.taken["lossy, load"]) == 0 {
		fmt.Fprintf(b, "Not measured: it takes Linux, root, ip, tc and nft.\n")
		return
	}
	fmt.Fprintf(b, "%d venues in place, each behind a line of its own that loses a share of its packets each way, play 128 kbit/s to a loudspeaker at the clock's pace, of which they hold no block, from one DJ who\nhas nothing in common for any two of them. Every peer is a process in a namespace of its own. A play is interrupted where its sound runs out or it is left for want of a block. What one connection of plain HTTP\nloads meanwhile, over one more such line, is what TCP makes of it. When it began %.0f processes wanted the cores.\n\n", audience, r.median("lossy, load"))
	fmt.Fprintf(b, "| over | loss | HTTP, kB/s | connected after s, p50 | first sound after s, p50 | slowest | venues that heard nothing | listened, s each | plays | interruptions |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	var goals []goal
	for _, l := range listenings() {
		if len(r.taken[l.key("first")]) == 0 {
			continue
		}
		plays, interrupted, silent := 0.0, 0.0, 0
		for i, n := range r.taken[l.key("plays")] {
			plays, interrupted = plays+n, interrupted+r.taken[l.key("interrupted")][i]
			if n == 0 {
				silent++
			}
		}
		fmt.Fprintf(b, "| %s | %g %% | %.0f | %.1f | %.1f | %.1f | %d of %d | %.0f | %.0f | %.0f |\n", l.name, 100*l.line.Loss, r.median(l.key("HTTP"))/1000, r.median(l.key("connected")),
			r.median(l.key("first")), r.quantile(l.key("first"), 1), silent, len(r.taken[l.key("first")]), l.lasts.Seconds(), plays, interrupted)
		if l.line.Loss == .1 {
			goals = append(goals, goal{"at 10 % loss over " + l.name + ": all hear something, and none is interrupted", fmt.Sprintf("%d of %d silent, %.0f interruptions in %.0f plays", silent, len(r.taken[l.key("first")]), interrupted, plays), silent == 0 && interrupted == 0})
		}
	}
	writeGoals(b, goals...)
}
