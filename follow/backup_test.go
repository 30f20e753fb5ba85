package follow_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
	"playnode/manifests"
)

// pointBackup publishes the backup name's record.
func (d *dj) pointBackup(envelope cid.Cid) ipns.Record {
	d.t.Helper()
	rec, _, err := d.box.names.Publish(d.t.Context(), key("backup"), envelope, 0, now.Add(30*24*time.Hour))
	if err != nil {
		d.t.Fatal(err)
	}
	return rec
}

// version makes a head of one selection, without pointing at it.
func (d *dj) version(seq uint64, entries ...manifests.Entry) cid.Cid {
	d.t.Helper()
	s, m := d.manifest(0, seq, entries, nil)
	return d.head([]manifests.Signed{s}, []*manifests.Manifest{m}, nil)
}

// The thief of the name's key freezes it at an old version, points it at
// another DJ's, at nothing, or uses up its sequence; the DJ's new root arrives
// by the backup name, and his by neither.
func TestBackupName(t *testing.T) {
	for name, steal := range map[string]func(d, thief *dj, first cid.Cid){
		"frozen":    func(d, _ *dj, first cid.Cid) { d.point(first) },
		"another's": func(d, thief *dj, _ cid.Cid) { d.point(thief.version(9, thief.track(100, 100))) },
		"nothing":   func(d, _ *dj, _ cid.Cid) { d.point(manifests.NewBlock([]byte{0xa0}).CID) },
		"the last sequence": func(d, thief *dj, _ cid.Cid) {
			if _, _, err := d.box.names.Publish(d.t.Context(), d.ipns, thief.version(9, thief.track(100, 100)), math.MaxInt64, now.Add(time.Hour)); err != nil {
				d.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, d, venue := stage(t)
				thief := newDJ(t, d.box, "t")
				a := d.track(300, 100)
				first := d.publish(1, a)
				d.pointBackup(first)
				n := mustFollow(t, venue, string(d.name))
				mustSync(t, venue, n)
				second := d.publish(2, a)
				d.pointBackup(second)
				mustSync(t, venue, n)

				steal(d, thief, first)
				if name != "nothing" {
					wantErr(t, venue, n, follow.ErrVerify, second)
				}
				d.headSeq = 0
				d.nextRoot(nil)
				honest := d.version(1, a)
				d.pointBackup(honest)
				for range 2 { // the second time nothing is newer, and the name lies still
					if c := mustSync(t, venue, n); c.Envelope != honest {
						t.Fatalf("%s, want %s", c.Envelope, honest)
					}
				}
				again := venue.restart(t)
				if c, err := again.follow.Newest(n); err != nil || c.Envelope != honest {
					t.Fatalf("after a restart: %v", err)
				}
				mustSync(t, again, n)
				// Who joins late learns the backup name from what he is shown first.
				if name == "frozen" {
					late := newBox(t, w, "late")
					w.Link(late.Node, d.box.Node)
					if c := mustSync(t, late, mustFollow(t, late, string(d.name))); c.Envelope != honest {
						t.Error("a late follower is held at the old version")
					}
				}
				// When both lie, what is held stays.
				if name != "nothing" {
					d.pointBackup(thief.version(10, thief.track(100, 100)))
					wantErr(t, again, n, follow.ErrVerify, honest)
				}
			})
		})
	}
}

// An honest name and a backup name that was stolen: the name is what counts.
func TestStolenBackupName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d, venue := stage(t)
		thief := newDJ(t, d.box, "t")
		a := d.track(300, 100)
		first := d.publish(1, a)
		n := mustFollow(t, venue, string(d.name))
		mustSync(t, venue, n)
		for _, to := range []cid.Cid{thief.version(9, thief.track(100, 100)), first, manifests.NewBlock([]byte{1}).CID} {
			d.pointBackup(to)
			next := d.publish(d.headSeq+1, a)
			if c := mustSync(t, venue, n); c.Envelope != next {
				t.Errorf("the backup name at %s holds the name up", to)
			}
		}
	})
}

// TestRunPollsTheBackupName: an hour after it was pointed anywhere, though
// nobody pushes its record, a follower is there.
func TestRunPollsTheBackupName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d, venue := stage(t)
		ctx, stop := context.WithCancel(t.Context())
		go venue.names.Run(ctx)
		go venue.follow.Run(ctx)
		a := d.track(300, 100)
		first := d.publish(1, a)
		d.pointBackup(first)
		n := mustFollow(t, venue, string(d.name))
		// By then the records were put again, which tells as well, and will not
		// be for half a day.
		<-time.After(2*time.Hour + 2*time.Second)
		d.nextRoot(nil)
		d.headSeq = 0
		honest := d.version(1, a)
		// Kept from being told: the record appears at the DJ's without a push.
		rec, err := ipns.Sign(key("backup"), honest, 7, now.Add(24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.box.names.Accept(rec.Name, rec.Raw); err != nil {
			t.Fatal(err)
		}
		at := func(want cid.Cid) {
			t.Helper()
			synctest.Wait()
			if s := venue.follow.Follows()[0]; s.Name != n || s.Envelope != want {
				t.Fatalf("%+v, want %s", s, want)
			}
		}
		<-time.After(50 * time.Minute)
		at(first)
		<-time.After(11 * time.Minute)
		at(honest)
		stop()
		synctest.Wait()
	})
}

