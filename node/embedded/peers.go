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
	met      map[peer.ID]bool
	arrivals []func(string)
}

func newPeers(ctx context.Context, h host.Host, log *slog.Logger) (*peers, error) {
	p := &peers{ctx: ctx, host: h, log: log, kept: map[peer.ID]chan struct{}{}, met: map[peer.ID]bool{}}
	sub, err := h.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerConnectednessChanged),
	})
	if err != nil {
		return nil, err
	}
	for _, id := range h.Network().Peers() { // who came before anyone listened
		if known, err := h.Peerstore().GetProtocols(id); err == nil && len(known) > 0 {
			p.met[id] = true
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
		if p.met[e.Peer] || p.host.Network().Connectedness(e.Peer) != network.Connected {
			return
		}
		p.met[e.Peer] = true
		for _, f := range p.arrivals {
			p.spawn(func() { f(e.Peer.String()) })
		}
	case event.EvtPeerConnectednessChanged:
		if e.Connectedness == network.Connected {
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
			wait = soonest
			select {
			case <-lost:
			case <-p.ctx.Done():
				return
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

// finder connects to what mDNS finds.
type finder struct{ peers *peers }

func (f finder) HandlePeerFound(info peer.AddrInfo) {
	p := f.peers
	if info.ID == p.host.ID() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spawn(func() {
		ctx, cancel := context.WithTimeout(p.ctx, dialing)
		defer cancel()
		if err := p.host.Connect(ctx, info); err != nil {
			p.log.Debug("dial on the LAN", "peer", info.ID, "err", err)
		}
	})
}
