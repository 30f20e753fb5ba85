package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/config"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	ma "github.com/multiformats/go-multiaddr"

	"playnode/node"
)

// everywhere is what a node listens on unless told otherwise.
var everywhere = []string{
	"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1",
	"/ip6/::/tcp/0", "/ip6/::/udp/0/quic-v1",
}

// nothing, as the only address to listen on, is for a node that only dials.
const nothing = "none"

func newHost(key crypto.PrivKey, cfg Config, allowed *fleet, l *losses) (host.Host, error) {
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
	known, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	mux := *yamux.DefaultTransport
	mux.InitialStreamWindowSize = room.window()
	mux.MaxMessageSize = noise.MaxPlaintextLength // one message of the cipher's, not one and a crumb
	// By its fields: libp2p's own options bring transports along that no node here
	// has, WebRTC above all, and they stay in the program and in its memory.
	c := config.Config{
		PeerKey:            key,
		Peerstore:          known,
		SecurityTransports: []config.Security{{ID: noise.ID, Constructor: noise.New}},
		Muxers:             []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: queues{&mux}}},
		ConnManager:        conns,
		ResourceManager:    resources,
		UserAgent:          "playnode",
		DisableMetrics:     true,
		Relay:              true, // dials through relays, and is dialled where relays.go has reserved
		// Of a hundred dials none need succeed where there is no IPv6, or no UDP.
		UDPBlackHoleSuccessCounter:  &swarm.BlackHoleSuccessCounter{N: 100, MinSuccesses: 5, Name: "UDP"},
		IPv6BlackHoleSuccessCounter: &swarm.BlackHoleSuccessCounter{N: 100, MinSuccesses: 5, Name: "IPv6"},
	}
	onLine(&c, cfg.Line, l)
	if allowed != nil {
		c.ConnectionGater = allowed
	}
	switch cfg.Reach {
	case node.PublicReach:
		c.ForceReachability = new(network.ReachabilityPublic)
	case node.PrivateReach:
		c.ForceReachability = new(network.ReachabilityPrivate)
	}
	abroad := false
	for _, a := range listen {
		if a == nothing && len(listen) == 1 {
			break
		}
		at, err := ma.NewMultiaddr(a)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", strings.Join(listen, ", "), err)
		}
		c.ListenAddrs = append(c.ListenAddrs, at)
		abroad = abroad || !loopback(a)
	}
	c.EnableHolePunching = abroad
	if abroad && cfg.Network == Public {
		c.NATManager = basichost.NewNATManager
	}
	c.EnableService = cfg.Relay || abroad && cfg.Network == Public // tells others whether they can be dialled
	h, err := c.NewNode()
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", strings.Join(listen, ", "), err)
	}
	return h, nil
}

// closing is how long Close waits for what does not end.
const closing = 4 * time.Second

// Host is the peer without blocks: streams, topics and peers. It is a
// node.Streams, node.Topics, node.Peers, node.Records, node.Company and
// node.Reach, by itself beside whoever holds the blocks, or inside a Node. Safe
// for concurrent use.
type Host struct {
	log    *slog.Logger
	ctx    context.Context // ends when the host closes; no request's
	cancel context.CancelFunc

	network Network
	given   []string // peers to keep, once all is listening
	host    host.Host
	allowed *fleet       // nil unless Config.Allow
	mdns    mdns.Service // nil where it is not used
	peers   *peers
	topics  *topics
	slots   slots
	ids     ids
	small   map[string]bool // protocols that may go through a relay
	subnets subnets
	owned   owned
	relays  *relays
	losses  *losses
	// reachable is a network.Reachability.
	reachable atomic.Int32
	dialled   atomic.Bool
	sought    sought
	down      sync.Once
	downErr   error // of Close's first call
}

// OpenHost makes a Host of cfg, listens and starts to connect. Dir, Bootstrap,
// Prefix, Grace and Now are a Node's. Peers that cannot be reached yet are no error.
func OpenHost(cfg Config) (*Host, error) {
	h, err := listen(cfg)
	if err == nil {
		err = h.begin()
	}
	if err != nil {
		if h != nil {
			h.Close()
		}
		return nil, fmt.Errorf("open host: %w", err)
	}
	return h, nil
}

