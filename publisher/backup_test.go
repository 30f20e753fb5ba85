package publisher

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"playnode/internal/seal"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
)

const phrase = "correct horse battery staple"

// found is what a follower of the DJ's own name would report.
func (w *world) found(p *Publisher) *Known {
	w.t.Helper()
	c := w.read(p)
	rec, err := w.Newest(ipns.Name(p.cfg.Keys.Name()))
	if err != nil {
		w.t.Fatal(err)
	}
	f := &Known{Chain: c.chain, Head: c.head, HeadDigest: manifests.Digest(w.signedAt(rec.Value).Payload.CID)}
	for i, m := range c.manifests {
		var boxes [][]byte
		for _, b := range m.Boxes {
			boxes = append(boxes, w.blocks[b])
		}
		f.Manifests = append(f.Manifests, KnownManifest{m, manifests.Digest(c.signed[i].Payload.CID), boxes})
	}
	return f
}

// lose takes the laptop away, and restores a backup on another one, whose
// name and blocks the network still has.
func (w *world) lose(b []byte) *Publisher {
	w.t.Helper()
	clear(w.rows)
	clear(w.keys)
	w.start() // it makes keys of its own
	if err := Restore(bytes.NewReader(b), phrase, table{w, w.keys}, table{w, w.rows}); err != nil {
		w.t.Fatal(err)
	}
	return w.start()
}

