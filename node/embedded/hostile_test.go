package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-msgio"

	"playnode/node"
)

// liar is a bitswap peer that says it has everything and sends bytes of its
// own; asked tells that it was asked for a block.
func liar(t *testing.T, wrong []byte) (addr string, asked <-chan struct{}) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	blocksAsked := make(chan struct{}, 64)
	answer := func(s network.Stream, q message.BitSwapMessage) {
		a := message.New(false)
		for _, w := range q.Wantlist() {
			if w.Cancel {
				continue
			}
			a.AddHave(w.Cid)
			b, err := blocks.NewBlockWithCid(wrong, w.Cid)
			if err != nil {
				t.Error(err)
			}
			a.AddBlock(b)
			select {
			case blocksAsked <- struct{}{}:
			default:
			}
		}
		back, err := h.NewStream(context.Background(), s.Conn().RemotePeer(), bsnet.ProtocolBitswap)
		if err != nil {
			return
		}
		a.ToNetV1(back)
		back.Close()
	}
	h.SetStreamHandler(bsnet.ProtocolBitswap, func(s network.Stream) {
		defer s.Close()
		r := msgio.NewVarintReaderSize(s, 4<<20)
		for {
			q, _, err := message.FromMsgReader(r)
			if err != nil {
				return
			}
			answer(s, q)
		}
	})
	return h.Addrs()[0].String() + "/p2p/" + h.ID().String(), blocksAsked
}

func TestLyingPeer(t *testing.T) {
	good := node.NewBlock(cid.Raw, bytes.Repeat([]byte{1}, 50_000))
	addr, asked := liar(t, bytes.Repeat([]byte{2}, 50_000))
	a := start(t, config(t, addr))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-asked
		<-time.After(500 * time.Millisecond) // its answer has long arrived
		cancel()
	}()
	if got, err := a.Get(ctx, good.CID, node.Want{}); got != nil || !errors.Is(err, context.Canceled) {
		t.Fatalf("from a liar alone: %d bytes, %v", len(got), err)
	}
	honest := start(t, config(t))
	if err := honest.Put(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	if err := a.Connect(t.Context(), honest.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	got, err := a.Get(t.Context(), good.CID, node.Want{})
	if err != nil || !bytes.Equal(got, good.Data) {
		t.Fatalf("beside an honest peer: %d bytes, %v", len(got), err)
	}
}

// TestKeptPeer goes away and comes back under the same address.
func TestKeptPeer(t *testing.T) {
	cfg := config(t)
	b := start(t, cfg)
	cfg.Listen = []string{over(t, b, "tcp")[:len(over(t, b, "tcp"))-len("/p2p/"+b.ID())]}
	a := start(t, config(t, b.Addrs()[0]))
	met := make(chan string, 8)
	a.OnConnect(func(p string) { met <- p })
	for range 3 {
		select {
		case p := <-met:
			if p != b.ID() {
				t.Fatalf("met %s", p)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the peer was not dialled again")
		}
		b.Close()
		b = start(t, cfg)
	}
}

// TestNeighbourHearsOfAPut: one who asked before a block was there gets it
// through a neighbour that fetches and stores it.
func TestNeighbourHearsOfAPut(t *testing.T) {
	source, middle, end := start(t, config(t)), start(t, config(t)), start(t, config(t))
	for _, pair := range [][2]interface {
		Connect(context.Context, string) error
		Addrs() []string
	}{{middle, source}, {end, middle}} {
		if err := pair[0].Connect(t.Context(), pair[1].Addrs()[0]); err != nil {
			t.Fatal(err)
		}
	}
	b := node.NewBlock(cid.Raw, bytes.Repeat([]byte{3}, 100_000))
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // before anyone asks anew
	defer cancel()
	got := make(chan error, 1)
	go func() {
		_, err := end.Get(ctx, b.CID, node.Want{})
		got <- err
	}()
	if err := source.Put(ctx, b); err != nil {
		t.Fatal(err)
	}
	data, err := middle.Get(ctx, b.CID, node.Want{})
	if err != nil {
		t.Fatal(err)
	}
	if err := middle.Put(ctx, node.Block{CID: b.CID, Data: data}); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatalf("the neighbour never heard: %v", err)
	}
}

func TestCloseIsQuick(t *testing.T) {
	a, b := start(t, config(t)), start(t, config(t))
	if err := a.Connect(t.Context(), b.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := a.Get(context.Background(), node.NewBlock(cid.Raw, []byte("nobody has this")).CID, node.Want{})
		waiting <- err
	}()
	began := time.Now()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("Close took %v", took)
	}
	if err := <-waiting; err == nil {
		t.Fatal("a Get outlived its node")
	}
}
