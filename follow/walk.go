package follow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/manifests"
	"playnode/node"
)

// maxRest bounds the blocks below a head's offers and live records.
const maxRest = 4096

// walk fetches one version and counts it.
type walk struct {
	f *Follower
	// get reads a block from wherever this walk may ask.
	get func(ctx context.Context, c cid.Cid, w node.Want) ([]byte, error)
	// local says that nobody is asked.
	local bool
	// thorough reads what is held, so that damage is found; else it is
	// taken to be whole.
	thorough bool
	tails    node.Class // of what is between a track's ends
	report   func(Progress)
	lacking  atomic.Int64 // leaves that there is no room for

	mu       sync.Mutex // guards what follows, and calls of report
	progress Progress
	known    map[cid.Cid]bool // blocks counted, but for tails: true when held
	fresh    map[cid.Cid]bool // blocks that this walk has had streamed here
}

// count is the progress so far.
func (w *walk) count() Progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.progress
}

// know counts n more blocks as part of the version.
func (w *walk) know(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.progress.Blocks += n
	w.progress.Missing += n
	w.report(w.progress)
}

// hold counts a known block as here, once. Tails are not noted: there are
// many, and each is walked once.
func (w *walk) hold(c cid.Cid, bytes int, tail bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known[c] {
		return
	}
	if !tail {
		w.known[c] = true
	}
	w.progress.Missing--
	w.progress.Bytes += int64(bytes)
	w.report(w.progress)
}

// meet counts a block as part of the version, once.
func (w *walk) meet(c cid.Cid) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.known[c]; !ok {
		w.known[c] = false
		w.progress.Blocks++
		w.progress.Missing++
	}
}

// record reads a block that is not a track's, and counts it.
func (w *walk) record(ctx context.Context, c cid.Cid) ([]byte, error) {
	w.meet(c)
	data, err := w.get(ctx, c, node.Want{Class: node.Next})
	if err != nil {
		return nil, err
	}
	if err := small(c, data); err != nil {
		return nil, err
	}
	w.hold(c, len(data), false)
	return data, nil
}

// leaf has a leaf of a track here; here is false where there is no room.
func (w *walk) leaf(ctx context.Context, c cid.Cid, size uint64, p Priority, class node.Class, tail bool) (here bool, err error) {
	has := w.holds(ctx, c)
	if has && (!w.thorough || w.streamedHere(c)) {
		w.hold(c, int(size), tail)
		return true, nil
	}
	if !has {
		release, err := w.place(ctx, c, size, p)
		if release == nil {
			return false, err
		}
		defer release()
	}
	data, err := w.get(ctx, c, node.Want{Class: class})
	if err != nil {
		return false, err
	}
	return true, w.come(c, size, data, tail)
}

// holds tells whether a leaf is here, and not given up.
func (w *walk) holds(ctx context.Context, c cid.Cid) bool {
	if w.f.givenUp(c) {
		return false
	}
	has, err := w.f.cfg.Blocks.Has(ctx, c)
	return has && err == nil
}

