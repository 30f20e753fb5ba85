package lease

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"playnode/internal/seal"
	"playnode/manifests"
)

const year = 365 * manifests.Day

// shards decodes a manifest's mailboxes, and wants their form.
func (d *testDJ) shards(m *manifests.Manifest) (out []*manifests.BoxShard) {
	d.t.Helper()
	for _, b := range d.boxes(m) {
		s, err := manifests.DecodeBoxShard(b)
		if err != nil || s.Class() != boxClass(m.Unit) {
			d.t.Fatal(err)
		}
		for i, e := range s.E {
			if e.Blob.Enc[1119]&0x80 != 0 {
				d.t.Errorf("mailbox %d does not end in an X25519 point", i)
			}
		}
		out = append(out, s)
	}
	return out
}

func TestMailboxCounts(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	for n, want := range map[int]int{0: 1, 1: 1, 63: 1, 64: 1, 65: 2, 129: 3} {
		d := newDJ(t, 0)
		d.addTrack("one")
		var venues []*testVenue
		for i := range n {
			v := newVenue(t)
			d.tenant(v.id, start+year)
			if i < 2 || i >= n-2 {
				venues = append(venues, v)
			}
		}
		m := d.publish()
		if len(m.Boxes) != want {
			t.Errorf("%d leases: %d shards", n, len(m.Boxes))
		}
		seen := map[string]bool{}
		for _, s := range d.shards(m) {
			for _, e := range s.E {
				seen[string(e.ID[:])], seen[string(e.Blob.CT)] = true, true
			}
		}
		for i, v := range venues {
			if got, _ := v.receive(d, m); len(got) != 1 {
				t.Fatalf("%d leases: venue %d opened %d mailboxes", n, i, len(got))
			}
			if _, err := v.Unlock(m); err != nil {
				t.Errorf("%d leases: venue %d: %v", n, i, err)
			}
		}
		stranger := newVenue(t)
		if got, gone := stranger.receive(d, m); len(got)+len(gone) != 0 {
			t.Errorf("a stranger opened %v, %v", got, gone)
		}
		d.now += manifests.Week
		next := d.publish()
		for _, s := range d.shards(next) {
			for _, e := range s.E {
				if seen[string(e.ID[:])] || seen[string(e.Blob.CT)] {
					t.Fatalf("%d leases: a mailbox survived its period", n)
				}
			}
		}
		for _, v := range venues {
			v.clock.pass(manifests.Week)
			if got, _ := v.receive(d, next); len(got) != 1 || got[0].Grant.N != 1 {
				t.Errorf("%d leases, the next period: %v", n, got)
			}
			if _, err := v.Unlock(next); err != nil {
				t.Error(err)
			}
		}
	}
}

// A device that knows its mailbox opens that one; a shard that it has looked
// through is not opened again.
func TestMailboxIsFoundByID(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	d.addTrack("one")
	if _, err := v.Import(d.file(d.tenant(v.id, start+year), v.id)); err != nil {
		t.Fatal(err)
	}
	m := d.publish()
	for _, s := range d.shards(m) {
		i := slices.IndexFunc(s.E, func(e manifests.BoxEntry) bool { return e.ID == boxID(d.tenants[0].Mbox, m, s.Salt) })
		if i < 0 {
			t.Fatal("no mailbox under the lease's id")
		}
		dl, err := v.id.openMailbox(m, &s.E[i].Blob)
		if err != nil || dl.Grant.Payload.CID != d.tenants[0].Grant.Payload.CID {
			t.Errorf("it holds another grant than the file: %v", err)
		}
	}
	if got, _ := v.receive(d, m); len(got) != 1 {
		t.Fatal(got)
	}
	if got, _ := v.receive(d, m); got != nil {
		t.Errorf("opened again: %v", got)
	}
	d.addTrack("two")
	if got, _ := v.receive(d, d.publish()); got != nil {
		t.Errorf("unchanged shards opened again: %v", got)
	}
}

