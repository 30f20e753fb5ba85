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
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"

	"playnode/node"
)

const (
	// maxStreams bounds the streams that our own protocols serve at once.
	maxStreams = 256
	// lowPeers and highPeers are the watermarks between which peers that
	// nobody asked to keep are dropped.
	lowPeers, highPeers = 64, 128
	// window is the first receive window of a yamux stream, in bytes: each
	// bitswap message opens a fresh stream, and at 50 ms a window of 256 KiB
	// is what a block waits for.
	window = 4 << 20
	// hostMemory is what libp2p's resource manager may grant, in bytes.
	hostMemory = 256 << 20
)

// everywhere is what a node listens on unless told otherwise.
var everywhere = []string{
	"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1",
	"/ip6/::/tcp/0", "/ip6/::/udp/0/quic-v1",
}

func newHost(key crypto.PrivKey, cfg Config) (host.Host, error) {
	listen := cfg.Listen
	if len(listen) == 0 {
		listen = everywhere
	}
	conns, err := connmgr.NewConnManager(lowPeers, highPeers, connmgr.WithGracePeriod(20*time.Second))
	if err != nil {
		return nil, err
	}
	limits := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&limits)
	resources, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Scale(hostMemory, 1024)), rcmgr.WithMetricsDisabled())
	if err != nil {
		return nil, err
	}
	mux := *yamux.DefaultTransport
	mux.InitialStreamWindowSize = window
	opts := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.ListenAddrStrings(listen...),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(quic.NewTransport),
		libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, &mux),
		libp2p.ConnectionManager(conns),
		libp2p.ResourceManager(resources),
		libp2p.UserAgent("playnode"),
		libp2p.DisableMetrics(),
	}
	switch {
	case cfg.Network != Public:
		opts = append(opts, libp2p.DisableRelay())
	case slices.ContainsFunc(listen, func(a string) bool { return !loopback(a) }):
		opts = append(opts, libp2p.NATPortMap(), libp2p.EnableHolePunching())
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

// Handle serves a protocol; see node.Streams. At most 256 streams are served
// at once, all protocols together; more are reset.
func (n *Node) Handle(p string, h func(peer string, s node.Stream)) {
	n.host.SetStreamHandler(protocol.ID(p), func(s network.Stream) {
		select {
		case n.slots <- struct{}{}:
		default:
			s.Reset()
			return
		}
		defer func() { <-n.slots }()
		h(s.Conn().RemotePeer().String(), s)
	})
}

// Open opens a stream; see node.Streams.
func (n *Node) Open(ctx context.Context, to, p string) (node.Stream, error) {
	id, err := peer.Decode(to)
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", p, to, err)
	}
	s, err := n.host.NewStream(ctx, id, protocol.ID(p))
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", p, to, err)
	}
	return s, nil
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
