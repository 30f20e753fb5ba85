// Package fetch decides where a block is read from: this box first, then the
// peers that exchange blocks with it, then every other source that may have it,
// hedged by how soon it is wanted. It gives peers what this box holds, too.
//
// What comes in: CIDs with a Want, and bytes from peers and sources, which may
// lie. What goes out: bytes that hash to their CID, stored on this box first.
// What is trusted: nothing but the hash; a source that once sent wrong bytes is
// not asked again, and what a peer says of itself or others only steers order.
package fetch

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// Source is one way to a block.
type Source struct {
	// Name is the row that its bytes are counted under, such as "bitswap".
	Name string
	node.Getter
	// Company says that it asks the connected peers. While these are asked
	// themselves it is none the sooner, and what is urgent would come twice.
	Company bool
}

// Config is what a Scheduler needs.
type Config struct {
	// Local is read first and keeps all that is fetched. Required.
	Local node.Blocks
	// Sources are asked in this order: a later one when those before are
	// silent for longer than the Want bears, or have failed. More come by Add.
	Sources []Source
	// Now is the clock. Required.
	Now func() time.Time
	// After is a timer; nil means time.After.
	After func(time.Duration) <-chan time.Time

	// Streams, when set, has blocks exchanged with peers by BlocksProtocol, and
	// graphs begun by TreesProtocol: they are asked before all Sources, and given what Local holds. Peers is
	// required with it.
	Streams node.Streams
	Peers   Neighbours
	// Near tells whether a peer is on our own network, and costs nothing to
	// ask; nil means that none is.
	Near func(peer string) bool
	// Meet dials a full multiaddr that the peer by has told of, once, if it
	// may be dialled on by's word; nil means that only those are asked who are
	// connected by themselves.
	Meet func(ctx context.Context, addr, by string) error
	// Speaks tells whether a connected peer has said that it speaks a protocol,
	// and costs nothing to ask; nil means that all may.
	Speaks func(peer, protocol string) bool
	// Expect tells whether peers may yet connect by themselves that are not
	// here: what is in no hurry waits for them a little. Nil: always.
	Expect func() bool
	// Dialled tells whether others have dialled this box, and costs nothing to
	// ask: who cannot be dialled is fed first. Nil: not as far as is known.
	Dialled func() bool
	// Slow tells whether the way to a peer carries less than our line by itself, or
	// loses by chance, and costs nothing to ask: it is given to beside those whose
	// turn it is. Nil: no way does.
	Slow func(peer string) bool
	// Waits is told whether somebody waits for what now goes to a peer, or is asked
	// of it, and costs nothing to tell; nil where nobody cares.
	Waits func(peer string, does bool)
	// Upload and Download bound what the exchange sends and receives, in
	// bytes a second; 0 means no bound. Sources are not bounded by them.
	Upload, Download int64
	// Manners tells how the line is to be left to others now, and costs
	// nothing to ask; nil means that it is not.
	Manners func() Manners
	// Rand breaks ties and shuffles; nil means one that is seeded anew.
	Rand *rand.Rand
	// Log, when nil, drops everything.
	Log *slog.Logger
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

// waits tells of what goes to a peer, or is asked of it.
func (c *Config) waits(peer string, class node.Class) {
	if c.Waits != nil {
		c.Waits(peer, class < node.Later)
	}
}

// The rows of Counts that the exchange's bytes are in.
const (
	FromLAN   = "lan"   // peers that Config.Near tells of
	FromSwarm = "swarm" // other peers
)

// Swarm is what the exchange has done so far, in bytes of blocks.
type Swarm struct {
	// Asked is how many peers are asked now, Given to how many it is given.
	Asked, Given int
	// Sent is what others were given; of Received, Duplicate had come already.
	Sent, Received, Duplicate int64
	// Referred counts wants that were answered by naming others, Rescued
	// blocks asked of one more because the first was late, silent, or not known.
	Referred, Rescued int64
	// Liars counts peers dropped for wrong bytes.
	Liars int
	// Frames counts what was said to others but blocks, Words its bytes.
	Frames, Words int64
}

// said counts the frames of b.
func (s *Swarm) said(b []byte) {
	s.Words += int64(len(b))
	for ; len(b) >= 4; s.Frames++ {
		b = b[4+(int(b[1])<<16|int(b[2])<<8|int(b[3])):]
	}
}

// Count is what one source has given.
type Count struct {
	Blocks, Bytes int64
	// Failed counts asks that ended without the block, those that another
	// source overtook not among them.
	Failed int64
	// Dropped says that it sent wrong bytes and is asked no more.
	Dropped bool
}

// Scheduler is a node.Getter over peers and sources. Safe for concurrent use.
type Scheduler struct {
	cfg     Config
	writer  writer
	landing chan struct{} // slots: blocks verified and not yet stored
	rearm   chan struct{} // one slot: the alarm is sooner now
	down    chan struct{} // closed by Close
	ending  sync.Once
	giver   *giver // nil without Streams
	coming  *bucket

	mu      sync.Mutex // guards what follows
	rand    *rand.Rand
	sources []*source
	wants   map[cid.Cid]*want
	list    []*want          // of wants, those not landed
	numbers map[uint32]*want // of list
	number  uint32           // the last one given
	peers   peers
	counts  map[string]*Count
	swarm   Swarm
	alarm   time.Time // when to look again; zero for never
	ringing bool      // a goroutine waits for it
	rides   bool      // and one, for something that rides along
}

// New makes a Scheduler. With Streams it serves BlocksProtocol and TreesProtocol
// from then on.
func New(cfg Config) *Scheduler {
	if cfg.After == nil {
		cfg.After = time.After
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Scheduler{
		cfg: cfg, writer: newWriter(cfg.Local), landing: make(chan struct{}, maxLanding),
		rearm: make(chan struct{}, 1), down: make(chan struct{}), rand: cfg.Rand,
		wants: map[cid.Cid]*want{}, numbers: map[uint32]*want{}, counts: map[string]*Count{"local": {}},
	}
	for _, src := range cfg.Sources {
		s.Add(src)
	}
	if cfg.Streams != nil {
		s.coming = newBucket(cfg.Download, cfg, s.down)
		s.peers = newPeers()
		s.counts[FromLAN], s.counts[FromSwarm] = &Count{}, &Count{}
		s.giver = newGiver(cfg, s.coming, s.down)
		cfg.Peers.OnConnect(s.met)
		cfg.Streams.Handle(BlocksProtocol, s.give)
		cfg.Streams.Handle(TreesProtocol, newTrees(cfg, s.giver).serve)
	}
	return s
}

// Add appends a source.
func (s *Scheduler) Add(src Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources = append(s.sources, &source{Source: src})
	if s.counts[src.Name] == nil {
		s.counts[src.Name] = &Count{}
	}
}

// Counts are the counts by source name; "local" is this box.
func (s *Scheduler) Counts() map[string]Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]Count{}
	for name, c := range maps.All(s.counts) {
		out[name] = *c
	}
	return out
}

