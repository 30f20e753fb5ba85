package embedded

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
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
func statsOf(d network.Direction, l bool) network.ConnStats {
	return network.ConnStats{Stats: network.Stats{Direction: d, Limited: l}}
}

// TestDialled: it counts who has come from elsewhere, by no relay, and not what
// was dialled here; what is known of our reach goes before it.
func TestDialled(t *testing.T) {
	const far = "/ip4/11.0.0.2/tcp/4001"
	for name, c := range map[string]struct {
		conn  came
		reach node.Reachability
		want  bool
	}{
		"dialled":              {came{nil, statsOf(network.DirInbound, false), far}, "", true},
		"has dialled":          {came{nil, statsOf(network.DirOutbound, false), far}, "", false},
		"through a relay":      {came{nil, statsOf(network.DirInbound, true), far}, "", false},
		"on this box":          {came{nil, statsOf(network.DirInbound, false), "/ip4/127.0.0.1/tcp/1"}, "", false},
		"public":               {came{nil, statsOf(network.DirOutbound, false), far}, node.PublicReach, true},
		"private, and dialled": {came{nil, statsOf(network.DirInbound, false), far}, node.PrivateReach, false},
	} {
		n := &Host{}
		switch c.reach {
		case node.PublicReach:
			n.reachable.Store(int32(network.ReachabilityPublic))
		case node.PrivateReach:
			n.reachable.Store(int32(network.ReachabilityPrivate))
		}
		if n.arrived(nil, c.conn); n.Dialled() != c.want {
			t.Errorf("%s: %v", name, n.Dialled())
		}
	}
}
