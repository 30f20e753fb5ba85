// Package sinktest is the kit that every sink of player passes.
//
// What comes in: a way to open the sink, and, where it can be had, a way to
// hear what it has played. What goes out: a test's verdict on each promise of
// player.Sink. Nothing is trusted but the test's own ears.
package sinktest

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// Sink is player.Sink, which satisfies it.
type Sink interface {
	Rate() int
	Write(samples []float32) error
	Delay() int
	Flush() int
	Drain(ctx context.Context) error
	Close() error
}

// Case is one sink.
type Case struct {
	// Open opens it, in a Play that ends with ctx.
	Open func(ctx context.Context) (Sink, error)
	// Rate is what it should have.
	Rate int
	// Heard returns what has come out since Open, as s16le, silence before
	// and after included; nil where nobody can hear it.
	Heard func() []byte
	// Card says that it plays at the clock's pace, and drops what it has in
	// advance when it is told to.
	Card bool
	// Latency is how much it may have in advance.
	Latency time.Duration
	// Loses is how many frames it may lose of what comes first after a Flush.
	Loses int
}

// Ramp is stereo sound of so many frames whose every sample is another than
// its neighbours', and what it is in 16 bits.
func Ramp(frames int) ([]float32, []byte) {
	out, raw := make([]float32, 2*frames), make([]byte, 4*frames)
	for i := range out {
		v := int16(i*7919 + 13)
		out[i] = float32(v) / 32768
		raw[2*i], raw[2*i+1] = byte(v), byte(v>>8)
	}
	return out, raw
}

// Run holds the sink to its promises.
func Run(t *testing.T, c Case) {
	t.Run("exact", c.exact)
	t.Run("position", c.position)
	t.Run("flush", c.flush)
	t.Run("cancel", c.cancel)
	t.Run("empty", c.empty)
}

func (c Case) open(t *testing.T, ctx context.Context) Sink {
	t.Helper()
	s, err := c.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s.Rate() != c.Rate {
		t.Fatalf("rate %d, want %d", s.Rate(), c.Rate)
	}
	return s
}

// write hands samples over in pieces of odd sizes, and calls look after each.
func write(t *testing.T, s Sink, samples []float32, look func()) {
	t.Helper()
	for i := 0; len(samples) > 0; i++ {
		n := min(len(samples), 2*(1+(i*1237)%4096))
		if err := s.Write(samples[:n]); err != nil {
			t.Fatal(err)
		}
		samples = samples[n:]
		if look != nil {
			look()
		}
	}
}

// shut closes it twice.
func shut(t *testing.T, s Sink) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}

// tries is how often a card is listened to: where the machine is too busy to
// feed it in time, what is heard has silence in it, and nothing is shown.
const tries = 4

// hear plays, and wants raw to be heard, once, whole, and, where alone says
// so, nothing else.
func (c Case) hear(t *testing.T, raw []byte, alone bool, play func()) {
	t.Helper()
	for n := 1; ; n++ {
		play()
		if c.Heard == nil {
			return
		}
		heard := c.Heard()
		i := bytes.Index(heard, raw)
		if i >= 0 {
			if rest := append(bytes.Clone(heard[:i]), heard[i+len(raw):]...); alone && len(bytes.Trim(rest, "\x00")) > 0 {
				t.Error("more was heard than was played")
			}
			return
		}
		text, starved := compare(heard, raw)
		if !starved || n == tries {
			t.Fatalf("%d bytes were heard, and not what was played: %s", len(heard), text)
		}
		t.Logf("played again, the card was starved: %s", text)
	}
}

// exact: every sample comes out as it went in, in order, none of them twice.
func (c Case) exact(t *testing.T) {
	src, raw := Ramp(c.Rate + 321)
	c.hear(t, raw, true, func() {
		s := c.open(t, t.Context())
		write(t, s, make([]float32, c.Rate), nil) // half a second: a monitor misses the first moments
		write(t, s, src, nil)
		if err := s.Drain(t.Context()); err != nil {
			t.Fatalf("drain: %v", err)
		}
		if d := s.Delay(); d > 0 {
			t.Errorf("%d frames are not heard when all are drained", d)
		}
		shut(t, s)
	})
}

