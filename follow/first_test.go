package follow_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/node"
)

// twoWays is a peer that is asked for trees and says nothing, and a gateway.
type twoWays struct {
	dj, here node.Blocks
	leaves   int   // bytes of leaves that the gateway gives before a record
	peer     error // how the peer was left
	asked    bool  // the gateway was
	gateway  error // how it was left then
}

func (b *twoWays) Trees(ctx context.Context, _ cid.Cid, _ int64, _ func(cid.Cid, int)) error {
	<-ctx.Done()
	b.peer = ctx.Err()
	return b.peer
}

func (b *twoWays) Stream(ctx context.Context, root cid.Cid, _ int64, each func(cid.Cid, int)) error {
	err := b.below(ctx, root, each)
	if !b.asked {
		b.asked, b.leaves, b.gateway = true, 0, err
	}
	return err
}

// below gives leaves at 10 Mbit/s, and then what is below root.
func (b *twoWays) below(ctx context.Context, root cid.Cid, each func(cid.Cid, int)) error {
	for ; b.leaves > 0; b.leaves -= 128 << 10 {
		select {
		case <-time.After(105 * time.Millisecond):
			each(root, 128<<10)
		case <-ctx.Done():
			return ctx.Err()
		}
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
			err = b.below(ctx, l, each)
		}
	}
	return err
}

// TestASilentPeerIsRaced: of a catalogue that is new a gateway is asked beside a
// peer that is silent, which is left when it has given the records; and the gateway,
// when it has gone down into the tracks.
func TestASilentPeerIsRaced(t *testing.T) {
	for _, c := range []struct {
		leaves int
		most   time.Duration
		left   error
	}{
		{0, 500 * time.Millisecond, nil},
		{4 << 20, 710 * time.Millisecond, context.Canceled},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, d, venue := stage(t)
			d.publish(1, d.track(900, 100))
			ways := &twoWays{dj: d.box.Node, here: venue.Node, leaves: c.leaves}
			var err error
			venue.follow, err = follow.New(follow.Config{
				Names: venue.names, Fetch: venue.fetch, Blocks: venue.Node, Pinner: venue.Node, Held: venue.Node, Store: venue.states[1], Now: venue.clock, Bulk: ways,
			})
			if err != nil {
				t.Fatal(err)
			}
			name := mustFollow(t, venue, string(d.name))
			began := time.Now()
			mustSync(t, venue, name)
			if took := time.Since(began); took > c.most || !errors.Is(ways.peer, context.Canceled) || !errors.Is(ways.gateway, c.left) {
				t.Errorf("%d bytes of leaves: it took %v, the peer was left with %v, the gateway with %v", c.leaves, took, ways.peer, ways.gateway)
			}
		})
	}
}
