package publisher

import (
	"errors"
	"testing"
	"time"

	"playnode/lease"
	"playnode/manifests"
)

const day = 24 * time.Hour

func (w *world) mustGrant(p *Publisher, v venue, length time.Duration) Granted {
	w.t.Helper()
	g, err := p.Grant(w.t.Context(), Terms{Playlist: "main", Device: v.device, For: length})
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// receive has a venue take in the newest version, as a follower does.
func (w *world) receive(p *Publisher, v venue) (m *manifests.Manifest, got, revoked []lease.Lease) {
	w.t.Helper()
	c := w.read(p)
	m = c.manifests[0]
	var shards [][]byte
	for _, b := range m.Boxes {
		shards = append(shards, w.blocks[b])
	}
	got, err := v.Receive(c.chain, m, shards)
	if err == nil {
		revoked, err = v.Settle(m)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return m, got, revoked
}

func TestALeaseLivesByMailbox(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, data := album(t, 1)
	mustPublish(t, p, paths, Options{Playlist: "main"})
	a, b := w.venue(), w.venue()
	ga, gb := w.mustGrant(p, a, day), w.mustGrant(p, b, 30*day)
	m, got, _ := w.receive(p, a)
	if len(got) != 1 || got[0].ID != ga.ID || got[0].Name != p.cfg.Keys.Name() {
		t.Fatalf("by mailbox: %v", got)
	}
	if sound, _ := w.hear(a, m); string(sound[0]) != string(data[0]) {
		t.Error("another sound")
	}
	w.receive(p, b)

	// Renewed before its end: from the end on. After it: from now on.
	r, err := p.Renew(t.Context(), []manifests.LeaseID{ga.ID, gb.ID}, 10*day)
	if err != nil || len(r) != 2 || r[0].ID != ga.ID || r[0].Until != ga.Until+int64(10*day/time.Second) {
		t.Fatalf("%+v, %v", r, err)
	}
	head := w.read(p).head.Seq
	if _, got, _ := w.receive(p, a); len(got) != 1 || got[0].Until != r[0].Until || got[0].Grant.N != 1 {
		t.Errorf("renewed: %+v", got)
	}
	if l, err := b.Import(r[1].File); err != nil || l.Until != r[1].Until {
		t.Errorf("renewed by file: %v, %v", l, err)
	}
	if _, got, _ := w.receive(p, b); len(got) != 1 || got[0].Grant.NonceID != mustGrantOf(t, b).NonceID {
		t.Error("mailbox and file hold two grants")
	}
	w.now = w.now.Add(20 * day)
	p = w.start()
	mustPublish(t, p, nil, Options{})
	if m, _, _ := w.receive(p, a); m.Cur == 0 {
		t.Error("no manifest")
	}
	if _, err := a.Unlock(w.read(p).manifests[0]); !errors.Is(err, lease.ErrLapsed) {
		t.Errorf("lapsed: %v", err)
	}
	if r, err = p.Renew(t.Context(), []manifests.LeaseID{ga.ID}, day); err != nil || r[0].Until != w.now.Unix()+86400 {
		t.Errorf("renewed after its end: %+v, %v", r, err)
	}
	m, _, _ = w.receive(p, a)
	w.hear(a, m)

	// Revoked: the other one goes on.
	if _, err := p.Revoke(t.Context(), []manifests.LeaseID{ga.ID}); err != nil {
		t.Fatal(err)
	}
	m, _, gone := w.receive(p, a)
	if len(gone) != 1 || gone[0].ID != ga.ID {
		t.Errorf("revoked: %v", gone)
	}
	if _, err := a.Unlock(m); !errors.Is(err, lease.ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	m, _, gone = w.receive(p, b)
	if gone != nil {
		t.Error("the other lease went too")
	}
	w.hear(b, m)
	if got := w.read(p).head.Seq - head; got != 3 {
		t.Errorf("%d versions for a rotation, a renewal and a revocation", got)
	}
	for _, l := range mustLeases(t, w.start()) {
		if l.Revoked != (l.ID == ga.ID) {
			t.Errorf("after a restart: %+v", l)
		}
	}
	if _, err := p.Renew(t.Context(), []manifests.LeaseID{ga.ID}, day); !errors.Is(err, ErrTerms) {
		t.Errorf("a revoked lease renewed: %v", err)
	}
	if _, err := p.Revoke(t.Context(), []manifests.LeaseID{{1}}); !errors.Is(err, ErrNoSuchLease) {
		t.Errorf("a stranger's lease: %v", err)
	}
	again := w.mustGrant(p, a, day)
	if again.ID == ga.ID {
		t.Error("a new lease under the old id")
	}
	m, _, _ = w.receive(p, a)
	w.hear(a, m)
}

func mustGrantOf(t *testing.T, v venue) manifests.Grant {
	t.Helper()
	ls := v.Leases()
	if len(ls) != 1 {
		t.Fatalf("%d leases", len(ls))
	}
	return ls[0].Grant
}

func mustLeases(t *testing.T, p *Publisher) []Lease {
	t.Helper()
	ls, err := p.Leases()
	if err != nil {
		t.Fatal(err)
	}
	return ls
}

// A year's lease over 60 days: publish alone turns the keys over, each week,
// and the venue has music all the time while the DJ is away no longer than a
// manifest's locks last.
func TestRotationOverSixtyDays(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 1)
	mustPublish(t, p, paths, Options{Playlist: "main"})
	v := w.venue()
	w.mustGrant(p, v, 365*day)
	m, _, _ := w.receive(p, v)
	var n uint64
	for d := range 60 {
		if d < 8 || d > 50 { // in between she is away, for 43 days
			p = w.start()
			mustPublish(t, p, nil, Options{})
			m, _, _ = w.receive(p, v)
		}
		w.hear(v, m)
		g := mustGrantOf(t, v)
		if g.Keys() > 8 {
			t.Fatalf("day %d: %d weeks' keys", d, g.Keys())
		}
		if g.N < n {
			t.Fatalf("day %d: grant %d after %d", d, g.N, n)
		}
		n = g.N
		w.now = w.now.Add(day)
	}
	if n != 3 {
		t.Errorf("grant %d after 60 days", n)
	}
	w.now = w.now.Add(46 * day)
	if _, err := v.Unlock(m); err != nil {
		t.Errorf("46 days after: %v", err)
	}
	w.now = w.now.Add(14 * day)
	if _, err := v.Unlock(m); !errors.Is(err, lease.ErrLapsed) {
		t.Errorf("60 days after: %v", err)
	}
}

// A kill at any write of a revocation leaves a lease either as it was or
// revoked; and what it left behind can be done again.
func TestRevocationSurvivesAKill(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	for _, lands := range []bool{false, true} {
		for at := 1; ; at++ {
			w := newWorld(t)
			p := w.start()
			paths, _ := album(t, 1)
			mustPublish(t, p, paths, Options{Playlist: "main"})
			a, b := w.venue(), w.venue()
			g := w.mustGrant(p, a, 30*day)
			w.mustGrant(p, b, 30*day)
			for _, v := range []venue{a, b} {
				w.receive(p, v)
			}
			w.mu.Lock()
			w.killAt, w.lands = w.writes+at, lands
			w.mu.Unlock()
			_, err := p.Revoke(t.Context(), []manifests.LeaseID{g.ID})
			died := w.dead
			if !died && err != nil {
				t.Fatal(err)
			}
			p = w.start()
			mustPublish(t, p, nil, Options{})
			_, _, gone := w.receive(p, a)
			for _, l := range mustLeases(t, p) {
				if l.ID == g.ID && l.Revoked != (len(gone) == 1) {
					t.Errorf("killed at write %d: the DJ says revoked is %v, the venue found %v", at, l.Revoked, gone)
				}
			}
			if _, err := p.Revoke(t.Context(), []manifests.LeaseID{g.ID}); err != nil {
				t.Fatal(err)
			}
			m, _, _ := w.receive(p, a)
			if _, err := a.Unlock(m); !errors.Is(err, lease.ErrRevoked) {
				t.Errorf("killed at write %d: %v", at, err)
			}
			m, _, _ = w.receive(p, b)
			w.hear(b, m)
			if !died {
				if at < 4 {
					t.Errorf("a revocation is %d writes", at-1)
				}
				break
			}
		}
	}
}
