// Package live carries a DJ's set, as it is played, to those who hear it, by
// those who hear it: each box has it from one neighbour, its parent, passes it
// on to as many as its line bears, and hears from a second one, its standby,
// what its parent should have brought.
//
// What comes in: signed records, heads and sealed segments, from the DJ on this
// box or from neighbours, who may lie. What goes out: the same, to neighbours
// and to whoever hears or keeps the set here. What is trusted: what the DJ's
// chain vouches for, and bytes that hash to what a head of hers announces.
// Where a neighbour says that it stands, and what it could give, only steers
// whom we ask. There is no key in this room: nobody here can hear anything.
package live

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"playnode/manifests"
	"playnode/node"
)

// Set names a live set.
type Set struct {
	DJ   manifests.DJ
	Live manifests.LiveID
}

// Neighbours is who is connected; node.Peers is one.
type Neighbours interface {
	// ID is our own peer id, Addrs how others reach us.
	ID() string
	Addrs() []string
	Connected() []string
	// OnConnect calls f, in a goroutine of its own, for each peer that
	// connects from now on, and once for each connected now.
	OnConnect(f func(peer string))
}

// Config is what a Carrier needs. All from Topics on are optional.
type Config struct {
	Streams node.Streams
	Peers   Neighbours
	// Chain is a DJ's chain of roots as it is known here, or nil. It is asked
	// for each record and head, and is quick.
	Chain func(manifests.DJ) *manifests.Chain
	Now   func() time.Time

	// Topics, when set, has those who Watch a DJ hear at once that she goes on
	// air.
	Topics node.Topics
	// Known lists connected peers that may carry what a DJ has on air, such as
	// those who follow her; nil means all that are connected.
	Known func(manifests.DJ) []string
	// Meet dials a full multiaddr that the peer by has told of, once, if it
	// may be dialled on by's word; nil means that only those are asked who are
	// connected by themselves.
	Meet func(ctx context.Context, addr, by string) error
	// Near tells whether a peer is on our own network: those on one network
	// have one copy come into it. nil means that none is.
	Near func(peer string) bool
	// Dialable tells whether others can dial us; nil means that they can.
	Dialable func() bool
	// Upload bounds what is sent, in bytes a second, to peers that are not
	// Near; four fifths of it are offered to others. 0 means that it is not
	// known: no bound, and others are offered what 1 Mbit/s would bear.
	Upload int64
	// Hush tells whether the line is left to others now, and is quick: then
	// nothing is given to peers that are not Near, those who were given go
	// elsewhere, and of this box's own sets one has what all others are to have
	// from there. nil means that it is not.
	Hush func() bool
	// Sent is told of each number of bytes that has been taken from Upload, so
	// that what shares the line with it can hold back.
	Sent func(n int)
	// Keep stores the segments that come, durably, as blocks: others are given
	// them long after, and the set's track needs them.
	Keep node.Putter
	// Fetch is asked for a segment that no neighbour on air has given in time.
	Fetch node.Getter
	// OnAir is called for each set of a DJ who is watched, when it is first
	// known to be on air, in a goroutine of its own.
	OnAir func(Set, *manifests.Live)
	// Report is told of two signed heads, or records, with one number: the
	// first was kept.
	Report func(kept, other manifests.Signed)
	// After is a timer; nil means time.After.
	After func(time.Duration) <-chan time.Time
	// Rand breaks ties; nil means one that is seeded anew.
	Rand *rand.Rand
	// Log, when nil, drops everything.
	Log *slog.Logger
}

const (
	// modest is what a line is taken to bear that nobody has told of, in bytes
	// a second.
	modest = 125_000
	// maxChildren bounds those who are given one set, maxNearby those of them
	// on our own network, maxStandby those who are given heads alone.
	maxChildren, maxNearby, maxStandby = 64, 32, 32
	// maxStreams bounds all streams that others have opened.
	maxStreams = 256
	// beat is how often it is looked what is late.
	beat = 100 * time.Millisecond
	// greeting bounds the time until a hello, opening one Open, meeting one
	// Meet, writing one write.
	greeting, opening, meeting, writing = 10 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second
	// hellos may come from a peer at once, and one each refill after.
	hellos, refill = 16, 2 * time.Second
	// maxLiars bounds who is remembered for what it sent.
	maxLiars = 1024
)

// ErrOffAir says that a set is not carried here any more.
var ErrOffAir = errors.New("off air")

// Carrier carries sets. Safe for concurrent use.
type Carrier struct {
	cfg   Config
	self  mark
	kick  chan struct{} // one slot: there is something to send
	hurry chan struct{} // one slot: there is something to look after
	down  chan struct{} // closed when Run ends
	asks  node.Budgets  // hellos

	mu      sync.Mutex // guards what follows, and all sets and links
	wg      sync.WaitGroup
	running bool
	ended   bool
	rand    *rand.Rand
	sets    map[Set]*carry
	links   []*link
	streams int       // opened by others
	line    time.Time // when the line is free again
	liars   map[string]bool
	watched map[manifests.DJ]*watch
	keeping []node.Block // to be stored
	stores  bool         // a goroutine stores
}

