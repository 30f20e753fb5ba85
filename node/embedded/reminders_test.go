package embedded

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	pb "github.com/ipfs/boxo/bitswap/message/pb"
	bitswap "github.com/ipfs/boxo/bitswap/network"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"playnode/node"
)

// wire is a network that keeps what is sent.
type wire struct {
	bitswap.BitSwapNetwork
	gone  bool
	block chan struct{} // nil, or closed when a message has been written
	sent  []message.BitSwapMessage
	at    []time.Time
}

func (w *wire) SendMessage(_ context.Context, _ peer.ID, m message.BitSwapMessage) error {
	if w.block != nil {
		<-w.block
	}
	w.sent, w.at = append(w.sent, m), append(w.at, time.Now())
	return nil
}

func (w *wire) IsConnectedToPeer(context.Context, peer.ID) bool { return !w.gone }

// list is a list of links in dag-cbor.
func list(links []cid.Cid) node.Block {
	out := []byte{0x99, byte(len(links) >> 8), byte(len(links))}
	for _, l := range links {
		out = append(append(out, 0xd8, 42, 0x58, byte(l.ByteLen()+1), 0), l.Bytes()...)
	}
	return node.NewBlock(cid.DagCBOR, out)
}

// TestReminders has an asker be given a list and ask for some of it: in silence it
// is told of the rest, ever less often, unless it needs nothing more, a message is
// still being written to it, or it is to be given nothing.
func TestReminders(t *testing.T) {
	leaves := make([]cid.Cid, 2*reminded)
	for i := range leaves {
		leaves[i] = node.NewBlock(cid.Raw, []byte{byte(i), byte(i >> 8)}).CID
	}
	const asker peer.ID = "asker"
	for _, c := range []struct {
		name  string
		links int
		asked int
		lacks int // the last of them, which are not here
		does  func(*wire, *reminders)
		told  [][]int // by the numbers of links, from and to
		times int
	}{
		{"some", 20, 5, 0, nil, [][]int{{5, 20}}, maxReminders},
		{"all", 20, 20, 0, nil, nil, 0},
		{"none is here", 20, 5, 15, nil, nil, 0},
		{"some are here", 20, 5, 10, nil, [][]int{{5, 10}}, maxReminders},
		{"many", 2 * reminded, 10, 0, nil, [][]int{{10, 10 + reminded/2}, {2*reminded - reminded/2, 2 * reminded}}, maxReminders},
		{"kept", 20, 5, 0, func(_ *wire, r *reminders) { r.keeps = func(peer.ID) bool { return true } }, nil, 0},
		{"gone", 20, 5, 0, func(w *wire, _ *reminders) { w.gone = true }, nil, 0},
		{"disconnected", 20, 5, 0, func(_ *wire, r *reminders) { r.PeerDisconnected(asker) }, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{}
				here := leaves[:c.links-c.lacks]
				r := newReminders(w, func(_ context.Context, l cid.Cid) (bool, error) { return slices.Contains(here, l), nil }, func(peer.ID) bool { return false })
				top := list(leaves[:c.links])
				m := message.New(false)
				b, _ := blocks.NewBlockWithCid(top.Data, top.CID)
				m.AddBlock(b)
				r.SendMessage(t.Context(), asker, m)
				asks := message.New(false)
				for _, l := range leaves[:c.asked] {
					asks.AddEntry(l, 1, pb.Message_Wantlist_Block, true)
				}
				r.ReceiveMessage(t.Context(), asker, asks)
				if c.does != nil {
					c.does(w, r)
				}
				began := time.Now()
				<-time.After(time.Hour)
				if len(w.sent) != 1+c.times {
					t.Fatalf("%d messages, want the block and %d", len(w.sent), c.times)
				}
				wait := silence
				for i, m := range w.sent[1:] {
					var want []cid.Cid
					for _, part := range c.told {
						want = append(want, leaves[part[0]:part[1]]...)
					}
					got := m.Haves()
					slices.SortFunc(got, func(a, b cid.Cid) int { return slices.Index(leaves, a) - slices.Index(leaves, b) })
					if !slices.Equal(got, want) || len(m.DontHaves())+len(m.Blocks()) > 0 {
						t.Errorf("reminder %d tells of %d blocks, want %d", i, len(got), len(want))
					}
					if waited := w.at[i+1].Sub(began); waited != wait {
						t.Errorf("reminder %d after %v, want %v", i, waited, wait)
					}
					wait += silence << (i + 1)
				}
				if r.open != 0 && c.name != "kept" || len(r.askers) != 0 && c.name != "kept" {
					t.Errorf("%d links of %d askers are remembered", r.open, len(r.askers))
				}
				r.mu.Lock()
				r.forget(asker)
				r.mu.Unlock()
			})
		})
	}
	t.Run("written slowly", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{block: make(chan struct{})}
			r := newReminders(w, func(context.Context, cid.Cid) (bool, error) { return true, nil }, func(peer.ID) bool { return false })
			top := list(leaves[:20])
			m := message.New(false)
			b, _ := blocks.NewBlockWithCid(top.Data, top.CID)
			m.AddBlock(b)
			go r.SendMessage(t.Context(), asker, m)
			<-time.After(time.Minute)
			if len(w.sent) > 0 {
				t.Error("it was reminded of what it is being given")
			}
			close(w.block)
			<-time.After(silence + time.Millisecond)
			if len(w.sent) != 2 {
				t.Errorf("%d messages, want the block and one reminder", len(w.sent))
			}
			// Who asks is reminded anew, as soon as at first.
			asks := message.New(false)
			asks.AddEntry(leaves[0], 1, pb.Message_Wantlist_Have, true)
			r.ReceiveMessage(t.Context(), asker, asks)
			<-time.After(silence + time.Millisecond)
			if len(w.sent) != 3 || len(w.sent[2].Haves()) != 19 {
				t.Errorf("%d messages, the last with %d blocks", len(w.sent), len(w.sent[len(w.sent)-1].Haves()))
			}
			r.PeerDisconnected(asker)
		})
	})
}

// TestOpenLinksAreBounded has more links be given than are remembered.
func TestOpenLinksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReminders(&wire{}, func(context.Context, cid.Cid) (bool, error) { return true, nil }, func(peer.ID) bool { return false })
		links := make([]cid.Cid, 4096)
		for i := range maxOpen/len(links) + 2 {
			for k := range links {
				links[k] = node.NewBlock(cid.Raw, []byte{byte(i), byte(k), byte(k >> 8)}).CID
			}
			b := list(links)
			m := message.New(false)
			x, _ := blocks.NewBlockWithCid(b.Data, b.CID)
			m.AddBlock(x)
			r.SendMessage(t.Context(), peer.ID([]byte{byte(i)}), m)
		}
		if r.open != maxOpen {
			t.Errorf("%d links are remembered, want %d", r.open, maxOpen)
		}
		for i := range maxOpen/len(links) + 2 {
			r.PeerDisconnected(peer.ID([]byte{byte(i)}))
		}
		if r.open != 0 || len(r.askers) != 0 {
			t.Errorf("%d links of %d askers are remembered when all have gone", r.open, len(r.askers))
		}
	})
}
