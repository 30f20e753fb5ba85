package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
	"playnode/node/embedded"
)

// TestRelease: what nobody wants goes after the grace, by a clock that the
// test moves; not what was used here meanwhile, nor what a peer has had.
func TestRelease(t *testing.T) {
	var unix atomic.Int64
	cfg := config(t)
	cfg.Grace, cfg.Now = time.Minute, func() time.Time { return time.Unix(unix.Load(), 0) }
	n := start(t, cfg)
	peer := start(t, config(t, n.Addrs()[0]))
	meet(t, peer, n)
	ctx := t.Context()
	const size = 40 << 10
	var blocks []node.Block
	var all []cid.Cid
	for i := range 6 {
		b := node.NewBlock(cid.Raw, fmt.Append(make([]byte, size-1), i))
		blocks, all = append(blocks, b), append(all, b.CID)
	}
	if err := n.Put(ctx, blocks...); err != nil {
		t.Fatal(err)
	}
	full, err := n.Used(ctx)
	if err != nil || full < 6*size {
		t.Fatalf("%d bytes, %v", full, err)
	}
	release := func(want int, unwanted ...cid.Cid) {
		t.Helper()
		freed, bytes, err := n.Release(ctx, unwanted)
		if err != nil || freed != want || bytes != int64(size*want) {
			t.Fatalf("%d blocks, %d bytes went, %v; want %d", freed, bytes, err, want)
		}
	}
	has := func(i int) bool {
		held := false
		if err := n.Each(ctx, func(c cid.Cid, n int64) error { held = held || c == all[i] && n == size; return nil }); err != nil {
			t.Fatal(err)
		}
		return held
	}
	release(0, all...)
	unix.Add(59)
	release(0, all...)
	if _, err := n.Read(ctx, all[0]); err != nil { // read here
		t.Fatal(err)
	}
	if err := n.Put(ctx, blocks[1]); err != nil { // put here
		t.Fatal(err)
	}
	if ok, err := n.Has(ctx, all[2]); err != nil || !ok { // asked for here
		t.Fatal(ok, err)
	}
	get, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := peer.Get(get, all[3], node.Want{}); err != nil { // a peer has heard of it
		t.Fatal(err)
	}
	unix.Add(1)
	release(1, all[0], all[1], all[2], all[3], all[5]) // 4 is wanted again, 5 goes
	if has(5) || !has(3) || !has(4) {
		t.Fatal("the wrong one went")
	}
	unix.Add(60)
	release(4, all...)
	if !has(4) {
		t.Fatal("what was wanted meanwhile went at once")
	}
	if used, err := n.Used(ctx); err != nil || used > full-4*size || used < size {
		t.Fatalf("%d bytes of %d, %v", used, full, err)
	}
	stop := errors.New("stop")
	if err := n.Each(ctx, func(cid.Cid, int64) error { return stop }); !errors.Is(err, stop) {
		t.Fatal(err)
	}
}

// TestReleaseForgetsOverARestart: the grace begins anew, nothing is lost.
func TestReleaseForgetsOverARestart(t *testing.T) {
	cfg := config(t)
	cfg.Grace = time.Nanosecond
	n := start(t, cfg)
	b := node.NewBlock(cid.Raw, []byte("block"))
	if err := n.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	release := func(want int) {
		t.Helper()
		if freed, _, err := n.Release(t.Context(), []cid.Cid{b.CID}); err != nil || freed != want {
			t.Fatalf("%d went, %v, want %d", freed, err, want)
		}
	}
	release(0)
	n.Close()
	n = start(t, cfg)
	release(0)
	release(1)
}

var _ node.Held = (*embedded.Node)(nil)
