package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// Put stores blocks.
func (n *Node) Put(ctx context.Context, blocks ...node.Block) error {
	for _, b := range blocks {
		if err := node.Verify(b.CID, b.Data); err != nil {
			return fmt.Errorf("put: %w", err)
		}
	}
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	for _, b := range blocks {
		n.blocks[b.CID] = bytes.Clone(b.Data)
		delete(n.unwanted, b.CID)
	}
	n.world.change()
	return nil
}

// Has tells whether a block is here.
func (n *Node) Has(ctx context.Context, c cid.Cid) (bool, error) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	delete(n.unwanted, c)
	_, ok := n.blocks[c]
	return ok, nil
}

// Read returns a block that is here and whole.
func (n *Node) Read(ctx context.Context, c cid.Cid) ([]byte, error) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	return n.read(c)
}

// read is Read. World.mu is held.
func (n *Node) read(c cid.Cid) ([]byte, error) {
	delete(n.unwanted, c)
	data, ok := n.blocks[c]
	if !ok {
		return nil, fmt.Errorf("read %s: %w", c, node.ErrNotFound)
	}
	if err := node.Verify(c, data); err != nil {
		delete(n.blocks, c)
		return nil, fmt.Errorf("read: %w: %w", node.ErrNotFound, err)
	}
	return data, nil
}

// Delete removes a block.
func (n *Node) Delete(ctx context.Context, c cid.Cid) error {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	delete(n.blocks, c)
	return nil
}

// Pin keeps a graph that is all here.
func (n *Node) Pin(ctx context.Context, p node.Pin) error {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	seen := map[cid.Cid]bool{p.Root: true}
	for todo := []cid.Cid{p.Root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		data, err := n.read(c)
		if err != nil {
			return fmt.Errorf("pin %s: %w", p.Root, err)
		}
		links, err := node.Links(c, data)
		if err != nil {
			return fmt.Errorf("pin %s: %w", p.Root, err)
		}
		for _, l := range links {
			if !seen[l] {
				seen[l] = true
				todo = append(todo, l)
			}
		}
	}
	n.pins[p] = true
	return nil
}

// Unpin removes one pin.
func (n *Node) Unpin(ctx context.Context, p node.Pin) error {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	delete(n.pins, p)
	return nil
}

// Pins are all pins, by name.
func (n *Node) Pins(ctx context.Context) ([]node.Pin, error) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	return slices.SortedFunc(maps.Keys(n.pins), func(a, b node.Pin) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Root.KeyString(), b.Root.KeyString()))
	}), nil
}

// Each lists the blocks here.
func (n *Node) Each(ctx context.Context, f func(c cid.Cid, size int64) error) error {
	n.world.mu.Lock()
	sizes := map[cid.Cid]int64{}
	for c, data := range n.blocks {
		sizes[c] = int64(len(data))
	}
	n.world.mu.Unlock()
	for c, size := range sizes {
		if err := f(c, size); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Used is the blocks' bytes.
func (n *Node) Used(ctx context.Context) (int64, error) {
	var used int64
	err := n.Each(ctx, func(_ cid.Cid, size int64) error { used += size; return nil })
	return used, err
}

// Release deletes what two calls in a row have named; its grace is no longer.
func (n *Node) Release(ctx context.Context, unwanted []cid.Cid) (freed int, bytes int64, err error) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	next := map[cid.Cid]bool{}
	for _, c := range unwanted {
		data, ok := n.blocks[c]
		switch {
		case !ok:
		case n.unwanted[c]:
			delete(n.blocks, c)
			freed++
			bytes += int64(len(data))
		default:
			next[c] = true
		}
	}
	n.unwanted = next
	return freed, bytes, nil
}
