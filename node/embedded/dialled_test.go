package embedded

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"playnode/node"
)

// came is a connection of which only this is known.
type came struct {
	network.Conn
	stat network.ConnStats
	from string
}

func (c came) Stat() network.ConnStats       { return c.stat }
func (c came) RemoteMultiaddr() ma.Multiaddr { return ma.StringCast(c.from) }
func (c came) RemotePeer() peer.ID           { return "remote" }

// conns is a network of which only this is known.
type conns struct {
	network.Network
	all []network.Conn
}

func (n conns) ConnsToPeer(peer.ID) []network.Conn { return n.all }

func statsOf(d network.Direction, l bool) network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: d, Limited: l}}
}

// TestDialled: it counts who has come from elsewhere, by no relay, nor by a hole that
// our own dial has made, and not what was dialled here; what is known of our reach goes
// before it.
func TestDialled(t *testing.T) {
	const far = "/ip4/11.0.0.2/tcp/4001"
	relay := came{nil, statsOf(network.DirOutbound, true), far}
	for name, c := range map[string]struct {
		conn   came
		reach  node.Reachability
		want   bool
		known  []network.Conn
		sought peer.ID
	}{
		"dialled":              {came{nil, statsOf(network.DirInbound, false), far}, "", true, nil, ""},
		"has dialled":          {came{nil, statsOf(network.DirOutbound, false), far}, "", false, nil, ""},
		"through a relay":      {came{nil, statsOf(network.DirInbound, true), far}, "", false, nil, ""},
		"through a hole":       {came{nil, statsOf(network.DirInbound, false), far}, "", false, []network.Conn{relay}, ""},
		"sought in vain":       {came{nil, statsOf(network.DirInbound, false), far}, "", false, nil, "remote"},
		"another sought":       {came{nil, statsOf(network.DirInbound, false), far}, "", true, nil, "another"},
		"on this box":          {came{nil, statsOf(network.DirInbound, false), "/ip4/127.0.0.1/tcp/1"}, "", false, nil, ""},
		"public":               {came{nil, statsOf(network.DirOutbound, false), far}, node.PublicReach, true, nil, ""},
		"private, and dialled": {came{nil, statsOf(network.DirInbound, false), far}, node.PrivateReach, false, nil, ""},
	} {
		n := &Host{}
		switch c.reach {
		case node.PublicReach:
			n.reachable.Store(int32(network.ReachabilityPublic))
		case node.PrivateReach:
			n.reachable.Store(int32(network.ReachabilityPrivate))
		}
		n.sought.add(c.sought)
		if n.arrived(conns{nil, append(c.known, c.conn)}, c.conn); n.Dialled() != c.want {
			t.Errorf("%s: %v", name, n.Dialled())
		}
	}
}