// A head that brings a newer A and a lower B is refused for B: what is held of
// B stays, pinned, also over a restart, until B is newer again.
func TestMixedHead(t *testing.T) {
	_, d, venue := stage(t)
	a, b, c := d.track(300, 100), d.track(400, 100), d.track(500, 100)
	mixed := func(sa, sb uint64, ea, eb manifests.Entry) cid.Cid {
		s0, m0 := d.manifest(0, sa, []manifests.Entry{ea}, nil)
		s1, m1 := d.manifest(1, sb, []manifests.Entry{eb}, nil)
		h := d.head([]manifests.Signed{s0, s1}, []*manifests.Manifest{m0, m1}, nil)
		d.point(h)
		return h
	}
	mixed(5, 5, a, b)
	n := mustFollow(t, venue, string(d.name))
	before := mustSync(t, venue, n)
	head := mixed(6, 4, c, c)
	check := func(at *box, got *follow.Catalogue, refused int) {
		t.Helper()
		if got.Envelope != head || len(got.Selections) != 2 || len(got.Refused) != refused {
			t.Fatalf("%s with %d selections, %d refused", got.Envelope, len(got.Selections), len(got.Refused))
		}
		sa, _ := got.Selection("a")
		sb, _ := got.Selection("b")
		if sa.Manifest.Seq != 6 || sa.Entries[0].Track != c.Track {
			t.Errorf("A is at %d", sa.Manifest.Seq)
		}
		if was, _ := before.Selection("b"); sb.Manifest.Seq != 5 || sb.Entries[0].Track != b.Track || sb.Envelope != was.Envelope {
			t.Errorf("B is at %d", sb.Manifest.Seq)
		}
		if _, err := at.Read(t.Context(), sb.Entries[0].Track); err != nil {
			t.Error(err)
		}
	}
	got := mustSync(t, venue, n)
	check(venue, got, 1)
	if err := got.Refusal(); !errors.Is(err, follow.ErrVerify) {
		t.Errorf("told as %v", err)
	}
	if s := venue.follow.Follows()[0]; !errors.Is(s.Err, follow.ErrVerify) || s.Envelope != head || !s.Whole {
		t.Errorf("%+v", s)
	}
	pins, err := venue.Pins(t.Context())
	if err != nil || len(pins) != 2 {
		t.Errorf("pins %v, %v", pins, err)
	}
	again := venue.restart(t)
	kept, err := again.follow.Newest(n)
	if err != nil {
		t.Fatal(err)
	}
	check(again, kept, 0)
	check(again, mustSync(t, again, n), 1) // the same head, once more
	// With nothing new in it, such a head is refused whole.
	s1, m1 := d.manifest(1, 3, []manifests.Entry{b}, nil)
	d.point(d.head([]manifests.Signed{s1}, []*manifests.Manifest{m1}, nil))
	wantErr(t, again, n, follow.ErrVerify, head)
	last := mixed(7, 6, a, b)
	after := mustSync(t, again, n)
	if sb, _ := after.Selection("b"); after.Envelope != last || sb.Manifest.Seq != 6 || len(after.Refused) != 0 {
		t.Errorf("B did not go on: %d", sb.Manifest.Seq)
	}
	if pins, err := again.Pins(t.Context()); err != nil || len(pins) != 1 {
		t.Errorf("pins %v, %v", pins, err)
	}
}

// A link that names the wrong DJ is corrected by one that names the right one,
// until a version was accepted; also after unfollowing.
func TestAWrongLinkIsCorrected(t *testing.T) {
	for _, unfollow := range []bool{false, true} {
		w, d, venue := stage(t)
		wrong := newDJ(t, newBox(t, w, "wrong"), "w")
		d.publish(1, d.track(100, 100))
		link := func(x *dj) string { return manifests.Link{DJ: &x.id, Name: manifests.Name(d.name)}.String() }
		n := mustFollow(t, venue, link(wrong))
		wantErr(t, venue, n, follow.ErrVerify, cid.Undef)
		if unfollow {
			if err := venue.follow.Unfollow(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		mustFollow(t, venue, link(d))
		mustSync(t, venue, n)
		if unfollow {
			if err := venue.follow.Unfollow(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := venue.follow.Follow(t.Context(), link(wrong)); !errors.Is(err, follow.ErrVerify) {
			t.Errorf("another DJ's link after one was accepted: %v", err)
		}
	}
}
