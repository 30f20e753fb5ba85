package lease

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"playnode/internal/seal"
	"playnode/manifests"
)

// An older root's publisher key is worth nothing after root 2, and its
// future floor is gone.
func TestNewRootStartsOver(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	d.addTrack("one")
	v.clock.sync = false
	v.clock.wall = start
	thief := *d // holds the publisher key
	thief.now = start + 70*365*manifests.Day
	far := thief.publish()
	if _, err := v.Unlock(far); !errors.Is(err, ErrNoLease) {
		t.Fatal(err)
	}
	if now := v.Now(d.chain.DJ()); now < thief.now {
		t.Fatalf("the thief's date did not raise the floor: %d", now)
	}
	v.restart()
	d.pub = newSigning(t)
	prev, dj := manifests.Digest(d.roots[0].Payload.CID), d.chain.DJ()
	d.addRoot(&manifests.Root{N: 2, DJ: &dj, Prev: &prev, IAT: start + 10, Gens: []manifests.LeastGen{{Sel: d.sel.Sel, Gen: 2}}})
	d.now, d.sel.Gen, d.sel.R = start+20, 2, seal.NewKey()
	v.lease(d, d.now, d.now+manifests.Week)
	m := d.publish()
	if m.Seq != 1 || m.RootN != 2 {
		t.Errorf("root %d seq %d", m.RootN, m.Seq)
	}
	if _, err := v.Unlock(m); err != nil {
		t.Error("the honest DJ's first manifest under root 2: ", err)
	}
	_, err := v.Import(thief.file(thief.grant(v.id, Terms{From: thief.now, Until: thief.now + 100}), v.id))
	wantErr(t, "the thief's grant", err, ErrRefused)
	// Nor does what he signs under root 1 move the time any more.
	wantErr(t, "the thief's head", v.Accept(thief.chain, thief.now), ErrRefused)
	if _, err := v.Unlock(far); err == nil {
		t.Error("the thief's manifest opens")
	}
	if now := v.Now(d.chain.DJ()); now > d.now+manifests.Day {
		t.Errorf("the former root's date is %d", now)
	}
	if _, err := v.Unlock(m); err != nil {
		t.Error("after the thief's: ", err)
	}
}

// A root that a venue has verified in a head counts without a grant under it:
// the former publisher key gives it nothing more, also after a restart.
func TestARootCountsOnceItIsSeen(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	d.addTrack("one")
	v.lease(d, start, start+manifests.Week)
	thief := *d
	d.pub = newSigning(t)
	prev, dj := manifests.Digest(d.roots[0].Payload.CID), d.chain.DJ()
	d.addRoot(&manifests.Root{N: 2, DJ: &dj, Prev: &prev, IAT: start})
	if err := v.Accept(d.chain, start); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := v.Import(thief.file(thief.grant(v.id, Terms{From: start, Until: start + 10*manifests.Week}), v.id))
		wantErr(t, "the thief's grant", err, ErrRefused)
		v.restart()
	}
}

func TestTimeIsPerDJ(t *testing.T) {
	a, b, v := newDJ(t, 0), newDJ(t, 0), newVenue(t)
	a.addTrack("one")
	b.addTrack("two")
	v.clock.sync = false
	v.lease(b, start, start+manifests.Week)
	mb := b.publish()
	a.now = start + 73*365*manifests.Day // 2099
	ma := a.publish()
	if _, err := v.Unlock(ma); !errors.Is(err, ErrNoLease) {
		t.Fatal(err)
	}
	if _, err := v.Unlock(mb); err != nil {
		t.Error("A's date ended B's lease: ", err)
	}
	// A synchronised clock refuses such a date at once.
	w := newVenue(t)
	_, err := w.Unlock(ma)
	wantErr(t, "2099 against a synchronised clock", err, ErrFuture)
}

func TestUnsynchronised2036DoesNotLapse(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	d.addTrack("one")
	m := d.publish()
	v.lease(d, start, start+3*manifests.Day)
	v.clock.sync, v.clock.boot, v.clock.up = false, "b2", 0
	v.clock.wall = start + 10*365*manifests.Day
	v.restart()
	if _, err := v.Unlock(m); err != nil {
		t.Error("a wrong clock lapsed it: ", err)
	}
	if err := v.Persist(); err != nil {
		t.Fatal(err)
	}
	for range 10 { // nor by being asked often
		v.clock.boot += "x"
		v.restart()
		if _, err := v.Unlock(m); err != nil {
			t.Fatal("at a later boot: ", err)
		}
		if err := v.Persist(); err != nil {
			t.Fatal(err)
		}
	}
}

