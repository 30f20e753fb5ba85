package embedded_test

import (
	"context"
	"crypto/ed25519"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"playnode/node"
	"playnode/node/embedded"
	"playnode/node/embedded/pack"
	"playnode/node/nodetest"
)

func TestMain(m *testing.M) {
	// A closed leveldb's pool drains for up to a second of its own.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

func config(t *testing.T, peers ...string) embedded.Config {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return embedded.Config{
		Dir: t.TempDir(), Identity: key, Network: embedded.None, Peers: peers,
		Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"},
	}
}

func start(t *testing.T, cfg embedded.Config) *embedded.Node {
	t.Helper()
	n, err := embedded.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// damage flips a bit of a block on the disk.
func damage(t *testing.T, dir string, c cid.Cid) {
	t.Helper()
	spots, err := pack.List(filepath.Join(dir, "packs"))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(spots, func(s pack.Spot) bool { return s.CID == c })
	if i < 0 {
		t.Fatalf("%s is not among %d blocks", c, len(spots))
	}
	nodetest.Flip(t, spots[i].File, spots[i].At+int64(spots[i].Size/2))
}

func TestConformance(t *testing.T) {
	t.Run("Blocks", func(t *testing.T) {
		nodetest.Blocks(t, func(t *testing.T) nodetest.Store {
			cfg := config(t)
			var open func() nodetest.Store
			open = func() nodetest.Store {
				n := start(t, cfg)
				return nodetest.Store{
					Blocks: n, Damage: func(c cid.Cid) { damage(t, cfg.Dir, c) },
					Reopen: func() nodetest.Store { n.Close(); return open() },
				}
			}
			return open()
		})
	})
	t.Run("Pinner", func(t *testing.T) {
		nodetest.Pinner(t, func(t *testing.T) nodetest.PinStore {
			cfg := config(t)
			var open func() nodetest.PinStore
			open = func() nodetest.PinStore {
				n := start(t, cfg)
				return nodetest.PinStore{Blocks: n, Pinner: n, Reopen: func() nodetest.PinStore { n.Close(); return open() }}
			}
			return open()
		})
	})
	for _, transport := range []string{"tcp", "quic"} {
		t.Run("Getter over "+transport, func(t *testing.T) {
			nodetest.Getter(t, func(t *testing.T) nodetest.Source {
				b := start(t, config(t))
				a := start(t, config(t, over(t, b, transport)))
				meet(t, a, b)
				return nodetest.Source{Getter: a, Waits: true, Give: func(blocks ...node.Block) {
					if err := b.Put(context.Background(), blocks...); err != nil {
						t.Error(err)
					}
				}}
			})
		})
	}
	t.Run("Topics", func(t *testing.T) {
		nodetest.Topics(t, func(t *testing.T) (a, b, c nodetest.Speaker) {
			return start(t, config(t)), start(t, config(t)), start(t, config(t))
		})
	})
	t.Run("Streams", func(t *testing.T) {
		nodetest.Streams(t, func(t *testing.T) (a, b nodetest.Peer) {
			return start(t, config(t)), start(t, config(t))
		})
	})
}

// over is b's address on one transport.
func over(t *testing.T, b *embedded.Node, transport string) string {
	for _, a := range b.Addrs() {
		if strings.Contains(a, "/"+transport) {
			return a
		}
	}
	t.Fatalf("no %s among %v", transport, b.Addrs())
	return ""
}

// meet waits until a has met b.
func meet(t *testing.T, a, b *embedded.Node) {
	t.Helper()
	met := make(chan string, 8)
	a.OnConnect(func(p string) { met <- p })
	select {
	case p := <-met:
		if p != b.ID() {
			t.Fatalf("met %s", p)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("never met")
	}
}
