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
	"maps"
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
