package embedded

import (
	"context"
	"slices"
	"sync"
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
	block chan struct{} // nil, or closed when a message may be written

	mu   sync.Mutex // guards what follows
	sent []message.BitSwapMessage
	at   []time.Time
}

func (w *wire) SendMessage(_ context.Context, _ peer.ID, m message.BitSwapMessage) error {
	if w.block != nil {
		<-w.block
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.at = append(w.sent, m), append(w.at, time.Now())
	return nil
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent)
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

const kuboID peer.ID = "kubo"

// of is a message of blocks.
func of(all ...node.Block) message.BitSwapMessage {
	m := message.New(false)
	for _, b := range all {
		x, err := blocks.NewBlockWithCid(b.Data, b.CID)
		if err != nil {
			panic(err)
		}
		m.AddBlock(x)
	}
	return m
}

// TestReminders has an asker be given two lists and ask for some of them: in silence
// it is told of what comes next in each, ever less often, unless it needs nothing more,
// a message is still being written to it, or it is to be given nothing.
func TestReminders(t *testing.T) {
	leaves := make([]cid.Cid, 1000)
	for i := range leaves {
		leaves[i] = node.NewBlock(cid.Raw, []byte{byte(i), byte(i >> 8)}).CID
	}
	for _, c := range []struct {
		name  string
		links int
		asked int
		lacks int // the last of them, which are not here
		after int // that many after those that were asked for are not here either
		kept  bool
		gone  bool
		does  func(*reminders)
		told  [][]int // by the numbers of links, from and to
		times int
	}{
		{"some", 20, 5, 0, 0, false, false, nil, [][]int{{5, 5 + ofEach}, {10, 10 + ofEach}}, maxReminders},
		{"all", 20, 20, 0, 0, false, false, nil, nil, 0},
		{"none is here", 20, 5, 15, 0, false, false, nil, nil, 0},
		{"some are here", 20, 5, 13, 0, false, false, nil, [][]int{{5, 7}}, maxReminders},
		{"the next ones are not here", 20, 2, 0, ofEach, false, false, nil, [][]int{{2 + ofEach, 10}, {10, 10 + ofEach}}, maxReminders},
		{"of the second block", 20, 12, 0, 0, false, false, nil, [][]int{{12, 12 + ofEach}}, maxReminders},
		{"asked for before it was given", 20, 5, 0, 0, false, false, func(r *reminders) {
			r.SendMessage(context.Background(), kuboID, of(list(leaves[:20])))
			r.SendMessage(context.Background(), kuboID, of(list(leaves[:5])))
		}, [][]int{{5, 5 + ofEach}, {10, 10 + ofEach}}, maxReminders},
		{"kept", 20, 5, 0, 0, true, false, nil, nil, 0},
		{"gone", 20, 5, 0, 0, false, true, nil, nil, 0},
		{"kept and gone", 20, 5, 0, 0, true, true, nil, nil, 0},
		{"kept, and all", 20, 20, 0, 0, true, false, nil, nil, 0},
		{"disconnected", 20, 5, 0, 0, false, false, func(r *reminders) { r.PeerDisconnected(kuboID) }, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{gone: c.gone}
				here := slices.Concat(leaves[:c.asked], leaves[c.asked+c.after:c.links-c.lacks])
				looks := 0
				r := newReminders(w, func(_ context.Context, l cid.Cid) (bool, error) { return slices.Contains(here, l), nil }, func(peer.ID) bool { looks++; return c.kept })
				r.SendMessage(t.Context(), kuboID, of(list(leaves[:10])))
				r.SendMessage(t.Context(), kuboID, of(list(leaves[10:c.links])))
				asks := message.New(false)
				for _, l := range leaves[:c.asked] {
					asks.AddEntry(l, 1, pb.Message_Wantlist_Block, true)
				}
				r.ReceiveMessage(t.Context(), kuboID, asks)
				if c.does != nil {
					c.does(r)
				}
				began, before := time.Now(), w.count()
				<-time.After(time.Hour)
				synctest.Wait()
				w.mu.Lock()
				defer w.mu.Unlock()
				if len(w.sent) != before+c.times {
					t.Fatalf("%d reminders, want %d", len(w.sent)-before, c.times)
				}
				wait := silence
				for i, m := range w.sent[before:] {
					var want []cid.Cid
					for _, part := range c.told {
						want = append(want, leaves[part[0]:part[1]]...)
					}
					got := m.Haves()
					slices.SortFunc(got, func(a, b cid.Cid) int { return slices.Index(leaves, a) - slices.Index(leaves, b) })
					if !slices.Equal(got, want) || len(m.DontHaves())+len(m.Blocks()) > 0 {
						t.Errorf("reminder %d tells of %d blocks, want %d", i, len(got), len(want))
					}
					if waited := w.at[before+i].Sub(began); waited != wait {
						t.Errorf("reminder %d after %v, want %v", i, waited, wait)
					}
					wait += silence << (i + 1)
				}
				r.mu.Lock()
				waits := c.kept && !c.gone && c.asked < c.links
				if waits != (len(r.askers) > 0) || !waits && r.open+r.asked > 0 {
					t.Errorf("%d links of %d askers are remembered", r.open, len(r.askers))
				}
				if looks > int(time.Hour/keptWait) {
					t.Errorf("one that is kept has been looked at %d times within an hour", looks)
				}
				r.forget(kuboID)
				r.mu.Unlock()
			})
		})
	}
	t.Run("written slowly", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{block: make(chan struct{})}
			r := newReminders(w, func(context.Context, cid.Cid) (bool, error) { return true, nil }, func(peer.ID) bool { return false })
			go r.SendMessage(t.Context(), kuboID, of(list(leaves[:20])))
			<-time.After(time.Minute)
			synctest.Wait()
			if w.count() > 0 {
				t.Error("it was reminded of what it is being given")
			}
			close(w.block)
			<-time.After(silence + time.Millisecond)
			synctest.Wait()
			if n := w.count(); n != 2 {
				t.Errorf("%d messages, want the block and one reminder", n)
			}
			// Who asks is reminded anew, as soon as at first.
			asks := message.New(false)
			asks.AddEntry(leaves[0], 1, pb.Message_Wantlist_Have, true)
			r.ReceiveMessage(t.Context(), kuboID, asks)
			<-time.After(silence + time.Millisecond)
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			if len(w.sent) != 3 || slices.Contains(w.sent[2].Haves(), leaves[0]) || !slices.Contains(w.sent[2].Haves(), leaves[1]) {
				t.Errorf("%d messages, the last of %v", len(w.sent), w.sent[len(w.sent)-1].Haves())
			}
			r.PeerDisconnected(kuboID)
		})
	})
}

