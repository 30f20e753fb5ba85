package follow_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
	"playnode/node/memory"
)

// stage is a DJ and a venue that are linked.
func stage(t *testing.T) (w *memory.World, d *dj, venue *box) {
	w = memory.NewWorld()
	d = newDJ(t, newBox(t, w, "dj"), "d")
	venue = newBox(t, w, "venue")
	w.Link(d.box.Node, venue.Node)
	return w, d, venue
}

func syncOnce(t *testing.T, b *box, name ipns.Name) (*follow.Catalogue, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return b.follow.Sync(ctx, name, follow.Options{Ask: true})
}

func mustFollow(t *testing.T, b *box, target string) ipns.Name {
	t.Helper()
	name, err := b.follow.Follow(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func mustSync(t *testing.T, b *box, name ipns.Name) *follow.Catalogue {
	t.Helper()
	c, err := syncOnce(t, b, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantErr asserts an error, and that what was accepted before still stands.
func wantErr(t *testing.T, b *box, name ipns.Name, want error, stays cid.Cid) {
	t.Helper()
	if _, err := syncOnce(t, b, name); !errors.Is(err, want) {
		t.Fatalf("Sync = %v, want %v", err, want)
	}
	for _, b := range []*box{b, b.restart(t)} {
		c, err := b.follow.Newest(name)
		if stays == cid.Undef {
			if err == nil {
				t.Fatalf("%s was accepted", c.Envelope)
			}
		} else if err != nil || c.Envelope != stays {
			t.Fatalf("Newest = %v, %v; want %s", c, err, stays)
		}
	}
}

func TestWholeCatalogue(t *testing.T) {
	w, d, venue := stage(t)
	entries := []manifests.Entry{d.track(1, 100), d.track(100, 100), d.track(101, 100), d.track(950, 100), d.track(300_000, 9000)}
	envelope := d.publish(1, entries...)
	name := mustFollow(t, venue, string(d.name))
	var last follow.Progress
	c, err := venue.follow.Sync(t.Context(), name, follow.Options{Ask: true, Progress: func(p follow.Progress) { last = p }})
	if err != nil {
		t.Fatal(err)
	}
	if c.Envelope != envelope || c.DJ != d.id || len(c.Selections) != 1 || len(c.Selections[0].Entries) != 5 {
		t.Fatalf("catalogue %+v", c)
	}
	if last.Tracks != 5 || last.Held != 5 || last.Missing != 0 {
		t.Fatalf("progress %+v", last)
	}
	pins, _ := venue.Pins(t.Context())
	if len(pins) != 1 || pins[0].Root != envelope {
		t.Fatalf("pins %v", pins)
	}
	// Everything counted is everything there: the graph's own count agrees.
	blocks, size := 0, int64(0)
	seen := map[cid.Cid]bool{}
	for todo := []cid.Cid{envelope}; len(todo) > 0; todo = todo[1:] {
		if seen[todo[0]] {
			continue
		}
		seen[todo[0]] = true
		data, err := venue.Read(t.Context(), todo[0])
		if err != nil {
			t.Fatal(err)
		}
		blocks, size = blocks+1, size+int64(len(data))
		links, _ := node.Links(todo[0], data)
		todo = append(todo, links...)
	}
	if last.Blocks != blocks || last.Bytes != size {
		t.Fatalf("progress counts %d blocks, %d bytes; there are %d, %d", last.Blocks, last.Bytes, blocks, size)
	}

	// With the DJ gone, after a restart, all is still there, file by file.
	w.Cut(d.box.Node, venue.Node)
	venue = venue.restart(t)
	c, err = venue.follow.Newest(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.Selections[0].Entries {
		sum := uint64(0)
		for _, l := range d.leaves(e.Track) {
			sum += uint64(len(must(venue.Read(t.Context(), l))))
		}
		if sum != e.Size {
			t.Fatalf("file of %d bytes: %d are here", e.Size, sum)
		}
	}
	if s := venue.follow.Follows(); len(s) != 1 || !s[0].Whole || s[0].Seq != 1 || s[0].DJ != d.id.String() {
		t.Fatalf("Follows %+v", s)
	}
}

// tap is a Getter that notes the order of what is asked.
type tap struct {
	node.Getter
	mu    sync.Mutex
	asked []cid.Cid
}

func (g *tap) Get(ctx context.Context, c cid.Cid, w node.Want) ([]byte, error) {
	g.mu.Lock()
	g.asked = append(g.asked, c)
	g.mu.Unlock()
	return g.Getter.Get(ctx, c, w)
}

func TestHeadsComeBeforeTails(t *testing.T) {
	_, d, venue := stage(t)
	entries := []manifests.Entry{d.track(1000, 100), d.track(1100, 100), d.track(1200, 100)}
	d.publish(1, entries...)
	order := &tap{Getter: venue.fetch}
	f, err := follow.New(follow.Config{
		Names: venue.names, Fetch: order, Blocks: venue, Pinner: venue, Held: venue,
		Store: &store{m: map[string][]byte{}}, Now: func() time.Time { return now }, Parallel: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Follow(t.Context(), string(d.name)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Sync(t.Context(), d.name, follow.Options{Ask: true}); err != nil {
		t.Fatal(err)
	}
	first := func(c cid.Cid) int { return slices.Index(order.asked, c) }
	var leaves [][]cid.Cid
	for _, e := range entries {
		leaves = append(leaves, d.leaves(e.Track))
	}
	for i := range entries {
		if first(entries[i].Info) > first(leaves[0][0]) {
			t.Error("info after a leaf")
		}
		for j := range entries {
			if first(leaves[i][0]) > first(leaves[j][len(leaves[j])-1]) {
				t.Errorf("head of track %d after the end of track %d", i, j)
			}
			if first(leaves[i][len(leaves[i])-1]) > first(leaves[j][1]) {
				t.Errorf("end of track %d after the tail of track %d", i, j)
			}
		}
		at := leaves[i][1 : len(leaves[i])-1]
		if !slices.IsSortedFunc(at, func(a, b cid.Cid) int { return first(a) - first(b) }) {
			t.Errorf("tail of track %d out of order", i)
		}
	}
}

// leaves of a file, in order.
func (d *dj) leaves(root cid.Cid) (out []cid.Cid) {
	data := must(d.box.Read(context.Background(), root))
	if root.Prefix().Codec == cid.Raw {
		return []cid.Cid{root}
	}
	for _, l := range must(node.Links(root, data)) {
		out = append(out, d.leaves(l)...)
	}
	return out
}

func TestNewerVersionReplacesOlder(t *testing.T) {
	_, d, venue := stage(t)
	a, b := d.track(500, 100), d.track(600, 100)
	d.publish(1, a)
	name := mustFollow(t, venue, string(d.name))
	mustSync(t, venue, name)
	second := d.publish(2, a, b)
	mustSync(t, venue, name)
	pins, _ := venue.Pins(t.Context())
	if len(pins) != 1 || pins[0].Root != second {
		t.Fatalf("pins %v, want %s alone", pins, second)
	}
	if err := venue.follow.Unfollow(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if pins, _ := venue.Pins(t.Context()); len(pins) != 0 {
		t.Fatalf("pins after Unfollow: %v", pins)
	}
}

// TestOldPinStaysUntilNewIsWhole has the new version lack a leaf.
func TestOldPinStaysUntilNewIsWhole(t *testing.T) {
	synctest.Test(t, oldPinStays)
}

func oldPinStays(t *testing.T) {
	_, d, venue := stage(t)
	a, b := d.track(500, 100), d.track(600, 100)
	first := d.publish(1, a)
	name := mustFollow(t, venue, string(d.name))
	mustSync(t, venue, name)
	lost := d.leaves(b.Track)[3]
	leaf := must(d.box.Read(t.Context(), lost))
	d.box.Delete(t.Context(), lost)
	second := d.publish(2, a, b)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := venue.follow.Sync(ctx, name, follow.Options{Ask: true, Progress: func(p follow.Progress) {
		if p.Held == 1 && p.Missing == 1 {
			cancel() // all is here that ever will be
		}
	}}); !errors.Is(err, context.Canceled) {
		t.Fatalf("Sync = %v, want it to wait for the leaf", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Minute) // of the bubble's time, which passes when nobody has more to do
	defer cancel()
	if _, err := venue.follow.Sync(short, name, follow.Options{}); !errors.Is(err, follow.ErrNotFound) {
		t.Fatalf("Sync = %v, want ErrNotFound", err)
	}
	s := venue.follow.Follows()[0]
	if s.Whole || s.Progress.Missing != 1 || s.Progress.Held != 1 || s.Seq != 2 {
		t.Fatalf("status %+v", s)
	}
	if pins, _ := venue.Pins(t.Context()); len(pins) != 1 || pins[0].Root != first {
		t.Fatalf("pins %v, want the old one", pins)
	}
	d.put(manifests.Block{CID: lost, Data: leaf})
	mustSync(t, venue, name)
	if pins, _ := venue.Pins(t.Context()); len(pins) != 1 || pins[0].Root != second {
		t.Fatalf("pins %v, want the new one", pins)
	}
}

func TestDamageIsRepaired(t *testing.T) {
	_, d, venue := stage(t)
	e := d.track(5000, 100)
	envelope := d.publish(1, e)
	name := mustFollow(t, venue, string(d.name))
	c := mustSync(t, venue, name)
	for _, hurt := range []cid.Cid{d.leaves(e.Track)[7], e.Track, e.Info, envelope, c.Selections[0].Manifest.Tracks} {
		venue.Damage(hurt)
		mustSync(t, venue, name)
		if _, err := venue.Read(t.Context(), hurt); err != nil {
			t.Fatalf("damaged %s was not repaired: %v", hurt, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	second := func(t *testing.T, make func(d *dj, a manifests.Entry) cid.Cid) {
		t.Helper()
		_, d, venue := stage(t)
		a := d.track(300, 100)
		s, m := d.manifest(0, 5, []manifests.Entry{a}, nil)
		d.headSeq = 6
		first := d.head([]manifests.Signed{s}, []*manifests.Manifest{m}, nil)
		d.point(first)
		name := mustFollow(t, venue, string(d.name))
		mustSync(t, venue, name)
		d.point(make(d, a))
		wantErr(t, venue, name, follow.ErrVerify, first)
		// The honest next one is accepted all the same.
		d.headSeq = 20
		s, m = d.manifest(0, 20, []manifests.Entry{a}, nil)
		next := d.head([]manifests.Signed{s}, []*manifests.Manifest{m}, nil)
		d.point(next)
		if c := mustSync(t, venue, name); c.Envelope != next {
			t.Fatalf("next is %s, want %s", c.Envelope, next)
		}
	}
	one := func(d *dj, seq uint64, es []manifests.Entry, em func(*manifests.Manifest), eh func(*manifests.Head)) cid.Cid {
		s, m := d.manifest(0, seq, es, em)
		return d.head([]manifests.Signed{s}, []*manifests.Manifest{m}, eh)
	}
	cases := map[string]func(d *dj, a manifests.Entry) cid.Cid{
		"older head": func(d *dj, a manifests.Entry) cid.Cid {
			d.headSeq = 5
			return one(d, 6, []manifests.Entry{a}, nil, nil)
		},
		"fork of the head": func(d *dj, a manifests.Entry) cid.Cid {
			d.headSeq = 6
			return one(d, 6, []manifests.Entry{a}, nil, nil)
		},
		"newer head, older manifest": func(d *dj, a manifests.Entry) cid.Cid { return one(d, 4, []manifests.Entry{a}, nil, nil) },
		"newer head, fork of the manifest": func(d *dj, a manifests.Entry) cid.Cid {
			return one(d, 5, []manifests.Entry{a}, nil, nil) // other mailboxes, other payload
		},
		"lower generation": func(d *dj, a manifests.Entry) cid.Cid {
			return one(d, 6, []manifests.Entry{a}, func(m *manifests.Manifest) { m.Gen = 0 }, nil)
		},
		"dated before": func(d *dj, a manifests.Entry) cid.Cid {
			return one(d, 6, []manifests.Entry{a}, nil, func(h *manifests.Head) { h.IAT-- })
		},
		"dated over a day ahead": func(d *dj, a manifests.Entry) cid.Cid {
			return one(d, 6, []manifests.Entry{a}, nil, func(h *manifests.Head) { h.IAT += 86401 })
		},
		"signed by another key": func(d *dj, a manifests.Entry) cid.Cid {
			d.pub = key("thief")
			defer func() { d.pub = key("dp") }()
			return one(d, 6, []manifests.Entry{a}, nil, nil)
		},
		"signed by the root": func(d *dj, a manifests.Entry) cid.Cid {
			d.pub = d.root
			defer func() { d.pub = key("dp") }()
			return one(d, 6, []manifests.Entry{a}, nil, nil)
		},
		"no head at all": func(d *dj, a manifests.Entry) cid.Cid { return a.Info },
		"a manifest": func(d *dj, a manifests.Entry) cid.Cid {
			s, _ := d.manifest(0, 6, []manifests.Entry{a}, nil)
			return s.Env.CID
		},
		"size of a track": func(d *dj, a manifests.Entry) cid.Cid { a.Size++; return one(d, 6, []manifests.Entry{a}, nil, nil) },
	}
	for name, make := range cases {
		if name == "size of a track" {
			continue // accepted as a record, refused as a file: below
		}
		t.Run(name, func(t *testing.T) { second(t, make) })
	}
	t.Run("size of a track", func(t *testing.T) {
		for _, size := range []int{100, 300} { // a leaf, and a tree
			_, d, venue := stage(t)
			d.point(cases["size of a track"](d, d.track(size, 100)))
			name := mustFollow(t, venue, string(d.name))
			if _, err := syncOnce(t, venue, name); !errors.Is(err, follow.ErrVerify) {
				t.Fatalf("Sync = %v, want ErrVerify", err)
			}
		}
	})
}

func TestWhoTheDJIs(t *testing.T) {
	t.Run("a link's DJ is the only one", func(t *testing.T) {
		w, d, venue := stage(t)
		thief := newDJ(t, newBox(t, w, "thief"), "t")
		d.publish(1, d.track(100, 100))
		link := manifests.Link{DJ: &thief.id, Name: manifests.Name(d.name)}
		name := mustFollow(t, venue, link.String())
		wantErr(t, venue, name, follow.ErrVerify, cid.Undef)
	})
	t.Run("the first DJ of a bare name is pinned, also after unfollowing", func(t *testing.T) {
		w, d, venue := stage(t)
		first := d.publish(1, d.track(100, 100))
		name := mustFollow(t, venue, string(d.name))
		mustSync(t, venue, name)
		// The name's thief points it at a whole catalogue of his own.
		thief := newDJ(t, newBox(t, w, "thief"), "t")
		thief.ipns, thief.name = d.ipns, d.name
		root := thief.newRoot()
		thief.roots[0] = must(manifests.Sign("root", must(root.Encode()), thief.root))
		thief.id = manifests.DJ(manifests.Digest(thief.roots[0].Payload.CID))
		w.Link(thief.box.Node, venue.Node)
		s, m := thief.manifest(0, 9, []manifests.Entry{thief.track(100, 100)}, nil)
		d.point(thief.head([]manifests.Signed{s}, []*manifests.Manifest{m}, nil))
		wantErr(t, venue, name, follow.ErrVerify, first)
		if err := venue.follow.Unfollow(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		mustFollow(t, venue, string(d.name))
		if _, err := syncOnce(t, venue, name); !errors.Is(err, follow.ErrVerify) {
			t.Fatalf("Sync = %v, want ErrVerify", err)
		}
		if _, err := venue.follow.Follow(t.Context(), manifests.Link{DJ: &thief.id, Name: manifests.Name(d.name)}.String()); !errors.Is(err, follow.ErrVerify) {
			t.Fatalf("a link to another DJ = %v, want ErrVerify", err)
		}
	})
	t.Run("a name that the root does not list", func(t *testing.T) {
		_, d, venue := stage(t)
		s, m := d.manifest(0, 1, nil, nil)
		envelope := d.head([]manifests.Signed{s}, []*manifests.Manifest{m}, nil)
		d.ipns = key("other")
		rec := d.point(envelope)
		name := mustFollow(t, venue, string(rec.Name))
		wantErr(t, venue, name, follow.ErrVerify, cid.Undef)
	})
}

// TestThiefOfThePublisherKey is negative test 6: a new root ends a sequence of
// 2^53-1 and starts again at 1.
func TestThiefOfThePublisherKey(t *testing.T) {
	_, d, venue := stage(t)
	a := d.track(100, 100)
	s, m := d.manifest(0, manifests.MaxInt, []manifests.Entry{a}, func(m *manifests.Manifest) { m.Gen = manifests.MaxInt })
	stolen := d.head([]manifests.Signed{s}, []*manifests.Manifest{m}, func(h *manifests.Head) { h.Seq = manifests.MaxInt })
	d.point(stolen)
	name := mustFollow(t, venue, string(d.name))
	mustSync(t, venue, name)
	d.headSeq = 0
	d.pub = key("fresh")
	d.nextRoot(func(r *manifests.Root) { r.Gens = []manifests.LeastGen{{Sel: m.Sel, Gen: 5}} })
	s, m = d.manifest(0, 1, []manifests.Entry{a}, func(m *manifests.Manifest) { m.Gen = 5 })
	honest := d.head([]manifests.Signed{s}, []*manifests.Manifest{m}, nil)
	d.point(honest)
	if c := mustSync(t, venue, name); c.Envelope != honest {
		t.Fatal("the honest head under the new root was not accepted")
	}
	d.point(stolen)
	wantErr(t, venue, name, follow.ErrVerify, honest)
	// Two roots with one number: the first is kept.
	d.roots = d.roots[:1]
	d.nextRoot(func(r *manifests.Root) { r.Exp++ })
	d.headSeq = 7
	d.point(d.head(nil, nil, nil))
	wantErr(t, venue, name, follow.ErrVerify, honest)
}

func TestJudge(t *testing.T) {
	_, d, venue := stage(t)
	d.publish(1, d.track(100, 100))
	no := errors.New("no")
	f, err := follow.New(follow.Config{
		Names: venue.names, Fetch: venue.fetch, Blocks: venue, Pinner: venue, Held: venue, Store: venue.states[1],
		Now: func() time.Time { return now }, Judge: func(*follow.Catalogue) error { return no },
	})
	if err != nil {
		t.Fatal(err)
	}
	venue.follow = f
	name := mustFollow(t, venue, string(d.name))
	wantErr(t, venue, name, no, cid.Undef)
	if _, err := f.Sync(t.Context(), name, follow.Options{Ask: true}); errors.Is(err, follow.ErrVerify) {
		t.Errorf("a failure of the box's is the version's: %v", err)
	}
}

// A box at 1970 that nobody tells the time follows all the same.
func TestWithoutAClock(t *testing.T) {
	_, d, venue := stage(t)
	d.publish(1, d.track(100, 100))
	for _, synchronised := range []bool{true, false} {
		f, err := follow.New(follow.Config{
			Names: venue.names, Fetch: venue.fetch, Blocks: venue, Pinner: venue, Held: venue, Store: venue.states[1],
			Now: func() time.Time { return time.Unix(1000, 0) }, Synchronised: func() bool { return synchronised },
		})
		if err != nil {
			t.Fatal(err)
		}
		venue.follow = f
		name := mustFollow(t, venue, string(d.name))
		if _, err := f.Sync(t.Context(), name, follow.Options{Ask: true}); errors.Is(err, follow.ErrVerify) != synchronised || err != nil != synchronised {
			t.Errorf("synchronised %v: %v", synchronised, err)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	w, d, venue := stage(t)
	d.publish(1, d.track(100, 100))
	name := mustFollow(t, venue, string(d.name))
	mustSync(t, venue, name)
	w.Cut(d.box.Node, venue.Node)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := venue.follow.Sync(ctx, name, follow.Options{Ask: true}); !errors.Is(err, follow.ErrNotFound) {
		t.Fatalf("asking nobody = %v, want ErrNotFound", err)
	}
	if _, err := venue.follow.Sync(t.Context(), name, follow.Options{}); err != nil {
		t.Fatalf("what is held is enough: %v", err)
	}
}

// TestRun has updates arrive by push, by reconnecting, and through a peer that
// is not the DJ.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, d, venue := stage(t)
		late := newBox(t, w, "late")
		ctx, stop := context.WithCancel(t.Context())
		for _, b := range []*box{d.box, venue, late} {
			go b.names.Run(ctx)
			go b.follow.Run(ctx)
		}
		a := d.track(1000, 100)
		d.publish(1, a)
		for _, b := range []*box{venue, late} {
			mustFollow(t, b, string(d.name))
		}
		at := func(b *box, envelope cid.Cid, within time.Duration) {
			t.Helper()
			<-time.After(within)
			synctest.Wait()
			if s := b.follow.Follows()[0]; s.Envelope != envelope || !s.Whole {
				t.Fatalf("after %v: %+v, want %s", within, s, envelope)
			}
		}
		<-time.After(time.Second)
		second := d.publish(2, a, d.track(700, 100))
		at(venue, second, 100*time.Millisecond)
		w.Cut(d.box.Node, venue.Node)
		third := d.publish(3, a)
		at(venue, second, time.Hour)
		w.Link(d.box.Node, venue.Node)
		at(venue, third, 100*time.Millisecond)
		d.box.Close()
		w.Link(venue.Node, late.Node)
		at(late, third, time.Second)
		stop()
		synctest.Wait()
	})
}
