package sim

import (
	"context"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// Store is a node.Blocks in memory. Hundreds of stores of a world that hold the
// same blocks are no larger than one. Safe for concurrent use.
type Store struct {
	world *World

	mu      sync.Mutex // guards what follows
	blocks  map[string][]byte
	damaged map[string]bool
}

// NewStore is an empty one.
func (w *World) NewStore() *Store {
	return &Store{world: w, blocks: map[string][]byte{}, damaged: map[string]bool{}}
}

// Put stores blocks, whose bytes nobody may change any more.
func (s *Store) Put(ctx context.Context, blocks ...node.Block) error {
	for _, b := range blocks {
		if err := node.Verify(b.CID, b.Data); err != nil {
			return fmt.Errorf("put: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range blocks {
		data, _ := s.world.shelf.LoadOrStore(string(b.CID.Hash()), b.Data)
		s.blocks[string(b.CID.Hash())] = data.([]byte)
		delete(s.damaged, string(b.CID.Hash()))
	}
	return nil
}

// Has tells whether a block is here.
func (s *Store) Has(ctx context.Context, c cid.Cid) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.blocks[string(c.Hash())]
	return ok, nil
}

// Damage has a block found damaged when it is next read.
func (s *Store) Damage(c cid.Cid) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damaged[string(c.Hash())] = true
}

// Read returns a block that is here. It was verified when it came: memory does
// not rot.
func (s *Store) Read(ctx context.Context, c cid.Cid) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.blocks[string(c.Hash())]
	if !ok {
		return nil, fmt.Errorf("read %s: %w", c, node.ErrNotFound)
	}
	if s.damaged[string(c.Hash())] {
		delete(s.blocks, string(c.Hash()))
		return nil, fmt.Errorf("read %s: %w: %w", c, node.ErrNotFound, node.ErrVerify)
	}
	return data, nil
}

// Delete removes a block.
func (s *Store) Delete(ctx context.Context, c cid.Cid) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blocks, string(c.Hash()))
	return nil
}
