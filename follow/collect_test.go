package follow_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/manifests"
	"playnode/node"
	"playnode/node/memory"
)

// limited is a box with a limit, for which the tracks have the priorities.
func limited(t *testing.T, w *memory.World, name string, limit int64, keep map[cid.Cid]follow.Priority, own ...cid.Cid) *box {
	t.Helper()
	b := newBox(t, w, name)
	var err error
	b.follow, err = follow.New(follow.Config{
		Names: b.names, Fetch: b.fetch, Blocks: b, Pinner: b, Held: b, Store: b.states[1], Now: func() time.Time { return now }, Peers: b, Limit: limit,
		Keep: func(track cid.Cid) follow.Priority {
			if p, ok := keep[track]; ok {
				return p
			}
			return follow.Unleased
		},
		Own: func(func(cid.Cid) bool) ([]cid.Cid, error) { return own, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// collected calls Collect until it frees nothing more, and sums up.
func collected(t *testing.T, b *box) (sum follow.Freed) {
	t.Helper()
	for quiet := 0; quiet < 3; {
		f, err := b.follow.Collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sum.Blocks += f.Blocks
		sum.Bytes += f.Bytes
		sum.Versions += f.Versions
		if quiet++; f.Blocks > 0 {
			quiet = 0
		}
	}
	return sum
}

// below is all that a graph has on b.
func below(t *testing.T, b *box, root cid.Cid) map[cid.Cid]bool {
	t.Helper()
	seen := map[cid.Cid]bool{}
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		if seen[c] {
			continue
		}
		seen[c] = true
		data, err := b.Read(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		todo = append(todo, must(node.Links(c, data))...)
	}
	return seen
}

func held(t *testing.T, b *box) map[cid.Cid]bool {
	t.Helper()
	all := map[cid.Cid]bool{}
	if err := b.Each(t.Context(), func(c cid.Cid, _ int64) error { all[c] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestUnfollowFreesWhatNothingElseHas: two DJs list one track, and the box has
// a third of its own; each time exactly the rest goes, also when the process
// ends between the pin's end and the blocks'.
func TestUnfollowFreesWhatNothingElseHas(t *testing.T) {
	w, d, _ := stage(t)
	shared, alone, own := d.track(900, 100), d.track(700, 100), d.track(500, 100)
	first := d.publish(1, shared, alone, own)
	e := newDJ(t, d.box, "e")
	second := e.publish(1, shared, e.track(300, 100))
	b := limited(t, w, "both", 0, nil, own.Track)
	w.Link(d.box.Node, b.Node)
	for _, name := range []string{string(d.name), string(e.name)} {
		mustSync(t, b, mustFollow(t, b, name))
	}
	want := held(t, b)
	if f := collected(t, b); f.Blocks != 0 || !maps.Equal(held(t, b), want) {
		t.Fatalf("of what is followed %d blocks went", f.Blocks)
	}
	if err := b.follow.Unfollow(t.Context(), d.name); err != nil {
		t.Fatal(err)
	}
	want = below(t, b, second)
	maps.Copy(want, below(t, b, own.Track))
	if f, err := b.follow.Collect(t.Context()); err != nil || f.Blocks != 0 {
		t.Fatalf("without a grace %+v, %v", f, err) // and here the power is cut
	}
	b = limitedAgain(t, b, own.Track)
	if f := collected(t, b); f.Blocks == 0 || !maps.Equal(held(t, b), want) {
		t.Fatalf("%d blocks went, %d are left, want %d", f.Blocks, len(held(t, b)), len(want))
	}
	if s := b.follow.Follows()[0]; !s.Whole || s.Envelope != second {
		t.Fatalf("status %+v", s)
	}
	if has, _ := b.Has(t.Context(), first); has {
		t.Fatal("the head of the name that is left stayed")
	}
}

// limitedAgain is the box after a new start.
func limitedAgain(t *testing.T, b *box, own ...cid.Cid) *box {
	t.Helper()
	n := open(t, b.Node, b.states)
	var err error
	n.follow, err = follow.New(follow.Config{
		Names: n.names, Fetch: n.fetch, Blocks: n, Pinner: n, Held: n, Store: n.states[1], Now: func() time.Time { return now }, Peers: n,
		Own: func(func(cid.Cid) bool) ([]cid.Cid, error) { return own, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNothingIsCollectedThatIsPinned: where a pinned block is damaged, the
// marks below it would be missing, and nothing goes at all.
func TestNothingGoesBelowDamage(t *testing.T) {
	_, d, venue := stage(t)
	a := d.track(900, 100)
	d.publish(1, a)
	mustSync(t, venue, mustFollow(t, venue, string(d.name)))
	before := held(t, venue)
	venue.Damage(a.Track)
	for range 3 {
		if f, err := venue.follow.Collect(t.Context()); !errors.Is(err, node.ErrNotFound) || f.Blocks != 0 {
			t.Fatalf("%+v, %v", f, err)
		}
	}
	delete(before, a.Track) // the damaged block alone
	if !maps.Equal(held(t, venue), before) {
		t.Fatal("blocks went")
	}
}

// TestLimit fills a box step by step: what gives way does so in the stated
// order, each only for what is dearer, and what plays today never.
func TestLimit(t *testing.T) {
	w, d, _ := stage(t)
	// Small leaves, so that records weigh little beside tracks.
	today, leased, loose := d.track(60_000, 1000), d.track(60_000, 1000), d.track(60_000, 1000)
	keep := map[cid.Cid]follow.Priority{today.Track: follow.Today, leased.Track: follow.Leased}
	tails := func(b *box, e manifests.Entry) (n int) {
		all := held(t, b)
		for _, l := range d.leaves(e.Track) {
			if all[l] {
				n++
			}
		}
		return n
	}
	d.publish(1, today, leased, loose)
	b := limited(t, w, "small", 0, keep)
	w.Link(d.box.Node, b.Node)
	name := mustFollow(t, b, string(d.name))
	mustSync(t, b, name)
	whole := must(b.Used(t.Context()))

	// At rest within the limit nothing goes.
	again := func(limit int64) *box {
		n := open(t, b.Node, b.states)
		var err error
		n.follow, err = follow.New(follow.Config{
			Names: n.names, Fetch: n.fetch, Blocks: n, Pinner: n, Held: n, Store: n.states[1], Now: func() time.Time { return now }, Peers: n, Limit: limit,
			Keep: func(c cid.Cid) follow.Priority {
				if p, ok := keep[c]; ok {
					return p
				}
				return follow.Unleased
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const records = 240_000 // of one version, mailboxes above all
	b = again(whole + records)
	if err := b.follow.SetHistory(t.Context(), name, follow.All); err != nil {
		t.Fatal(err)
	}
	if f := collected(t, b); f != (follow.Freed{}) {
		t.Fatalf("within the limit %+v went", f)
	}

	// A new version that drops a track leaves it in the past version, which
	// goes first.
	extra := d.track(60_000, 1000)
	d.publish(2, today, leased, extra)
	if _, err := b.follow.Sync(t.Context(), name, follow.Options{}); !errors.Is(err, follow.ErrFull) || !errors.Is(err, node.ErrNoSpace) {
		t.Fatalf("over the limit: %v", err)
	}
	s := b.follow.Follows()[0]
	if s.Whole || s.Seq != 2 || s.Progress.Missing < 20 || !errors.Is(s.Err, follow.ErrFull) || tails(b, extra) > 40 {
		t.Fatalf("full: %+v, %d of the new track", s, tails(b, extra))
	}
	f := collected(t, b)
	if f.Versions != 1 || tails(b, loose) != 0 || tails(b, leased) != 60 || tails(b, today) != 60 {
		t.Fatalf("%+v went; %d, %d, %d stayed", f, tails(b, loose), tails(b, leased), tails(b, today))
	}
	if got := must(b.follow.History(name)); len(got) != 0 {
		t.Fatalf("history %v", got)
	}
	b = again(whole + records)
	mustSync(t, b, name)

	// Less room: first the unleased, then the leased; ends and today stay.
	b = again(150_000 + whole - 180_000)
	collected(t, b)
	if tails(b, extra) > 40 || tails(b, extra) < 2 || tails(b, leased) != 60 || tails(b, today) != 60 {
		t.Fatalf("%d, %d, %d stayed", tails(b, extra), tails(b, leased), tails(b, today))
	}
	if s := b.follow.Follows()[0]; s.Whole || len(roots(t, b)) != 0 {
		t.Fatalf("shortened, and still %+v, pins %v", s, roots(t, b))
	}
	b = again(90_000 + whole - 180_000)
	collected(t, b)
	if tails(b, extra) != 2 || tails(b, leased) > 40 || tails(b, leased) < 2 || tails(b, today) != 60 {
		t.Fatalf("%d, %d, %d stayed", tails(b, extra), tails(b, leased), tails(b, today))
	}
	b = again(1)
	collected(t, b)
	if tails(b, extra) != 2 || tails(b, leased) != 2 || tails(b, today) != 60 {
		t.Fatalf("%d, %d, %d stayed", tails(b, extra), tails(b, leased), tails(b, today))
	}
	if _, err := b.follow.Newest(name); err != nil {
		t.Fatal(err)
	}

	// A lease makes the loose track dear: it takes the place of the other.
	keep[extra.Track], keep[leased.Track] = follow.Leased, follow.Unleased
	b = again(150_000 + whole - 180_000)
	for range 4 {
		b.follow.Sync(t.Context(), name, follow.Options{})
		collected(t, b)
	}
	if tails(b, extra) != 60 || tails(b, leased) > 40 {
		t.Fatalf("%d of the leased and %d of the loose", tails(b, extra), tails(b, leased))
	}
	b = again(0)
	mustSync(t, b, name)
	if s := b.follow.Follows()[0]; !s.Whole || s.Progress.Held != 3 {
		t.Fatalf("without a limit %+v", s)
	}
	// And the other one goes first now, wherever it stands in the catalogue.
	b = again(150_000 + whole - 180_000)
	collected(t, b)
	if tails(b, leased) > 40 || tails(b, leased) < 2 || tails(b, extra) != 60 || tails(b, today) != 60 {
		t.Fatalf("%d, %d, %d stayed", tails(b, leased), tails(b, extra), tails(b, today))
	}
}

// TestHold keeps everything while somebody writes.
func TestHold(t *testing.T) {
	_, d, venue := stage(t)
	loose := d.track(300, 100)
	d.publish(1, d.track(300, 100))
	release := d.box.follow.Hold()
	if f := collected(t, d.box); f.Blocks != 0 {
		t.Fatalf("held, and %+v went", f)
	}
	release()
	if f := collected(t, d.box); f.Blocks == 0 {
		t.Fatal("nothing went") // this DJ's box says nothing of what is its own
	}
	if has, _ := d.box.Has(t.Context(), loose.Track); has || len(slices.Collect(maps.Keys(held(t, venue)))) != 0 {
		t.Fatal("something stayed")
	}
}
