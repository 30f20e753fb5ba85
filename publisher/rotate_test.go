package publisher

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"testing"

	"filippo.io/age"
	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
)

// thief is what was copied from the DJ's laptop.
func (w *world) thief(p *Publisher) *Publisher {
	w.t.Helper()
	c := newWorld(w.t)
	c.now, c.blocks, c.records = w.now, w.blocks, w.records
	for k, v := range w.rows {
		c.rows[k] = bytes.Clone(v)
	}
	for k, v := range w.keys {
		c.keys[k] = bytes.Clone(v)
	}
	return c.start()
}

func mustRotate(t *testing.T, w *world, p *Publisher, o NewRoot) Rotated {
	t.Helper()
	r, err := p.Rotate(t.Context(), table{w, w.keys}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A publisher key is stolen, and its thief goes as far as records allow; the
// new root makes all of it worthless, and the venues play on.
func TestRotate(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, data := album(t, 2)
	mustPublish(t, p, paths[:1], Options{Playlist: "main"})
	a, b := w.venue(), w.venue()
	ga := w.mustGrant(p, a, 30*day)
	gb := w.mustGrant(p, b, 30*day)
	if _, err := p.Renew(t.Context(), []manifests.LeaseID{gb.ID}, day); err != nil {
		t.Fatal(err)
	}
	for _, v := range []venue{a, b} {
		w.receive(p, v)
	}
	if _, err := p.SetOffer(t.Context(), OfferTerms{Playlist: "main", Price: manifests.Price{Amount: 5, Currency: "EUR"}, Per: day}); err != nil {
		t.Fatal(err)
	}
	old := w.read(p)
	oldKeys, oldArchive := p.cfg.Keys.ring.Load(), p.cfg.Keys.archive()
	thief := w.thief(p)

	r := mustRotate(t, w, p, NewRoot{})
	if r.RootN != 2 || r.Seq != 1 || r.Leases != 2 {
		t.Errorf("%+v", r)
	}
	c := w.read(p)
	m, was := c.manifests[0], old.manifests[0]
	root := c.chain.Newest()
	if root.N != 2 || root.Thr != 1 || root.Keys[0] == old.chain.Newest().Keys[0] || root.Pub[0].K == old.chain.Newest().Pub[0].K || len(root.Pub) != 1 ||
		root.Req == old.chain.Newest().Req || root.Names != old.chain.Newest().Names || root.LeastGen(m.Sel) != was.Gen+1 {
		t.Errorf("root %+v", root)
	}
	if c.head.Seq != 1 || m.Seq != 1 || m.Prev != nil || c.head.Prev != nil || m.Gen != was.Gen+1 || m.GID == was.GID || m.RID == was.RID {
		t.Errorf("head %d, revision %d, generation %d after %d", c.head.Seq, m.Seq, m.Gen, was.Gen)
	}
	for _, box := range m.Boxes {
		if slices.Contains(was.Boxes, box) {
			t.Error("a shard of mailboxes was not sealed anew")
		}
	}
	// The mailboxes are others, and each venue finds its own by trying.
	for _, v := range []venue{a, b} {
		for _, l := range v.Leases() {
			row := w.mustLease(p, l.ID)
			if in, err := lease.Carried(manifests.MailboxKey(row.Mbox), m, [][]byte{w.blocks[m.Boxes[0]]}); err != nil || !in {
				t.Errorf("lease %s has no mailbox: %v", l.ID, err)
			}
		}
		_, got, gone := w.receive(p, v)
		if len(got) != 1 || len(gone) != 0 || got[0].Grant.RootN != 2 {
			t.Fatalf("got %v, lost %v", got, gone)
		}
	}
	if in, _ := lease.Carried(oldMbox(t, thief, ga.ID), m, [][]byte{w.blocks[m.Boxes[0]]}); in {
		t.Error("a mailbox key that the thief has names a mailbox")
	}
	mustPublish(t, p, paths[1:], Options{Playlist: "main"})
	m, _, _ = w.receive(p, a)
	sound, _ := w.hear(a, m)
	if !slices.EqualFunc(sound, data, bytes.Equal) {
		t.Error("the sound is another")
	}

	// What the thief signs now holds under no newest root.
	for name, s := range map[string]manifests.Signed{
		"head": w.signedAt(mustPublish(t, thief, paths[1:], Options{Playlist: "main"}).Head),
		"manifest": w.forged(t, oldKeys.publisher, was, func(m *manifests.Manifest) {
			m.Seq, m.Gen, m.RootN = manifests.MaxInt, manifests.MaxInt, manifests.MaxInt
		}),
		"mimicry": w.forged(t, oldKeys.publisher, was, func(m *manifests.Manifest) { m.Seq, m.Gen, m.RootN = 9, 9, 2 }),
	} {
		open := func() error { _, err := c.chain.OpenManifest(s); return err }
		if name == "head" {
			open = func() error { _, err := c.chain.OpenHead(s); return err }
		}
		if err := open(); !errors.Is(err, manifests.ErrUnauthorised) {
			t.Errorf("%s of the thief's: %v", name, err)
		}
	}
	theirs, err := thief.Grant(t.Context(), Terms{Playlist: "main", Device: b.device, For: 365 * day})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Import(theirs.File); !errors.Is(err, lease.ErrRefused) {
		t.Errorf("a grant of the thief's: %v", err)
	}
	// Nor does his second root 2, made with the root key that was here.
	if _, err := thief.Rotate(t.Context(), table{newWorld(t), map[string][]byte{}}, NewRoot{}); err != nil {
		t.Fatal(err)
	}
	if _, err := thief.cfg.Keys.chain().Follows(c.chain); !errors.Is(err, manifests.ErrFork) {
		t.Errorf("a second root 2: %v", err)
	}
	if err := b.Accept(thief.cfg.Keys.chain(), w.now.Unix()); !errors.Is(err, lease.ErrRefused) {
		t.Errorf("a second root 2, by a venue: %v", err)
	}
	if err := b.Accept(old.chain, w.now.Unix()); !errors.Is(err, lease.ErrRefused) {
		t.Errorf("the former root, by a venue: %v", err)
	}

	// Both archive identities, in one file as stock age takes it, open every track.
	p = w.start()
	var file bytes.Buffer
	for _, x := range p.cfg.Keys.Archives() {
		io.WriteString(&file, x.Reveal()+"\n")
	}
	if as := p.cfg.Keys.Archives(); len(as) != 2 || as[1].Reveal() != oldArchive.Reveal() {
		t.Fatalf("%d archive identities", len(as))
	}
	ids, err := age.ParseIdentities(&file)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range w.mustList(p).cids() {
		var sealed bytes.Buffer
		(&blocks{held: w.blocks}).read(t, c, &sealed)
		if _, err := age.Decrypt(bytes.NewReader(sealed.Bytes()), ids...); err != nil {
			t.Errorf("track %d: %v", i, err)
		}
		if _, err := age.Decrypt(bytes.NewReader(sealed.Bytes()), ids[1]); (err == nil) != (i == 0) {
			t.Errorf("track %d by the identity that was stolen: %v", i, err)
		}
	}
	w.noReuse(p)
	offers, err := p.Offers()
	if err != nil || len(offers) != 1 || offers[0].RootN != 2 || offers[0].N != 2 {
		t.Errorf("offers %+v, %v", offers, err)
	}
}

func (w *world) mustLease(p *Publisher, id manifests.LeaseID) *leaseRow {
	w.t.Helper()
	rows, err := p.leases()
	if err != nil || rows[id] == nil {
		w.t.Fatal(err, rows[id])
	}
	return rows[id]
}

func (w *world) mustList(p *Publisher) Playlist {
	w.t.Helper()
	l, err := p.Playlist("main")
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (p Playlist) cids() (out []cid.Cid) {
	for _, t := range p.Tracks {
		out = append(out, t.CID)
	}
	return out
}

func oldMbox(t *testing.T, p *Publisher, id manifests.LeaseID) manifests.MailboxKey {
	rows, err := p.leases()
	if err != nil {
		t.Fatal(err)
	}
	return manifests.MailboxKey(rows[id].Mbox)
}

// forged is a manifest, edited, under a key that was stolen.
func (w *world) forged(t *testing.T, k seal.Signing, m *manifests.Manifest, edit func(*manifests.Manifest)) manifests.Signed {
	t.Helper()
	x := *m
	edit(&x)
	payload, err := x.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := manifests.Sign(manifests.TypeManifest, payload, k.Private())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A kill at any write of a rotation leaves the former root, or a new one that
// the next command finishes; a lease granted then is of the new root.
func TestRotateKilledAnywhere(t *testing.T) {
	paths, data := album(t, 1)
	prepare := func() (*world, *Publisher, venue) {
		w := newWorld(t)
		p := w.start()
		mustPublish(t, p, paths, Options{Playlist: "main"})
		v := w.venue()
		w.mustGrant(p, v, 30*day)
		w.receive(p, v)
		return w, p, v
	}
	whole, p, _ := prepare()
	begin := whole.writes
	mustRotate(t, whole, p, NewRoot{})
	if whole.writes-begin < 5 {
		t.Fatalf("%d writes", whole.writes-begin)
	}
	for k := 1; k <= whole.writes-begin; k++ {
		for _, lands := range []bool{false, true} {
			if testing.Short() && k%5 != 0 {
				continue
			}
			w, p, v := prepare()
			w.killAt, w.lands = w.writes+k, lands
			if _, err := p.Rotate(context.Background(), table{w, w.keys}, NewRoot{}); !errors.Is(err, errKilled) {
				t.Fatalf("write %d: %v", k, err)
			}
			p = w.start()
			n, _ := p.cfg.Keys.Roots()
			other := w.venue()
			g := w.mustGrant(p, other, day)
			if l, err := other.Import(g.File); err != nil || l.Grant.RootN != uint64(n) {
				t.Errorf("write %d: a grant under root %d: %v, %v", k, n, l.Grant.RootN, err)
			}
			m, _, gone := w.receive(p, v)
			if m.RootN != uint64(n) || len(gone) != 0 {
				t.Fatalf("write %d, %v: revision of root %d, the keys' is %d; lost %v", k, lands, m.RootN, n, gone)
			}
			for _, x := range []venue{v, other} {
				if sound, _ := w.hear(x, m); !bytes.Equal(sound[0], data[0]) {
					t.Error("the sound is another")
				}
			}
			w.noReuse(p)
		}
	}
}

// The root key leaves the laptop; all but a new root goes on without it.
func TestRootKeyElsewhere(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 2)
	mustPublish(t, p, paths[:1], Options{Playlist: "main"})
	keys := table{w, w.keys}
	var kept seal.Signing
	full := errors.New("the stick is full")
	if err := p.cfg.Keys.MoveRoot(keys, func(seal.Signing) error { return full }); !errors.Is(err, full) || w.keys[keyRoot] == nil {
		t.Fatalf("gone though it was not kept: %v", err)
	}
	if err := p.cfg.Keys.MoveRoot(keys, func(k seal.Signing) error { kept = k; return nil }); err != nil || w.keys[keyRoot] != nil {
		t.Fatalf("still here: %v", err)
	}
	if err := p.cfg.Keys.MoveRoot(keys, func(seal.Signing) error { return nil }); !errors.Is(err, ErrNoRoot) {
		t.Errorf("moved twice: %v", err)
	}
	for range 2 {
		if _, err := p.Rotate(t.Context(), keys, NewRoot{}); !errors.Is(err, ErrNoRoot) {
			t.Errorf("a root without its key: %v", err)
		}
		p = w.start()
	}
	mustPublish(t, p, paths[1:], Options{Playlist: "main"})
	v := w.venue()
	w.mustGrant(p, v, day)
	var file bytes.Buffer
	if err := p.Backup(&file, phrase, keys); err != nil {
		t.Fatal(err)
	}
	other, err := seal.NewSigning()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Rotate(t.Context(), keys, NewRoot{Root: &other}); !errors.Is(err, ErrNoRoot) {
		t.Errorf("another root key: %v", err)
	}
	if n, _ := p.cfg.Keys.Roots(); n != 1 {
		t.Fatalf("%d roots after refusals", n)
	}
	if r := mustRotate(t, w, p, NewRoot{Root: &kept}); r.RootN != 2 {
		t.Errorf("%+v", r)
	}
	if root := w.read(p).chain.Newest(); root.Keys[0] != kept.Public() {
		t.Error("the root key elsewhere is not the next root's")
	}
	if _, here := p.cfg.Keys.Roots(); here {
		t.Error("it came back")
	}

	// The laptop is lost after that; its backup knows root 1 alone. The root
	// key, and what was published, are enough.
	found := w.found(p)
	p = w.lose(file.Bytes())
	if n, here := p.cfg.Keys.Roots(); n != 1 || here {
		t.Fatalf("%d roots, key here: %v", n, here)
	}
	if _, err := p.Adopt(found); !errors.Is(err, ErrRestored) {
		t.Errorf("adopted what is under a root that is not here: %v", err)
	}
	if r := mustRotate(t, w, p, NewRoot{Root: &kept, Found: found}); r.RootN != 3 || r.Seq != 1 {
		t.Errorf("%+v", r)
	}
	if n := len(w.read(w.start()).chain.Signed()); n != 3 {
		t.Errorf("%d roots", n)
	}
}

// What a thief has published leaves no room above it: only a new root does.
func TestRestoreAfterATheft(t *testing.T) {
	if testing.Short() {
		t.Skip("one case after another: run whole without the race detector")
	}
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 1)
	mustPublish(t, p, paths, Options{Playlist: "main"})
	v := w.venue()
	g := w.mustGrant(p, v, 30*day)
	w.receive(p, v)
	var file bytes.Buffer
	if err := p.Backup(&file, phrase, table{w, w.keys}); err != nil {
		t.Fatal(err)
	}
	gen := w.read(p).manifests[0].Gen
	found := w.found(p)
	found.Head.Seq, found.Manifests[0].Manifest.Seq = manifests.MaxInt, manifests.MaxInt
	p = w.lose(file.Bytes())
	if _, err := p.Adopt(found); !errors.Is(err, ErrStolen) {
		t.Fatalf("went on above the last sequence: %v", err)
	}
	r := mustRotate(t, w, p, NewRoot{Found: found})
	if r.Seq != 1 || len(r.Kept) != 1 || r.Kept[0].ID != g.ID {
		t.Errorf("%+v", r)
	}
	if root := w.read(p).chain.Newest(); root.Gens[0].Gen != gen+1 {
		t.Errorf("least generation %d, hers was %d", root.Gens[0].Gen, gen)
	}
	m, got, _ := w.receive(p, v)
	if len(got) != 1 {
		t.Fatalf("%v", got)
	}
	w.hear(v, m)
}

// Two laptops with the same keys: whoever sees what the other has published
// says so, signs nothing beside it, and ends it with a new root.
func TestTwoLaptops(t *testing.T) {
	w := newWorld(t)
	p := w.start()
	paths, _ := album(t, 2)
	mustPublish(t, p, paths[:1], Options{Playlist: "main"})
	v := w.venue()
	g := w.mustGrant(p, v, 30*day)
	other := w.thief(p)
	read := func(_ context.Context, c cid.Cid) ([]byte, error) {
		if w.blocks[c] == nil {
			return nil, errors.New("nobody has it")
		}
		return w.blocks[c], nil
	}
	p.cfg.Read, other.cfg.Read = read, read
	mustPublish(t, p, nil, Options{}) // its own is no rival's
	if _, err := other.Revoke(t.Context(), []manifests.LeaseID{g.ID}); err != nil {
		t.Fatal(err)
	}
	before, rows := len(w.blocks), w.rows[rowHead]
	if _, err := p.Revoke(t.Context(), []manifests.LeaseID{g.ID}); !errors.Is(err, ErrRival) {
		t.Errorf("revoked beside the other: %v", err)
	}
	if _, err := p.Publish(t.Context(), nil, Options{}); !errors.Is(err, ErrRival) {
		t.Errorf("published beside the other: %v", err)
	}
	if len(w.blocks) != before || !bytes.Equal(rows, w.rows[rowHead]) {
		t.Error("something was signed")
	}
	mustRotate(t, w, p, NewRoot{})
	if m := w.read(p).manifests[0]; m.RootN != 2 || m.Seq != 1 {
		t.Errorf("revision %d of root %d", m.Seq, m.RootN)
	}
	if _, err := other.Publish(t.Context(), nil, Options{}); !errors.Is(err, ErrRival) {
		t.Errorf("the other goes on beside the new root: %v", err)
	}
	// A record that points at an old version, or at nobody's, is the matter
	// of the name's key alone: the name moves on.
	name := ipns.Name(p.cfg.Keys.Name())
	for _, value := range []cid.Cid{w.mustList(p).cids()[0], manifests.NewBlock([]byte{1}).CID} {
		w.records[name] = ipns.Record{Name: name, Value: value, Seq: w.records[name].Seq + 5, EOL: w.now.Add(day)}
		head := mustPublish(t, p, nil, Options{}).Head
		if w.records[name].Value != head {
			t.Error("the name stays where its thief left it")
		}
	}
	// At the last sequence it is stuck, and the backup name is not.
	w.records[name] = ipns.Record{Name: name, Value: w.mustList(p).cids()[0], Seq: math.MaxInt64, EOL: w.now.Add(day)}
	head := mustPublish(t, p, paths[1:], Options{Playlist: "main"}).Head
	if w.records[ipns.Name(p.cfg.Keys.Names()[1])].Value != head {
		t.Error("the backup name has not moved")
	}
}
