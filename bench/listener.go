package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

// listener is a venue that listens over a bad line, again and again from nothing.
type listener struct {
	*stage
	listening
	venue    box.Box
	playlist string
	peers    []string
	until    time.Time
	turn     int
	heard    tally
}

// tally is what a venue has heard of its plays.
type tally struct {
	plays, interrupted, passed int
	open, hurt                 bool // a play goes on; it was interrupted
}

// hear takes in what play tells of one moment.
func (t *tally) hear(event, message string) {
	switch {
	case event == "track":
		t.close()
		t.open = true
	case event == "end":
		t.close()
	case event == "underrun", event == "error" && strings.Contains(message, "a block was not here in time"):
		t.hurt = true
	case event == "error":
		t.passed++
	}
}

// close counts a play that has ended; silence after it counts as the next one's.
func (t *tally) close() {
	if !t.open {
		return
	}
	if t.plays++; t.hurt {
		t.interrupted++
	}
	t.open, t.hurt = false, false
}

// stop ends a play that was not heard to its end: it counts if it was interrupted.
func (t *tally) stop() {
	if t.open = t.hurt; t.open {
		t.close()
	}
}

// listen has the venue in its box listen, and notes what it has heard.
func (e *listener) listen(ctx context.Context, at *netns.Box, lag time.Duration) error {
	e.venue.Within = at.Within()
	if e.tcp {
		words := append(at.Within(), "nft", "add table ip alone; add chain ip alone out { type filter hook output priority 0; }; add rule ip alone out ip protocol udp drop")
		if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("forbid UDP: %w: %s", err, out)
		}
	}
	select {
	case <-time.After(lag):
	case <-ctx.Done():
		return ctx.Err()
	}
	for time.Until(e.until) > coldAfter/4 || e.turn == 0 {
		if err := e.start(ctx, at); err != nil {
			return fmt.Errorf("play over %s, loss %g: %w", e.name, e.loss, err)
		}
	}
	e.keep(e.key("plays"), float64(e.heard.plays))
	e.keep(e.key("interrupted"), float64(e.heard.interrupted))
	e.keep(e.key("passed"), float64(e.heard.passed))
	return nil
}

// start has it begin anew: nothing is here, the daemon has just begun, and nobody
// knows its line.
func (e *listener) start(ctx context.Context, at *netns.Box) error {
	if err := e.evictFrom(e.venue); err != nil {
		return err
	}
	e.turn++
	args := listenOn(at, port+e.turn)
	if e.tcp {
		args = args[:2]
	}
	begun := time.Now()
	d, err := e.venue.Start(ctx, append(args, knowing(e.peers)...)...)
	if err != nil {
		return err
	}
	defer d.Kill()
	for connected := false; !connected; {
		var status struct{ Peers int }
		if err := e.venue.JSON(ctx, &status, "status"); err != nil {
			return err
		}
		connected = status.Peers > 0
	}
	return e.play(ctx, time.Since(begun))
}

// play listens for as long as it lasts.
func (e *listener) play(ctx context.Context, connected time.Duration) error {
	lasts := min(coldAfter, time.Until(e.until))
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	begin, first, before := time.Now(), time.Duration(0), e.heard
	_, err := e.venue.Stream(ctx, func(m json.RawMessage) error {
		var v struct{ Event, Message string }
		if err := json.Unmarshal(m, &v); err != nil {
			return err
		}
		if v.Event == "track" && first == 0 {
			first = time.Since(begin)
		}
		e.heard.hear(v.Event, v.Message)
		return nil
	}, "play", e.stage.name+"/"+e.playlist, "--sink", "null")
	if err != nil && ctx.Err() == nil {
		return err
	}
	e.heard.stop()
	silent := 0.
	if first == 0 {
		silent, first = 1, lasts
	}
	e.keep(e.key("connected"), connected.Seconds())
	e.keep(e.key("first"), first.Seconds())
	e.keep(e.key("silent"), silent)
	fmt.Fprintf(os.Stderr, "  %s, loss %g, %s: connected after %.1f s, heard after %.1f s, %d plays, %d interrupted, %d passed over\n", e.name, e.loss, e.playlist,
		connected.Seconds(), first.Seconds(), e.heard.plays-before.plays, e.heard.interrupted-before.interrupted, e.heard.passed-before.passed)
	return whole.Err()
}

// loads sees what plain HTTP carries to a box, by one connection of TCP.
func (s *stage) loads(ctx context.Context, l listening, from, to *netns.Box) error {
	words := append(to.Within(), "curl", "-s", "-o", "/dev/null", "-m", fmt.Sprint(loading.Seconds()), "-w", "%{speed_download}",
		fmt.Sprintf("http://%s:8080/ipfs/%s?format=car", from.Addr(), s.one))
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) { // that it took too long is as it is
		return err
	}
	var rate float64
	fmt.Sscan(string(out), &rate)
	s.keep(l.key("HTTP"), rate)
	fmt.Fprintf(os.Stderr, "  %s, loss %g: HTTP %.0f bytes a second\n", l.name, l.loss, rate)
	return ctx.Err()
}
