package embedded

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// fleet is the peers that a node has to do with when it has to do with no
// others: a gate that they alone pass, whoever dials.
type fleet struct{ ids map[peer.ID]bool }

// newFleet reads peer ids; nil when there are none.
func newFleet(allow []string) (*fleet, error) {
	if len(allow) == 0 {
		return nil, nil
	}
	f := &fleet{ids: map[peer.ID]bool{}}
	for _, a := range allow {
		id, err := peer.Decode(a)
		if err != nil {
			return nil, fmt.Errorf("allow %q: not a peer id: %w", a, err)
		}
		f.ids[id] = true
	}
	return f, nil
}

func (f *fleet) has(id peer.ID) bool { return f.ids[id] }

// InterceptPeerDial keeps us from dialling others.
func (f *fleet) InterceptPeerDial(id peer.ID) bool { return f.has(id) }

// InterceptAddrDial allows what InterceptPeerDial has.
func (f *fleet) InterceptAddrDial(id peer.ID, _ ma.Multiaddr) bool { return f.has(id) }

// InterceptAccept lets everyone as far as the handshake: before it nobody has
// proved who they are.
func (f *fleet) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured ends connections of others once they have proved who they
// are, before they can open a stream.
func (f *fleet) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return f.has(id)
}

// InterceptUpgraded allows what InterceptSecured has.
func (f *fleet) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
