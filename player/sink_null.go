package player

import (
	"context"
	"time"
)

// nullSink drops all.
type nullSink struct {
	unqueued
	rate int
}

func (n nullSink) Rate() int                 { return n.rate }
func (nullSink) Write([]float32) error       { return nil }
func (nullSink) Drain(context.Context) error { return nil }
func (nullSink) Close() error                { return nil }

// pacedSink gives a sink the pace of the clock. Over null it is a loudspeaker
// that nobody hears, with a queue of its own; a file has each sample as soon
// as it is written.
type pacedSink struct {
	Sink
	queue bool
	ahead time.Duration // how far it runs ahead of the clock
	begun time.Time
	sent  int64 // frames since begun
	late  *time.Timer
	stop  <-chan struct{}
}

func newPaced(ctx context.Context, k Sink, ahead time.Duration) *pacedSink {
	_, null := k.(nullSink)
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &pacedSink{Sink: k, queue: null, ahead: ahead, late: t, stop: ctx.Done()}
}

// Rounds is that of the sink below.
func (p *pacedSink) Rounds() bool {
	r, ok := p.Sink.(rounding)
	return ok && r.Rounds()
}

func (p *pacedSink) lasts(frames int64) time.Duration {
	return time.Duration(float64(frames) / float64(p.Rate()) * float64(time.Second))
}

// left is how many frames the clock has not reached.
func (p *pacedSink) left() int64 {
	if p.begun.IsZero() {
		return 0
	}
	heard := int64(time.Since(p.begun).Seconds() * float64(p.Rate()))
	return max(0, p.sent-heard)
}

func (p *pacedSink) Write(samples []float32) error {
	if p.left() == 0 {
		p.begun, p.sent = time.Now(), 0
	}
	if err := p.Sink.Write(samples); err != nil {
		return err
	}
	p.sent += int64(len(samples) / Channels)
	return p.wait(p.lasts(p.sent) - time.Since(p.begun) - p.ahead)
}

func (p *pacedSink) wait(d time.Duration) error {
	if d <= 0 {
		select {
		case <-p.stop:
			return context.Canceled
		default:
			return nil
		}
	}
	p.late.Reset(d)
	select {
	case <-p.late.C:
		return nil
	case <-p.stop:
		return context.Canceled
	}
}

func (p *pacedSink) Delay() int {
	if !p.queue {
		return 0
	}
	return int(p.left())
}

func (p *pacedSink) Flush() int {
	if !p.queue {
		return 0
	}
	n := p.left()
	p.sent -= n
	return int(n)
}

func (p *pacedSink) Drain(ctx context.Context) error {
	if p.queue {
		t := time.NewTimer(p.lasts(p.left()))
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p.Sink.Drain(ctx)
}
