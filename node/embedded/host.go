package embedded

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"playnode/node"
)

// everywhere is what a node listens on unless told otherwise.
var everywhere = []string{
	"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1",
	"/ip6/::/tcp/0", "/ip6/::/udp/0/quic-v1",
}

// nothing, as the only address to listen on, is for a node that only dials.
const nothing = "none"

func newHost(key crypto.PrivKey, cfg Config, allowed *fleet) (host.Host, error) {
	listen := cfg.Listen
	if len(listen) == 0 {
		listen = everywhere
	}
	room := cfg.Room.orBox()
	conns, err := connmgr.NewConnManager(room.low(), room.high(), connmgr.WithGracePeriod(20*time.Second))
	if err != nil {
		return nil, err
	}
	resources, err := room.manager()
	if err != nil {
		return nil, err
	}
	mux := *yamux.DefaultTransport
	mux.InitialStreamWindowSize = room.window()
	opts := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(quic.NewTransport),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, &mux),
		libp2p.ConnectionManager(conns),
		libp2p.ResourceManager(resources),
		libp2p.UserAgent("playnode"),
		libp2p.DisableMetrics(),
		libp2p.EnableRelay(), // dials through relays, and is dialled where relays.go has reserved
	}
	if slices.Equal(listen, []string{nothing}) {
		opts = append(opts, libp2p.NoListenAddrs)
	} else {
		opts = append(opts, libp2p.ListenAddrStrings(listen...))
	}
	if allowed != nil {
		opts = append(opts, libp2p.ConnectionGater(allowed))
	}
	switch cfg.Reach {
	case node.PublicReach:
		opts = append(opts, libp2p.ForceReachabilityPublic())
	case node.PrivateReach:
		opts = append(opts, libp2p.ForceReachabilityPrivate())
	}
	abroad := slices.ContainsFunc(listen, func(a string) bool { return !loopback(a) && a != nothing })
	if abroad {
		opts = append(opts, libp2p.EnableHolePunching())
	}
	if abroad && cfg.Network == Public {
		opts = append(opts, libp2p.NATPortMap())
	}
	if cfg.Relay || abroad && cfg.Network == Public {
		opts = append(opts, libp2p.EnableNATService()) // tells others whether they can be dialled
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", strings.Join(listen, ", "), err)
	}
	return h, nil
}

// ID is the peer id.
func (n *Node) ID() string { return n.host.ID().String() }

// Addrs are the full multiaddrs, TCP first, and loopback last among equals.
func (n *Node) Addrs() []string {
	var out []string
	for _, a := range n.host.Addrs() {
		out = append(out, a.String()+"/p2p/"+n.ID())
	}
	rank := func(a string) int {
		r := 0
		if !strings.Contains(a, "/tcp/") {
			r += 4
		}
		if strings.HasPrefix(a, "/ip6/") {
			r += 2
		}
		if loopback(a) {
			r++
		}
		return r
	}
	slices.SortStableFunc(out, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

func loopback(addr string) bool {
	return strings.HasPrefix(addr, "/ip4/127.") || strings.HasPrefix(addr, "/ip6/::1/")
}

// Connect dials and keeps; see node.Peers. A peer that does not answer now is
// an error, and kept all the same.
func (n *Node) Connect(ctx context.Context, addr string) error {
	if err := n.peers.keep(addr); err != nil {
		return err
	}
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", addr, err)
	}
	if err := n.host.Connect(ctx, *info); err != nil {
		return fmt.Errorf("connect to %s: %w", addr, err)
	}
	return nil
}

// Connected lists the peers connected now, sorted.
func (n *Node) Connected() []string {
	var out []string
	for _, p := range n.host.Network().Peers() {
		out = append(out, p.String())
	}
	slices.Sort(out)
	return out
}

// OnConnect is as node.Peers says; a peer counts as connected once it has
// said which protocols it speaks.
func (n *Node) OnConnect(f func(peer string)) { n.peers.onConnect(f) }

// wait for all of the peers' goroutines.
func (p *peers) wait() { p.wg.Wait() }

// spawn runs f as one of the node's own, unless it is closing. p.mu is held.
func (p *peers) spawn(f func()) {
	if p.ctx.Err() == nil {
		p.wg.Go(f)
	}
}
