package embedded

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Near tells whether a peer is connected from a network that this box is on
// itself: its own, or one of its interfaces' subnets.
func (n *Node) Near(id string) bool {
	p, err := peer.Decode(id)
	if err != nil {
		return false
	}
	var subnets []*net.IPNet
	for _, c := range n.host.Network().ConnsToPeer(p) {
		ip, err := manet.ToIP(c.RemoteMultiaddr())
		if err != nil || !here(c.RemoteMultiaddr()) {
			continue // a relayed one, or from afar
		}
		if subnets == nil {
			subnets = onLink()
		}
		if ip.IsLoopback() || slices.ContainsFunc(subnets, func(s *net.IPNet) bool { return s.Contains(ip) }) {
			return true
		}
	}
	return false
}

// here tells whether an address is of a kind that no one has on the internet.
func here(a ma.Multiaddr) bool { return manet.IsPrivateAddr(a) || manet.IsIPLoopback(a) }

// onLink are the subnets of this box's interfaces.
func onLink() (out []*net.IPNet) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if s, ok := a.(*net.IPNet); ok {
			out = append(out, s)
		}
	}
	return out
}

// Meet dials a full multiaddr once. Unlike with Connect, whoever answers is
// kept no longer than any peer that comes by itself.
func (n *Node) Meet(ctx context.Context, addr string) error {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return fmt.Errorf("meet %q: %w", addr, err)
	}
	if info.ID == n.host.ID() {
		return fmt.Errorf("meet %s: it is this node", addr)
	}
	ctx, cancel := context.WithTimeout(ctx, dialing)
	defer cancel()
	if err := n.host.Connect(ctx, *info); err != nil {
		return fmt.Errorf("meet %s: %w", addr, err)
	}
	return nil
}
