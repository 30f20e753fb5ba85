package follow

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/ipns"
	"playnode/manifests"
)

const (
	// glimpse and firstBytes bound what is streamed of a catalogue that is new
	// here, before its records are read: nobody has judged yet how much of it
	// is to be had.
	glimpse, firstBytes = 2 * time.Second, 16 << 20
	// firstLeaves is how much of it may be leaves, blocks of leastLeaf and more
	// that are raw: a stream goes down into each track before it comes to the
	// next record, and who has the records seeks the leaves in a better order.
	firstLeaves, leastLeaf = 256 << 10, 32 << 10
	// unanswered is after how long a gateway is asked for it beside a peer.
	unanswered = 500 * time.Millisecond
	// few is how many tracks are streamed each as one. Of more, blocks are
	// sought side by side: the head of each track comes before the tails.
	few = 8
	// streams is how many of them at once.
	streams = 4
	// slack is what a track's tree may have beside its bytes, about.
	slack = 1 << 20
)

// Bulk has whole graphs here at once where that is quicker than block by
// block; fetch.Bulk is one.
type Bulk interface {
	// Stream has what is below root here, durably, as far as it comes within
	// most bytes, and calls each for what is here then, one call at a time. It
	// fails at once where there is no quicker way.
	Stream(ctx context.Context, root cid.Cid, most int64, each func(c cid.Cid, size int)) error
	// Trees has the small blocks below root here, but for files' leaves, from
	// a peer; all else is as Stream's.
	Trees(ctx context.Context, root cid.Cid, most int64, each func(c cid.Cid, size int)) error
}

// stream has by way what is below root here, as far as there is room. What does
// not come so is sought as ever.
func (w *walk) stream(ctx context.Context, way way, root cid.Cid, most uint64, p Priority) {
	release, err := w.f.room(ctx, most, p)
	if err != nil {
		return
	}
	defer release()
	w.flow(ctx, way, root, most, func(cid.Cid, int) {})
}

// flow has by way what is below root here, for which there is room, and calls
// came for each block.
func (w *walk) flow(ctx context.Context, way way, root cid.Cid, most uint64, came func(c cid.Cid, size int)) error {
	err := way(ctx, root, int64(most), func(c cid.Cid, size int) {
		w.f.taken(c)
		came(c, size)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.fresh == nil {
			w.fresh = map[cid.Cid]bool{}
		}
		w.fresh[c] = true
		w.report(w.progress) // something arrives
	})
	if err != nil {
		w.f.cfg.Log.Debug("not streamed", "root", root, "err", err)
	}
	return err
}

// streamedHere tells whether this walk has had c streamed: it was verified when
// it was kept, and even a thorough walk need not read it.
func (w *walk) streamedHere(c cid.Cid) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fresh[c]
}

// way is one of Bulk's.
type way func(ctx context.Context, root cid.Cid, most int64, each func(c cid.Cid, size int)) error

// ahead has first begin on what the first record of name to come points at, of
// which nothing is here, while others may still answer with a newer one. It gives
// what is to be called, once, with what the record that counts points at, which
// returns as first does; or with what is undefined, where there is none.
func (w *walk) ahead(ctx context.Context, name ipns.Name) (settled func(envelope cid.Cid)) {
	early, cancel := context.WithCancel(ctx)
	var mu sync.Mutex // guards what follows
	var begun cid.Cid
	over := false
	ended := make(chan struct{})
	stop := w.f.cfg.Names.Watch(name, func(rec ipns.Record) {
		mu.Lock()
		defer mu.Unlock()
		if over || begun.Defined() || rec.Ended(w.f.cfg.Now()) {
			return
		}
		begun = rec.Value
		go func() {
			defer close(ended)
			w.first(early, begun)
		}()
	})
	return func(envelope cid.Cid) {
		defer cancel()
		stop()
		mu.Lock()
		over = true
		at := begun
		mu.Unlock()
		if at.Defined() {
			if at != envelope {
				cancel()
			}
			<-ended
		}
		if envelope.Defined() && at != envelope {
			w.first(ctx, envelope)
		}
	}
}

// first has the beginning of a catalogue come of which nothing is here, from a
// peer or else a gateway: each of its records names the next, so that one by one
// they take a round trip each. Who is silent is raced, and not waited for.
func (w *walk) first(ctx context.Context, envelope cid.Cid) {
	if w.f.cfg.Bulk == nil || w.local {
		return
	}
	release, err := w.f.room(ctx, firstBytes, Unleased) // both ways bring the same
	if err != nil {
		return
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 2)
	running := 0
	defer func() {
		for cancel(); running > 0; running-- {
			<-ended
		}
	}()
	begin := func(way way, leaves int) {
		running++
		go func() { ended <- w.glimpse(ctx, way, envelope, leaves) }()
	}
	begin(w.f.cfg.Bulk.Trees, math.MaxInt) // it has none
	late := time.NewTimer(unanswered)
	defer late.Stop()
	for next := true; running > 0; {
		select {
		case err := <-ended:
			if running--; err == nil {
				return
			}
		case <-late.C:
		}
		if next {
			begin(w.f.cfg.Bulk.Stream, firstLeaves)
			next = false
		}
	}
}

// glimpse has the beginning come by one way, until it is enough: so many bytes
// of leaves.
func (w *walk) glimpse(ctx context.Context, way way, envelope cid.Cid, most int) error {
	ctx, enough := context.WithTimeout(ctx, glimpse)
	defer enough()
	leaves := 0 // one call of what counts them at a time
	err := w.flow(ctx, way, envelope, firstBytes, func(c cid.Cid, size int) {
		if c.Prefix().Codec != cid.Raw || size < leastLeaf {
			return
		}
		if leaves += size; leaves >= most {
			enough()
		}
	})
	if leaves >= most {
		return nil
	}
	return err
}

// streamed has tracks of which nothing is here streamed, if they are few.
func (w *walk) streamed(ctx context.Context, entries []manifests.Entry) {
	if w.f.cfg.Bulk == nil || w.local {
		return
	}
	var lacking []manifests.Entry
	for _, e := range entries {
		has, err := w.f.cfg.Blocks.Has(ctx, e.Track)
		if err != nil || has || e.Track.Prefix().Codec == cid.Raw || e.Size > 1<<40 {
			continue
		}
		if lacking = append(lacking, e); len(lacking) > few {
			return
		}
	}
	var g errgroup.Group
	g.SetLimit(streams)
	for _, e := range lacking {
		g.Go(func() error {
			w.stream(ctx, w.f.cfg.Bulk.Stream, e.Track, e.Size+slack, w.f.keep(e.Track))
			return nil // what has not come is sought
		})
	}
	g.Wait()
}
