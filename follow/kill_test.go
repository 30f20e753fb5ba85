package follow_test

import (
	"errors"
	"testing"

	"playnode/follow"
)

var errCut = errors.New("the power is gone")

// cut is where a box's stores lose their power: at a write of theirs, counted
// over all of them, which is made all the same or is not. It is guarded by
// the stores' mutexes, of which one is held at a time.
type cut struct {
	at, writes int
	made       bool
}

// write tells whether a write is made, and what its writer hears.
func (c *cut) write() (made bool, err error) {
	if c == nil || c.at == 0 {
		return true, nil
	}
	switch c.writes++; {
	case c.writes < c.at:
		return true, nil
	case c.writes == c.at:
		return c.made, errCut
	}
	return false, errCut
}

// TestKillAtEveryWrite cuts a box off at each durable write that taking in a
// newer version makes. After a new start it has the one version or the other,
// readable; it comes to the newer one; and what it has accepted is never set
// back.
func TestKillAtEveryWrite(t *testing.T) {
	most := 0
	for _, made := range []bool{false, true} {
		for at := 1; ; at++ {
			_, d, venue := stage(t)
			a, b := d.track(300, 100), d.track(400, 100)
			first := d.publish(1, a)
			name := mustFollow(t, venue, string(d.name))
			mustSync(t, venue, name)
			power := &cut{at: at, made: made}
			venue.states[0].cut, venue.states[1].cut = power, power
			second := d.publish(2, a, b)
			_, err := venue.follow.Sync(t.Context(), name, follow.Options{Ask: true})
			venue.states[0].cut, venue.states[1].cut = nil, nil
			if power.writes < at {
				if err != nil {
					t.Fatalf("nothing was cut, and %v", err)
				}
				most = max(most, power.writes)
				break
			}
			again := venue.restart(t)
			s := again.follow.Follows()[0]
			if s.Envelope != first && s.Envelope != second {
				t.Fatalf("cut at write %d (made: %v): %+v", at, made, s)
			}
			if c, err := again.follow.Newest(name); err != nil || c.Envelope != s.Envelope {
				t.Errorf("cut at write %d (made: %v): %v", at, made, err)
			}
			if s.Envelope == second {
				d.point(first)
				if _, err := again.follow.Sync(t.Context(), name, follow.Options{Ask: true}); !errors.Is(err, follow.ErrVerify) {
					t.Errorf("cut at write %d (made: %v), the older version again: %v", at, made, err)
				}
				d.point(second)
			}
			if c := mustSync(t, again, name); c.Envelope != second {
				t.Errorf("cut at write %d (made: %v): in the end it has %s", at, made, c.Envelope)
			}
			if pins, err := again.Pins(t.Context()); err != nil || len(pins) != 1 || pins[0].Root != second {
				t.Errorf("cut at write %d (made: %v): pins %v, %v", at, made, pins, err)
			}
		}
	}
	if most < 3 { // the record, the version with its floors, that it is whole
		t.Errorf("only %d writes were cut", most)
	}
}
