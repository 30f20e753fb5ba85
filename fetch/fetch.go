// Package fetch decides where a block is read from: this box first, then
// every source that may have it, hedged by how soon it is wanted.
//
// What comes in: CIDs with a Want, and bytes from sources, which may lie. What
// goes out: bytes that hash to their CID, stored on this box first. What is
// trusted: nothing but the hash; a source that once sent wrong bytes is not
// asked again.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
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

	// Streams, when set, has blocks exchanged with peers by BlocksProtocol:
	// they are asked before all Sources, and given what Local holds. Peers is
	// required with it.
	Streams node.Streams
	Peers   Neighbours
	// Near tells whether a peer is on our own network, and costs nothing to
	// ask; nil means that none is.
	Near func(peer string) bool
	// Meet dials a full multiaddr that a peer has told of, once; nil means
	// that only those are asked who are connected by themselves.
	Meet func(ctx context.Context, addr string) error
	// Upload and Download bound what the exchange sends and receives, in
	// bytes a second; 0 means no bound. Sources are not bounded by them.
	Upload, Download int64
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
	// blocks asked of one more because the first was late.
	Referred, Rescued int64
	// Liars counts peers dropped for wrong bytes.
	Liars int
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

// Scheduler is a node.Getter over many sources. Safe for concurrent use.
type Scheduler struct {
	cfg    Config
	writer writer

	mu      sync.Mutex // guards what follows
	sources []Source
	flights map[cid.Cid]*flight
	counts  map[string]*Count
}

// New makes a Scheduler.
func New(cfg Config) *Scheduler {
	if cfg.After == nil {
		cfg.After = time.After
	}
	s := &Scheduler{
		cfg: cfg, writer: writer{local: cfg.Local},
		flights: map[cid.Cid]*flight{}, counts: map[string]*Count{"local": {}},
	}
	for _, src := range cfg.Sources {
		s.Add(src)
	}
	return s
}

// Add appends a source.
func (s *Scheduler) Add(src Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sources = append(s.sources, src)
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

// Get reads a block here or from the sources; see node.Getter. What came from
// a source is stored durably before Get returns, except that a Want of class
// Now is served even when the disk refuses. Concurrent Gets of one block
// share one fetch, at the pace of the most urgent.
func (s *Scheduler) Get(ctx context.Context, c cid.Cid, w node.Want) ([]byte, error) {
	data, err := s.cfg.Local.Read(ctx, c)
	if err == nil {
		s.count("local", func(k *Count) { k.Blocks++; k.Bytes += int64(len(data)) })
		return data, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("get %s: %w", c, ctx.Err())
	}
	f := s.board(c, w)
	defer s.leave(f)
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("get %s: %w", c, ctx.Err())
	}
	if f.err != nil {
		return nil, fmt.Errorf("get %s: %w", c, f.err)
	}
	if f.unkept != nil && w.Class != node.Now {
		return nil, fmt.Errorf("keep %s: %w", c, f.unkept)
	}
	return f.data, nil
}

// Ask is Get that does not wait: done is called once, from any goroutine, with
// what Get would return. It is called before Ask returns when the block is here.
// Many blocks asked for at once are fetched in the order that serves the swarm:
// by class, then by deadline, then the rarest first.
func (s *Scheduler) Ask(ctx context.Context, c cid.Cid, w node.Want, done func(data []byte, err error)) {
	go func() { done(s.Get(ctx, c, w)) }()
}

// Put stores blocks as Config.Local does, and tells the peers that wait for
// them: for what comes by another way than Get.
func (s *Scheduler) Put(ctx context.Context, blocks ...node.Block) error {
	return s.cfg.Local.Put(ctx, blocks...)
}

// Swarm tells what the exchange has done.
func (s *Scheduler) Swarm() Swarm { return Swarm{} }

// Close ends the exchange, and whatever is still asked for with it.
func (s *Scheduler) Close() error { return nil }

// flight is one block under way, for one or more passengers.
type flight struct {
	id     cid.Cid
	cancel context.CancelFunc
	hurry  chan struct{} // one slot: the Want has become more urgent

	// guarded by Scheduler.mu
	want       node.Want
	passengers int

	// written before done is closed, read after
	done   chan struct{}
	data   []byte
	err    error
	unkept error // why data is not on this box
}

// board joins the flight for c, or starts it.
func (s *Scheduler) board(c cid.Cid, w node.Want) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.flights[c]; f != nil {
		f.passengers++
		if sooner(w, f.want) {
			f.want = w
			select {
			case f.hurry <- struct{}{}:
			default:
			}
		}
		return f
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &flight{id: c, cancel: cancel, hurry: make(chan struct{}, 1), want: w, passengers: 1, done: make(chan struct{})}
	s.flights[c] = f
	go s.fly(ctx, f)
	return f
}

func sooner(a, b node.Want) bool {
	if a.Class != b.Class {
		return a.Class < b.Class
	}
	return !a.Deadline.IsZero() && (b.Deadline.IsZero() || a.Deadline.Before(b.Deadline))
}

// leave ends a flight that has lost its last passenger.
func (s *Scheduler) leave(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.passengers--; f.passengers == 0 {
		s.land(f)
	}
}

// land takes f off the map, so that the next Get starts anew. s.mu is held.
func (s *Scheduler) land(f *flight) {
	f.cancel()
	if s.flights[f.id] == f {
		delete(s.flights, f.id)
	}
}

func (s *Scheduler) fly(ctx context.Context, f *flight) {
	f.data, f.err = s.race(ctx, f)
	if f.err == nil {
		f.unkept = s.writer.put(ctx, node.Block{CID: f.id, Data: f.data})
		if errors.Is(f.unkept, node.ErrVerify) { // a hash this house does not take
			f.data, f.err = nil, f.unkept
		}
	}
	close(f.done)
	s.mu.Lock()
	s.land(f)
	s.mu.Unlock()
}
