package player

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/lease"
	"playnode/manifests"
	"playnode/player/schedule"
)

// What cannot be played leaves its place to what goes next, is told, and has it as soon as it can.
func TestAnUnleasedSlot(t *testing.T) {
	w, ids, b := timed(t, false, 30, map[string][]float64{"day": {200}, "locked": {400}})
	slot(t, b, "day", 0, 24*60, 0)
	slot(t, b, "locked", 0, 24*60, 1)
	slot(t, b, "nobody's", 0, 24*60, 2)
	synctest.Test(t, func(t *testing.T) {
		r := scheduled(t, w, b, Request{Mixed: true, Stay: true}, nil)
		defer r.end()
		wait(15 * time.Second)
		r.sounds("instead", ids["day"][0])
		if f := r.player.Faults(); len(f) != 1 || f[0].Kind != "schedule" || !f[0].Mended.IsZero() {
			t.Errorf("faults %+v", f)
		}
		w.grant("locked", time.Hour)
		wait(15 * time.Second)
		r.sounds("once it is leased", ids["locked"][0])
	})
	// The fault is over with its slot, in the middle of a track: what stood in is what is scheduled then, or there is silence.
	w.pass(20 * time.Second)
	for _, rest := range []string{"day", ""} {
		b, err := schedule.Open(schedule.Config{Store: newTable(), Zone: time.UTC})
		if err != nil {
			t.Fatal(err)
		}
		slot(t, b, "day", 0, 1, 0)
		slot(t, b, "nobody's", 0, 1, 1)
		if rest != "" {
			slot(t, b, rest, 1, 2, 0)
		}
		w.began = time.Time{}
		synctest.Test(t, func(t *testing.T) {
			r := scheduled(t, w, b, Request{Mixed: true, Stay: true}, nil)
			defer r.end()
			wait(15 * time.Second)
			if f := r.player.Faults(); len(f) != 1 || !f[0].Mended.IsZero() {
				t.Errorf("faults %+v", f)
			}
			wait(30 * time.Second)
			if f := r.player.Faults(); len(f) != 1 || f[0].Mended.IsZero() {
				t.Errorf("behind the slot, with %q: faults %+v", rest, f)
			}
		})
	}
	// Where nothing can be played there is silence, and that is told too.
	synctest.Test(t, func(t *testing.T) {
		w.pass(48 * time.Hour)
		r := scheduled(t, w, b, Request{Mixed: true, Stay: true}, nil)
		defer r.end()
		wait(15 * time.Second)
		if s := r.State(); s.State != "starting" || len(r.room.left()) > 0 {
			t.Errorf("%+v", s)
		}
		if f := r.player.Faults(); len(f) == 0 || f[0].Kind != "lease" {
			t.Errorf("faults %+v", f)
		}
		w.grant("day", time.Hour)
		wait(2 * time.Second)
		r.sounds("once something is leased", ids["day"][0])
	})
}

// full is a venue whose disk is full from some time on.
type full struct {
	*lease.Venue
	from time.Time
}

var errFull = errors.New("no space left on device")

func (f full) Unlock(m *manifests.Manifest) (*lease.Unlocked, error) {
	if !f.from.IsZero() && time.Now().After(f.from) {
		return nil, errFull
	}
	return f.Venue.Unlock(m)
}

// What stands in for what cannot be played is heard to its track's end when its lease lapses, as anything is, and goes on
// where nobody can ask for it.
func TestAStandInIsHeardToItsEnd(t *testing.T) {
	w, ids, b := timed(t, false, 40, map[string][]float64{"day": {200}, "locked": {400, 410}})
	slot(t, b, "locked", 0, 24*60, 0)
	slot(t, b, "nobody's", 0, 24*60, 2)
	play := func(left time.Duration, change func(*Player), f func(r *running)) {
		w.began = time.Time{}
		w.pass(2 * time.Minute) // what the last one took, and more: no clock goes back
		w.grant("locked", time.Hour)
		w.pass(time.Hour - left)
		synctest.Test(t, func(t *testing.T) {
			r := scheduled(t, w, b, Request{Stay: true}, change)
			defer r.end()
			wait(35 * time.Second)
			r.sounds("its first", ids["locked"][0])
			wait(10 * time.Second)
			f(r)
		})
	}
	play(20*time.Second, nil, func(r *running) { r.sounds("there is nothing else", cid.Undef) })
	id := slot(t, b, "day", 0, 24*60, -1)
	play(20*time.Second, nil, func(r *running) { r.sounds("then the next in line", ids["day"][0]) })
	if err := b.Remove(id); err != nil {
		t.Fatal(err)
	}
	play(time.Hour, func(p *Player) { p.cfg.Leases = full{w.venue, time.Now().Add(10 * time.Second)} }, func(r *running) {
		r.sounds("the disk is full", ids["locked"][1])
		wait(30 * time.Second)
		r.sounds("still", ids["locked"][1])
		if n := r.count(Underrun); n > 0 {
			t.Errorf("%d underruns", n)
		}
	})
}

// A playlist of which nothing is here leaves its place to what goes next, too, and has it once it is here.
func TestASlotOfWhichNothingIsHere(t *testing.T) {
	w, ids, b := timed(t, false, 30, map[string][]float64{"day": {200, 300}, "evening": {400}})
	slot(t, b, "day", 0, 24*60, 0)
	slot(t, b, "evening", 0, 24*60, 1)
	track := ids["evening"][0]
	held := w.blocks[track]
	delete(w.blocks, track)
	synctest.Test(t, func(t *testing.T) {
		r := scheduled(t, w, b, Request{Mixed: true, Stay: true}, nil)
		defer r.end()
		told := func() (out []Fault) {
			return slices.DeleteFunc(r.player.Faults(), func(f Fault) bool { return f.Kind != "schedule" })
		}
		for i := range 10 { // with nothing left out
			wait(20 * time.Second)
			r.sounds("instead", ids["day"][i%2])
			wait(10 * time.Second)
		}
		if f := told(); len(f) != 1 || !f[0].Mended.IsZero() {
			t.Errorf("after five minutes the faults are %+v", f)
		}
		w.mu.Lock()
		w.blocks[track] = held
		w.mu.Unlock()
		wait(75 * time.Second)
		r.sounds("once it is here", track)
		if f := told(); len(f) != 1 || f[0].Mended.IsZero() {
			t.Errorf("once it is here the faults are %+v", f)
		}
		if n := r.count(Underrun); n > 0 {
			t.Errorf("%d underruns", n)
		}
	})
}
