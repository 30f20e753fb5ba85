package embedded

import (
	"context"
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
	// keptWait is after how long it is looked at whether one that is to be given
	// nothing still is not to be.
	keptWait = time.Minute
	// reminded is how many blocks one reminder names, ofEach how many of them one
	// other links to.
	reminded, ofEach = 512, 4
	// maxOpen bounds the links that are remembered, of all askers, maxAsked what all
	// of them are known to have asked for.
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
	asked  int // what all askers have asked for
}

// asker is a peer that is given a graph.
type asker struct {
	open    map[cid.Cid]struct{} // what it was given links to, and has not asked for
	given   [][]cid.Cid          // the same, and some others: each block's links, as blocks were given; none is written to
	links   int                  // of given
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
		var fresh []cid.Cid
		for _, c := range links {
			_, twice := a.open[c]
			_, asked := a.asked[end(c)]
			if !twice && !asked && r.open < maxOpen {
				a.open[c] = struct{}{}
				r.open++
				fresh = append(fresh, c)
			}
		}
		if len(fresh) > 0 {
			a.given = append(a.given, fresh)
			a.links += len(fresh)
		}
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
		r.note(a, w.Cid)
		if _, ok := a.open[w.Cid]; ok {
			delete(a.open, w.Cid)
			r.open--
		}
	}
	if !asks {
		return
	}
	if a.links > 2*len(a.open)+reminded {
		a.tidy()
	}
	a.told = 0
	a.silent.Reset(silence)
}

// note has c be known to have been asked for. Where all have asked for much, what the
// one has that asked for most is forgotten. r.mu is held.
func (r *reminders) note(a *asker, c cid.Cid) {
	if _, ok := a.asked[end(c)]; ok {
		return
	}
	if r.asked == maxAsked {
		most := a
		for _, o := range r.askers {
			if len(o.asked) > len(most.asked) {
				most = o
			}
		}
		r.asked -= len(most.asked)
		most.asked = map[[8]byte]struct{}{}
	}
	a.asked[end(c)] = struct{}{}
	r.asked++
}

// tidy leaves in given what is open, each once, and no room for what was.
func (a *asker) tidy() {
	open, given := make(map[cid.Cid]struct{}, len(a.open)), [][]cid.Cid(nil)
	for _, links := range a.given {
		var still []cid.Cid
		for _, c := range links {
			_, is := a.open[c]
			if _, twice := open[c]; is && !twice {
				open[c] = struct{}{}
				still = append(still, c)
			}
		}
		if len(still) > 0 {
			given = append(given, still)
		}
	}
	a.open, a.given, a.links = open, given, len(open)
}

// next is what an asker may want of the links that are open, by the blocks that it was
// given: the first that are here of each of the first blocks with such, as who walks a
// graph level by level asks next, whichever of them came first, and of the last ones,
// as who goes into its depth does.
func (r *reminders) next(open [][]cid.Cid) (may []cid.Cid) {
	first := func(links []cid.Cid) (n int) {
		for _, c := range links {
			if has, err := r.holds(context.Background(), c); err == nil && has {
				may = append(may, c)
				if n++; n == ofEach {
					break
				}
			}
		}
		return n
	}
	const half = reminded / ofEach / 2
	from, to := 0, len(open)
	for n := 0; from < to && n < half; from++ {
		if first(open[from]) > 0 {
			n++
		}
	}
	for n := 0; from < to && n < half; to-- {
		if first(open[to-1]) > 0 {
			n++
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
		r.asked -= len(a.asked)
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
	case a.sending > 0:
		a.silent.Reset(silence)
		r.mu.Unlock()
		return
	case len(a.open) == 0 || a.told == maxReminders || !r.IsConnectedToPeer(context.Background(), p):
		r.forget(p)
		r.mu.Unlock()
		return
	case r.keeps(p):
		a.silent.Reset(keptWait)
		r.mu.Unlock()
		return
	}
	a.told++
	a.silent.Reset(silence << a.told)
	a.tidy()
	open := a.given
	r.mu.Unlock()
	m := message.New(false)
	for _, c := range r.next(open) {
		m.AddHave(c)
	}
	if !m.Empty() {
		r.BitSwapNetwork.SendMessage(context.Background(), p, m) // it asks anew, or not
	}
}