// What was asked for is forgotten, also where what came before it never is.
func TestWhatWasAskedForIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReminders(&wire{}, func(context.Context, cid.Cid) (bool, error) { return true, nil }, func(peer.ID) bool { return false })
		r.SendMessage(t.Context(), kuboID, of(list([]cid.Cid{node.NewBlock(cid.Raw, []byte("never")).CID})))
		for i := range 10 * reminded {
			l := node.NewBlock(cid.Raw, []byte{byte(i), byte(i >> 8)}).CID
			r.SendMessage(t.Context(), kuboID, of(list([]cid.Cid{l})))
			asks := message.New(false)
			asks.AddEntry(l, 1, pb.Message_Wantlist_Block, true)
			r.ReceiveMessage(t.Context(), kuboID, asks)
		}
		if a := r.askers[kuboID]; r.open != 1 || len(a.given) > 2*reminded {
			t.Errorf("%d links are open, of %d blocks", r.open, len(a.given))
		}
		r.PeerDisconnected(kuboID)
	})
}

// Nor does a block of which one link is open have the others be remembered.
func TestALongListIsForgottenButForWhatIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReminders(&wire{}, func(context.Context, cid.Cid) (bool, error) { return true, nil }, func(peer.ID) bool { return false })
		links := make([]cid.Cid, 4*reminded)
		for i := range 3 {
			for k := range links {
				links[k] = node.NewBlock(cid.Raw, []byte{byte(i), byte(k), byte(k >> 8)}).CID
			}
			r.SendMessage(t.Context(), kuboID, of(list(links)))
			asks := message.New(false)
			for _, l := range links[1:] {
				asks.AddEntry(l, 1, pb.Message_Wantlist_Block, true)
			}
			r.ReceiveMessage(t.Context(), kuboID, asks)
		}
		kept := 0
		for _, links := range r.askers[kuboID].given {
			kept += cap(links)
		}
		if r.open != 3 || kept > 2*r.open+reminded {
			t.Errorf("%d links are kept, and %d are open", kept, r.open)
		}
		r.PeerDisconnected(kuboID)
	})
}

// What all askers have asked for is bounded: of the one that has asked for most it is
// forgotten.
func TestWhatWasAskedForIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReminders(&wire{}, func(context.Context, cid.Cid) (bool, error) { return true, nil }, func(peer.ID) bool { return false })
		const each, askers = 2 * maxAsked / 5, 3
		for p := range byte(askers) {
			id := peer.ID([]byte{p})
			r.SendMessage(t.Context(), id, of(list([]cid.Cid{node.NewBlock(cid.Raw, []byte("never")).CID})))
			asks := message.New(false)
			for i := range each - int(p) {
				asks.AddEntry(node.NewBlock(cid.Raw, []byte{p, byte(i), byte(i >> 8)}).CID, 1, pb.Message_Wantlist_Block, true)
			}
			r.ReceiveMessage(t.Context(), id, asks)
			r.ReceiveMessage(t.Context(), id, asks) // and again
		}
		sum := 0
		for p := range byte(askers) {
			n := len(r.askers[peer.ID([]byte{p})].asked)
			if want := map[bool]int{true: 0, false: each - int(p)}[p == 0]; n != want {
				t.Errorf("of asker %d %d are known, want %d", p, n, want)
			}
			sum += n
		}
		if r.asked != sum {
			t.Errorf("%d are counted of %d", r.asked, sum)
		}
		for p := range byte(askers) {
			r.PeerDisconnected(peer.ID([]byte{p}))
		}
		if r.asked != 0 {
			t.Errorf("%d are counted when all have gone", r.asked)
		}
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
			r.SendMessage(t.Context(), peer.ID([]byte{byte(i)}), of(list(links)))
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
