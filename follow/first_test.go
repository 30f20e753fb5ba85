package follow_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
)

// twoWays is a peer that is asked for trees, and a gateway.
type twoWays struct {
	dj, here node.Blocks
	speaks   bool  // the peer; else it says nothing
	boxes    int   // bytes of large records that each gives before the others
	leaves   int   // bytes of leaves that the gateway gives before a record
	peer     error // how the peer was left
	asked    bool  // the gateway was
	gateway  error // how it was left then
}

var (
	aBox  = manifests.NewBlock([]byte("a mailbox")).CID
	aLeaf = manifests.NewRawBlock([]byte("a leaf")).CID
)

func (b *twoWays) Trees(ctx context.Context, root cid.Cid, _ int64, each func(cid.Cid, int)) error {
	if !b.speaks {
		<-ctx.Done()
		b.peer = ctx.Err()
		return b.peer
	}
	b.peer = b.below(ctx, root, 0, each)
	return b.peer
}

func (b *twoWays) Stream(ctx context.Context, root cid.Cid, _ int64, each func(cid.Cid, int)) error {
	leaves := b.leaves
	if b.asked {
		leaves = 0
	}
	err := b.below(ctx, root, leaves, each)
	if !b.asked {
		b.asked, b.gateway = true, err
	}
	return err
}

// below gives large records, leaves at 10 Mbit/s, and then what is below root.
func (b *twoWays) below(ctx context.Context, root cid.Cid, leaves int, each func(cid.Cid, int)) error {
	for n := b.boxes; n > 0; n -= 135 << 10 {
		each(aBox, 135<<10)
	}
	for ; leaves > 0; leaves -= 128 << 10 {
		select {
		case <-time.After(105 * time.Millisecond):
			each(aLeaf, 128<<10)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return b.records(ctx, root, each)
}

func (b *twoWays) records(ctx context.Context, root cid.Cid, each func(cid.Cid, int)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	data, err := b.dj.Read(ctx, root)
	if err == nil {
		err = b.here.Put(ctx, node.Block{CID: root, Data: data})
	}
	if err != nil {
		return err
	}
	each(root, len(data))
	links, err := node.Links(root, data)
	for _, l := range links {
		if err == nil {
			err = b.records(ctx, l, each)
		}
	}
	return err
}

// TestASilentPeerIsRaced: of a catalogue that is new a gateway is asked beside a
// peer that is silent, which is left when it has given the records; and the gateway,
// when it has gone down into the tracks. Large records are none, and there need be
// room for one way alone.
func TestASilentPeerIsRaced(t *testing.T) {
	for name, c := range map[string]struct {
		ways  twoWays
		limit int64
		most  time.Duration
		peer  error
		left  error
	}{
		"records":      {twoWays{}, 0, 500 * time.Millisecond, context.Canceled, nil},
		"leaves":       {twoWays{leaves: 4 << 20}, 0, 710 * time.Millisecond, context.Canceled, context.Canceled},
		"boxes":        {twoWays{boxes: 270 << 10}, 0, 500 * time.Millisecond, context.Canceled, nil},
		"little room":  {twoWays{}, 24 << 20, 500 * time.Millisecond, context.Canceled, nil},
		"a peer gives": {twoWays{speaks: true, boxes: 270 << 10}, 0, 0, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, d, venue := stage(t)
				d.publish(1, d.track(900, 100))
				ways := c.ways
				ways.dj, ways.here = d.box.Node, venue.Node
				var err error
				venue.follow, err = follow.New(follow.Config{
					Names: venue.names, Fetch: venue.fetch, Blocks: venue.Node, Pinner: venue.Node, Held: venue.Node, Store: venue.states[1], Now: venue.clock, Bulk: &ways,
					Limit: c.limit,
				})
				if err != nil {
					t.Fatal(err)
				}
				name := mustFollow(t, venue, string(d.name))
				began := time.Now()
				mustSync(t, venue, name)
				if took := time.Since(began); took > c.most || !errors.Is(ways.peer, c.peer) || !errors.Is(ways.gateway, c.left) || ways.asked == ways.speaks {
					t.Errorf("it took %v, the peer was left with %v, the gateway, asked: %v, with %v", took, ways.peer, ways.asked, ways.gateway)
				}
			})
		})
	}
}

// late answers with a record after a while; with none it never does.
type late struct {
	raw   []byte
	after time.Duration
}

func (r late) Put(context.Context, ipns.Name, []byte, func(string)) error { return nil }

func (r late) Get(ctx context.Context, _ ipns.Name, found func([]byte)) error {
	if r.raw == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-time.After(r.after):
		found(r.raw)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestFirstGoesAhead: while others may still know a newer record of a catalogue
// that is new, what the first to come points at is fetched; and what the one that
// counts does, where that is another.
func TestFirstGoesAhead(t *testing.T) {
	for name, newer := range map[string]bool{"the first counts": false, "a newer one": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, d, venue := stage(t)
				want := d.publish(1, d.track(900, 100))
				first, err := d.box.names.Newest(d.name)
				if err != nil {
					t.Fatal(err)
				}
				other := late{}
				if newer {
					want = d.publish(2, d.track(901, 100))
					newest, err := d.box.names.Newest(d.name)
					if err != nil {
						t.Fatal(err)
					}
					other = late{newest.Raw, 500 * time.Millisecond}
				}
				names, err := ipns.New(ipns.Config{Store: venue.states[0], Now: venue.clock, Routers: []ipns.Router{late{raw: first.Raw}, other}})
				if err != nil {
					t.Fatal(err)
				}
				venue.follow, err = follow.New(follow.Config{
					Names: names, Fetch: venue.fetch, Blocks: venue.Node, Pinner: venue.Node, Held: venue.Node, Store: venue.states[1], Now: venue.clock,
					Bulk: &twoWays{dj: d.box.Node, here: venue.Node, leaves: 256 << 10},
				})
				if err != nil {
					t.Fatal(err)
				}
				name := mustFollow(t, venue, string(d.name))
				began, took := time.Now(), make(chan time.Duration, 1)
				defer venue.follow.OnNewer(func(*follow.Catalogue) { took <- time.Since(began) })()
				got := mustSync(t, venue, name)
				// The other is waited for for a second; a newer record comes after half
				// of it, and half a second after that a gateway is asked.
				if took := <-took; took != time.Second || got.Envelope != want {
					t.Errorf("%s after %v, want %s", got.Envelope, took, want)
				}
			})
		})
	}
}
