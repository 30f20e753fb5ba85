package follow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
)

// Check is what reading everything held has found.
type Check struct {
	// Blocks and Bytes were read and are good, those repaired included.
	Blocks int
	Bytes  int64
	// Damaged blocks did not match their hash, or their file could not be
	// read; Lost ones should be here and were not. Repaired of both came back
	// from others.
	Damaged, Lost, Repaired int
}

// Checked collects a Check over several graphs, each block once. The zero
// Checked is ready; it is for one goroutine, but Sum is for any.
type Checked struct {
	// Progress, when set, is called after each block.
	Progress func(Check)

	// seen is by half of a digest, as there are many: to match another DJ's takes
	// 2^128 tries.
	seen map[[16]byte]struct{}

	mu  sync.Mutex // guards what follows
	sum Check
}

// Sum is the check so far.
func (k *Checked) Sum() Check {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sum
}

func (k *Checked) add(d Check) {
	k.mu.Lock()
	k.sum.Blocks += d.Blocks
	k.sum.Bytes += d.Bytes
	k.sum.Damaged += d.Damaged
	k.sum.Lost += d.Lost
	k.sum.Repaired += d.Repaired
	now := k.sum
	k.mu.Unlock()
	if k.Progress != nil {
		k.Progress(now)
	}
}

// first tells whether c is met for the first time.
func (k *Checked) first(c cid.Cid) bool {
	if k.has(c) {
		return false
	}
	if k.seen == nil {
		k.seen = map[[16]byte]struct{}{}
	}
	k.seen[half(c)] = struct{}{}
	return true
}

// has tells whether c was met.
func (k *Checked) has(c cid.Cid) bool {
	_, met := k.seen[half(c)]
	return met
}

func half(c cid.Cid) [16]byte {
	d := manifests.Digest(c)
	return [16]byte(d[:16])
}

// Verify reads everything held of name, its past versions too, hashes it, and
// fetches anew what is damaged or lost. What a version that is not whole yet
// lacks is no loss. While nobody gives a block it waits until ctx ends; k
// tells then how far it came.
func (f *Follower) Verify(ctx context.Context, name ipns.Name, k *Checked) error {
	n, err := f.lookup(name)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	f.mu.Lock()
	head := n.head
	past, err := loadPast(f.cfg.Store, name)
	f.mu.Unlock()
	if err == nil && head != nil {
		err = f.verify(ctx, []cid.Cid{head.Envelope.Cid}, head.Whole, k)
	}
	for _, p := range past {
		if err == nil {
			err = f.verify(ctx, []cid.Cid{p.Envelope.Cid}, true, k)
		}
	}
	if err != nil {
		return fmt.Errorf("verify %s: %w", name, err)
	}
	return nil
}

// VerifyRest is Verify for what is on this box and was not met by k before,
// whoever wanted it.
func (f *Follower) VerifyRest(ctx context.Context, k *Checked) error {
	var damaged []cid.Cid
	err := f.cfg.Held.Each(ctx, func(c cid.Cid, _ int64) error {
		if !k.first(c) {
			return nil
		}
		_, bad, err := f.reread(ctx, c, false, k)
		if bad {
			damaged = append(damaged, c)
		}
		return err
	})
	if err == nil {
		_, err = f.repair(ctx, damaged, k)
	}
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

// verify checks the graph below todo: first what is here, then, what was not,
// and all below that.
func (f *Follower) verify(ctx context.Context, todo []cid.Cid, whole bool, k *Checked) error {
	for len(todo) > 0 {
		var bad []cid.Cid
		for len(todo) > 0 {
			c := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if !k.first(c) {
				continue
			}
			data, wrong, err := f.reread(ctx, c, whole, k)
			if err != nil {
				return err
			}
			if wrong {
				bad = append(bad, c)
			}
			if data == nil {
				continue
			}
			links, err := node.Links(c, data)
			if err != nil {
				return err
			}
			todo = append(todo, links...)
		}
		var err error
		if todo, err = f.repair(ctx, bad, k); err != nil {
			return err
		}
	}
	return nil
}

// reread reads one block here: its bytes if it is good, bad if it is damaged
// or, where all should be here, lost.
func (f *Follower) reread(ctx context.Context, c cid.Cid, whole bool, k *Checked) (data []byte, bad bool, err error) {
	data, err = f.cfg.Blocks.Read(ctx, c)
	switch {
	case err == nil:
		k.add(Check{Blocks: 1, Bytes: int64(len(data))})
		return data, false, nil
	case errors.Is(err, node.ErrVerify):
		k.add(Check{Damaged: 1})
		return nil, true, nil
	case errors.Is(err, node.ErrNotFound):
		if whole {
			k.add(Check{Lost: 1})
		}
		return nil, whole, nil
	}
	return nil, false, err
}

// repair fetches blocks anew and returns what they link to.
func (f *Follower) repair(ctx context.Context, bad []cid.Cid, k *Checked) ([]cid.Cid, error) {
	links := make([][]cid.Cid, len(bad))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(f.cfg.Parallel)
	for i, c := range bad {
		g.Go(func() error {
			data, err := f.cfg.Fetch.Get(ctx, c, node.Want{Class: node.Soon})
			if errors.Is(err, node.ErrNotFound) && ctx.Err() == nil {
				return nil // nobody has it; the others may be had
			}
			if err != nil {
				return err
			}
			k.add(Check{Blocks: 1, Bytes: int64(len(data)), Repaired: 1})
			links[i], err = node.Links(c, data)
			return err
		})
	}
	err := g.Wait()
	return slices.Concat(links...), err
}
