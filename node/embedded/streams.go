package embedded

import (
	"context"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"playnode/node"
)

const (
	// maxStreams bounds the streams that our own protocols serve at once.
	// Strangers have half of them, so that those with whom we have something
	// in common are served while strangers flood.
	maxStreams, strangeStreams = 256, 128
	// peerStreams are for one peer.
	peerStreams = 64
)

// slots are the streams that are served now; by is never nil.
type slots struct {
	mu      sync.Mutex // guards what follows
	all     int
	strange int
	by      map[peer.ID]int
}

// take has one more stream of a peer served until give is called, or tells
// that there are too many.
func (l *slots) take(id peer.ID, stranger bool) (give func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxStreams || l.by[id] >= peerStreams || stranger && l.strange >= strangeStreams {
		return nil, false
	}
	l.count(id, stranger, 1)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.count(id, stranger, -1)
	}, true
}

func (l *slots) count(id peer.ID, stranger bool, n int) {
	l.all += n
	if stranger {
		l.strange += n
	}
	if l.by[id] += n; l.by[id] == 0 {
		delete(l.by, id)
	}
}

// Handle serves a protocol; see node.Streams. At most 256 streams are served
// at once, all protocols together, 64 of one peer, and 128 of peers that are
// neither kept nor preferred; more are reset. So are those that come through
// a relay, unless the protocol is a small one.
func (n *Host) Handle(p string, h func(peer string, s node.Stream)) {
	n.host.SetStreamHandler(protocol.ID(p), func(s network.Stream) {
		c := s.Conn()
		if c.Stat().Limited && !n.small[p] {
			s.Reset()
			return
		}
		give, ok := n.slots.take(c.RemotePeer(), !n.peers.friend(c.RemotePeer()))
		if !ok {
			s.Reset()
			return
		}
		defer give()
		h(n.ids.text(c.RemotePeer()), patiently(s))
	})
}

// Open opens a stream; see node.Streams. To a peer that is connected through a
// relay alone only small protocols are opened; others fail at once, with
// node.ErrNotFound.
func (n *Host) Open(ctx context.Context, to, p string) (node.Stream, error) {
	id, err := n.ids.id(to)
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", p, to, err)
	}
	if n.small[p] {
		ctx = network.WithAllowLimitedConn(ctx, p)
	} else if n.Relayed(to) { // else libp2p would wait for a direct connection
		return nil, fmt.Errorf("open %s to %s: connected through a relay alone: %w", p, to, node.ErrNotFound)
	}
	s, err := n.host.NewStream(ctx, id, protocol.ID(p))
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", p, to, err)
	}
	return patiently(s), nil
}
