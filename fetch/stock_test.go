package fetch_test

import (
	"testing"
	"time"

	"playnode/node"
)

func TestStock(t *testing.T) {
	for _, n := range []int{10, 20} {
		for _, stock := range []bool{true, false} {
			blocks := leaves(40)
			var size int64
			for _, b := range blocks {
				size += int64(len(b.Data))
			}
			source := newBox(t, stock)
			source.Node.Put(t.Context(), blocks...)
			var boxes []*box
			for range n {
				b := newBox(t, stock)
				b.Connect(t.Context(), source.Node.Addrs()[0])
				for _, o := range boxes {
					if stock {
						b.Connect(t.Context(), o.Node.Addrs()[0])
					}
				}
				boxes = append(boxes, b)
			}
			t0 := time.Now()
			w := 1024
			if stock {
				w = 32
			}
			fillAll(t, boxes, blocks, node.Later, w)
			took := time.Since(t0)
			var dup, got int64
			for _, b := range boxes {
				dup += b.Swarm().Duplicate
				got += b.Swarm().Received + b.Traffic().Received
			}
			t.Logf("%d stock=%v source %.2f x, received %.2f x, dup %d, took %v", n, stock, float64(source.Swarm().Sent+source.Traffic().Sent)/float64(size), float64(got)/float64(size)/float64(n), dup, took)
			for _, b := range append(boxes, source) {
				b.Scheduler.Close()
				b.Node.Close()
			}
		}
	}
}
