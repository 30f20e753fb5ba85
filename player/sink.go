package player

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Channels is how many channels every sink takes.
const Channels = 2

// Sink takes interleaved stereo sound at one rate. It is used by one
// goroutine.
type Sink interface {
	// Rate is sample frames a second; it does not change.
	Rate() int
	// Write takes samples, and returns once it has room for them: a sound
	// card sets the pace, a file takes all. It keeps nothing of its argument.
	Write(samples []float32) error
	// Drain returns when all that was written has been heard, or is on its
	// way to the disk, or ctx has ended.
	Drain(ctx context.Context) error
	// Close lets the sink go. What was not drained may be lost.
	Close() error
}

// ErrSink says that the sound has nowhere to go.
var ErrSink = errors.New("no such sink")

// sinkSpec is what Request.Sink says.
type sinkSpec struct{ kind, arg string }

func parseSink(s string) (sinkSpec, error) {
	kind, arg, has := strings.Cut(s, ":")
	switch kind {
	case "", "default", "null":
		if has {
			return sinkSpec{}, fmt.Errorf("sink %q takes nothing after it: %w", kind, ErrSink)
		}
		if kind == "" {
			kind = "default"
		}
	case "alsa", "pulse":
	case "wav", "raw":
		if arg == "" {
			return sinkSpec{}, fmt.Errorf("sink %q wants a file, %s:FILE: %w", s, kind, ErrSink)
		}
	default:
		return sinkSpec{}, fmt.Errorf("sink %q is none of default, alsa[:dev], pulse[:dev], wav:FILE, raw:FILE, raw:-, null: %w", s, ErrSink)
	}
	return sinkSpec{kind, arg}, nil
}

// card tells whether the sink is a loudspeaker, which has a rate and a pace
// of its own.
func (s sinkSpec) card() bool { return s.kind == "default" || s.kind == "alsa" || s.kind == "pulse" }

// open opens the sink. rate is what is wished for; a card may choose another.
// paced makes a sink that has no pace of its own keep the clock's. expect is
// how many frames will come at the most, or -1 when nobody knows.
func (s sinkSpec) open(ctx context.Context, rate int, paced bool, expect int64) (Sink, error) {
	var k Sink
	var err error
	switch s.kind {
	case "null":
		k = nullSink(rate)
	case "wav":
		k, err = openWAV(s.arg, rate, expect)
	case "raw":
		k, err = openRaw(s.arg, rate)
	default:
		return openCard(ctx, s, rate)
	}
	if err != nil {
		return nil, fmt.Errorf("open sink %s: %w", s.kind, err)
	}
	if paced {
		k = &pacedSink{Sink: k}
	}
	return k, nil
}

// openCard tries the ways to a sound card in the order of the platform.
func openCard(ctx context.Context, s sinkSpec, rate int) (Sink, error) {
	var errs []error
	for _, c := range cards() {
		if s.kind != "default" && s.kind != c.kind {
			continue
		}
		k, err := c.open(ctx, s.arg, rate)
		if err == nil {
			return k, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", c.kind, err))
	}
	if len(errs) == 0 {
		return nil, fmt.Errorf("sink %s is not on this platform: %w", s.kind, ErrSink)
	}
	return nil, fmt.Errorf("open sound card: %w", errors.Join(errs...))
}

// cardDriver is one way to a sound card.
type cardDriver struct {
	kind string
	open func(ctx context.Context, device string, rate int) (Sink, error)
}

// nullSink drops all.
type nullSink int

func (n nullSink) Rate() int                 { return int(n) }
func (nullSink) Write([]float32) error       { return nil }
func (nullSink) Drain(context.Context) error { return nil }
func (nullSink) Close() error                { return nil }

// pacedAhead is how far a paced sink runs ahead of the clock.
const pacedAhead = 200 * time.Millisecond

// pacedSink gives a sink the pace of the clock.
type pacedSink struct {
	Sink
	begun time.Time
	sent  int64 // frames
}

func (p *pacedSink) Write(samples []float32) error {
	if p.begun.IsZero() {
		p.begun = time.Now()
	}
	if err := p.Sink.Write(samples); err != nil {
		return err
	}
	p.sent += int64(len(samples) / Channels)
	heard := time.Duration(float64(p.sent) / float64(p.Rate()) * float64(time.Second))
	time.Sleep(heard - time.Since(p.begun) - pacedAhead)
	return nil
}
