package fetch_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/fetch"
	"playnode/node"
	"playnode/node/embedded"
)

// leaves are n blocks of 256 KiB, and a small one for every eight.
func leaves(n int) []node.Block {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	var out []node.Block
	for i := range n {
		data := make([]byte, 256<<10)
		for j := 0; j < len(data); j += 8 {
			binary.LittleEndian.PutUint64(data[j:], r.Uint64())
		}
		out = append(out, node.NewBlock(cid.Raw, data))
		if i%8 == 0 {
			out = append(out, node.NewBlock(cid.Raw, data[:700]))
		}
	}
	return out
}

// slow is how much slower the clock of a box goes than the machine's, so that
// a machine that is busy with other things is not taken for peers that are late.
const slow = 20

var epoch = time.Now()

// box is a whole node on loopback and its scheduler.
type box struct {
	*embedded.Node
	*fetch.Scheduler
}

func newBox(t *testing.T) *box {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := embedded.New(t.Context(), embedded.Config{
		Dir: t.TempDir(), Identity: key, Network: embedded.None, Listen: []string{"/ip4/127.0.0.1/tcp/0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := fetch.New(fetch.Config{
		Local: n, Streams: n, Peers: n, Near: n.Near, Meet: n.Meet,
		Now:   func() time.Time { return epoch.Add(time.Since(epoch) / slow) },
		After: func(d time.Duration) <-chan time.Time { return time.After(slow * d) },
	})
	s.Add(fetch.Source{Name: "bitswap", Getter: n})
	t.Cleanup(func() { s.Close(); n.Close() })
	return &box{n, s}
}

// fillAll has every box fetch every block, window at once, in order of asking.
func fillAll(t *testing.T, boxes []*box, blocks []node.Block, class node.Class, window int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, b := range boxes {
		wg.Go(func() {
			slots := make(chan struct{}, window)
			var all sync.WaitGroup
			for _, blk := range blocks {
				slots <- struct{}{}
				all.Add(1)
				b.Ask(ctx, blk.CID, node.Want{Class: class}, func(data []byte, err error) {
					if err != nil || !bytes.Equal(data, blk.Data) {
						t.Errorf("%s: %d bytes, %v", blk.CID, len(data), err)
					}
					<-slots
					all.Done()
				})
			}
			all.Wait()
		})
	}
	wg.Wait()
}

// TestASourceGivesEachBlockAboutOnce has ten boxes fill up at once from one
// source and each other. That they find each other is TestASourceRefers.
func TestASourceGivesEachBlockAboutOnce(t *testing.T) {
	blocks := leaves(40)
	var size int64
	for _, b := range blocks {
		size += int64(len(b.Data))
	}
	source := newBox(t)
	if err := source.Node.Put(t.Context(), blocks...); err != nil {
		t.Fatal(err)
	}
	var boxes []*box
	for range 10 {
		b := newBox(t)
		if err := b.Connect(t.Context(), source.Node.Addrs()[0]); err != nil {
			t.Fatal(err)
		}
		for _, o := range boxes { // a dial has the machine's time, not the box's
			if err := b.Connect(t.Context(), o.Node.Addrs()[0]); err != nil {
				t.Fatal(err)
			}
		}
		boxes = append(boxes, b)
	}
	fillAll(t, boxes, blocks, node.Later, 1024)
	var twice, got int64
	for _, b := range boxes {
		s := b.Swarm()
		twice += s.Duplicate
		got += s.Received
	}
	sent := float64(source.Swarm().Sent+source.Traffic().Sent) / float64(size)
	t.Logf("the source sent %.2f times what it has, %+v; duplicates %.1f %%", sent, source.Swarm(), 100*float64(twice)/float64(got))
	if sent > 1.3 { // 1.00 as measured; 8.1 by stock bitswap
		t.Errorf("the source sent %.2f times what it has", sent)
	}
}
