package embedded

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// wantRelays is how many relays a node that cannot be dialled reserves.
	wantRelays = 2
	// renewRelay is how often a reservation, good for an hour, is made anew.
	// It is no date of the relay's: our clock may be wrong.
	renewRelay = 20 * time.Minute
	// soonRelay and lateRelay bound the wait before one that refused is asked
	// again: it may be about to learn that we have something in common.
	soonRelay, lateRelay = time.Second, 5 * time.Minute
	// lookRelays is how often we look for relays when nothing tells of any.
	lookRelays = 30 * time.Second
	// reserving bounds one reservation.
	reserving = 15 * time.Second
)

// service is what a relay gives: room for small protocols and for punching
// holes, and none for blocks.
func service() relay.Resources {
	r := relay.DefaultResources()
	r.Limit = &relay.RelayLimit{Duration: 10 * time.Minute, Data: 4 << 20} // a circuit's life, and bytes each way
	r.MaxReservations = 256
	r.MaxReservationsPerIP = 32 // boxes of one building
	r.MaxReservationsPerASN = 128
	return r
}

// relays reserves with relays while we cannot be dialled, and, where Config
// says so, is one.
type relays struct {
	node   *Host
	any    bool // strangers' relays will do
	kick   chan struct{}
	tell   event.Emitter // of our addresses through relays
	served *relay.Relay  // nil unless we are one

	mu   sync.Mutex // guards held
	held map[peer.ID]time.Time
}

// door says whom a relay serves: who reserves must be somebody to us. Whom he
// then lets in is his to judge.
type door struct {
	peers   *peers
	allowed *fleet
}

func (d door) AllowReserve(id peer.ID, _ ma.Multiaddr) bool {
	return d.peers.friend(id) || d.allowed != nil && d.allowed.has(id)
}

func (d door) AllowConnect(peer.ID, ma.Multiaddr, peer.ID) bool { return true }

func newRelays(n *Host, cfg Config) (*relays, error) {
	r := &relays{node: n, any: cfg.Network == Public && n.allowed == nil, kick: make(chan struct{}, 1), held: map[peer.ID]time.Time{}}
	var err error
	if r.tell, err = n.host.EventBus().Emitter(new(event.EvtAutoRelayAddrsUpdated), eventbus.Stateful); err != nil {
		return nil, err
	}
	if cfg.Relay {
		if r.served, err = relay.New(n.host, relay.WithResources(service()), relay.WithACL(door{n.peers, n.allowed})); err != nil {
			return nil, fmt.Errorf("be a relay: %w", err)
		}
	}
	sub, err := n.host.EventBus().Subscribe([]any{
		new(event.EvtLocalReachabilityChanged), new(event.EvtPeerConnectednessChanged), new(event.EvtPeerIdentificationCompleted),
		new(event.EvtLocalAddressesUpdated),
	}, eventbus.BufSize(64))
	if err != nil {
		return nil, err
	}
	n.peers.wg.Go(func() {
		defer sub.Close()
		r.run(n.ctx, sub.Out())
	})
	return r, nil
}

func (r *relays) close() error {
	if r.served != nil {
		return r.served.Close()
	}
	return nil
}

// look has relays looked for soon.
func (r *relays) look() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

