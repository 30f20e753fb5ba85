package lease

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"playnode/internal/seal"
	"playnode/manifests"
)

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func TestLeasedSelectionOpens(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	for i := range 5 {
		d.addTrack(fmt.Sprint("title ", i))
	}
	m := d.publish()
	_, err := v.Unlock(m)
	wantErr(t, "before any grant", err, ErrNoLease)
	l := v.lease(d, start, start+30*manifests.Day)
	if l.From != start || l.Until != start+30*manifests.Day || l.Keys != l.Until || l.Name != d.name || l.DJ != d.chain.DJ() {
		t.Errorf("lease %+v", l)
	}
	for range 2 { // the second time from the store alone
		u, err := v.Unlock(m)
		if err != nil {
			t.Fatal(err)
		}
		if u.Until != l.Until || u.Period != start+manifests.Week {
			t.Errorf("unlocked until %d, period %d", u.Until, u.Period)
		}
		entries := d.entries(m)
		var sealed [][]byte
		for _, c := range m.Meta {
			sealed = append(sealed, d.store[c])
		}
		lists, err := u.Playlists(sealed, entries)
		if err != nil {
			t.Fatal(err)
		}
		if len(lists) != 1 || lists[0].Label != "main" || !slices.Equal(lists[0].Tracks, d.draft().Lists[0].Tracks) {
			t.Errorf("playlists %v", lists)
		}
		for _, e := range entries {
			i := slices.IndexFunc(d.order, func(tr Track) bool { return tr.CID == e.Track })
			k, err := u.FileKey(e)
			if err != nil || !k.Equal(d.order[i].Key) {
				t.Errorf("file key of track %d: %v", i, err)
			}
			info, err := u.Info(e, d.store[e.Info])
			if err != nil || info.Title != fmt.Sprint("title ", i) {
				t.Errorf("info of track %d: %v", i, err)
			}
		}
		u.Close()
		if _, err := u.FileKey(entries[0]); !errors.Is(err, ErrLapsed) {
			t.Errorf("a closed selection opens: %v", err)
		}
		v.restart()
	}
}