// count changes one source's row under the lock.
func (s *Scheduler) count(name string, f func(*Count)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.counts[name])
}

// Swarm tells what the exchange has done.
func (s *Scheduler) Swarm() Swarm {
	s.mu.Lock()
	out := s.swarm
	out.Asked = len(s.peers.open)
	s.mu.Unlock()
	if s.giver != nil {
		s.giver.tell(&out)
	}
	return out
}

// Liars are the peers that have given wrong bytes, and are not asked any more.
func (s *Scheduler) Liars() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.peers.liars))
}

// Get reads a block here or from the sources; see node.Getter. What came from
// a source is stored durably before Get returns, except that a Want of class
// Now is served even when the disk refuses, and one with a Deadline too, which is
// a playhead's, as soon as it is verified. Concurrent Gets of one block
// share one fetch, at the pace of the most urgent. With an exchange Get waits
// for a block that nobody has yet until ctx ends.
func (s *Scheduler) Get(ctx context.Context, c cid.Cid, w node.Want) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	came := make(chan result, 1)
	s.Ask(ctx, c, w, func(data []byte, err error) { came <- result{data, err} })
	r := <-came // no later than ctx's end
	return r.data, r.err
}

// Ask is Get that does not wait: done is called once, from any goroutine, with
// what Get would return. It is called before Ask returns when the block is here.
// Many blocks asked for at once are fetched in the order that serves the swarm:
// by class, then by deadline, then the rarest first.
func (s *Scheduler) Ask(ctx context.Context, c cid.Cid, w node.Want, done func(data []byte, err error)) {
	data, err := s.cfg.Local.Read(ctx, c)
	if err == nil {
		s.count("local", func(k *Count) { k.Blocks++; k.Bytes += int64(len(data)) })
		done(data, nil)
		return
	}
	if ctx.Err() != nil {
		done(nil, fmt.Errorf("get %s: %w", c, ctx.Err()))
		return
	}
	p := &passenger{class: w.Class, heard: heard(w), done: func(data []byte, err error) {
		if err != nil {
			data, err = nil, fmt.Errorf("get %s: %w", c, err)
		}
		done(data, err)
	}}
	s.mu.Lock()
	select {
	case <-s.down:
		s.mu.Unlock()
		p.done(nil, errClosed)
		return
	default:
	}
	if f := s.wants[c]; f != nil && f.data != nil && p.heard {
		s.mu.Unlock()
		done(f.data, nil)
		return
	}
	f := s.board(c, w, p)
	p.leave = context.AfterFunc(ctx, func() { s.leave(f, p, ctx.Err()) })
	s.mu.Unlock()
}

// Put stores blocks as Config.Local does, and tells the peers that wait for
// them: for what comes by another way than Get.
func (s *Scheduler) Put(ctx context.Context, blocks ...node.Block) error {
	if err := s.cfg.Local.Put(ctx, blocks...); err != nil {
		return err
	}
	for _, b := range blocks {
		s.mu.Lock()
		w := s.wants[b.CID]
		if w != nil && !w.landed {
			s.land(w)
			s.mu.Unlock()
			s.arrive(w, b.Data, nil, nil)
			continue
		}
		s.mu.Unlock()
		s.gained(b.CID, b.Data, nil)
	}
	return nil
}

// Sent tells of n bytes that this box has sent by another way, over the line that
// Config.Upload bounds: the exchange holds back for them.
func (s *Scheduler) Sent(n int) {
	if s.giver != nil {
		s.giver.line.debit(n)
	}
}

// Close ends the exchange, and whatever is still asked for with it.
func (s *Scheduler) Close() error {
	s.ending.Do(func() {
		s.mu.Lock()
		close(s.down)
		var left []*passenger
		for _, w := range s.list {
			for len(w.asks) > 0 {
				s.drop(w.asks[0])
			}
			left = append(left, w.passengers...)
			w.passengers = nil
		}
		for _, p := range s.peers.open {
			p.stream.Reset()
		}
		s.mu.Unlock()
		for _, p := range left {
			p.end(nil, errClosed)
		}
		if s.giver != nil {
			s.giver.close()
		}
	})
	return nil
}
