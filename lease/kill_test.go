package lease

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"playnode/manifests"
)

var errKilled = errors.New("killed")

// killed is a store that does not survive one of its writes, which lands or
// does not.
type killed struct {
	*mapStore
	writes, at int // at is the write that kills; 0 means none
	lands      bool
	dead       bool
}

func (s *killed) Apply(puts map[string][]byte, deletes []string) error {
	s.writes++
	switch {
	case s.dead:
		return errKilled
	case s.writes == s.at:
		if s.dead = true; s.lands {
			s.mapStore.Apply(puts, deletes)
		}
		return errKilled
	}
	return s.mapStore.Apply(puts, deletes)
}

// known is what a venue has acknowledged.
type known struct {
	n       uint64 // of the lease's grant, plus one; 0 before the first
	iat     int64  // of the newest record
	swept   uint64 // no key of a period before this one is there
	revoked bool
}

// A kill at any durable write, landed or not: after it the venue has all that
// it acknowledged, takes in nothing that is older, and ends as though nothing
// had been. The same where a write fails and the venue goes on.
func TestKillBetweenVerifyAndPersist(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	d, id := newDJ(t, 0), newVenue(t).id
	d.addTrack("one")
	type step struct {
		at    int64
		do    func(v *Venue) error
		after known
	}
	var story []step
	var files [][]byte
	see := func(m *manifests.Manifest, at int64, ack known) {
		shards := d.boxes(m)
		story = append(story, step{at, func(v *Venue) error {
			if err := v.Accept(d.chain, m.IAT); err != nil {
				return err
			}
			_, err := v.Receive(d.chain, m, shards)
			return err
		}, known{ack.n, m.IAT, 0, false}}, step{at, func(v *Venue) error {
			if _, err := v.Settle(m); err != nil {
				return err
			}
			u, err := v.Unlock(m)
			if ack.revoked && errors.Is(err, ErrRevoked) {
				return nil
			}
			if err == nil {
				u.Close()
			}
			return err
		}, ack})
	}
	files = append(files, d.file(d.tenant(id, start+20*manifests.Week), id))
	story = append(story, step{start, func(v *Venue) error { _, err := v.Import(files[0]); return err }, known{n: 1, iat: start}})
	see(d.publish(), start, known{n: 1, iat: start})
	d.now += 1000
	d.renew(0, start+30*manifests.Week)
	see(d.publish(), d.now, known{n: 2, iat: d.now})
	d.now += manifests.Week
	see(d.publish(), d.now, known{n: 3, iat: d.now, swept: manifests.Period(d.now, manifests.Week)})
	last := d.tenants[0]
	d.tenants, d.sel = nil, d.sel.Revoke()
	d.now += 1000
	see(d.publish(), d.now, known{n: 3, iat: d.now, swept: manifests.Period(d.now, manifests.Week), revoked: true})

	// after is what a box with no clock finds on a disk.
	after := func(t *testing.T, disk *mapStore, ack known) *Venue {
		v, err := NewVenue(Config{id, disk, &testClock{wall: 1000, boot: "b2"}})
		if err != nil {
			t.Fatal(err)
		}
		if now := v.Now(d.chain.DJ()); now < ack.iat {
			t.Errorf("the time is %d, %d was acknowledged", now, ack.iat)
		}
		leases := v.Leases()
		if ack.n > 0 && (len(leases) != 1 || leases[0].Grant.N+1 < ack.n || ack.revoked && !leases[0].Revoked) {
			t.Errorf("leases %+v after %+v", leases, ack)
		}
		for _, k := range disk.keys() {
			if k < fmt.Sprintf("%016x", ack.swept) || ack.revoked {
				t.Errorf("the key of period %s is there", k)
			}
		}
		return v
	}
	// tell runs the story from a step on, and says what was acknowledged last.
	// With failing, what failed is done again.
	tell := func(store Store, from int, failing *mapStore) (venue *Venue, done int, ack known, err error) {
		clock := &testClock{wall: start, sync: true, boot: "b1"}
		if venue, err = NewVenue(Config{id, store, clock}); err != nil {
			t.Fatal(err)
		}
		for i, s := range story {
			if i < from {
				continue
			}
			clock.pass(s.at - clock.wall)
			if err = s.do(venue); err != nil && failing != nil {
				err = s.do(venue)
			}
			if err != nil {
				return venue, i, ack, err
			}
			if ack = s.after; failing != nil {
				after(t, &mapStore{rows: maps.Clone(failing.rows)}, ack)
			}
		}
		return venue, len(story), ack, nil
	}
	whole := &killed{mapStore: newStore()}
	if _, _, _, err := tell(whole, 0, nil); err != nil {
		t.Fatal(err)
	}
	if whole.writes < 8 || len(whole.keys()) != 0 {
		t.Fatalf("the story has %d writes, and leaves keys %v", whole.writes, whole.keys())
	}
	for at := 1; at <= whole.writes; at++ {
		for _, how := range []string{"lost", "landed", "failed"} {
			t.Run(fmt.Sprintf("write %d %s", at, how), func(t *testing.T) {
				store := &killed{mapStore: newStore(), at: at, lands: how == "landed"}
				if how == "failed" { // and only once
					_, _, _, err := tell(&failing{mapStore: store.mapStore, at: at}, 0, store.mapStore)
					if err != nil {
						t.Fatal(err)
					}
					sameRows(t, store.mapStore, whole.mapStore)
					return
				}
				_, done, ack, err := tell(store, 0, nil)
				if !errors.Is(err, errKilled) {
					t.Fatalf("write %d was not reached: %v", at, err)
				}
				v := after(t, &mapStore{rows: maps.Clone(store.rows)}, ack)
				if ack.n > 1 {
					if _, err := v.Import(files[0]); !errors.Is(err, ErrOld) && !errors.Is(err, ErrRevoked) {
						t.Errorf("grant 0 after %d: %v", ack.n-1, err)
					}
				}
				if _, _, _, err := tell(store.mapStore, done, nil); err != nil {
					t.Fatalf("goes on from step %d: %v", done, err)
				}
				sameRows(t, store.mapStore, whole.mapStore)
			})
		}
	}
	if last.N != 2 {
		t.Errorf("the last grant is %d", last.N)
	}
}

// failing refuses one write, and takes those after it.
type failing struct {
	*mapStore
	writes, at int
}

func (s *failing) Apply(puts map[string][]byte, deletes []string) error {
	if s.writes++; s.writes == s.at {
		return errKilled
	}
	return s.mapStore.Apply(puts, deletes)
}

// sameRows wants two stores to know the same, but for the uptime in floors.
func sameRows(t *testing.T, got, want *mapStore) {
	t.Helper()
	a, b := maps.Clone(got.rows), maps.Clone(want.rows)
	for _, m := range []map[string][]byte{a, b} {
		maps.DeleteFunc(m, func(k string, _ []byte) bool { return len(k) > len(floorRow) && k[:len(floorRow)] == floorRow })
	}
	if !maps.EqualFunc(a, b, func(x, y []byte) bool { return string(x) == string(y) }) {
		for k := range b {
			if string(a[k]) != string(b[k]) {
				t.Errorf("%s is %.200q, want %.200q", k, a[k], b[k])
			}
		}
		t.Errorf("%d rows, want %d", len(a), len(b))
	}
}
