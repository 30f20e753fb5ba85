package follow_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/manifests"
	"playnode/node"
)

// asked is a getter that notes what for it was asked.
type asked struct {
	node.Getter
	mu    sync.Mutex // guards wants
	wants map[cid.Cid]node.Class
	order []cid.Cid
}

func (a *asked) Get(ctx context.Context, c cid.Cid, w node.Want) ([]byte, error) {
	a.mu.Lock()
	a.wants[c] = w.Class
	a.order = append(a.order, c)
	a.mu.Unlock()
	return a.Getter.Get(ctx, c, w)
}

// TestBring: of a box that has no room for everything the tracks that are to play
// soon are made whole, as what plays soon, in their order; nothing else comes.
func TestBring(t *testing.T) {
	w, d, _ := stage(t)
	a, b, c := d.track(60_000, 1000), d.track(60_000, 1000), d.track(60_000, 1000)
	d.publish(1, a, b, c)
	keep := map[cid.Cid]follow.Priority{}
	box := limited(t, w, "small", 0, keep)
	w.Link(d.box.Node, box.Node)
	name := mustFollow(t, box, string(d.name))
	mustSync(t, box, name)
	whole := must(box.Used(t.Context()))
	tails := func(e manifests.Entry) (n int) {
		all := held(t, box)
		for _, l := range d.leaves(e.Track) {
			if all[l] {
				n++
			}
		}
		return n
	}
	get := &asked{Getter: box.fetch, wants: map[cid.Cid]node.Class{}}
	again := func(limit int64) {
		n := open(t, box.Node, box.states)
		var err error
		n.follow, err = follow.New(follow.Config{
			Names: n.names, Fetch: get, Blocks: n, Pinner: n, Held: n, Store: n.states[1], Now: func() time.Time { return now }, Peers: n, Limit: limit,
			Parallel: 1, // so that what is asked for first is what was to be
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
		box = n
	}
	again(1)
	collected(t, box) // all but ends
	if tails(a)+tails(b)+tails(c) != 6 {
		t.Fatalf("%d, %d, %d are left", tails(a), tails(b), tails(c))
	}
	again(whole)
	keep[b.Track], keep[c.Track] = follow.Today, follow.Today
	clear(get.wants)
	get.order = nil
	if err := box.follow.Bring(t.Context(), []*manifests.Entry{&c, &b}); err != nil {
		t.Fatal(err)
	}
	if tails(a) != 2 || tails(b) != 60 || tails(c) != 60 {
		t.Errorf("%d, %d, %d are here", tails(a), tails(b), tails(c))
	}
	for l, class := range get.wants {
		if class != node.Soon {
			t.Errorf("%s was asked for as %d", l, class)
		}
	}
	if first, last := slices.Index(get.order, d.leaves(b.Track)[1]), slices.Index(get.order, d.leaves(c.Track)[58]); first < last {
		t.Errorf("the second track was asked for before the first: %d, %d", first, last)
	}
	if err := box.follow.Bring(t.Context(), []*manifests.Entry{&c, &b}); err != nil {
		t.Errorf("once more: %v", err)
	}
	again(whole / 2)
	if err := box.follow.Bring(t.Context(), []*manifests.Entry{&a}); !errors.Is(err, follow.ErrFull) {
		t.Errorf("without room: %v", err)
	}
	// Who has it all left.
	again(whole)
	w.Cut(d.box.Node, box.Node)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	keep[a.Track] = follow.Today
	if err := box.follow.Bring(ctx, []*manifests.Entry{&a}); err == nil {
		t.Error("nobody has it, and it was brought")
	}
}
