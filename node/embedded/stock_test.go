package embedded_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/client"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"playnode/node"
)

// A stock session that has left a node, as too many answers in a row were late or
// no, asks it again once it is reminded of what the node holds.
func TestStockSessionIsBroughtBack(t *testing.T) {
	n := start(t, config(t))
	const few = 20
	var links []cid.Cid
	var held []node.Block
	for i := range 2 * few {
		b := node.NewBlock(cid.Raw, fmt.Append(nil, "leaf ", i))
		if links = append(links, b.CID); i >= few { // the first are not here
			held = append(held, b)
		}
	}
	top := []byte{0x98, byte(len(links))}
	for _, l := range links {
		top = append(append(top, 0xd8, 42, 0x58, byte(l.ByteLen()+1), 0), l.Bytes()...)
	}
	root := node.NewBlock(cid.DagCBOR, top)
	if err := n.Put(t.Context(), append(held, root)...); err != nil {
		t.Fatal(err)
	}
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	net := bsnet.NewFromIpfsHost(h)
	c := client.New(ctx, net, nil, blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore())))
	t.Cleanup(func() { c.Close() })
	net.Start(c)
	t.Cleanup(net.Stop)
	at, err := peer.AddrInfoFromString(n.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Connect(ctx, *at); err != nil {
		t.Fatal(err)
	}
	until := func(asks bool) {
		for tagged(h, at.ID) != asks {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-t.Context().Done():
				t.Fatalf("that a session asks the node is never %t", asks)
			}
		}
	}
	session := c.NewSession(ctx)
	if _, err := session.GetBlock(ctx, root.CID); err != nil {
		t.Fatal(err)
	}
	until(true)
	if _, err := session.GetBlocks(ctx, links[:few]); err != nil {
		t.Fatal(err)
	}
	until(false)
	within, cancel := context.WithTimeout(ctx, 15*time.Second) // before all is broadcast anew
	defer cancel()
	if _, err := session.GetBlock(within, links[few]); err != nil {
		t.Errorf("a session that has left the node: %v", err)
	}
}

// tagged tells whether a session of h's asks p.
func tagged(h host.Host, p peer.ID) bool {
	info := h.ConnManager().GetTagInfo(p)
	if info == nil {
		return false
	}
	_, ok := info.Tags["bs-ses-1"]
	_, two := info.Tags["bs-ses-2"]
	return ok || two
}
