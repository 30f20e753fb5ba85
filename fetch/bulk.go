package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/node"
)

// inHand bounds the blocks of all streams that wait for the disk.
const inHand = 32

// Bulk brings whole graphs here from those of a Scheduler's sources that are
// node.Streamers, while the sources before them give nothing: a stream costs
// its source the most, and the others nothing. Safe for concurrent use.
type Bulk struct {
	s     *Scheduler
	slots chan struct{} // blocks that wait for the disk

	mu    sync.Mutex // guards what follows
	given int64      // blocks by sources that do not stream, when last counted
	grew  time.Time  // when that was last more than before
}

// NewBulk makes a Bulk over a Scheduler's sources, those added later included.
func NewBulk(s *Scheduler) *Bulk { return &Bulk{s: s, slots: make(chan struct{}, inHand)} }

// Stream has everything below root here, durably, as far as it comes within
// most bytes. each, which may be nil, is called for every block that is here
// then, one call at a time. An error that wraps node.ErrNotFound says that no
// source streams it, or that the others are to be asked first; one that wraps
// node.ErrNoSpace is the disk's. What came before an error stays.
func (b *Bulk) Stream(ctx context.Context, root cid.Cid, most int64, each func(c cid.Cid, size int)) error {
	err := node.ErrNotFound
	if b.quiet() && !b.s.cfg.manners().Rest {
		for _, src := range b.s.trusted() {
			streamer, ok := src.Getter.(node.Streamer)
			if !ok {
				continue
			}
			err = b.from(ctx, src.Name, func(ctx context.Context, f func(node.Block) error) error {
				return streamer.Stream(ctx, root, f)
			}, most, each)
			if err == nil || !errors.Is(err, node.ErrNotFound) && !errors.Is(err, node.ErrVerify) {
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", root, err)
	}
	return nil
}

// quiet tells whether the sources that do not stream have given nothing for
// as long as the least urgent block bears.
func (b *Bulk) quiet() bool {
	counts := b.s.Counts()
	given := counts[FromLAN].Blocks + counts[FromSwarm].Blocks
	for _, src := range b.s.trusted() {
		if _, ok := src.Getter.(node.Streamer); !ok {
			given += counts[src.Name].Blocks
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.s.cfg.Now()
	if given > b.given {
		b.given, b.grew = given, now
	}
	return b.grew.IsZero() || now.Sub(b.grew) >= bear[node.Later]
}

// errEnough ends a stream at its bound.
var errEnough = errors.New("enough")

// from streams from one source. Blocks are written as they come, so that many
// share a sync.
func (b *Bulk) from(ctx context.Context, name string, stream func(context.Context, func(node.Block) error) error, most int64, each func(cid.Cid, int)) error {
	g, gctx := errgroup.WithContext(ctx)
	var mu sync.Mutex // one call of each at a time
	err := stream(gctx, func(block node.Block) error {
		b.s.yield(gctx)
		size := len(block.Data)
		b.s.count(name, func(k *Count) { k.Blocks++; k.Bytes += int64(size) })
		b.slots <- struct{}{}
		g.Go(func() error {
			defer func() { <-b.slots }()
			if err := b.s.writer.put(gctx, block); err != nil {
				return fmt.Errorf("keep %s: %w", block.CID, err)
			}
			b.s.gained(block.CID, block.Data, nil)
			if each != nil {
				mu.Lock()
				defer mu.Unlock()
				each(block.CID, size)
			}
			return nil
		})
		if most -= int64(size); most < 0 {
			return errEnough
		}
		return gctx.Err()
	})
	if kept := g.Wait(); kept != nil {
		return kept
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, errNotHeld) {
		b.s.count(name, func(k *Count) {
			k.Failed++
			k.Dropped = k.Dropped || errors.Is(err, node.ErrVerify)
		})
	}
	return err
}

// yielding is how long a stream waits for a playhead's block, at the most: its own
// source is to know that somebody reads it.
const yielding = 2 * time.Second

// yield waits while a playhead's block is fetched: what is not read of a stream
// meanwhile is not sent either, and leaves the line to that.
func (s *Scheduler) yield(ctx context.Context) {
	for began := s.cfg.Now(); s.awaited() && s.cfg.Now().Sub(began) < yielding; {
		select {
		case <-s.cfg.After(lazily):
		case <-ctx.Done():
			return
		case <-s.down:
			return
		}
	}
}

// awaited tells whether a playhead's block is fetched that was asked for of late.
func (s *Scheduler) awaited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	return slices.ContainsFunc(s.list, func(w *want) bool { return heard(w.Want) && now.Sub(w.since) < yielding })
}

// trusted are the sources that have sent nothing wrong.
func (s *Scheduler) trusted() []Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Source
	for _, src := range s.sources {
		if !s.counts[src.Name].Dropped {
			out = append(out, src.Source)
		}
	}
	return out
}
