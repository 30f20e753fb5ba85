// Package memory is a node in one process, and a world of such nodes: for
// tests and simulated scenarios.
//
// What comes in and goes out is as package node promises. A World may delay,
// cut and corrupt what its nodes say to one another. Nothing is trusted that
// another node says, as anywhere.
package memory

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/mr-tron/base58"

	"playnode/node"
)

// World is nodes and the links between them. Safe for concurrent use.
type World struct {
	// Delay is how long a message takes from node to node; set it before the
	// first node is made.
	Delay time.Duration

	mu      sync.Mutex // guards what follows, and all nodes' blocks
	nodes   map[string]*Node
	links   map[[2]string]bool
	values  map[string][]byte
	changed chan struct{} // closed and replaced when a block or a link appears
}

// NewWorld makes an empty one.
func NewWorld() *World {
	return &World{
		nodes: map[string]*Node{}, links: map[[2]string]bool{},
		values: map[string][]byte{}, changed: make(chan struct{}),
	}
}

// Node is one node. It is every interface of package node.
type Node struct {
	world *World
	id    string
	done  chan struct{}
	close sync.Once
	wg    sync.WaitGroup // handlers and callbacks

	// guarded by World.mu
	blocks   map[cid.Cid][]byte
	unwanted map[cid.Cid]bool
	lies     map[cid.Cid][]byte
	pins     map[node.Pin]bool
	handlers map[string]func(string, node.Stream)
	topics   map[string]*subscription
	arrivals []func(string)
	traffic  node.Traffic
}

// Node makes a node; its peer id is drawn from name.
func (w *World) Node(name string) *Node {
	sum := sha256.Sum256([]byte(name))
	n := &Node{
		world: w, id: base58.Encode(append([]byte{0x00, 0x24, 0x08, 0x01, 0x12, 0x20}, sum[:]...)),
		done: make(chan struct{}), blocks: map[cid.Cid][]byte{}, lies: map[cid.Cid][]byte{},
		pins: map[node.Pin]bool{}, handlers: map[string]func(string, node.Stream){},
		topics:  map[string]*subscription{},
		traffic: node.Traffic{BySource: map[string]int64{}},
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[n.id] = n
	return n
}

// change wakes all who wait for the world to be otherwise. w.mu is held.
func (w *World) change() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func link(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// Link connects two nodes.
func (w *World) Link(a, b *Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a == b || w.links[link(a.id, b.id)] {
		return
	}
	w.links[link(a.id, b.id)] = true
	w.change()
	a.arrived(b.id)
	b.arrived(a.id)
}

// Cut disconnects two nodes.
func (w *World) Cut(a, b *Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.links, link(a.id, b.id))
}

// arrived calls back for a peer. World.mu is held.
func (n *Node) arrived(peer string) {
	for _, f := range n.arrivals {
		n.spawn(func() { f(peer) })
	}
}

// spawn runs f as one of the node's own. World.mu is held.
func (n *Node) spawn(f func()) {
	select {
	case <-n.done:
	default:
		n.wg.Go(f)
	}
}

// Close leaves the world and waits for handlers; blocks and pins stay, and
// may be read.
func (n *Node) Close() error {
	n.close.Do(func() {
		n.world.mu.Lock()
		close(n.done)
		delete(n.world.nodes, n.id)
		for l := range n.world.links {
			if l[0] == n.id || l[1] == n.id {
				delete(n.world.links, l)
			}
		}
		n.world.mu.Unlock()
	})
	n.wg.Wait()
	return nil
}

// Damage flips a bit of a block as if on disk.
func (n *Node) Damage(c cid.Cid) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	if data := slices.Clone(n.blocks[c]); len(data) > 0 {
		data[len(data)/2] ^= 1
		n.blocks[c] = data
	}
}

// Lie has n give other nodes wrong bytes for c.
func (n *Node) Lie(c cid.Cid, wrong []byte) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	n.lies[c] = wrong
	n.world.change()
}

