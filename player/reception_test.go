package player

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"playnode/lease"
	"playnode/manifests"
)

// untuned are leases by which everything is refused, and which count how often they were asked.
type untuned struct{ asked int }

func (u *untuned) Tune(*manifests.Live) (*lease.Tuned, error) {
	u.asked++
	return nil, lease.ErrRefused
}
func (*untuned) Unlock(*manifests.Manifest) (*lease.Unlocked, error) { return nil, lease.ErrRefused }
func (*untuned) Leases() []lease.Lease                               { return nil }

// lasting is a segment of a second.
func lasting(seq uint64) stretch {
	init := &manifests.MediaInit{Codec: "mp3", Rate: 44100}
	return stretch{Segment: &manifests.Segment{At: int64(seq) * 44100, Len: 44100, Open: true}, seq: seq, init: init}
}

// What is waited for grows by half with each dry ring, up to 8 s, and shrinks by a tenth in a calm minute, down to two
// segments.
func TestTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReception(nil, time.Now)
		seq := uint64(0)
		more := func() {
			r.mu.Lock()
			r.push(lasting(seq))
			r.mu.Unlock()
			seq++
		}
		if more(); r.begin() {
			t.Error("begins with one segment")
		}
		if more(); !r.begin() {
			t.Error("does not begin with two")
		}
		for _, want := range []time.Duration{3 * time.Second, 4500 * time.Millisecond, 6750 * time.Millisecond, 8 * time.Second, 8 * time.Second} {
			if r.dried(); r.target != want {
				t.Errorf("target %s, want %s", r.target, want)
			}
		}
		if _, ok, err := r.pull(true); ok || err != nil {
			t.Error("goes on with less than the target")
		}
		for i := 2; i < 8; i++ {
			more()
		}
		if _, ok, _ := r.pull(true); !ok {
			t.Error("does not go on with the target")
		}
		for i := range 20 {
			wait(61 * time.Second)
			more()
			r.pull(false)
			if i == 0 && r.target != 7200*time.Millisecond || i == 19 && r.target != 2*time.Second {
				t.Errorf("after %d calm minutes the target is %s", i+1, r.target)
			}
		}
	})
}

// Who does not hear for a while finds no more than what may wait, from a segment on at which it can begin.
func TestReceptionIsBounded(t *testing.T) {
	r := newReception(nil, time.Now)
	for i := range uint64(500) {
		x := lasting(i)
		x.Open = i%2 == 0
		r.mu.Lock()
		r.push(x)
		r.mu.Unlock()
		if r.held > mostTarget+excess || len(r.queue) > maxQueue {
			t.Fatalf("%s in %d segments wait", r.held, len(r.queue))
		}
	}
	if !r.begin() || !r.queue[0].Open || r.queue[0].brk != cutOut || r.held < r.target || r.held > r.target+2*time.Second {
		t.Errorf("begins %s before the edge", r.held)
	}
	for i := range uint64(500) { // of no length at all
		x := lasting(i)
		x.Len = 0
		r.mu.Lock()
		r.push(x)
		r.mu.Unlock()
	}
	if len(r.queue) > maxQueue {
		t.Errorf("%d empty segments wait", len(r.queue))
	}
}

// A segment under no record, or under one that does not open, is missing and ends nothing; records do not pile up.
func TestReceptionRefuses(t *testing.T) {
	u := &untuned{}
	r := newReception(u, time.Now)
	take := func(it LiveItem) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := r.take(it); err != nil {
			t.Error(err)
		}
	}
	take(LiveItem{Head: &manifests.LiveHead{Seq: 0}})
	if r.missed != 1 || r.deaf != nil {
		t.Errorf("under no record: %d missing, %v", r.missed, r.deaf)
	}
	for i := range uint64(20) {
		take(LiveItem{Record: &manifests.Live{Gen: i, From: i, Seq: i + 1}})
	}
	take(LiveItem{Head: &manifests.LiveHead{Gen: 19, Seq: 19}})
	take(LiveItem{Missing: 3})
	if r.missed != 5 || !errors.Is(r.silenced(), lease.ErrRefused) || len(r.tunings) != maxRecords || u.asked > 22 || r.begin() {
		t.Errorf("%d missing, %v, %d records, asked %d times", r.missed, r.silenced(), len(r.tunings), u.asked)
	}
}

// What waits to be heard is heard for as long as the lease goes on, and the venue is asked again before it is not.
func TestReceptionLapses(t *testing.T) {
	u, now := &untuned{}, int64(50)
	r := newReception(u, func() time.Time { return time.Unix(now, 0) })
	for _, c := range []struct{ until, period, last int64 }{{90, 200, 89}, {200, 90, 89}, {500, 500, 109}} {
		x := lasting(0)
		x.tuning = &tuning{tuned: &lease.Tuned{Until: c.until, Period: c.period}, asked: 50}
		if now = c.last; r.may(&x) != nil || u.asked != 0 {
			t.Errorf("%+v: asked %d times", c, u.asked)
		}
		if now++; !errors.Is(r.may(&x), lease.ErrRefused) || u.asked != 1 {
			t.Errorf("%+v: asked %d times after", c, u.asked)
		}
		u.asked = 0
	}
}