// listen makes a Host that dials nobody yet: a Node first starts what its
// peers are to find. On an error too the Host, unless nil, is to be closed.
func listen(cfg Config) (*Host, error) {
	if cfg.Identity == nil {
		return nil, errors.New("a host needs an Identity")
	}
	if cfg.Network == "" {
		cfg.Network = Public
	}
	if cfg.Network != Public && cfg.Network != LAN && cfg.Network != None {
		return nil, fmt.Errorf("network %q is not public, lan or none", cfg.Network)
	}
	n := &Host{log: cfg.Log, network: cfg.Network, given: cfg.Peers, slots: slots{by: map[peer.ID]int{}}, small: map[string]bool{}, losses: newLosses(time.Now)}
	for _, p := range cfg.Small {
		n.small[p] = true
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	key, err := crypto.UnmarshalEd25519PrivateKey(cfg.Identity)
	if err != nil {
		return n, err
	}
	if n.allowed, err = newFleet(cfg.Allow); err != nil {
		return n, err
	}
	if n.host, err = newHost(key, cfg, n.allowed, n.losses); err != nil {
		return n, err
	}
	if n.topics, err = newTopics(n.ctx, n.host); err != nil {
		return n, err
	}
	if n.peers, err = newPeers(n.ctx, n.host, n.log); err != nil {
		return n, err
	}
	if n.relays, err = newRelays(n, cfg); err != nil {
		return n, err
	}
	n.host.Network().Notify(&network.NotifyBundle{ConnectedF: n.arrived})
	n.host.Network().Notify(&network.NotifyBundle{ConnectedF: func(network.Network, network.Conn) { n.losses.glance() }})
	n.peers.wg.Go(n.watchLosses)
	return n, n.punch()
}

// begin looks for peers.
func (n *Host) begin() error {
	if n.network == LAN || n.network == Public && n.allowed == nil && n.subnets.private() {
		n.mdns = mdns.NewMdnsService(n.host, "", finder{n.peers, n.allowed, make(chan struct{}, maxDialing)})
		if err := n.mdns.Start(); err != nil {
			n.log.Warn("mDNS does not work here; only given peers will be found", "err", err)
			n.mdns = nil
		}
	}
	for _, a := range n.given { // all of a peer's addresses, before it is dialled at the first
		if info, err := peer.AddrInfoFromString(a); err == nil {
			n.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
		}
	}
	for _, a := range n.given {
		if err := n.peers.keep(a); err != nil {
			return err
		}
	}
	return nil
}

// Close stops everything within 5 s.
func (n *Host) Close() error { return n.close(n.stop) }

// close runs stop once, and waits for it so long.
func (n *Host) close(stop func() error) error {
	n.down.Do(func() {
		n.cancel()
		done := make(chan error, 1)
		go func() { done <- stop() }()
		select {
		case n.downErr = <-done:
		case <-time.After(closing):
			n.downErr = errors.New("close node: something did not stop in time")
		}
	})
	return n.downErr
}

// stop ends all parts, those that use others first.
func (n *Host) stop() error {
	var errs []error
	if n.mdns != nil {
		errs = append(errs, n.mdns.Close())
	}
	if n.relays != nil {
		errs = append(errs, n.relays.close())
	}
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	if n.peers != nil {
		n.peers.wait()
	}
	return errors.Join(errs...)
}

// ID is the peer id.
func (n *Host) ID() string { return n.ids.text(n.host.ID()) }

// Addrs are the full multiaddrs, through relays as well, TCP first, and loopback
// last among equals.
func (n *Host) Addrs() []string {
	var out []string
	for _, a := range n.all() {
		out = append(out, a.String()+"/p2p/"+n.ID())
	}
	Order(out)
	return out
}

// all are our addresses, those through relays too where libp2p is not sure yet
// that they are needed.
func (n *Host) all() (out []ma.Multiaddr) {
	seen := map[string]bool{}
	for _, a := range slices.Concat(n.host.Addrs(), n.relays.addrs()) {
		if k := string(a.Bytes()); !seen[k] {
			seen[k], out = true, append(out, a)
		}
	}
	return out
}

// Order sorts multiaddrs: TCP first, and loopback last among equals.
func Order(addrs []string) {
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
	slices.SortStableFunc(addrs, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
}

func loopback(addr string) bool {
	return strings.HasPrefix(addr, "/ip4/127.") || strings.HasPrefix(addr, "/ip6/::1/")
}

// Connect dials and keeps; see node.Peers. A peer that does not answer now is
// an error, and kept all the same.
func (n *Host) Connect(ctx context.Context, addr string) error {
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
func (n *Host) Connected() []string {
	var out []string
	for _, p := range n.host.Network().Peers() {
		out = append(out, n.ids.text(p))
	}
	slices.Sort(out)
	return out
}

// Speaks tells whether a peer has said that it speaks a protocol, as it does when
// it connects.
func (n *Host) Speaks(id, p string) bool {
	to, err := n.ids.id(id)
	if err != nil {
		return false
	}
	spoken, err := n.host.Peerstore().SupportsProtocols(to, protocol.ID(p))
	return err == nil && len(spoken) > 0
}

// Expects tells whether peers may yet connect that are not here: whoever is
// kept, and whom the network brings.
func (n *Host) Expects() bool { return n.network != None || n.peers.absent() }

// Reached are full multiaddrs at which a connected peer may be dialled: as it
// has told itself, which is not verified, but for those that it has no place
// to tell of (see node.Records).
func (n *Host) Reached(id string) (out []string) {
	p, err := n.ids.id(id)
	if err != nil {
		return nil
	}
	for _, a := range dialable(n.host.Peerstore().Addrs(p), placeOfPeer(n.host, p)) {
		out = append(out, a.String()+"/p2p/"+id)
	}
	return out
}

// OnConnect is as node.Peers says; a peer counts as connected once it has
// said which protocols it speaks.
func (n *Host) OnConnect(f func(peer string)) { n.peers.onConnect(f) }

// wait for all of the peers' goroutines.
func (p *peers) wait() { p.wg.Wait() }

// spawn runs f as one of the node's own, unless it is closing. p.mu is held.
func (p *peers) spawn(f func()) {
	if p.ctx.Err() == nil {
		p.wg.Go(f)
	}
}
