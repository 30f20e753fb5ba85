// Package sim is a world of hundreds of nodes in one process, with lines that
// have a rate and a delay, on whatever clock the process has: in a bubble of
// testing/synctest that is a virtual one, which runs as fast as the machine
// computes. The real code of packages fetch and live runs in it, by their own
// interfaces.
//
// What comes in: nodes, each with its line. What goes out: node.Streams,
// node.Peers and node.Blocks for each, and what went over its line.
//
// How a line works: what is written to streams leaves a node by its uplink, a
// piece at a time, streams by turns, and one that was idle first; it is under
// way for both ends' delays, and comes in by the other's downlink in the order
// of its arrival. A stream has a window, as multiplexers and TCP have one.
// Nothing is lost, headers weigh nothing, and no connection starts slowly: what
// is simulated is who waits for whom, not TCP. How far that may be trusted is
// measured beside the same story told by real programs (package testnet).
package sim

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mr-tron/base58"

	"playnode/node"
)

// Line is a node's way to all others.
type Line struct {
	// Up and Down are in bytes a second, 0 for any number.
	Up, Down int64
	// Delay is of each direction; what goes to another node takes its as well.
	Delay time.Duration
}

// NodeConfig is one node.
type NodeConfig struct {
	// Name tells it from others; its peer id is drawn from it.
	Name string
	Line
	// Undialable has it connect to others, and none to it.
	Undialable bool
}

// Config is a world.
type Config struct {
	// Window is how much one direction of a stream may have under way or
	// unread, in bytes on the line; 0 means 1 MiB.
	Window int64
	// Mark and Weight let small blocks stand for large ones: each occurrence of
	// Mark in what is written to a stream begins Heavy bytes of which each
	// weighs Weight on the line. Weight 0 or 1 takes everything at its size.
	Mark   []byte
	Heavy  int
	Weight int64
	// Firewalls is that who cannot be dialled is behind one which takes for an answer
	// what comes from where a dial has gone, and that two dials at once, from the ports
	// at which both listen, are one connection in which both begin to speak, and fail.
	Firewalls bool
}

// dialTime is how long a dial to what cannot be dialled takes to fail, ajar how long a
// firewall lets in after its beginning whom it was for.
const dialTime, ajar = 5 * time.Second, 2 * time.Minute

// errDial is how it fails, errClash how both fail where the other side dials meanwhile.
var errDial, errClash = errors.New("no answer"), errors.New("both have dialled")

// World is nodes and who is connected to whom. Safe for concurrent use.
type World struct {
	cfg Config

	mu    sync.Mutex // guards what follows, and everything of all nodes and streams
	nodes map[string]*Node

	shelf sync.Map // of multihash to bytes: what stores have in common
}

// NewWorld makes an empty one.
func NewWorld(cfg Config) *World {
	if cfg.Window <= 0 {
		cfg.Window = 1 << 20
	}
	return &World{cfg: cfg, nodes: map[string]*Node{}}
}

// Node is one node. It is node.Streams and node.Peers.
type Node struct {
	NodeConfig
	world *World
	id    string
	wg    sync.WaitGroup // handlers and callbacks
	left  chan struct{}  // closed by Close

	// guarded by World.mu
	gone     bool
	peers    map[string]bool
	dialled  bool
	knocks   map[*Node]*knock // whom it has dialled in vain
	handlers map[string]func(string, node.Stream)
	arrivals []func(string)
	streams  map[*stream]bool
	up       uplink
	downFree time.Time // when the downlink has taken in all that has arrived
	carried  Carried
}

// knock is a dial that is not answered.
type knock struct {
	began time.Time
	clash chan struct{} // closed when the other side dials while it goes on
	over  bool
}

// Carried is what went over a node's line, in bytes on the line.
type Carried struct{ Sent, Received int64 }

// Node adds a node.
func (w *World) Node(cfg NodeConfig) *Node {
	sum := sha256.Sum256([]byte(cfg.Name))
	n := &Node{
		NodeConfig: cfg, world: w, left: make(chan struct{}), id: base58.Encode(append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, sum[:]...)),
		peers: map[string]bool{}, knocks: map[*Node]*knock{}, handlers: map[string]func(string, node.Stream){}, streams: map[*stream]bool{},
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[n.id] = n
	return n
}

// Carried is what went over the line so far.
func (n *Node) Carried() Carried {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	return n.carried
}

// Close leaves the world, as a power cut does: streams end with an error at
// both sides at once. It waits for the node's handlers.
func (n *Node) Close() error {
	n.world.mu.Lock()
	n.depart()
	n.leave()
	for s := range n.streams {
		s.end(errReset)
	}
	n.world.mu.Unlock()
	n.wg.Wait()
	return nil
}

// keptAlive is how long the others' streams to a node that has vanished stay
// open.
const keptAlive = 30 * time.Second

// Vanish leaves the world as a pulled cable does: nothing of the node's arrives
// any more, what is sent to it is lost, and the others' streams to it end only
// when they have been kept alive in vain. Its own end at once. Close is to be
// called after it.
func (n *Node) Vanish() {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	n.depart()
	for s := range n.streams {
		s.out.pending, s.out.ahead, s.out.closed = nil, 0, true
		s.in.deaf, s.in.unread = true, nil
		s.in.wake()
		s.out.wake()
	}
	left := maps.Clone(n.streams)
	time.AfterFunc(keptAlive, func() {
		n.world.mu.Lock()
		defer n.world.mu.Unlock()
		for s := range left {
			s.end(errReset)
		}
		n.leave()
	})
}

