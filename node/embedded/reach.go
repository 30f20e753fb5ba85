package embedded

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"playnode/node"
)

// place is how far away an address is.
type place int

const (
	here    place = iota // this box
	inside               // a private network, or a link
	outside              // the internet
	nowhere              // nothing that may be dialled for others: names of hosts, multicast, documentation
)

// placeOf looks at the first component alone: of a relayed address that is
// where the relay is.
func placeOf(a ma.Multiaddr) place {
	ip, err := manet.ToIP(a)
	switch {
	case err != nil || ip.IsUnspecified() || ip.IsMulticast():
		return nowhere
	case ip.IsLoopback():
		return here
	case manet.IsPrivateAddr(a):
		return inside
	case manet.IsPublicAddr(a):
		return outside
	}
	return nowhere
}

// subnets are the networks that our interfaces are in, looked up now and then.
type subnets struct {
	mu   sync.Mutex // one looks
	last atomic.Pointer[lookedUp]
}

type lookedUp struct {
	nets []*net.IPNet
	at   time.Time
}

// lookAgain is how old the list of interfaces may be.
const lookAgain = 30 * time.Second

func (s *subnets) contain(ip net.IP) bool {
	l := s.last.Load()
	if l == nil || time.Since(l.at) > lookAgain {
		l = s.look()
	}
	for _, n := range l.nets {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

func (s *subnets) look() *lookedUp {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.last.Load(); l != nil && time.Since(l.at) <= lookAgain {
		return l
	}
	l := &lookedUp{at: time.Now()}
	all, err := net.InterfaceAddrs()
	if err != nil {
		all = nil // nobody is near, then
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			// A point-to-point link or a whole provider's network is no building.
			if ones, bits := n.Mask.Size(); ones < bits && ones >= 8 {
				l.nets = append(l.nets, n)
			}
		}
	}
	s.last.Store(l)
	return l
}

// private tells whether one of our networks is a private one.
func (s *subnets) private() bool {
	for _, n := range s.look().nets {
		if n.IP.IsPrivate() || n.IP.IsLinkLocalUnicast() && n.IP.To4() != nil {
			return true
		}
	}
	return false
}

// near tells whether an address is on this box, on a link, or in a network
// that we are in.
func (s *subnets) near(a ma.Multiaddr) bool {
	ip, err := manet.ToIP(a)
	if err != nil || relayed(a) {
		return false
	}
	return ip.IsLoopback() || ip.IsLinkLocalUnicast() || s.contain(ip)
}

func relayed(a ma.Multiaddr) bool {
	_, err := a.ValueForProtocol(ma.P_CIRCUIT)
	return err == nil
}

// placeOfPeer is the nearest place from which a peer is connected directly;
// outside when it is not: who comes through a relay may be anywhere.
func placeOfPeer(h host.Host, id peer.ID) place {
	at := outside
	for _, c := range h.Network().ConnsToPeer(id) {
		if a := c.RemoteMultiaddr(); !relayed(a) {
			at = min(at, placeOf(a))
		}
	}
	return at
}

// Near is as node.Reach says.
func (n *Host) Near(p string) bool {
	id, err := n.ids.id(p)
	if err != nil {
		return false
	}
	for _, c := range n.host.Network().ConnsToPeer(id) {
		a := c.RemoteMultiaddr()
		if n.subnets.near(a) || !relayed(a) && placeOf(a) == inside && n.peers.onLAN(id) {
			return true
		}
	}
	return false
}

// NearIP tells whether an address is on this box, on a link, or in a network
// that we are in.
func (n *Host) NearIP(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsLinkLocalUnicast() || n.subnets.contain(a.AsSlice())
}

// Relayed is as node.Reach says.
func (n *Host) Relayed(p string) bool {
	id, err := n.ids.id(p)
	return err == nil && n.host.Network().Connectedness(id) == network.Limited
}

// Dialled tells whether somebody who is not near has dialled us, or could, as far
// as is known.
func (n *Host) Dialled() bool {
	switch n.Reachability() {
	case node.PublicReach:
		return true
	case node.PrivateReach:
		return false
	}
	return n.dialled.Load()
}

// arrived notes who has dialled us from elsewhere, but for one whom we have tried to
// dial ourselves, or know by a relay: a firewall lets in what it takes for an answer.
func (n *Host) arrived(all network.Network, c network.Conn) {
	s := c.Stat()
	if s.Direction != network.DirInbound || s.Limited || n.subnets.near(c.RemoteMultiaddr()) || n.sought.has(c.RemotePeer()) {
		return
	}
	if !slices.ContainsFunc(all.ConnsToPeer(c.RemotePeer()), func(o network.Conn) bool { return o.Stat().Limited }) {
		n.dialled.Store(true)
	}
}

// maxSought bounds the peers of whom it is known that we have tried to dial them.
const maxSought = 256

// sought are peers whom we have tried to dial of late. Safe for concurrent use.
type sought struct {
	mu  sync.Mutex
	all map[peer.ID]bool
}

func (s *sought) add(id peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil || len(s.all) >= maxSought {
		s.all = map[peer.ID]bool{}
	}
	s.all[id] = true
}

func (s *sought) has(id peer.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[id]
}

// Reachability is what peers that tried to dial us have told, or Config says.
func (n *Host) Reachability() node.Reachability {
	switch network.Reachability(n.reachable.Load()) {
	case network.ReachabilityPublic:
		return node.PublicReach
	case network.ReachabilityPrivate:
		return node.PrivateReach
	}
	return node.Unknown
}