func TestAChangeSealsItsShardAlone(t *testing.T) {
	d := newDJ(t, 0)
	d.addTrack("one")
	for range 65 {
		d.tenant(newVenue(t).id, start+year)
	}
	before := d.publish()
	if !d.sel.Carries(d.now, d.tenants) {
		t.Error("a lease is not carried")
	}
	seat := d.sel.Boxes[1].Seats[0]
	i := slices.IndexFunc(d.tenants, func(x Tenant) bool { return x.Lease == seat.Lease })
	d.renew(i, start+2*year)
	if d.sel.Carries(d.now, d.tenants) {
		t.Error("the renewal is carried before it was published")
	}
	after := d.publish()
	if after.Boxes[0] != before.Boxes[0] || after.Boxes[1] == before.Boxes[1] || after.Tracks != before.Tracks {
		t.Error("the wrong blocks were sealed anew")
	}
	x, y := d.shards(before)[1], d.shards(after)[1]
	if x.Salt == y.Salt {
		t.Error("the salt stayed")
	}
	for _, e := range x.E {
		for _, f := range y.E {
			if e.ID == f.ID || bytes.Equal(e.Blob.CT, f.Blob.CT) {
				t.Fatal("a mailbox of the shard stayed, which tells it from the one that changed")
			}
		}
	}
	v := newVenue(t)
	d.tenant(v.id, start+year)
	m := d.publish()
	if m.Boxes[0] != after.Boxes[0] || len(m.Boxes) != 2 {
		t.Error("a new lease took no dummy's place")
	}
	if got, _ := v.receive(d, m); len(got) != 1 {
		t.Error("its mailbox does not open")
	}
}

func TestRenewalAfterALapse(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	if _, err := v.Import(d.file(d.tenant(v.id, start+manifests.Day/2), v.id)); err != nil {
		t.Fatal(err)
	}
	m := d.publish()
	v.receive(d, m)
	v.clock.pass(manifests.Day / 2)
	_, err := v.Unlock(m)
	wantErr(t, "lapsed", err, ErrLapsed)
	// Lapsed, and the selection still of its generation: that is no revocation.
	d.addTrack("two")
	if _, gone := v.receive(d, d.publish()); gone != nil || v.Leases()[0].Revoked {
		t.Error("a lapse is told as a revocation")
	}
	if len(v.store.keys()) != 0 {
		t.Error("keys left")
	}
	d.now += manifests.Day / 2
	d.renew(0, d.now+manifests.Day)
	m = d.publish()
	if got, _ := v.receive(d, m); len(got) != 1 || got[0].ID != d.tenants[0].Lease || got[0].Until != d.now+manifests.Day {
		t.Fatalf("renewal: %v", got)
	}
	if _, err := v.Unlock(m); err != nil {
		t.Error(err)
	}
	if l := v.Leases(); len(l) != 1 {
		t.Errorf("%d leases", len(l))
	}
}