// Traffic is the blocks' bytes sent and received so far.
func (n *Node) Traffic() node.Traffic {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	t := n.traffic
	t.BySource = maps.Clone(t.BySource)
	return t
}

// ID is the peer id.
func (n *Node) ID() string { return n.id }

// Addrs is one address, good in this world alone.
func (n *Node) Addrs() []string { return []string{"/memory/1/p2p/" + n.id} }

// Connected are the peers linked now, sorted.
func (n *Node) Connected() []string {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	return n.linked()
}

// linked is Connected. World.mu is held.
func (n *Node) linked() []string {
	var out []string
	for l := range n.world.links {
		switch n.id {
		case l[0]:
			out = append(out, l[1])
		case l[1]:
			out = append(out, l[0])
		}
	}
	slices.Sort(out)
	return out
}

// OnConnect is as node.Peers says.
func (n *Node) OnConnect(f func(peer string)) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	n.arrivals = append(n.arrivals, f)
	for _, p := range n.linked() {
		n.spawn(func() { f(p) })
	}
}

// Connect links to a node of this world; it does not redial.
func (n *Node) Connect(ctx context.Context, addr string) error {
	for _, o := range n.world.all() {
		if o.Addrs()[0] == addr && o != n {
			n.world.Link(n, o)
			return nil
		}
	}
	return fmt.Errorf("connect to %s: %w", addr, node.ErrNotFound)
}

func (w *World) all() []*Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.nodes))
}

// travel takes as long as a message does.
func (w *World) travel(ctx context.Context) error {
	if w.Delay <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(w.Delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// PutValue writes to the world's one DHT.
func (n *Node) PutValue(ctx context.Context, key string, value []byte) error {
	if err := n.world.travel(ctx); err != nil {
		return err
	}
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	n.world.values[key] = slices.Clone(value)
	return nil
}

// GetValue reads from the world's one DHT.
func (n *Node) GetValue(ctx context.Context, key string) ([]byte, error) {
	if err := n.world.travel(ctx); err != nil {
		return nil, err
	}
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	v, ok := n.world.values[key]
	if !ok {
		return nil, fmt.Errorf("get value: %w", node.ErrNotFound)
	}
	return slices.Clone(v), nil
}

// Get asks linked nodes until one has the block or ctx ends.
func (n *Node) Get(ctx context.Context, c cid.Cid, w node.Want) ([]byte, error) {
	liars := map[string]bool{}
	for {
		n.world.mu.Lock()
		changed := n.world.changed
		peers := n.linked()
		n.world.mu.Unlock()
		rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
		for _, p := range peers {
			if liars[p] {
				continue
			}
			if err := n.world.travel(ctx); err != nil {
				return nil, fmt.Errorf("get %s: %w", c, err)
			}
			data, ok := n.world.serve(p, n, c)
			if !ok {
				continue
			}
			if node.Verify(c, data) != nil {
				liars[p] = true
				continue
			}
			n.world.mu.Lock()
			n.traffic.Received += int64(len(data))
			n.traffic.BySource["memory"] += int64(len(data))
			n.world.mu.Unlock()
			return data, nil
		}
		select {
		case <-changed:
		case <-n.done:
			return nil, fmt.Errorf("get %s: node closed: %w", c, node.ErrNotFound)
		case <-ctx.Done():
			return nil, fmt.Errorf("get %s: %w", c, ctx.Err())
		}
	}
}

// serve is what peer gives to n for c.
func (w *World) serve(peer string, to *Node, c cid.Cid) ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.nodes[peer]
	if p == nil || !w.links[link(peer, to.id)] {
		return nil, false
	}
	if data, ok := p.lies[c]; ok {
		return slices.Clone(data), true
	}
	data, ok := p.blocks[c]
	if !ok || node.Verify(c, data) != nil {
		return nil, false
	}
	p.traffic.Sent += int64(len(data))
	return slices.Clone(data), true
}
