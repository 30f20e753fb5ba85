package embedded

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	bitswap "github.com/ipfs/boxo/bitswap/network"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"playnode/node"
)

const (
	// silence is how long an asker asks for nothing, until it is reminded; twice as
	// long as before each time after that, maxReminders times at most.
	silence, maxReminders = time.Second, 4
	// reminded is how many blocks one reminder names, ofEach how many of them one
	// other links to.
	reminded, ofEach = 512, 4
	// maxOpen bounds the links that are remembered, of all askers, maxAsked what one
	// of them is known to have asked for.
	maxOpen, maxAsked = 1 << 15, 1 << 16
)

// reminders is bitswap's network, which tells an asker that has come to rest in the
// middle of a graph that the rest is here. A stock session leaves a peer of which 17
// answers in a row came late, by twice the usual or 50 ms at the least; whatever it
// wants when nothing is under way any more it asks nobody for, ever. One HAVE of a
// block that it wants has it ask again, and of others it takes no notice. Safe for
// concurrent use.
type reminders struct {
	bitswap.BitSwapNetwork
	holds func(context.Context, cid.Cid) (bool, error)
	keeps func(peer.ID) bool // it is to be given nothing

	mu     sync.Mutex // guards what follows
	askers map[peer.ID]*asker
	open   int // links of all askers
}

// asker is a peer that is given a graph.
type asker struct {
	open    map[cid.Cid]struct{} // what it was given links to, and has not asked for
	given   [][]cid.Cid          // the same, and some others: each block's links, as blocks were given
	many    int                  // of given, to be gone through
	asked   map[[8]byte]struct{} // what it has asked for, by the ends of hashes
	silent  *time.Timer
	sending int // messages that are being written
	told    int // reminders, since it has asked
}

func newReminders(n bitswap.BitSwapNetwork, holds func(context.Context, cid.Cid) (bool, error), keeps func(peer.ID) bool) *reminders {
	return &reminders{BitSwapNetwork: n, holds: holds, keeps: keeps, askers: map[peer.ID]*asker{}}
}

// Start has what askers say be heard here as well.
func (r *reminders) Start(all ...bitswap.Receiver) {
	r.BitSwapNetwork.Start(append([]bitswap.Receiver{r}, all...)...)
}

// Stop forgets all askers.
func (r *reminders) Stop() {
	r.mu.Lock()
	for p := range r.askers {
		r.forget(p)
	}
	r.mu.Unlock()
	r.BitSwapNetwork.Stop()
}

// SendMessage remembers what the blocks of a message link to.
func (r *reminders) SendMessage(ctx context.Context, p peer.ID, m message.BitSwapMessage) error {
	var given [][]cid.Cid
	for _, b := range m.Blocks() {
		if links, err := node.Links(b.Cid(), b.RawData()); err == nil && len(links) > 0 {
			given = append(given, links)
		}
	}
	r.mu.Lock()
	a := r.askers[p]
	if a == nil && len(given) > 0 {
		a = &asker{open: map[cid.Cid]struct{}{}, asked: map[[8]byte]struct{}{}}
		a.silent = time.AfterFunc(silence, func() { r.remind(p, a) })
		r.askers[p] = a
	}
	if a == nil {
		r.mu.Unlock()
		return r.BitSwapNetwork.SendMessage(ctx, p, m)
	}
	for _, links := range given {
		links = slices.DeleteFunc(links, func(c cid.Cid) bool {
			_, twice := a.open[c]
			_, asked := a.asked[end(c)]
			if twice || asked || r.open == maxOpen {
				return true
			}
			a.open[c] = struct{}{}
			r.open++
			return false
		})
		if len(links) > 0 {
			a.given = append(a.given, links)
		}
	}
	if len(a.given) > a.many {
		a.tidy()
	}
	a.sending++
	r.mu.Unlock()
	err := r.BitSwapNetwork.SendMessage(ctx, p, m)
	r.mu.Lock()
	defer r.mu.Unlock()
	a.sending--
	if r.askers[p] == a {
		a.silent.Reset(silence)
	}
	return err
}

// ReceiveMessage notes what is asked for; see bitswap.Receiver.
func (r *reminders) ReceiveMessage(_ context.Context, p peer.ID, m message.BitSwapMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.askers[p]
	if a == nil {
		return
	}
	asks := false
	for _, w := range m.Wantlist() {
		if w.Cancel {
			continue
		}
		asks = true
		if len(a.asked) == maxAsked {
			clear(a.asked)
		}
		a.asked[end(w.Cid)] = struct{}{}
		if _, ok := a.open[w.Cid]; ok {
			delete(a.open, w.Cid)
			r.open--
		}
	}
	if !asks {
		return
	}
	a.told = 0
	a.silent.Reset(silence)
}

// tidy leaves in given what is open.
func (a *asker) tidy() {
	a.given = slices.DeleteFunc(a.given, func(links []cid.Cid) bool { return !a.isOpen(links) })
	a.many = 2*len(a.given) + reminded
}

// isOpen tells whether some of a block's links are.
func (a *asker) isOpen(links []cid.Cid) bool {
	return slices.ContainsFunc(links, func(c cid.Cid) bool { _, ok := a.open[c]; return ok })
}

// next is what a may want: the first open links of each of the first blocks that it
// was given and has not asked for all of, as who walks a graph level by level asks
// next, whichever of them came first, and of the last ones, as who goes into its depth
// does.
func (a *asker) next() (may []cid.Cid) {
	a.tidy()
	first := func(links []cid.Cid) {
		n := 0
		for _, c := range links {
			if _, ok := a.open[c]; ok && n < ofEach {
				may = append(may, c)
				n++
			}
		}
	}
	const half = reminded / ofEach / 2
	for i, links := range a.given {
		if i < half || i >= len(a.given)-half {
			first(links)
		}
	}
	return may
}

// end is the end of a hash, for the whole.
func end(c cid.Cid) (e [8]byte) {
	h := c.Hash()
	copy(e[:], h[max(0, len(h)-len(e)):])
	return e
}

// ReceiveError is bitswap.Receiver's.
func (r *reminders) ReceiveError(error) {}

// PeerConnected is bitswap.Receiver's.
func (r *reminders) PeerConnected(peer.ID) {}

// PeerDisconnected forgets an asker.
func (r *reminders) PeerDisconnected(p peer.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(p)
}

// forget takes an asker off. r.mu is held.
func (r *reminders) forget(p peer.ID) {
	if a := r.askers[p]; a != nil {
		a.silent.Stop()
		r.open -= len(a.open)
		delete(r.askers, p)
	}
}

// remind tells a, which has asked for nothing for a while, of what it may want.
func (r *reminders) remind(p peer.ID, a *asker) {
	r.mu.Lock()
	switch {
	case r.askers[p] != a:
		r.mu.Unlock()
		return
	case a.sending > 0 || r.keeps(p):
		a.silent.Reset(silence)
		r.mu.Unlock()
		return
	case len(a.open) == 0 || a.told == maxReminders || !r.IsConnectedToPeer(context.Background(), p):
		r.forget(p)
		r.mu.Unlock()
		return
	}
	a.told++
	a.silent.Reset(silence << a.told)
	may := a.next()
	r.mu.Unlock()
	m := message.New(false)
	for _, c := range may {
		if has, err := r.holds(context.Background(), c); err == nil && has {
			m.AddHave(c)
		}
	}
	if !m.Empty() {
		r.BitSwapNetwork.SendMessage(context.Background(), p, m) // it asks anew, or not
	}
}