func TestALostLaptopIsRecovered(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	w := newWorld(t)
	p := w.start()
	paths, data := album(t, 2)
	mustPublish(t, p, paths[:1], Options{Playlist: "main"})
	a, b, c := w.venue(), w.venue(), w.venue()
	ga, gb := w.mustGrant(p, a, 30*day), w.mustGrant(p, b, 30*day)
	for _, v := range []venue{a, b} {
		w.receive(p, v)
	}
	var file bytes.Buffer
	if err := p.Backup(&file, phrase, table{w, w.keys}); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(file.Bytes(), []byte("pnsign1")) {
		t.Error("keys in clear")
	}
	// After the backup: b is revoked, a renewed, c granted, a track added.
	dj := p.cfg.Keys.DJ()
	if _, err := p.Revoke(t.Context(), []manifests.LeaseID{gb.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Renew(t.Context(), []manifests.LeaseID{ga.ID}, 30*day); err != nil {
		t.Fatal(err)
	}
	gc := w.mustGrant(p, c, 30*day)
	mustPublish(t, p, paths[1:], Options{Playlist: "main"})
	for _, v := range []venue{a, b, c} {
		w.receive(p, v)
	}
	before := w.read(p)

	p = w.lose(file.Bytes())
	if p.cfg.Keys.DJ() != dj {
		t.Fatal("another DJ")
	}
	if _, err := p.Publish(t.Context(), nil, Options{}); !errors.Is(err, ErrRestored) {
		t.Fatalf("signed before what was published was found: %v", err)
	}
	adopted, err := p.Adopt(w.found(p))
	if err != nil || len(adopted.Lost) != 1 || adopted.Lost[0].ID != gb.ID || len(adopted.Kept) != 1 || adopted.Kept[0].ID != ga.ID || adopted.At != w.now {
		t.Fatalf("adopted %+v, %v", adopted, err)
	}
	mustPublish(t, p, paths[1:], Options{Playlist: "main"})
	after := w.read(p)
	old, m := before.manifests[0], after.manifests[0]
	if after.head.Seq != before.head.Seq+1 || m.Seq != old.Seq+1 || m.Gen != old.Gen+1 || m.GID == old.GID || *m.Prev != manifests.Digest(before.signed[0].Payload.CID) {
		t.Errorf("head %d after %d, revision %d.%d after %d.%d", after.head.Seq, before.head.Seq, m.Gen, m.Seq, old.Gen, old.Seq)
	}
	m, got, gone := w.receive(p, a)
	if len(got) != 1 || gone != nil {
		t.Fatalf("the lease of before: %v, %v", got, gone)
	}
	sound, _ := w.hear(a, m)
	if !slices.EqualFunc(sound, data, bytes.Equal) {
		t.Error("the sound is another")
	}
	if _, _, gone := w.receive(p, b); len(gone) != 0 {
		t.Errorf("revoked twice: %v", gone)
	}
	if _, err := b.Unlock(m); !errors.Is(err, lease.ErrRevoked) {
		t.Errorf("an older backup revived a revoked device: %v", err)
	}
	if _, _, gone := w.receive(p, c); len(gone) != 1 || gone[0].ID != gc.ID {
		t.Errorf("a lease newer than the backup: %v", gone)
	}
	if waiting, err := w.start().Restored(); err != nil || waiting {
		t.Error("it waits still", err)
	}
	if a, err := p.Adopt(w.found(p)); err != nil || len(a.Lost)+len(a.Kept) > 0 {
		t.Errorf("adopted twice: %+v, %v", a, err)
	}
}

func TestRestoreAsNothingWasPublishedSince(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 1)
	mustPublish(t, p, paths, Options{Playlist: "main"})
	v := w.venue()
	w.mustGrant(p, v, 30*day)
	w.receive(p, v)
	var file bytes.Buffer
	if err := p.Backup(&file, phrase, table{w, w.keys}); err != nil {
		t.Fatal(err)
	}
	p = w.lose(file.Bytes())
	was := w.records[ipns.Name(p.cfg.Keys.Name())].Seq
	clear(w.records) // and nobody tells of the name
	if a, err := p.Adopt(nil); err != nil || len(a.Lost)+len(a.Kept) > 0 {
		t.Fatal(a, err)
	}
	mustPublish(t, p, nil, Options{})
	for _, n := range p.cfg.Keys.Names() {
		if r := w.records[ipns.Name(n)]; r.Seq <= was {
			t.Errorf("record %d of %s after %d", r.Seq, n, was)
		}
	}
	m, got, _ := w.receive(p, v)
	if len(got) != 1 || m.Gen != 2 {
		t.Errorf("generation %d, %v", m.Gen, got)
	}
	w.hear(v, m)
}

func TestRestoreRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 1)
	var file bytes.Buffer
	if err := p.Backup(&file, phrase, table{w, w.keys}); err != nil {
		t.Fatal(err)
	}
	b := file.Bytes()
	fresh := newWorld(t)
	q := fresh.start()
	keys, rows := table{fresh, fresh.keys}, table{fresh, fresh.rows}
	if err := Restore(bytes.NewReader(b), "another", keys, rows); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("another passphrase: %v", err)
	}
	bad := bytes.Clone(b)
	bad[len(bad)-1] ^= 1
	if err := Restore(bytes.NewReader(bad), phrase, keys, rows); err == nil {
		t.Error("damaged")
	}
	if len(fresh.rows) != 0 || fresh.start().cfg.Keys.DJ() != q.cfg.Keys.DJ() {
		t.Error("a failed restore changed something")
	}
	mustPublish(t, q, paths, Options{Playlist: "main"})
	if err := Restore(bytes.NewReader(b), phrase, keys, rows); !errors.Is(err, ErrInUse) {
		t.Errorf("over a catalogue: %v", err)
	}
}

// What was renewed after the backup, and has ended by what the backup says,
// is told apart from what merely ended.
func TestRestoreTellsOfRenewals(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 1)
	mustPublish(t, p, paths, Options{Playlist: "main"})
	a, b := w.venue(), w.venue()
	ga := w.mustGrant(p, a, 2*day)
	w.mustGrant(p, b, 2*day)
	var file bytes.Buffer
	if err := p.Backup(&file, phrase, table{w, w.keys}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Renew(t.Context(), []manifests.LeaseID{ga.ID}, 30*day); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(8 * day) // b has no mailbox any more
	mustPublish(t, p, nil, Options{})
	found := w.found(p)
	p = w.lose(file.Bytes())
	got, err := p.Adopt(found)
	if err != nil || len(got.Ended) != 1 || got.Ended[0].ID != ga.ID || len(got.Kept)+len(got.Lost) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
