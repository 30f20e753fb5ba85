package player

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
)

// room is a loudspeaker in a bubble of time, and what was heard of it.
type room struct {
	mu     sync.Mutex // guards what follows
	heard  []float32
	broken bool // it does not sound, and does not open
	opened int
}

// ear is a sink of a room's.
type ear struct {
	*pacedSink
	room *room
}

var errBroken = errors.New("the loudspeaker is broken")

func (r *room) open(ctx context.Context, s sinkSpec, w sinkWant) (Sink, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken || s.kind != "null" {
		return nil, errBroken
	}
	r.opened++
	return &ear{newPaced(ctx, nullSink{rate: w.rate}, w.latency), r}, nil
}

func (r *room) set(broken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = broken
}

func (e *ear) Write(b []float32) error {
	e.room.mu.Lock()
	if e.room.broken {
		// What it had in advance is lost.
		e.room.heard = e.room.heard[:len(e.room.heard)-Channels*e.pacedSink.Flush()]
		e.room.mu.Unlock()
		return errBroken
	}
	e.room.heard = append(e.room.heard, b...)
	e.room.mu.Unlock()
	return e.pacedSink.Write(b)
}

func (e *ear) Flush() int {
	n := e.pacedSink.Flush()
	e.room.mu.Lock()
	e.room.heard = e.room.heard[:len(e.room.heard)-Channels*n]
	e.room.mu.Unlock()
	return n
}

// left is the left channel of all that was heard.
func (r *room) left() []float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]float64, len(r.heard)/2)
	for i := range out {
		out[i] = float64(r.heard[2*i])
	}
	return out
}

// sine is stereo, so many seconds at 44.1 kHz.
func sine(hz, seconds, level float64) []float32 {
	out := make([]float32, 2*int(44100*seconds))
	for i := range len(out) / 2 {
		v := float32(level * math.Sin(2*math.Pi*hz*float64(i)/44100))
		out[2*i], out[2*i+1] = v, v
	}
	return out
}

// tones publishes one track for each frequency, and leases them.
func tones(t *testing.T, seconds float64, hz ...float64) (*world, []cid.Cid) {
	w := newWorld(t)
	dir := t.TempDir()
	var paths []string
	for i, f := range hz {
		paths = append(paths, encoded(t, dir, fmt.Sprint(i, ".wav"), 44100, 2, sine(f, seconds, 0.25)))
	}
	cids := w.publish("main", paths...)
	w.grant("main", 24*time.Hour)
	return w, cids
}

// playing runs a playback in a room, in the bubble of the test.
type running struct {
	*Playback
	t      *testing.T
	room   *room
	player *Player
	done   chan error
	cancel context.CancelFunc
	mu     sync.Mutex // guards events
	events []Event
}

func start(t *testing.T, w *world, req Request) *running {
	return begin(t, w.player(), req, func(*Player) {})
}

// begin starts a playback of a player that is changed before.
func begin(t *testing.T, p *Player, req Request, change func(*Player)) *running {
	r := &running{t: t, room: &room{}, done: make(chan error, 1), player: p}
	r.player.open = r.room.open
	r.player.cfg.Patience = 5 * time.Second
	change(p)
	req.Sink = "null"
	req.Paced = true
	var err error
	r.Playback, err = r.player.Open(req, func(e Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() {
		_, err := r.Run(ctx)
		r.done <- err
	}()
	return r
}

func (r *running) end() {
	r.cancel()
	<-r.done
}

func (r *running) count(k Kind) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == k {
			n++
		}
	}
	return n
}

// do gives a command, wants it obeyed within 300 ms, and that state.
func (r *running) do(what string, f func(context.Context) (State, error), state string, track cid.Cid) State {
	r.t.Helper()
	begun := time.Now()
	s, err := f(r.t.Context())
	if d := time.Since(begun); err != nil || d > 300*time.Millisecond {
		r.t.Fatalf("%s: %v after %s", what, err, d)
	}
	if s.State != state || track.Defined() && s.CID != track.String() {
		r.t.Fatalf("%s: %+v, want %s of %s", what, s, state, track)
	}
	return s
}

// jerk is the greatest second difference, from sample on.
func jerk(x []float64) (most float64, at int) {
	for i := 2; i < len(x); i++ {
		if d := math.Abs(x[i] - 2*x[i-1] + x[i-2]); d > most {
			most, at = d, i
		}
	}
	return most, at
}

// pitch is how often a stretch crosses zero upwards, in Hz.
func pitch(x []float64) float64 {
	n := 0
	for i := 1; i < len(x); i++ {
		if x[i-1] < 0 && x[i] >= 0 {
			n++
		}
	}
	return float64(n) * 44100 / float64(len(x))
}

func near(a, b time.Duration) bool { return max(a-b, b-a) < 60*time.Millisecond }

// wait lets time go by in the bubble.
func wait(d time.Duration) { <-time.After(d) }

// silences are the stretches of silence of over 20 ms, in seconds.
func silences(x []float64) (longest float64) {
	run := 0
	for _, v := range x {
		if v == 0 {
			run++
			if s := float64(run) / 44100; s > 0.02 {
				longest = max(longest, s)
			}
		} else {
			run = 0
		}
	}
	return longest
}
