package embedded

import (
	"context"
	"fmt"
	"sync"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
)

// grace is how long a block that nobody here wants stays, unless Config says.
const grace = 2 * time.Minute

// doomed are the blocks that nobody here wants, by their hash's bytes. A peer
// that was told of a block asks for it later, and one that then hears no is
// never asked again by that session; so a block that peers ask about stays.
type doomed struct {
	grace time.Duration
	now   func() time.Time

	mu   sync.Mutex // guards rows, and the deletion of what is in them
	rows map[string]doom
}

// doom is since when a block is unwanted, and when a peer last heard of it.
type doom struct{ since, asked time.Time }

// spare forgets c: somebody here wants it.
func (d *doomed) spare(c cid.Cid) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.rows, string(c.Hash()))
}

// heard notes that a peer hears of c.
func (d *doomed) heard(c cid.Cid) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if row, ok := d.rows[string(c.Hash())]; ok {
		row.asked = d.now()
		d.rows[string(c.Hash())] = row
	}
}

// name replaces what is unwanted and returns what has been for long enough.
func (d *doomed) name(unwanted []cid.Cid) (due []cid.Cid) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := make(map[string]doom, len(unwanted))
	for _, c := range unwanted {
		k := string(c.Hash())
		row, ok := d.rows[k]
		if !ok {
			row.since = d.now()
		}
		next[k] = row
		if ok && d.due(row) {
			due = append(due, c)
		}
	}
	d.rows = next
	return due
}

func (d *doomed) due(row doom) bool {
	now := d.now()
	return now.Sub(row.since) >= d.grace && now.Sub(row.asked) >= d.grace
}

// end calls remove for c unless it was spared, or a peer has heard of it,
// meanwhile; neither can happen while remove runs.
func (d *doomed) end(c cid.Cid, remove func() error) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := string(c.Hash())
	row, ok := d.rows[k]
	if !ok || !d.due(row) {
		return false, nil
	}
	delete(d.rows, k)
	return true, remove()
}

// served is the store as peers see it.
type served struct{ *store }

func (s served) Has(ctx context.Context, c cid.Cid) (bool, error) {
	s.doomed.heard(c)
	return s.store.Has(ctx, c)
}

func (s served) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	s.doomed.heard(c)
	return s.store.GetSize(ctx, c)
}

func (s served) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	s.doomed.heard(c)
	return s.store.Get(ctx, c)
}

// Each lists what is on this disk, by raw CIDs; see node.Held.
func (n *Node) Each(ctx context.Context, f func(c cid.Cid, size int64) error) error {
	return n.store.each(ctx, f)
}

// Used is what the blocks take of the disk; see node.Held.
func (n *Node) Used(ctx context.Context) (int64, error) {
	used, err := n.store.used(ctx)
	if err != nil {
		return 0, fmt.Errorf("measure blocks: %w", err)
	}
	return used, nil
}

// Release lets unwanted blocks go after the grace, and gives their room back;
// see node.Held. What is unwanted is known to this process alone: after a
// restart the grace begins anew.
func (n *Node) Release(ctx context.Context, unwanted []cid.Cid) (freed int, bytes int64, err error) {
	for _, c := range n.store.doomed.name(unwanted) {
		size, err := n.store.GetSize(ctx, c)
		if err != nil {
			continue
		}
		gone, err := n.store.doomed.end(c, func() error { return n.store.drop(ctx, c) })
		if err != nil {
			return freed, bytes, fmt.Errorf("release %s: %w", c, err)
		}
		if gone {
			freed++
			bytes += int64(size)
		}
	}
	if err := n.store.packs.Sweep(ctx); err != nil {
		return freed, bytes, fmt.Errorf("release: %w", err)
	}
	return freed, bytes, nil
}