func (r *relays) run(ctx context.Context, events <-chan any) {
	refused := map[peer.ID]refusal{}
	wait := lookRelays
	for {
		tick := time.NewTimer(wait)
		select {
		case e := <-events:
			switch e := e.(type) {
			case event.EvtLocalReachabilityChanged:
				r.node.reachable.Store(int32(e.Reachability))
			case event.EvtLocalAddressesUpdated:
				r.node.peers.changed()
			case event.EvtPeerConnectednessChanged:
				if e.Connectedness == network.NotConnected {
					delete(refused, e.Peer)
				}
			}
		case <-r.kick:
			clear(refused) // somebody is a friend now
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
		tick.Stop()
		r.settle(ctx, refused)
		wait = lookRelays
		for _, f := range refused {
			if left := time.Until(f.until); left > 0 { // else it was asked just now, or is no friend
				wait = min(wait, left)
			}
		}
	}
}

// refusal is a relay that would not have us.
type refusal struct {
	until time.Time
	wait  time.Duration
}

// settle drops relays that are gone, and reserves with as many as are wanted.
func (r *relays) settle(ctx context.Context, refused map[peer.ID]refusal) {
	h := r.node.host
	direct := func(id peer.ID) bool { return h.Network().Connectedness(id) == network.Connected }
	want := wantRelays
	if network.Reachability(r.node.reachable.Load()) == network.ReachabilityPublic {
		want = 0
	}
	changed := false
	r.mu.Lock()
	for id := range r.held {
		if !direct(id) || want == 0 {
			delete(r.held, id)
			h.ConnManager().Unprotect(id, "relay")
			changed = true
		}
	}
	var ask []peer.ID
	for id, at := range r.held {
		if time.Since(at) >= renewRelay {
			ask = append(ask, id)
		}
	}
	lack := want - len(r.held)
	r.mu.Unlock()
	if lack > 0 {
		for _, id := range h.Network().Peers() {
			if lack == 0 || time.Now().Before(refused[id].until) || !direct(id) || !r.any && !r.node.peers.friend(id) || r.has(id) {
				continue
			}
			if speaks, err := h.Peerstore().SupportsProtocols(id, proto.ProtoIDv2Hop); err != nil || len(speaks) == 0 {
				continue
			}
			ask = append(ask, id)
			lack--
		}
	}
	for _, id := range ask {
		try, cancel := context.WithTimeout(ctx, reserving)
		_, err := client.Reserve(try, h, peer.AddrInfo{ID: id})
		cancel()
		r.mu.Lock()
		_, had := r.held[id]
		if err != nil {
			r.node.log.Debug("reserve with a relay", "relay", id, "err", err)
			again := min(max(2*refused[id].wait, soonRelay), lateRelay)
			refused[id] = refusal{time.Now().Add(again), again}
			delete(r.held, id)
			h.ConnManager().Unprotect(id, "relay")
		} else {
			delete(refused, id)
			r.held[id] = time.Now()
			h.ConnManager().Protect(id, "relay")
		}
		changed = changed || had != (err == nil)
		r.mu.Unlock()
	}
	if changed {
		if err := r.tell.Emit(event.EvtAutoRelayAddrsUpdated{RelayAddrs: r.addrs()}); err != nil {
			r.node.log.Debug("tell of relays", "err", err)
		}
		r.node.peers.changed()
	}
}

func (r *relays) has(id peer.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.held[id]
	return ok
}

// list is the relays that we are reached by.
func (r *relays) list() []peer.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []peer.ID
	for id := range r.held {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// addrs are ours through relays: where we have dialled them, else where they
// say that they listen.
func (r *relays) addrs() []ma.Multiaddr {
	h := r.node.host
	var out []ma.Multiaddr
	for _, id := range r.list() {
		circuit, err := ma.NewMultiaddr("/p2p/" + id.String() + "/p2p-circuit")
		if err != nil {
			continue
		}
		var at []ma.Multiaddr
		for _, c := range h.Network().ConnsToPeer(id) {
			if a := c.RemoteMultiaddr(); c.Stat().Direction == network.DirOutbound && !relayed(a) {
				at = append(at, a)
			}
		}
		if len(at) == 0 {
			at = dialable(h.Peerstore().Addrs(id), placeOfPeer(h, id))
			at = slices.DeleteFunc(at, relayed)
		}
		for _, a := range at[:min(len(at), 2)] {
			out = append(out, a.Encapsulate(circuit))
		}
	}
	return out
}

// Relays are the peers through which others can reach us.
func (n *Host) Relays() []string {
	var out []string
	for _, id := range n.relays.list() {
		out = append(out, id.String())
	}
	return out
}
