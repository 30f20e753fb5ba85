package player

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Channels is how many channels every sink takes.
const Channels = 2

// Sink takes interleaved stereo sound at one rate. It is used by one
// goroutine. sinktest is the kit that every Sink passes.
type Sink interface {
	// Rate is sample frames a second; it does not change.
	Rate() int
	// Write takes samples, and returns once it has room for them: a sound
	// card sets the pace, a file takes all. It keeps nothing of its argument.
	// An error says that the sink is of no use any more; a card that takes
	// nothing for some seconds is one.
	Write(samples []float32) error
	// Delay is how many frames were taken and are not yet heard, as far as
	// the sink can tell; 0 of a file. Frames taken less Delay never falls,
	// but by Flush.
	Delay() int
	// Flush drops what was taken and is not yet heard, as far as that can
	// be, and says how many frames those were. The next Write is heard at
	// once.
	Flush() int
	// Drain returns when all that was written has been heard, or is on its
	// way to the disk, or ctx has ended.
	Drain(ctx context.Context) error
	// Close lets the sink go, once; what was not drained may be lost. Again,
	// it does nothing.
	Close() error
}

// rounding is a Sink that may make integers of 16 bits of what it takes.
type rounding interface {
	// Rounds tells whether it does.
	Rounds() bool
}

// ErrSink says that the sound has nowhere to go.
var ErrSink = errors.New("no such sink")

// sinkSpec is what Request.Sink says.
type sinkSpec struct{ kind, arg string }

func (s sinkSpec) String() string {
	if s.arg == "" {
		return s.kind
	}
	return s.kind + ":" + s.arg
}

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

// endless tells whether the sink goes on for ever, sound or not: a card, or
// null where it plays one.
func (s sinkSpec) endless(paced bool) bool { return s.card() || s.kind == "null" && paced }

// live tells whether a sink that fails may come back: one that sounds, or a
// pipe whose reader is another program. A file is written once.
func (s sinkSpec) live(paced bool) bool {
	if s.kind == "raw" && s.arg != "-" {
		st, err := os.Stat(s.arg)
		return err == nil && st.Mode()&fs.ModeNamedPipe != 0
	}
	return s.endless(paced)
}

// open opens the sink. A card may choose another rate than the one wished
// for, unless it is fixed.
func (s sinkSpec) open(ctx context.Context, w sinkWant) (Sink, error) {
	var k Sink
	var err error
	switch s.kind {
	case "null":
		k = nullSink{rate: w.rate}
	case "wav":
		k, err = openWAV(s.arg, w.rate, w.expect)
	case "raw":
		k, err = openRaw(ctx, s.arg, w.rate)
	default:
		return openCard(ctx, s, w)
	}
	if err != nil {
		return nil, fmt.Errorf("open sink %s: %w", s.kind, err)
	}
	if w.paced {
		k = newPaced(ctx, k, w.latency)
	}
	return k, nil
}

// openCard tries the ways to a sound card in the order of the platform.
func openCard(ctx context.Context, s sinkSpec, w sinkWant) (Sink, error) {
	var errs []error
	for _, c := range cards() {
		if s.kind != "default" && s.kind != c.kind {
			continue
		}
		k, err := c.open(ctx, s.arg, w)
		if err == nil {
			k, err = w.fits(k)
		}
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

// cardDriver is one way to sound cards.
type cardDriver struct {
	kind string
	open func(ctx context.Context, device string, want sinkWant) (Sink, error)
	list func(ctx context.Context) ([]Device, error)
}

// Device is a loudspeaker that this box has.
type Device struct {
	// Sink is what Request.Sink takes.
	Sink string
	// About is for people.
	About string
	// Rate is its own, in Hz; 0 where it has none of its own.
	Rate int
	// Default says that it is the one that sounds when none is named.
	Default bool
}

// Devices are the loudspeakers of this box, by the way to them. A way that is
// not there has none.
func Devices(ctx context.Context) []Device {
	var out []Device
	for _, c := range cards() {
		if some, err := c.list(ctx); err == nil {
			out = append(out, some...)
		}
	}
	for i := range out { // the first way that has one is the one that is taken
		if out[i].Default {
			for k := i + 1; k < len(out); k++ {
				out[k].Default = false
			}
			break
		}
	}
	return out
}

// unqueued is a sink's Delay and Flush where what it takes is out of its
// hands at once.
type unqueued struct{}

func (unqueued) Delay() int { return 0 }
func (unqueued) Flush() int { return 0 }