// depart ends what waits for the node itself. World.mu is held.
func (n *Node) depart() {
	if !n.gone {
		n.gone = true
		close(n.left)
	}
}

// leave takes the node off its peers. World.mu is held.
func (n *Node) leave() {
	delete(n.world.nodes, n.id)
	for p := range n.peers {
		if o := n.world.nodes[p]; o != nil {
			delete(o.peers, n.id)
		}
	}
	clear(n.peers)
}

// spawn runs f as one of the node's own. World.mu is held.
func (n *Node) spawn(f func()) {
	if !n.gone {
		n.wg.Go(f)
	}
}

// ID is the peer id.
func (n *Node) ID() string { return n.id }

// Addrs is one address, good in this world alone.
func (n *Node) Addrs() []string { return []string{"/memory/1/p2p/" + n.id} }

// Connected are the peers connected now, sorted.
func (n *Node) Connected() []string {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	return slices.Sorted(maps.Keys(n.peers))
}

// OnConnect is as node.Peers says.
func (n *Node) OnConnect(f func(peer string)) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	n.arrivals = append(n.arrivals, f)
	for _, p := range slices.Sorted(maps.Keys(n.peers)) {
		n.spawn(func() { f(p) })
	}
}

// rounds is how many round trips a dial takes by libp2p over TCP until streams are
// opened: TCP's own, one in which the handshake is chosen, Noise's until the dialler
// may send, and one in which each says what it speaks (identify).
const rounds = 4

// Connect takes as long as a dial does. To a node that cannot be dialled it fails
// after a while, but for what Config.Firewalls says. It does not redial.
func (n *Node) Connect(ctx context.Context, addr string) error { return n.dial(ctx, addr, rounds) }

// dial is Connect where a dial takes so many round trips.
func (n *Node) dial(ctx context.Context, addr string, rounds int) error {
	n.world.mu.Lock()
	var to *Node
	for _, o := range n.world.nodes {
		if o != n && o.Addrs()[0] == addr {
			to = o
		}
	}
	if to != nil && n.peers[to.id] {
		n.world.mu.Unlock()
		return nil
	}
	wait, through, hole := dialTime, to != nil && !to.Undialable && !to.gone, false
	k := &knock{began: time.Now(), clash: make(chan struct{})}
	if to != nil && !to.gone && n.world.cfg.Firewalls {
		if theirs := to.knocks[n]; theirs != nil && theirs.over {
			hole = time.Since(theirs.began) < ajar
		} else if theirs != nil {
			close(theirs.clash)
			delete(to.knocks, n)
			n.world.mu.Unlock()
			return fmt.Errorf("connect to %s: %w", addr, errClash)
		}
		if through = through || hole; !through {
			n.knocks[to] = k
		}
	}
	if through {
		wait = time.Duration(2*rounds) * (n.Delay + to.Delay)
	}
	n.world.mu.Unlock()
	var err error
	select {
	case <-time.After(wait):
	case <-k.clash:
		err = errClash
	case <-ctx.Done():
		err = ctx.Err()
	}
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	k.over = true
	switch {
	case err != nil:
	case to != nil && n.peers[to.id]: // it has come by itself meanwhile
		return nil
	case !through || to.gone || n.gone:
		err = fmt.Errorf("%w: %w", node.ErrNotFound, errDial)
	default:
		to.dialled = to.dialled || !hole
		n.meet(to)
		return nil
	}
	return fmt.Errorf("connect to %s: %w", addr, err)
}

// Dialled tells whether another node has connected to this one.
func (n *Node) Dialled() bool {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	return n.dialled
}

// meet connects two nodes. World.mu is held.
func (n *Node) meet(o *Node) {
	if n.peers[o.id] {
		return
	}
	n.peers[o.id], o.peers[n.id] = true, true
	for _, f := range n.arrivals {
		n.spawn(func() { f(o.id) })
	}
	for _, f := range o.arrivals {
		o.spawn(func() { f(n.id) })
	}
}

// Handle serves a protocol.
func (n *Node) Handle(protocol string, h func(peer string, s node.Stream)) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	n.handlers[protocol] = h
}

// Open opens a stream to a connected peer. The other side hears of it a delay
// later; it returns at once.
func (n *Node) Open(ctx context.Context, peer, protocol string) (node.Stream, error) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	p := n.world.nodes[peer]
	if p == nil || !n.peers[peer] {
		return nil, fmt.Errorf("open %s to %s: not connected: %w", protocol, peer, node.ErrNotFound)
	}
	if p.handlers[protocol] == nil {
		return nil, fmt.Errorf("open %s to %s: protocol not spoken there: %w", protocol, peer, node.ErrNotFound)
	}
	a, b := newPipe(n, p), newPipe(p, n)
	ours, theirs := &stream{at: n, in: b, out: a}, &stream{at: p, in: a, out: b}
	ours.other, theirs.other = theirs, ours
	n.streams[ours], p.streams[theirs] = true, true
	time.AfterFunc(n.Delay+p.Delay, func() {
		n.world.mu.Lock()
		defer n.world.mu.Unlock()
		p.spawn(func() { p.handlers[protocol](n.id, theirs) })
	})
	return ours, nil
}