func Test1970With40RebootsEndsAfter24Hours(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	m := d.publish()
	v.lease(d, start, start+manifests.Day)
	v.clock.sync = false
	played := 0
	for boot := range 40 {
		v.clock.boot, v.clock.up, v.clock.wall = fmt.Sprint("reboot ", boot), 0, 0
		v.restart()
		for range 6 {
			if _, err := v.Unlock(m); err != nil {
				continue
			}
			v.clock.pass(600)
			played += 600
			if err := v.Persist(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if played != manifests.Day {
		t.Errorf("played %v of 24h", time.Duration(played)*time.Second)
	}
	if got := v.store.keys(); len(got) != 0 {
		t.Errorf("keys %v left", got)
	}
}

// While the time rests on a date that no clock has confirmed, playing stops
// and nothing is erased; a clock that refutes it undoes it.
func TestProvisionalDateErasesNothing(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	d.addTrack("one")
	m := d.publish()
	v.lease(d, start, start+manifests.Week)
	before := v.store.keys()
	v.clock.sync = false
	d.now += 30 * manifests.Day
	late := d.publish()
	_, err := v.Unlock(late)
	wantErr(t, "a month ahead", err, ErrLapsed)
	if got := v.store.keys(); !slices.Equal(got, before) {
		t.Errorf("keys %v erased to %v on an unconfirmed date", before, got)
	}
	v.restart()
	v.clock.sync, v.clock.wall = true, start+100
	if _, err := v.Unlock(m); err != nil {
		t.Error("after the clock refuted the date: ", err)
	}
	// The same date, confirmed.
	v.clock.sync = false
	if _, err := v.Unlock(late); !errors.Is(err, ErrLapsed) {
		t.Fatal(err)
	}
	v.clock.sync, v.clock.wall = true, d.now
	if err := v.Sweep(); err != nil {
		t.Fatal(err)
	}
	if got := v.store.keys(); len(got) != 0 {
		t.Errorf("keys %v left once it was confirmed", got)
	}
}

// A box that is never told that its clock is synchronised erases when its
// own clock agrees with the DJ's dates, and no sooner.
func TestUnsynchronisedBoxErasesWhenItsClockAgrees(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	m := d.publish()
	v.clock.sync = false
	v.lease(d, start, start+100)
	v.clock.pass(99)
	if _, err := v.Unlock(m); err != nil {
		t.Fatal(err)
	}
	v.clock.pass(1)
	_, err := v.Unlock(m)
	wantErr(t, "at the end", err, ErrLapsed)
	if got := v.store.keys(); len(got) != 0 {
		t.Errorf("keys %v left", got)
	}
	w := newVenue(t)
	w.clock.sync, w.clock.wall = false, 0
	w.lease(d, start, start+100)
	before := w.store.keys()
	w.clock.pass(100)
	_, err = w.Unlock(m)
	wantErr(t, "at the end, in 1970", err, ErrLapsed)
	if got := w.store.keys(); !slices.Equal(got, before) {
		t.Errorf("keys %v erased to %v by a date that nothing on the box agrees to", before, got)
	}
}

func TestClockSetBackDoesNotLengthenALease(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	m := d.publish()
	v.lease(d, start, start+manifests.Day)
	v.clock.pass(manifests.Day - 1)
	if _, err := v.Unlock(m); err != nil {
		t.Fatal(err)
	}
	if err := v.Persist(); err != nil {
		t.Fatal(err)
	}
	v.clock.wall, v.clock.sync = start-5*manifests.Day, false
	v.restart()
	v.clock.pass(1)
	_, err := v.Unlock(m)
	wantErr(t, "two days back", err, ErrLapsed)
}

// Another boot counts as no time passed, however long it has been up.
func TestAnotherBootCountsAsNoTime(t *testing.T) {
	for _, synchronised := range []bool{true, false} { // when the lease came
		d, v := newDJ(t, manifests.Day), newVenue(t)
		v.clock.sync = synchronised
		v.lease(d, start, start+manifests.Day)
		v.clock.sync, v.clock.wall = false, 0
		before := v.Now(d.chain.DJ())
		v.clock.boot, v.clock.up = "b2", 1000*time.Hour
		v.restart()
		if now := v.Now(d.chain.DJ()); now != before {
			t.Errorf("%d s passed over a reboot", now-before)
		}
		if err := v.Persist(); err != nil {
			t.Fatal(err)
		}
		v.clock.pass(60)
		if now := v.Now(d.chain.DJ()); now != before+60 {
			t.Errorf("%d s passed in a minute", now-before)
		}
	}
}
