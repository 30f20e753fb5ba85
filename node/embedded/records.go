package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"playnode/node"
)

// Own signs what of our addresses to and its like can dial; see node.Records.
// It is libp2p's signed peer record, in its envelope.
func (n *Host) Own(to string) []byte {
	id, err := n.ids.id(to)
	if err != nil {
		return nil
	}
	least := placeOfPeer(n.host, id)
	var addrs []ma.Multiaddr
	for _, a := range n.all() {
		if at := placeOf(a); at >= least && at != nowhere {
			addrs = append(addrs, a)
		}
	}
	// What does not fit is the nearest, which mDNS tells as well.
	slices.SortStableFunc(addrs, func(a, b ma.Multiaddr) int { return int(placeOf(b)) - int(placeOf(a)) })
	addrs = addrs[:min(len(addrs), node.MaxPeerAddrs)]
	return n.owned.sign(n, addrs)
}

// owned are the records that were signed last, one for each place that they
// are for: while addresses stay, so do records.
type owned struct {
	mu   sync.Mutex // guards what follows
	last map[string][]byte
}

// maxOwned bounds the sets of addresses that are remembered.
const maxOwned = 8

func (o *owned) sign(n *Host, addrs []ma.Multiaddr) []byte {
	var key string
	for _, a := range addrs {
		key += a.String()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if raw, ok := o.last[key]; ok {
		return raw
	}
	for ; len(addrs) > 0; addrs = addrs[:len(addrs)-1] {
		r := peer.PeerRecordFromAddrInfo(peer.AddrInfo{ID: n.host.ID(), Addrs: addrs})
		env, err := record.Seal(r, n.host.Peerstore().PrivKey(n.host.ID()))
		if err != nil {
			n.log.Error("sign our addresses", "err", err)
			return nil
		}
		if raw, err := env.Marshal(); err == nil && len(raw) <= node.MaxPeerRecord {
			if len(o.last) >= maxOwned || o.last == nil {
				o.last = map[string][]byte{}
			}
			o.last[key] = raw
			return raw
		}
	}
	return nil
}

// OnChange is as node.Records says.
func (n *Host) OnChange(f func()) {
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	n.peers.changes = append(n.peers.changes, f)
}

// changed tells that our addresses are others.
func (p *peers) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.changes {
		p.spawn(f)
	}
}

// learn verifies a record: whoever signed it speaks of itself.
func learn(raw []byte) (*peer.PeerRecord, error) {
	if len(raw) > node.MaxPeerRecord {
		return nil, fmt.Errorf("peer record of %d bytes", len(raw))
	}
	var r peer.PeerRecord
	env, err := record.ConsumeTypedEnvelope(raw, &r)
	if err != nil {
		return nil, fmt.Errorf("peer record: %w", err)
	}
	if !r.PeerID.MatchesPublicKey(env.PublicKey) {
		return nil, fmt.Errorf("peer record of %s: signed by another", r.PeerID)
	}
	if len(r.Addrs) == 0 || len(r.Addrs) > node.MaxPeerAddrs {
		return nil, fmt.Errorf("peer record of %s: %d addresses", r.PeerID, len(r.Addrs))
	}
	return &r, nil
}

// Learn is as node.Records says.
func (n *Host) Learn(raw []byte) (node.Record, error) {
	r, err := learn(raw)
	if err != nil {
		return node.Record{}, err
	}
	return node.Record{Peer: n.ids.text(r.PeerID), Seq: r.Seq, Near: slices.ContainsFunc(r.Addrs, n.subnets.near)}, nil
}

// dialable are those of a record's addresses that may be dialled on the word
// of one who is at the place from.
func dialable(addrs []ma.Multiaddr, from place) []ma.Multiaddr {
	var out []ma.Multiaddr
	for _, a := range addrs {
		if at := placeOf(a); at >= from && at != nowhere {
			out = append(out, a)
		}
	}
	return out
}

// Dial is as node.Records says; by may be this node, which remembers records
// of peers that it was connected with itself.
func (n *Host) Dial(ctx context.Context, raw []byte, by string) error {
	r, err := learn(raw)
	if err != nil {
		return err
	}
	ctx = network.WithAllowLimitedConn(ctx, "meeting") // one that is there already is enough
	return n.dialFor(ctx, by, peer.AddrInfo{ID: r.PeerID, Addrs: r.Addrs})
}

// Meet dials a full multiaddr that the peer by has told of, once, by the rules
// of Dial. Unlike with Connect, whoever answers is kept no longer than any peer
// that comes by itself. The error wraps node.ErrNotFound where nobody can be there.
func (n *Host) Meet(ctx context.Context, addr, by string) error {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return fmt.Errorf("meet %q: %w", addr, err)
	}
	if info.ID == n.host.ID() {
		return fmt.Errorf("meet %s: it is this node", addr)
	}
	err = n.dialFor(ctx, by, *info)
	if slices.ContainsFunc(nobodyThere, func(no error) bool { return errors.Is(err, no) }) {
		err = fmt.Errorf("%w: %w", node.ErrNotFound, err)
	}
	return err
}

// nobodyThere are errors of a dial that a second one right after it would give, too.
var nobodyThere = []error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH}

// dialFor dials those of info's addresses that may be dialled on by's word.
func (n *Host) dialFor(ctx context.Context, by string, info peer.AddrInfo) error {
	from := here
	if by != n.ID() {
		id, err := n.ids.id(by)
		if err != nil {
			return fmt.Errorf("dial %s for %s: %w", info.ID, by, err)
		}
		from = placeOfPeer(n.host, id)
	}
	addrs := dialable(info.Addrs, from)
	if len(addrs) == 0 {
		return fmt.Errorf("dial %s for %s: none of its %d addresses may be dialled for one who is there: %w", info.ID, by, len(info.Addrs), node.ErrNotFound)
	}
	ctx, cancel := context.WithTimeout(ctx, dialing)
	defer cancel()
	n.sought.add(info.ID)
	if err := n.host.Connect(ctx, peer.AddrInfo{ID: info.ID, Addrs: addrs}); err != nil {
		if s, ok := n.host.Network().(*swarm.Swarm); ok {
			s.Backoff().Clear(info.ID) // whoever asks for it knows when to again
		}
		return fmt.Errorf("dial %s: %w", info.ID, err)
	}
	return nil
}

// preference is the weight that the connection manager gives to peers that
// have something in common with us.
const preference = 100

// Prefer is as node.Company says.
func (n *Host) Prefer(p string, yes bool) {
	id, err := n.ids.id(p)
	if err != nil {
		return
	}
	if n.peers.prefer(id, yes) {
		n.relays.look()
	}
}