// New makes a Carrier, which does nothing before Run.
func New(cfg Config) (*Carrier, error) {
	if cfg.Streams == nil || cfg.Peers == nil || cfg.Chain == nil || cfg.Now == nil {
		return nil, errors.New("make carrier: Streams, Peers, Chain and Now are required")
	}
	if cfg.Known == nil {
		cfg.Known = func(manifests.DJ) []string { return cfg.Peers.Connected() }
	}
	if cfg.Near == nil {
		cfg.Near = func(string) bool { return false }
	}
	if cfg.Dialable == nil {
		cfg.Dialable = func() bool { return true }
	}
	if cfg.Hush == nil {
		cfg.Hush = func() bool { return false }
	}
	if cfg.Sent == nil {
		cfg.Sent = func(int) {}
	}
	if cfg.Report == nil {
		cfg.Report = func(kept, other manifests.Signed) {}
	}
	if cfg.After == nil {
		cfg.After = time.After
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Carrier{
		cfg: cfg, self: markOf(cfg.Peers.ID()), kick: make(chan struct{}, 1), hurry: make(chan struct{}, 1), down: make(chan struct{}),
		asks: node.Budgets{Burst: hellos, Rate: 1 / refill.Seconds(), Peers: 1024, Now: cfg.Now},
		rand: cfg.Rand, sets: map[Set]*carry{}, liars: map[string]bool{}, watched: map[manifests.DJ]*watch{},
	}
	cfg.Streams.Handle(Protocol, c.serve)
	return c, nil
}

// Run carries until ctx ends, whose error it returns. It is called once.
func (c *Carrier) Run(ctx context.Context) error {
	c.mu.Lock()
	c.running = true
	c.spawn(c.pump)
	c.mu.Unlock()
	defer c.end()
	c.cfg.Peers.OnConnect(c.arrived)
	for {
		c.mu.Lock()
		idle := len(c.sets) == 0 && len(c.links) == 0
		c.mu.Unlock()
		var next <-chan time.Time
		if !idle {
			next = c.cfg.After(beat)
		}
		select {
		case <-next:
			c.tick()
		case <-c.hurry:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end drops everything and waits for all that was begun.
func (c *Carrier) end() {
	c.mu.Lock()
	c.running, c.ended = false, true
	close(c.down)
	for _, l := range c.links {
		l.stream.Reset()
	}
	for _, cr := range c.sets {
		cr.wake()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// spawn runs f as one of ours, unless all has ended. c.mu is held.
func (c *Carrier) spawn(f func()) {
	if !c.ended {
		c.wg.Go(f)
	}
}

// nudge puts a word into a channel of one slot.
func nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// within is a context that ends after d by the injected clock, or with Run.
func (c *Carrier) within(d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-c.cfg.After(d):
		case <-c.down:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}

// Met tells that a connected peer is among Config.Known now.
func (c *Carrier) Met(peer string) { c.arrived(peer) }

// arrived has a peer that has connected asked by whom it may help.
func (c *Carrier) arrived(peer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	for _, cr := range c.sets {
		if k := cr.candidates[peer]; k != nil && !k.busy {
			k.until, k.wait = time.Time{}, 0
		}
		cr.seek(now)
		if p := cr.parent; p != nil && !p.near && c.cfg.Near(peer) {
			cr.ask(now, 1, asNearby) // one copy is enough for both
		}
	}
	c.ask(peer)
}

// tick looks at all sets, and at what hangs.
func (c *Carrier) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	for _, l := range c.links {
		if l.busy && now.Sub(l.since) > writing {
			l.stream.Reset()
		}
	}
	for _, cr := range c.sets {
		cr.watch(now)
	}
	c.listen(now)
}

// lied remembers a peer that broke a rule that no honest one can break. c.mu
// is held.
func (c *Carrier) lied(peer string, err error) {
	c.cfg.Log.Info("neighbour on air dropped", "peer", peer, "err", err)
	for p := range c.liars { // any
		if len(c.liars) < maxLiars {
			break
		}
		delete(c.liars, p)
	}
	c.liars[peer] = true
}

// upload is what the line bears, or is taken to, in bytes a second.
func (c *Carrier) upload() float64 { return float64(cmp.Or(c.cfg.Upload, modest)) }

// keep stores segments, those that have come while others were being written
// in one go. c.mu is held.
func (c *Carrier) keep(b node.Block) {
	if c.cfg.Keep == nil || len(c.keeping) >= maxKeeping {
		return
	}
	c.keeping = append(c.keeping, b)
	if c.stores {
		return
	}
	c.stores = true
	c.spawn(func() {
		for {
			c.mu.Lock()
			all := c.keeping
			c.keeping = nil
			c.stores = len(all) > 0
			c.mu.Unlock()
			if len(all) == 0 {
				return
			}
			if err := c.cfg.Keep.Put(context.Background(), all...); err != nil {
				c.cfg.Log.Warn("keep segments", "n", len(all), "err", err)
			}
		}
	})
}

// maxKeeping bounds the segments that wait for the disk.
const maxKeeping = 64
