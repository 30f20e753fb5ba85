package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

const (
	// maxKept bounds the peers that are kept connected.
	maxKept = 256
	// soonest and latest bound the wait between two dials of one peer.
	soonest, latest = 250 * time.Millisecond, 30 * time.Second
	// lasting is how long a connection stands that was no dial in vain: one who
	// is full lets in, and drops soon after.
	lasting = time.Minute
	// dialing bounds one dial.
	dialing = 15 * time.Second
)

// peers keeps peers connected and tells who arrives.
type peers struct {
	ctx  context.Context // the node's life
	host host.Host
	log  *slog.Logger
	wg   sync.WaitGroup

	mu       sync.Mutex // guards what follows
	kept     map[peer.ID]chan struct{}
	met      map[peer.ID]network.Connectedness // Connected, or Limited: through a relay alone
	arrivals []func(string)
	changes  []func()         // when our addresses are others
	liked    map[peer.ID]bool // of Prefer
	lan      map[peer.ID]bool // whom mDNS found
}

func newPeers(ctx context.Context, h host.Host, log *slog.Logger) (*peers, error) {
	p := &peers{ctx: ctx, host: h, log: log, kept: map[peer.ID]chan struct{}{}, met: map[peer.ID]network.Connectedness{},
		liked: map[peer.ID]bool{}, lan: map[peer.ID]bool{}}
	sub, err := h.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerConnectednessChanged),
	})
	if err != nil {
		return nil, err
	}
	for _, id := range h.Network().Peers() { // who came before anyone listened
		if known, err := h.Peerstore().GetProtocols(id); err == nil && len(known) > 0 {
			p.met[id] = h.Network().Connectedness(id)
		}
	}
	p.wg.Go(func() {
		defer sub.Close()
		for {
			select {
			case e := <-sub.Out():
				p.hear(e)
			case <-ctx.Done():
				return
			}
		}
	})
	return p, nil
}

// hear notes who has come and gone.
func (p *peers) hear(e any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := e.(type) {
	case event.EvtPeerIdentificationCompleted:
		// One that came through a relay and is now here directly arrives once
		// more: it can be asked for blocks.
		now := p.host.Network().Connectedness(e.Peer)
		if before := p.met[e.Peer]; now == network.NotConnected || before == now || before == network.Connected {
			return
		}
		p.met[e.Peer] = now
		for _, f := range p.arrivals {
			p.spawn(func() { f(e.Peer.String()) })
		}
	case event.EvtPeerConnectednessChanged:
		switch e.Connectedness {
		case network.Connected:
			return
		case network.Limited:
			if p.met[e.Peer] == network.Connected {
				p.met[e.Peer] = network.Limited
			}
			return
		}
		delete(p.met, e.Peer)
		if lost := p.kept[e.Peer]; lost != nil {
			select {
			case lost <- struct{}{}:
			default:
			}
		}
	}
}

func (p *peers) onConnect(f func(string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arrivals = append(p.arrivals, f)
	for id := range p.met {
		p.spawn(func() { f(id.String()) })
	}
}

// keep has a peer dialled, and dialled again, for the node's life.
func (p *peers) keep(addr string) error {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return fmt.Errorf("peer %q is not a multiaddr that ends in /p2p/ID: %w", addr, err)
	}
	if info.ID == p.host.ID() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept[info.ID] == nil && len(p.kept) >= maxKept {
		return fmt.Errorf("keep %s: %d peers are kept already", addr, maxKept)
	}
	p.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
	p.host.ConnManager().Protect(info.ID, "kept")
	if p.kept[info.ID] == nil {
		lost := make(chan struct{}, 1)
		p.kept[info.ID] = lost
		p.spawn(func() { p.hold(info.ID, lost) })
	}
	return nil
}

// hold dials id whenever it is not connected.
func (p *peers) hold(id peer.ID, lost <-chan struct{}) {
	wait := soonest
	for {
		if p.dial(id) {
			began := time.Now()
			select {
			case <-lost:
			case <-p.ctx.Done():
				return
			}
			if time.Since(began) >= lasting {
				wait = soonest
			}
		}
		select {
		case <-time.After(wait):
		case <-p.ctx.Done():
			return
		}
		wait = min(2*wait, latest)
	}
}

func (p *peers) dial(id peer.ID) bool {
	ctx, cancel := context.WithTimeout(p.ctx, dialing)
	defer cancel()
	if s, ok := p.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(id) // the waiting is done here
	}
	if err := p.host.Connect(ctx, peer.AddrInfo{ID: id}); err != nil {
		p.log.Debug("dial", "peer", id, "err", err)
		return false
	}
	return true
}

// maxLiked and maxLAN bound who is remembered as preferred, and as found by
// mDNS; maxDialing the dials of those whom mDNS found, at once.
const maxLiked, maxLAN, maxDialing = 4096, 1024, 8

// absent tells whether somebody who is kept is not here.
func (p *peers) absent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id := range p.kept {
		if _, here := p.met[id]; !here {
			return true
		}
	}
	return false
}

// prefer notes whether id has something in common with us, and tells whether
// that is new.
func (p *peers) prefer(id peer.ID, yes bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.liked[id] == yes || yes && len(p.liked) >= maxLiked {
		return false
	}
	if yes {
		p.liked[id] = true
		p.host.ConnManager().TagPeer(id, "liked", preference)
	} else {
		delete(p.liked, id)
		p.host.ConnManager().UntagPeer(id, "liked")
	}
	return true
}

// friend tells whether id is kept or preferred, and so no stranger.
func (p *peers) friend(id peer.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.liked[id] || p.kept[id] != nil
}

// found notes that mDNS has seen id. p.mu is held.
func (p *peers) found(id peer.ID) {
	for old := range p.lan { // any; who is still there is found again
		if len(p.lan) < maxLAN || p.lan[id] {
			break
		}
		delete(p.lan, old)
	}
	p.lan[id] = true
}

func (p *peers) onLAN(id peer.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lan[id]
}

// finder connects to what mDNS finds, in a fleet to its own alone.
type finder struct {
	peers   *peers
	allowed *fleet
	dialing chan struct{} // bounds dials
}

func (f finder) HandlePeerFound(info peer.AddrInfo) {
	p := f.peers
	if info.ID == p.host.ID() || f.allowed != nil && !f.allowed.has(info.ID) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found(info.ID)
	select {
	case f.dialing <- struct{}{}:
	default:
		return // mDNS tells of it again
	}
	p.spawn(func() {
		defer func() { <-f.dialing }()
		ctx, cancel := context.WithTimeout(p.ctx, dialing)
		defer cancel()
		if err := p.host.Connect(ctx, info); err != nil {
			p.log.Debug("dial on the LAN", "peer", info.ID, "err", err)
		}
	})
}