func TestLapse(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	l := v.lease(d, start, start+2*manifests.Day+100)
	m := d.publish()
	v.clock.pass(l.Until - start - 1)
	if _, err := v.Unlock(m); err != nil {
		t.Fatal("a second before the end: ", err)
	}
	if got := v.store.keys(); len(got) != 1 {
		t.Errorf("keys of the periods %v at the end; past ones belong erased", got)
	}
	v.clock.pass(1)
	_, err := v.Unlock(m)
	wantErr(t, "at the end", err, ErrLapsed)
	if got := v.store.keys(); len(got) != 0 {
		t.Errorf("period keys %v after the lapse", got)
	}
	if v.Leases()[0].ID != l.ID || len(v.store.rows[grantKey(&l.Grant)]) == 0 {
		t.Error("the lapse took the grant's row and its mailbox key")
	}
	d.now = v.clock.wall
	renewed := d.grant(v.id, Terms{From: d.now, Until: d.now + 100, Lease: l.ID, N: 1})
	if _, err := v.Import(d.file(renewed, v.id)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Unlock(m); err != nil { // the held manifest, nothing fetched
		t.Error("after the renewal: ", err)
	}
}

// A DJ asleep: keys end before the terms do.
func TestKeysEndBeforeTheTerms(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	m := d.publish()
	g := d.grant(v.id, Terms{From: start, Until: start + 365*manifests.Day, Window: 1})
	if len(g.Keys) != 2 {
		t.Fatalf("%d keys inside a grant of a year", len(g.Keys))
	}
	l, err := v.Import(d.file(g, v.id))
	if err != nil || l.Keys != start+2*manifests.Day {
		t.Fatal(l, err)
	}
	for day, want := range []error{nil, nil, ErrLapsed} {
		if _, err := v.Unlock(m); !errors.Is(err, want) {
			t.Errorf("day %d: %v", day, err)
		}
		v.clock.pass(manifests.Day)
	}
	if got := v.store.keys(); len(got) != 0 {
		t.Errorf("keys %v left", got)
	}
}

func TestGraceAcrossAPeriod(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	m := d.publish()
	if _, err := v.Import(d.file(d.grant(v.id, Terms{From: start, Until: start + manifests.Day, Grace: 50}), v.id)); err != nil {
		t.Fatal(err)
	}
	v.clock.pass(manifests.Day + 49)
	if _, err := v.Unlock(m); err != nil {
		t.Error("in the grace: ", err)
	}
	v.clock.pass(1)
	_, err := v.Unlock(m)
	wantErr(t, "after the grace", err, ErrLapsed)
}

func TestLeaseThatBeginsLater(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	m := d.publish()
	v.lease(d, start+100, start+manifests.Day)
	_, err := v.Unlock(m)
	wantErr(t, "before the lease", err, ErrNotYet)
	v.clock.pass(100)
	if _, err := v.Unlock(m); err != nil {
		t.Error(err)
	}
	// Later than the window: a grant without keys.
	w := newVenue(t)
	l := w.lease(d, start+60*manifests.Day, start+90*manifests.Day)
	if l.Grant.Win != nil || l.Keys != 0 {
		t.Errorf("keys until %d", l.Keys)
	}
	_, err = w.Unlock(m)
	wantErr(t, "without keys", err, ErrNotYet)
}

func TestManifestsLocksEnd(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	m := d.publish()
	d.now += 30 * manifests.Day // granted later, so that keys outlast the locks
	v.clock.pass(30 * manifests.Day)
	v.lease(d, d.now, d.now+40*manifests.Day)
	v.clock.pass(15*manifests.Day + manifests.Day - 1)
	if _, err := v.Unlock(m); err != nil {
		t.Error("in the last lock's period: ", err)
	}
	v.clock.pass(1)
	_, err := v.Unlock(m)
	wantErr(t, "after the last lock", err, ErrLapsed)
	d.now = v.clock.wall
	if _, err := v.Unlock(d.publish()); err != nil {
		t.Error("a fresh manifest: ", err)
	}
}

func TestRevokedByANewGeneration(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	d.addTrack("one")
	old := d.publish()
	v.lease(d, start, start+30*manifests.Day)
	d.sel.Gen, d.sel.R = 2, seal.NewKey()
	m := d.publish()
	_, err := v.Unlock(m)
	wantErr(t, "the next generation", err, ErrRevoked)
	if _, err := v.Unlock(old); err != nil {
		t.Error("the old one, still in use: ", err)
	}
}

func TestGrantForAnotherDevice(t *testing.T) {
	d, v, w := newDJ(t, 0), newVenue(t), newVenue(t)
	d.addTrack("one")
	_, err := w.Import(d.file(d.grant(v.id, Terms{From: start, Until: start + 100}), v.id))
	wantErr(t, "sealed to another", err, ErrNotYours)
	// The other device hands its grant on, sealed anew.
	g := d.grant(v.id, Terms{From: start, Until: start + 100})
	_, err = w.Import(d.file(g, w.id))
	wantErr(t, "addressed to another", err, ErrNotYours)
	// The device's signing key, another X-Wing key.
	id := w.id
	if id.Open, err = seal.NewXWing(); err != nil {
		t.Fatal(err)
	}
	_, err = w.Import(d.file(d.grant(id, Terms{From: start, Until: start + 100}), w.id))
	wantErr(t, "another pkh", err, ErrNotYours)
	// Another signing key, the device's own X-Wing key.
	id = w.id
	id.Sign = v.id.Sign
	_, err = w.Import(d.file(d.grant(id, Terms{From: start, Until: start + 100}), w.id))
	wantErr(t, "another dev", err, ErrNotYours)
	if len(w.store.rows) != 0 {
		t.Error("a refused grant left rows behind")
	}
}

// A DJ's own signature does not make a grant whole that breaks the rules.
func TestGrantsOfAMaliciousDJ(t *testing.T) {
	d, v, other := newDJ(t, manifests.Day), newVenue(t), newDJ(t, manifests.Day)
	sign := func(g *manifests.Delivery, change func(*manifests.Grant)) {
		t.Helper()
		gr, err := manifests.DecodeGrant(g.Grant.Payload.Data)
		if err != nil {
			t.Fatal(err)
		}
		change(gr)
		gr.KC = commit(g.Mbox, g.Keys)
		payload, err := gr.Encode()
		if err == nil {
			g.Grant, err = manifests.Sign(manifests.TypeGrant, payload, d.pub.Private())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*manifests.Delivery){
		"a key more than periods":  func(g *manifests.Delivery) { g.Keys = append(g.Keys, manifests.PeriodKey{1}) },
		"a key fewer than periods": func(g *manifests.Delivery) { g.Keys = g.Keys[1:] },
	} {
		g := d.grant(v.id, Terms{From: start, Until: start + 5*manifests.Day})
		change(g)
		sign(g, func(*manifests.Grant) {})
		_, err := v.Import(d.file(g, v.id))
		wantErr(t, name, err, ErrRefused)
	}
	// A file that says one DJ, with roots and a grant of another.
	g := other.grant(v.id, Terms{From: start, Until: start + 100})
	plain, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f := manifests.GrantFile{DJ: d.chain.DJ()}
	if f.Blob.Enc, f.Blob.CT, err = seal.SealTo(v.id.Open.Public(), grantInfo(f.DJ, v.id.Sign.Public()), seal.Pad(plain, filePad)); err != nil {
		t.Fatal(err)
	}
	b, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Import(b)
	wantErr(t, "another DJ's file", err, ErrRefused)
	if len(v.store.rows) != 0 || len(v.Leases()) != 0 {
		t.Error("a refused grant left something behind")
	}
}

func TestGrantThatEndedIsNotTakenIn(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	file := d.file(d.grant(v.id, Terms{From: start, Until: start + 100}), v.id)
	v.clock.pass(100)
	_, err := v.Import(file)
	wantErr(t, "at its end", err, ErrLapsed)
	if len(v.store.rows) != 0 || len(v.Leases()) != 0 {
		t.Error("it left something behind")
	}
}

func TestGrantResealedWithOtherSecrets(t *testing.T) {
	d, v, thief := newDJ(t, 0), newVenue(t), newDJ(t, 0)
	other := d.grant(v.id, Terms{From: start, Until: start + 1000})
	for name, change := range map[string]func(*manifests.Delivery){
		"other keys":           func(g *manifests.Delivery) { g.Keys[0][0] ^= 1 },
		"other mailbox":        func(g *manifests.Delivery) { g.Mbox[0] ^= 1 },
		"a key too many":       func(g *manifests.Delivery) { g.Keys = append(g.Keys, manifests.PeriodKey{}) },
		"a key too few":        func(g *manifests.Delivery) { g.Keys = g.Keys[1:] },
		"another grant's":      func(g *manifests.Delivery) { g.Keys, g.Mbox = other.Keys, other.Mbox },
		"another DJ's roots":   func(g *manifests.Delivery) { g.Roots = thief.roots },
		"no roots' name":       func(g *manifests.Delivery) { g.Name = thief.name },
		"another DJ's grant":   func(g *manifests.Delivery) { g.Grant = thief.grant(v.id, Terms{From: start, Until: start + 9}).Grant },
		"payload of another":   func(g *manifests.Delivery) { g.Grant.Payload = other.Grant.Payload },
		"envelope of a device": func(g *manifests.Delivery) { g.Grant, _ = v.id.Record() },
	} {
		g := d.grant(v.id, Terms{From: start, Until: start + 20*manifests.Week})
		change(g)
		_, err := v.Import(d.file(g, v.id))
		wantErr(t, name, err, ErrRefused)
	}
	// Bytes of the file itself.
	f := d.file(other, v.id)
	for _, i := range []int{0, 1, 5, len(f) - 1, len(f) / 2} {
		bad := slices.Clone(f)
		bad[i] ^= 1
		if _, err := v.Import(bad); err == nil {
			t.Errorf("byte %d changed: accepted", i)
		}
	}
	// Padding that is not zero, or longer than it need be.
	plain, err := other.Encode()
	if err != nil {
		t.Fatal(err)
	}
	gf := manifests.GrantFile{DJ: d.chain.DJ()}
	for name, padded := range map[string][]byte{
		"not zero": func() []byte { p := seal.Pad(plain, filePad); p[len(p)-1] = 1; return p }(),
		"too long": append(seal.Pad(plain, filePad), make([]byte, filePad)...),
		"odd":      seal.Pad(plain, 1000),
	} {
		gf.Blob.Enc, gf.Blob.CT, err = seal.SealTo(v.id.Open.Public(), grantInfo(gf.DJ, v.id.Sign.Public()), padded)
		if err != nil {
			t.Fatal(err)
		}
		b, err := gf.Encode()
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Import(b)
		wantErr(t, "padding "+name, err, ErrRefused)
	}
	if len(v.store.rows) != 0 {
		t.Error("a refused grant left rows behind")
	}
}

func TestHighestGrantCounts(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	l := v.lease(d, start, start+100)
	id := l.ID
	second := d.file(d.grant(v.id, Terms{From: start, Until: start + 200, Lease: id, N: 1}), v.id)
	for range 2 { // twice the same is once
		if l, err := v.Import(second); err != nil || l.Until != start+200 {
			t.Fatal(l, err)
		}
	}
	_, err := v.Import(d.file(d.grant(v.id, Terms{From: start, Until: start + 300, Lease: id, N: 0}), v.id))
	wantErr(t, "a lower n", err, ErrOld)
	_, err = v.Import(d.file(d.grant(v.id, Terms{From: start, Until: start + 300, Lease: id, N: 1}), v.id))
	wantErr(t, "an equal n with other terms", err, ErrRefused)
	if ls := v.Leases(); len(ls) != 1 || ls[0].Until != start+200 {
		t.Errorf("leases %+v", ls)
	}
}

func TestCopiedBytesOpenNothingOfAnotherDJ(t *testing.T) {
	a, b, v := newDJ(t, 0), newDJ(t, 0), newVenue(t)
	a.addTrack("one")
	v.lease(a, start, start+manifests.Week)
	m := a.publish()
	copied := *m
	copied.DJ = b.chain.DJ()
	got, _ := b.sign(&copied)
	_, err := v.Unlock(got)
	wantErr(t, "B's copy of A's manifest", err, ErrNoLease)
	// Even with a grant of B's whose gid, generation and selection are A's:
	// the lock is bound to A.
	b.sel.Sel, b.sel.R = a.sel.Sel, a.sel.R
	v.lease(b, start, start+manifests.Week)
	copied.GID = b.sel.GID()
	got, _ = b.sign(&copied)
	_, err = v.Unlock(got)
	wantErr(t, "with A's R", err, ErrRefused)
	if _, err := v.Unlock(m); err != nil {
		t.Error("A's own: ", err)
	}
}

func TestLocksAndWrapsDoNotMove(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	d.addTrack("one")
	d.addTrack("two")
	v.lease(d, start, start+20*manifests.Day)
	m := d.publish()
	for name, change := range map[string]func(*manifests.Manifest){
		"index":     func(m *manifests.Manifest) { m.Lock[0] = m.Lock[1] },
		"rid":       func(m *manifests.Manifest) { m.RID[0] ^= 1 },
		"seq":       func(m *manifests.Manifest) { m.Seq++ },
		"one flip":  func(m *manifests.Manifest) { m.Lock[0][47] ^= 1 },
		"live lock": func(m *manifests.Manifest) { m.Lock[0] = liveLock(d, m) },
	} {
		bad := *m
		bad.Lock = slices.Clone(m.Lock)
		change(&bad)
		signed, _ := d.sign(&bad)
		_, err := v.Unlock(signed)
		wantErr(t, name, err, ErrRefused)
	}
	u, err := v.Unlock(m)
	if err != nil {
		t.Fatal(err)
	}
	e := d.entries(m)
	e[0].Wrap, e[1].Wrap = e[1].Wrap, e[0].Wrap
	for i := range e {
		_, err := u.FileKey(e[i])
		wantErr(t, "wraps exchanged", err, ErrRefused)
	}
	other := newDJ(t, manifests.Day)
	for name, k := range map[string][2]seal.Key{
		"sel":       {periodKey(d.sel.R, d.sel.DJ, d.sel.Sel, 1, 86400, 1), periodKey(d.sel.R, d.sel.DJ, other.sel.Sel, 1, 86400, 1)},
		"dj":        {periodKey(d.sel.R, d.sel.DJ, d.sel.Sel, 1, 86400, 1), periodKey(d.sel.R, other.sel.DJ, d.sel.Sel, 1, 86400, 1)},
		"gen":       {periodKey(d.sel.R, d.sel.DJ, d.sel.Sel, 1, 86400, 1), periodKey(d.sel.R, d.sel.DJ, d.sel.Sel, 256, 86400, 1)},
		"unit":      {periodKey(d.sel.R, d.sel.DJ, d.sel.Sel, 1, 86400, 1), periodKey(d.sel.R, d.sel.DJ, d.sel.Sel, 1, 604800, 1)},
		"p 1 / 256": {periodKey(d.sel.R, d.sel.DJ, d.sel.Sel, 1, 86400, 1), periodKey(d.sel.R, d.sel.DJ, d.sel.Sel, 1, 86400, 256)},
	} {
		if k[0].Equal(k[1]) {
			t.Errorf("one period key across %s", name)
		}
	}
}

// liveLock is MK sealed as a live record would seal LK.
func liveLock(d *testDJ, m *manifests.Manifest) manifests.Lock {
	kp := periodKey(d.sel.R, d.sel.DJ, d.sel.Sel, m.Gen, m.Unit, m.Cur)
	aad := seal.CTX(seal.LiveLock, m.DJ[:], m.Sel[:], make([]byte, 16), seal.U64(m.Gen), seal.U64(uint64(m.Unit)), seal.U64(m.Cur))
	return manifests.Lock(seal.SealOnce(kp.Derive(seal.LiveLock, m.RID[:]), d.sel.MK[:], aad))
}

func TestFailedWriteKeepsNothing(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	d.addTrack("one")
	m := d.publish()
	v.store.fail = errors.New("disk full")
	if _, err := v.Import(d.file(d.grant(v.id, Terms{From: start, Until: start + 100}), v.id)); !errors.Is(err, v.store.fail) {
		t.Fatal(err)
	}
	v.store.fail = nil
	if len(v.Leases()) != 0 {
		t.Error("a lease that is not on disk")
	}
	_, err := v.Unlock(m)
	wantErr(t, "after a failed import", err, ErrNoLease)
}

func TestSecretsDoNotPrint(t *testing.T) {
	d, v := newDJ(t, 0), newVenue(t)
	d.addTrack("one")
	m := d.publish()
	v.lease(d, start, start+100)
	u, err := v.Unlock(m)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := seal.NewArchive()
	if err != nil {
		t.Fatal(err)
	}
	g := d.grant(v.id, Terms{From: start, Until: start + 100})
	secrets := [][]byte{d.sel.R[:], d.sel.MK[:], d.order[0].Key[:], g.Keys[0][:], g.Mbox[:], d.pub.Private().Seed()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
		for _, x := range []any{d.sel, &d.sel, d.order, u, g, *g, d.pub, v.id, archive, archive.Reveal} {
			s := fmt.Sprintf(verb, x)
			for _, k := range secrets {
				for _, form := range []string{string(k), fmt.Sprintf("%x", k), fmt.Sprintf("%X", k), fmt.Sprint(k), fmt.Sprint(k[:4])[1:9]} {
					if form != "" && len(form) > 8 && strings.Contains(s, form) {
						t.Errorf("%T with %s prints a key", x, verb)
					}
				}
			}
		}
	}
	if _, err := d.sel.R.MarshalText(); err == nil {
		t.Error("a key marshals")
	}
}