// compare says where what was heard ceases to be what was played, and whether
// there is silence.
func compare(heard, raw []byte) (text string, starved bool) {
	i := bytes.Index(heard, raw[:64])
	if i < 0 {
		for k := 64; k+64 < len(raw); k += 4 {
			if bytes.Contains(heard, raw[k:k+64]) {
				return fmt.Sprintf("the first %d frames are missing", k/4), false
			}
		}
		return "nothing of it", false
	}
	n := 0
	for n < len(raw) && i+n < len(heard) && heard[i+n] == raw[n] {
		n++
	}
	zero := 0
	for i+n+zero < len(heard) && heard[i+n+zero] == 0 {
		zero++
	}
	return fmt.Sprintf("after %d frames come %d of silence", n/4, zero/4), zero > 400
}

// position: what was taken less what is still to be heard goes forwards only,
// and is never ahead of what was taken.
func (c Case) position(t *testing.T) {
	s := c.open(t, t.Context())
	defer shut(t, s)
	src, _ := Ramp(c.Rate)
	took, was, most := 0, 0, 0
	begun := time.Now()
	for at := 0; at < len(src); at += 2 * 480 {
		b := src[at:min(len(src), at+2*480)]
		if err := s.Write(b); err != nil {
			t.Fatal(err)
		}
		took += len(b) / 2
		d := s.Delay()
		most = max(most, d)
		if d < 0 || d > took || took-d < was {
			t.Fatalf("%d taken, %d not heard, and %d were", took, d, was)
		}
		was = took - d
	}
	if !c.Card {
		if most != 0 {
			t.Errorf("a file has %d frames in advance", most)
		}
		return
	}
	if limit := int((c.Latency + 250*time.Millisecond).Seconds() * float64(c.Rate)); most > limit || most == 0 {
		t.Errorf("up to %d frames in advance, want at most %d", most, limit)
	}
	// It cannot have played more than there was time for.
	if passed := int(time.Since(begun).Seconds() * float64(c.Rate)); was > passed+c.Rate/3 {
		t.Errorf("%d frames heard in the time of %d", was, passed)
	}
}

// flush: what is dropped is not heard, what comes after it is, and soon.
func (c Case) flush(t *testing.T) {
	s := c.open(t, t.Context())
	quiet := make([]float32, 2*c.Rate)
	write(t, s, quiet, nil)
	n := s.Flush()
	if !c.Card {
		if n != 0 {
			t.Errorf("a file has dropped %d frames", n)
		}
		shut(t, s)
		return
	}
	if n == 0 || n > c.Rate {
		t.Errorf("%d frames dropped", n)
	}
	if d := s.Delay(); d > c.Rate/5 {
		t.Errorf("%d frames are still to be heard", d)
	}
	shut(t, s)
	src, raw := Ramp(c.Rate / 2)
	c.hear(t, raw[4*c.Loses:], false, func() {
		s := c.open(t, t.Context())
		write(t, s, quiet, nil)
		s.Flush()
		begun := time.Now()
		write(t, s, src, nil)
		if err := s.Drain(t.Context()); err != nil {
			t.Fatalf("drain: %v", err)
		}
		if d := time.Since(begun); d < 300*time.Millisecond {
			t.Errorf("half a second was heard in %s", d)
		}
		if n := s.Flush(); n != 0 {
			t.Errorf("%d frames dropped of none", n)
		}
		shut(t, s)
	})
}

// cancel: the end of its Play ends a Write, and leaves nothing running.
func (c Case) cancel(t *testing.T) {
	was := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	s := c.open(t, ctx)
	src, _ := Ramp(c.Rate)
	if err := s.Write(src[:c.Rate/10]); err != nil {
		t.Fatal(err)
	}
	if c.Card {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for s.Write(src) == nil {
			}
		}()
		cancel()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatal("a Write goes on when its Play has ended")
		}
	}
	cancel()
	shut(t, s)
	for tick, n := time.NewTicker(10*time.Millisecond), 0; runtime.NumGoroutine() > was; n++ {
		<-tick.C
		if n > 500 {
			buf := make([]byte, 1<<16)
			t.Fatalf("goroutines are left:\n%s", buf[:runtime.Stack(buf, true)])
		}
	}
}

// empty: nothing written is nothing to drain, drop or wait for.
func (c Case) empty(t *testing.T) {
	s := c.open(t, t.Context())
	if d := s.Delay(); d != 0 {
		t.Errorf("%d frames are to be heard of none", d)
	}
	if n := s.Flush(); n != 0 {
		t.Errorf("%d frames dropped of none", n)
	}
	if err := s.Drain(t.Context()); err != nil {
		t.Errorf("drain: %v", err)
	}
	shut(t, s)
}