// place keeps room for a leaf until release is called, which is nil where
// there is none.
func (w *walk) place(ctx context.Context, c cid.Cid, size uint64, p Priority) (release func(), err error) {
	release, err = w.f.room(ctx, size, p)
	if errors.Is(err, ErrFull) {
		w.lacking.Add(1)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w.f.taken(c)
	return release, nil
}

// come counts a leaf that has come.
func (w *walk) come(c cid.Cid, size uint64, data []byte, tail bool) error {
	if uint64(len(data)) != size {
		return refuse("leaf %s has %d bytes, not %d", c, len(data), size)
	}
	w.hold(c, len(data), tail)
	return nil
}

// branch reads an inner node.
func (w *walk) branch(ctx context.Context, c cid.Cid, size uint64, class node.Class) (*branch, error) {
	data, err := w.get(ctx, c, node.Want{Class: class})
	if err != nil {
		return nil, err
	}
	b, err := readBranch(c, data, size)
	if err != nil {
		return nil, err
	}
	w.hold(c, len(data), false)
	return b, nil
}

// edge has the first or the last leaf here, and the nodes on the way.
func (w *walk) edge(ctx context.Context, e manifests.Entry, last bool) error {
	c, size := e.Track, e.Size
	for range maxDepth {
		if c.Prefix().Codec == cid.Raw {
			if size > maxLeaf {
				return refuse("leaf %s of %d bytes", c, size)
			}
			_, err := w.leaf(ctx, c, size, Today, node.Next, false)
			return err
		}
		b, err := w.branch(ctx, c, size, node.Next)
		if err != nil {
			return err
		}
		i := 0
		if last {
			i = len(b.links) - 1
		}
		c, size = b.links[i], b.sizes[i]
	}
	return refuse("file is over %d levels deep", maxDepth)
}

// track has all leaves here, as tasks of g or of many, whose context is most;
// done is called when the last has arrived. Head and end go before the rest,
// where others have not sought them before.
func (w *walk) track(ctx, most context.Context, g *errgroup.Group, many *crowd, e manifests.Entry, edges bool, done func()) error {
	var left atomic.Int64
	left.Store(1) // the walk itself
	finish := func() {
		if left.Add(-1) == 0 {
			done()
		}
	}
	keep := w.f.keep(e.Track)
	w.know(1 - estimate(e.Size)) // the root; all else is known by its parent
	var visit func(c cid.Cid, at, size uint64, depth int) error
	visit = func(c cid.Cid, at, size uint64, depth int) error {
		priority, class := keep, w.tails
		if edges && (at == 0 || at+size == e.Size) {
			priority, class = Today, node.Next
		}
		if c.Prefix().Codec == cid.Raw {
			if size > maxLeaf {
				return refuse("leaf %s of %d bytes", c, size)
			}
			left.Add(1)
			if many != nil && !w.holds(ctx, c) {
				if err := many.seek(most, c, size, priority, class, finish); err != nil {
					return fmt.Errorf("track %s: %w", e.Track, err)
				}
				return ctx.Err()
			}
			g.Go(func() error {
				here, err := w.leaf(ctx, c, size, priority, class, true)
				if err != nil {
					return fmt.Errorf("track %s: %w", e.Track, err)
				}
				if here {
					finish()
				}
				return nil
			})
			return ctx.Err()
		}
		if depth == maxDepth {
			return refuse("file is over %d levels deep", maxDepth)
		}
		b, err := w.branch(ctx, c, size, class)
		if err != nil {
			return err
		}
		w.know(len(b.links))
		for i, l := range b.links {
			if err := visit(l, at, b.sizes[i], depth+1); err != nil {
				return err
			}
			at += b.sizes[i]
		}
		return nil
	}
	if err := visit(e.Track, 0, e.Size, 1); err != nil {
		return fmt.Errorf("track %s: %w", e.Track, err)
	}
	finish()
	return nil
}

// estimate is how many blocks a publisher's tree over size bytes has.
func estimate(size uint64) int {
	n := (size + leafSize - 1) / leafSize
	sum := max(n, 1)
	for n > 1 {
		n = (n + width - 1) / width
		sum += n
	}
	return int(sum)
}

// tracks has everything of the entries here: a few new ones each at once; of
// the others info, then every head, then every end, then all that lies between.
// Where all leaves are sought at once anyway nothing waits for what comes before.
func (w *walk) tracks(ctx context.Context, entries []manifests.Entry) error {
	blocks := 0
	for _, e := range entries {
		w.know(estimate(e.Size))
		blocks += estimate(e.Size)
	}
	w.streamed(ctx, entries)
	many, most := w.crowd(ctx) // whose end is that of what follows too, and not the other way: those end first
	together := many != nil && blocks <= maxCrowd
	var err error
	if !together {
		err = w.edges(most, entries)
	}
	if err == nil {
		err = w.leaves(most, many, entries, together)
	}
	if own := many.wait(err != nil); own != nil {
		return own
	}
	return err
}

// edges has info, then every head, then every end here.
func (w *walk) edges(ctx context.Context, entries []manifests.Entry) error {
	for _, stage := range []func(context.Context, manifests.Entry) error{
		w.info,
		func(ctx context.Context, e manifests.Entry) error { return w.edge(ctx, e, false) },
		func(ctx context.Context, e manifests.Entry) error { return w.edge(ctx, e, true) },
	} {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(w.f.cfg.Parallel)
		for _, e := range entries {
			g.Go(func() error { return stage(ctx, e) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) info(ctx context.Context, e manifests.Entry) error {
	if _, err := w.record(ctx, e.Info); err != nil {
		return fmt.Errorf("track %s: %w", e.Track, err)
	}
	return nil
}

// leaves has all leaves here, and where nobody has sought them yet infos, heads
// and ends with them.
func (w *walk) leaves(most context.Context, many *crowd, entries []manifests.Entry, edges bool) error {
	ctx, end := context.WithCancel(most)
	defer end()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(w.f.cfg.Parallel)
	var trees errgroup.Group
	trees.SetLimit(1) // in order
	if edges {
		trees.SetLimit(w.f.cfg.Parallel) // who waits for its tree holds up no other
	}
	for _, e := range entries {
		trees.Go(func() error {
			err := ctx.Err()
			if err == nil {
				err = w.track(ctx, most, g, many, e, edges, w.whole)
			}
			if err == nil && edges {
				err = w.info(ctx, e)
			}
			if err != nil {
				end()
			}
			return err
		})
	}
	err := trees.Wait()
	if leaf := g.Wait(); leaf != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return leaf // the other is its echo
	}
	return err
}

// whole counts a track as held.
func (w *walk) whole() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.progress.Held++
	w.report(w.progress)
}

// rest has everything below roots here, whatever it is.
func (w *walk) rest(ctx context.Context, roots []cid.Cid) error {
	seen := map[cid.Cid]bool{}
	for todo := roots; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[c] {
			continue
		}
		seen[c] = true
		if len(seen) > maxRest {
			return refuse("over %d blocks below offers and live", maxRest)
		}
		if !manifests.PlainCID(c, cid.Raw, cid.DagProtobuf, cid.DagCBOR) {
			return refuse("link %s", c)
		}
		data, err := w.record(ctx, c)
		if err != nil {
			return err
		}
		links, err := node.Links(c, data)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrVerify, err)
		}
		todo = append(todo, links...)
	}
	return nil
}
