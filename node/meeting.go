package node

import (
	"context"

	"github.com/ipfs/go-cid"
)

// Record is what a peer has signed about where it can be reached.
type Record struct {
	// Peer signed it, of itself.
	Peer string
	// Seq orders the records of one peer; the higher is the newer.
	Seq uint64
	// Near tells that one of its addresses is of a network that this box is
	// in, so that dialling it need not leave the building.
	Near bool
}

// MaxPeerRecord is the largest signed record of a peer, in bytes;
// MaxPeerAddrs bounds its addresses. Both are checked before it is believed.
const MaxPeerRecord, MaxPeerAddrs = 2048, 16

// Records are signed statements of peers about their own addresses, opaque to
// who passes them on. Safe for concurrent use.
type Records interface {
	// Own is our record for the peer to, which is connected, and for those
	// whom it tells: of our addresses, those that the like of it can dial.
	// nil when there are none.
	Own(to string) []byte
	// OnChange calls f, in a goroutine of its own, when Own may say something
	// else than before.
	OnChange(f func())
	// Learn verifies a record. Nothing is dialled and nothing kept.
	Learn(record []byte) (Record, error)
	// Dial connects to the peer of a record that the peer by gave, which is
	// connected, or was. Addresses in private networks are dialled only if by
	// itself is in one, those of this box only if by is on it, and names of
	// hosts never: who introduces others is not to scan our network by our
	// hand. The connection is not kept or redialled.
	Dial(ctx context.Context, record []byte, by string) error
}

// Company is whom a node is with.
type Company interface {
	// Prefer says that peer has something in common with us, or has not any
	// more: its connections go after those of others, and it is served when
	// strangers take all that is for them.
	Prefer(peer string, yes bool)
}

// Reach tells how connected peers are reached. Safe for concurrent use, and
// cheap enough to be asked for each block.
type Reach interface {
	// Near tells that a connection to peer need not leave the building: it is
	// on this box, or its address is link-local or of a network that one of
	// our interfaces is in, or mDNS has found it.
	Near(peer string) bool
	// Relayed tells that peer is connected through a relay alone, which
	// carries small protocols and no blocks.
	Relayed(peer string) bool
}

// Reachability is whether others can dial us.
type Reachability string

const (
	// Unknown: nobody has tried and told.
	Unknown Reachability = "unknown"
	// PublicReach: peers have dialled us, or the owner says that they can.
	PublicReach Reachability = "public"
	// PrivateReach: peers have tried in vain, or the owner says that they
	// would.
	PrivateReach Reachability = "private"
)

// Finder is a routing system that knows who holds what (a DHT).
type Finder interface {
	// Announce tells others, soon and again before they forget, that root is
	// held here, whole, in place of what was announced under key before. It
	// does not wait. Without such a system it does nothing.
	Announce(key string, root cid.Cid)
	// Find connects to at most n peers that have announced root and are not
	// connected yet, and returns how many. Without such a system it fails
	// with ErrNotFound.
	Find(ctx context.Context, root cid.Cid, n int) (int, error)
}
