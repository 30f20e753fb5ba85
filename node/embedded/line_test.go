package embedded_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// TestLineOfBitswap: blocks that go by bitswap share the line too, each way, by
// TCP and by QUIC. A slow machine takes longer, never less.
func TestLineOfBitswap(t *testing.T) {
	const rate, size = 400_000, 600_000
	for _, by := range []string{"/tcp/", "/quic-v1/"} {
		for way, bound := range map[string]node.LineConfig{"up": {Up: rate}, "down": {Down: rate}} {
			t.Run(strings.Trim(by, "/")+" "+way, func(t *testing.T) {
				t.Parallel()
				from, to := config(t), config(t)
				from.Listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
				if bound.Up > 0 {
					from.Line = node.NewLine(bound)
				} else {
					to.Line = node.NewLine(bound)
				}
				giver := start(t, from)
				var addr string
				for _, a := range giver.Addrs() {
					if strings.Contains(a, by) {
						addr = a
					}
				}
				taker := start(t, to)
				if err := taker.Connect(t.Context(), addr); err != nil {
					t.Fatal(err)
				}
				r := rand.New(rand.NewPCG(1, 2))
				began := time.Now()
				for range size / 100_000 {
					data := make([]byte, 100_000)
					for i := range data {
						data[i] = byte(r.Uint32())
					}
					b := node.NewBlock(cid.Raw, data)
					if err := giver.Put(t.Context(), b); err != nil {
						t.Fatal(err)
					}
					if _, err := taker.Get(t.Context(), b.CID, node.Want{}); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(began); took < size*time.Second/rate*8/10 {
					t.Errorf("%d bytes took %s at %d a second", size, took, rate)
				} else {
					t.Logf("%d bytes took %s at %d a second", size, took, rate)
				}
			})
		}
	}
}