func TestRevocation(t *testing.T) {
	d, a, b := newDJ(t, 0), newVenue(t), newVenue(t)
	d.addTrack("one")
	for _, v := range []*testVenue{a, b} {
		if _, err := v.Import(d.file(d.tenant(v.id, start+year), v.id)); err != nil {
			t.Fatal(err)
		}
	}
	oldFile := d.file(d.tenant(b.id, start+year), b.id) // another grant that was on its way
	d.tenants = d.tenants[:2]
	old := d.publish()
	for _, v := range []*testVenue{a, b} {
		v.receive(d, old)
	}
	r := d.sel.R
	d.sel, d.tenants = d.sel.Revoke(), d.tenants[:1]
	if d.sel.R.Equal(r) {
		t.Fatal("R stayed")
	}
	d.now += 60
	m := d.publish()
	if m.Gen != old.Gen+1 || m.GID == old.GID {
		t.Fatal("the generation stayed")
	}

	// Not all mailboxes seen: late, no more. The old revision plays on.
	if _, err := b.Receive(d.chain, m, nil); err == nil {
		t.Error("no shards passed for all of them")
	}
	if gone, err := b.Settle(m); err != nil || gone != nil {
		t.Errorf("late was taken for revoked: %v %v", gone, err)
	}
	if _, err := b.Unlock(old); err != nil {
		t.Error("late: ", err)
	}

	// All seen: revoked. The keys are gone, and stay gone.
	if got, gone := b.receive(d, m); len(got) != 0 || len(gone) != 1 {
		t.Errorf("opened %v, revoked %v", got, gone)
	}
	if n := len(b.store.keys()); n != 0 {
		t.Errorf("%d keys outlived the revocation", n)
	}
	for range 2 {
		for _, x := range []*manifests.Manifest{old, m} {
			_, err := b.Unlock(x)
			wantErr(t, fmt.Sprint("generation ", x.Gen), err, ErrRevoked)
		}
		if len(b.store.keys()) != 0 || !b.Leases()[0].Revoked {
			t.Error("keys after the revocation")
		}
		b.restart()
	}
	// What was granted under the old keys no longer helps; the very grant that was revoked is refused.
	first := d.tenants[0]
	if _, err := b.Import(oldFile); err != nil {
		t.Fatal(err)
	}
	_, err := b.Unlock(m)
	wantErr(t, "another grant of the old generation", err, ErrRevoked)

	// The other lease goes on under its id: the old revision until the new one
	// opens, then that alone.
	if got, gone := a.receive(d, m); len(got) != 1 || gone != nil || got[0].ID != first.Lease {
		t.Fatalf("opened %v, revoked %v", got, gone)
	}
	if _, err := a.Unlock(old); err != nil {
		t.Error("in the middle of a pass: ", err)
	}
	if _, err := a.Unlock(m); err != nil {
		t.Error(err)
	}
	prefix := periodPrefix(old.DJ, old.Sel, old.Gen, old.GID, old.Unit)
	for k := range a.store.rows {
		if len(k) > len(prefix) && k[:len(prefix)] == prefix {
			t.Error("a key of the old generation stayed")
		}
	}
	// A lease granted anew.
	if _, err := b.Import(d.file(d.tenant(b.id, start+year), b.id)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Unlock(m); err != nil {
		t.Error("granted anew: ", err)
	}
}

func TestRevokedGrantIsNotTakenInAgain(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	d.addTrack("one")
	file := d.file(d.tenant(v.id, start+year), v.id)
	if _, err := v.Import(file); err != nil {
		t.Fatal(err)
	}
	old := d.publish()
	v.receive(d, old)
	d.sel, d.tenants = d.sel.Revoke(), nil
	v.receive(d, d.publish())
	_, err := v.Import(file)
	wantErr(t, "the revoked grant", err, ErrRevoked)
	_, err = v.Unlock(old)
	wantErr(t, "the old revision", err, ErrRevoked)
}

// A lease paid for a year gets keys for its window only, each period anew: the
// venue plays for as long as the DJ is awake often enough.
func TestWindowRollsByMailbox(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	d.tenants = []Tenant{{Terms: Terms{Device: manifests.Device{K: v.id.Sign.Public(), PK: v.id.Open.Public()},
		From: start, Until: start + year, Window: 3 * manifests.Day}, Name: d.name}}
	if _, err := d.sel.Draw(d.now, 1, d.pub, &d.tenants[0]); err != nil {
		t.Fatal(err)
	}
	var m *manifests.Manifest
	for day := range 60 {
		if day%3 != 2 { // she sleeps every third day
			m = d.publish()
			v.receive(d, m)
		}
		for range 4 {
			if _, err := v.Unlock(m); err != nil {
				t.Fatalf("day %d: %v", day, err)
			}
			if n := len(v.store.keys()); n > 4 {
				t.Fatalf("day %d: %d keys", day, n)
			}
			v.clock.pass(manifests.Day / 4)
		}
		d.now += manifests.Day
	}
	if l := v.Leases(); len(l) != 1 || l[0].Grant.N < 35 || l[0].Until != start+year {
		t.Errorf("leases %+v", l)
	}
	v.clock.pass(4 * manifests.Day)
	_, err := v.Unlock(m)
	wantErr(t, "the DJ sleeps longer than the window", err, ErrLapsed)
}

func TestMailboxesOfAnother(t *testing.T) {
	d, e, v := newDJ(t, 0), newDJ(t, 0), newVenue(t)
	for _, x := range []*testDJ{d, e} {
		x.addTrack("one")
	}
	d.tenant(v.id, start+year)
	m := d.publish()
	// DJ e copies d's selection and mailboxes under her own signature.
	e.sel.Sel = d.sel.Sel
	theirs := e.publish()
	theirs.Boxes, theirs.Gen, theirs.GID, theirs.Cur = m.Boxes, m.Gen, m.GID, m.Cur
	got, err := v.Receive(e.chain, theirs, d.boxes(m))
	if err != nil || got != nil {
		t.Errorf("opened %v (%v)", got, err)
	}
	// Shards that are not the manifest's.
	_, err = newVenue(t).Receive(e.chain, theirs, e.boxes(e.publish()))
	wantErr(t, "other shards", err, ErrRefused)

	// Grants that do not hold are passed over, and a good one beside them counts.
	good := d.tenants[0]
	// Of the same generation, but not its keys: a DJ's two laptops both moved on.
	forked := d.sel
	forked.R = seal.NewKey()
	other := good
	other.N, other.Grant = good.N+1, manifests.Signed{}
	stray, err := forked.Draw(d.now, 1, d.pub, &other)
	if err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(x *manifests.Delivery){
		"another period's key": func(x *manifests.Delivery) { x.Keys[0][0] ^= 1 },
		"another mailbox key":  func(x *manifests.Delivery) { x.Mbox[0] ^= 1 },
		"a key too few":        func(x *manifests.Delivery) { x.Keys = x.Keys[1:] },
		"another gid":          func(x *manifests.Delivery) { *x = *stray },
		"another name":         func(x *manifests.Delivery) { x.Name = manifests.NewName(newSigning(t).Public()) },
	} {
		w := newVenue(t)
		w.id = v.id
		w.restart()
		b, err := d.sel.shard(m, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := manifests.DecodeBoxShard(b.Data)
		if err != nil {
			t.Fatal(err)
		}
		x, err := d.sel.delivery(good)
		if err != nil {
			t.Fatal(err)
		}
		spoil(x)
		plain, err := x.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if s.E[7].Blob.Enc, s.E[7].Blob.CT, err = seal.SealTo(good.Device.PK, grantInfo(m.DJ, good.Device.K), seal.Pad(plain, 2048)); err != nil {
			t.Fatal(err)
		}
		data, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		c := *m
		c.Boxes = c.Boxes[:0:0]
		c.Boxes = append(c.Boxes, manifests.NewBlock(data).CID)
		if got, err := w.Receive(d.chain, &c, [][]byte{data}); err != nil || got != nil {
			t.Errorf("%s: took in %v (%v)", what, got, err)
		}
	}
}

func TestMailboxAfterAFailedWriteIsOpenedAgain(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	d.addTrack("one")
	d.tenant(v.id, start+year)
	m := d.publish()
	v.store.fail = fmt.Errorf("disk full")
	if _, err := v.Receive(d.chain, m, d.boxes(m)); err == nil {
		t.Error("a failure to keep was passed over")
	}
	v.store.fail = nil
	v.restart()
	if got, _ := v.receive(d, m); len(got) != 1 {
		t.Error("the mailbox is lost")
	}
	v.restart()
	if _, err := v.Unlock(m); err != nil {
		t.Error(err)
	}
}

// A second lease of a selection comes by mailbox too, however many shards
// there are, at once and when a period turns unseen.
func TestASecondLeaseAmongManyShards(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	d, v := newDJ(t, 0), newVenue(t)
	d.addTrack("one")
	others := make([]Identity, 8)
	for i := range others {
		var err error
		if others[i], err = NewIdentity(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 17 * manifests.Boxes {
		d.tenant(others[i%len(others)], start+year)
	}
	d.tenant(v.id, start+year)
	m := d.publish()
	if got, _ := v.receive(d, m); len(got) != 1 || len(m.Boxes) != 18 {
		t.Fatalf("%d leases by mailbox, %d shards", len(got), len(m.Boxes))
	}
	d.tenant(v.id, start+year)
	if got, _ := v.receive(d, d.publish()); len(got) != 1 {
		t.Errorf("the second lease did not come: %d", len(got))
	}
	d.tenant(v.id, start+year)
	d.publish() // not seen
	d.now += manifests.Week
	v.clock.pass(manifests.Week)
	if got, _ := v.receive(d, d.publish()); len(got) != 3 || len(v.Leases()) != 3 {
		t.Errorf("after a period %d of 3 leases came", len(got))
	}
}
