package memory_test

import (
	"context"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"playnode/node"
	"playnode/node/memory"
	"playnode/node/nodetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func alone(t *testing.T) *memory.Node {
	n := memory.NewWorld().Node(t.Name())
	t.Cleanup(func() { n.Close() })
	return n
}

func pair(t *testing.T) (a, b *memory.Node) {
	w := memory.NewWorld()
	w.Delay = time.Millisecond
	a, b = w.Node("a"), w.Node("b")
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestConformance(t *testing.T) {
	t.Run("Blocks", func(t *testing.T) {
		nodetest.Blocks(t, func(t *testing.T) nodetest.Store {
			n := alone(t)
			return nodetest.Store{Blocks: n, Damage: n.Damage}
		})
	})
	t.Run("Pinner", func(t *testing.T) {
		nodetest.Pinner(t, func(t *testing.T) nodetest.PinStore {
			n := alone(t)
			return nodetest.PinStore{Blocks: n, Pinner: n}
		})
	})
	t.Run("Getter", func(t *testing.T) {
		nodetest.Getter(t, func(t *testing.T) nodetest.Source {
			a, b := pair(t)
			a.Connect(t.Context(), b.Addrs()[0])
			return nodetest.Source{
				Getter: a, Lie: b.Lie, Waits: true,
				Give: func(blocks ...node.Block) { b.Put(context.Background(), blocks...) },
			}
		})
	})
	t.Run("Streams", func(t *testing.T) {
		nodetest.Streams(t, func(t *testing.T) (a, b nodetest.Peer) { return pair(t) })
	})
	t.Run("Topics", func(t *testing.T) {
		nodetest.Topics(t, func(t *testing.T) (a, b, c nodetest.Speaker) {
			w := memory.NewWorld()
			w.Delay = time.Millisecond
			x, y, z := w.Node("a"), w.Node("b"), w.Node("c")
			t.Cleanup(func() { x.Close(); y.Close(); z.Close() })
			return x, y, z
		})
	})
	t.Run("Values", func(t *testing.T) {
		nodetest.Values(t, func(t *testing.T) (a, b node.Values) { return pair(t) })
	})
	t.Run("Links", nodetest.Links)
}

func TestCutWorld(t *testing.T) {
	w := memory.NewWorld()
	a, b := w.Node("a"), w.Node("b")
	defer a.Close()
	defer b.Close()
	w.Link(a, b)
	w.Cut(a, b)
	block := node.NewBlock(cid.Raw, []byte("x"))
	b.Put(t.Context(), block)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Get(ctx, block.CID, node.Want{}); err == nil {
		t.Fatal("a block crossed a cut")
	}
	w.Link(a, b)
	if _, err := a.Get(t.Context(), block.CID, node.Want{}); err != nil {
		t.Fatal(err)
	}
}
