package player

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// reopenAfter is how soon a sink that would not open is tried again.
	reopenAfter = 250 * time.Millisecond
	// betterAfter is how often the sink that was asked for is tried while
	// another stands in for it.
	betterAfter = 2 * time.Second
)

// errNoSink says that a Play was ended while it had no sink.
var errNoSink = errors.New("the sink was gone")

// lostSink is a sink that has failed.
type lostSink struct {
	sink Sink
	err  error
}

// outlet opens sinks for the transport, which never waits for it: the first
// one asked for, and, where that one dies, the same again or another.
type outlet struct {
	specs []sinkSpec // the one asked for, then those that may stand in
	want  sinkWant
	open  func(context.Context, sinkSpec, sinkWant) (Sink, error)
	again bool // a sink that dies is opened again
	fault func(err error)
	// mended tells that sound comes out again, and where.
	mended func(spec sinkSpec, stand bool)

	ready chan Sink     // holds one: open, for the transport
	spent chan Sink     // holds one: to be closed
	lost  chan lostSink // holds one
}

func newOutlet(spec sinkSpec, want sinkWant, open func(context.Context, sinkSpec, sinkWant) (Sink, error)) *outlet {
	o := &outlet{
		specs: []sinkSpec{spec}, want: want, open: open, again: spec.live(want.paced),
		ready: make(chan Sink, 1), spent: make(chan Sink, 1), lost: make(chan lostSink, 1),
	}
	if spec.card() {
		for _, c := range cards() {
			if c.kind != spec.kind || spec.arg != "" {
				o.specs = append(o.specs, sinkSpec{kind: c.kind})
			}
		}
	}
	return o
}

// first opens the sink that was asked for, and settles the rate.
func (o *outlet) first(ctx context.Context) (Sink, error) {
	s, err := o.open(ctx, o.specs[0], o.want)
	if err != nil {
		return nil, err
	}
	o.want.rate, o.want.fixed, o.want.again = s.Rate(), true, true
	return s, nil
}

// keep opens what is needed until ctx ends, and closes what is left.
func (o *outlet) keep(ctx context.Context) {
	at := 0        // in specs, of what is in use
	var given Sink // the last one, nil while that is the first
	better := time.NewTicker(betterAfter)
	defer better.Stop()
	for {
		select {
		case l := <-o.lost:
			o.fault(l.err)
			l.sink.Close()
			if given != nil && l.sink != given {
				continue // another is on its way already
			}
			if given, at = o.reopen(ctx); given == nil {
				return
			}
			o.mended(o.specs[at], at > 0)
		case s := <-o.spent:
			s.Close()
		case <-better.C:
			if at == 0 || len(o.ready) > 0 {
				continue
			}
			if s, err := o.open(ctx, o.specs[0], o.want); err == nil {
				given, at = s, 0
				o.ready <- s
				o.mended(o.specs[0], false)
			}
		case <-ctx.Done():
			return
		}
	}
}

// reopen tries all sinks in turn until one opens, and says which; nil when
// ctx has ended.
func (o *outlet) reopen(ctx context.Context) (Sink, int) {
	t := time.NewTicker(reopenAfter)
	defer t.Stop()
	told := ""
	for {
		for i, spec := range o.specs {
			s, err := o.open(ctx, spec, o.want)
			if err == nil {
				o.ready <- s
				return s, i
			}
			if i == 0 && err.Error() != told && ctx.Err() == nil {
				told = err.Error()
				o.fault(err)
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, 0
		}
	}
}

// close lets go of sinks that the transport did not take; keep has ended.
func (o *outlet) close() {
	for _, c := range []chan Sink{o.ready, o.spent} {
		select {
		case s := <-c:
			s.Close()
		default:
		}
	}
	select {
	case l := <-o.lost:
		l.sink.Close()
	default:
	}
}

// sinkWant is what a sink is opened for.
type sinkWant struct {
	rate    int  // Hz
	fixed   bool // no other rate will do
	latency time.Duration
	// again says that it takes the place of another: nobody waits for its first
	// sound, and it may fill before it begins.
	again bool
	// paced makes a sink that has no pace of its own keep the clock's.
	paced bool
	// expect is how many frames will come at the most, or -1 when nobody
	// knows.
	expect int64
}

// fits closes a sink of another rate where only one will do.
func (w sinkWant) fits(s Sink) (Sink, error) {
	if w.fixed && s.Rate() != w.rate {
		s.Close()
		return nil, fmt.Errorf("it has %d Hz and not %d", s.Rate(), w.rate)
	}
	return s, nil
}
