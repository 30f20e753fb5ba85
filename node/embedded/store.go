package embedded

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"playnode/node"
	"playnode/node/embedded/pack"
)

// store is the blocks on this disk, verified whenever they are read; bitswap
// serves from it, so that a damaged block is never sent.
type store struct {
	packs  *pack.Store
	former *former // nil where there is none
	doomed *doomed
	fresh  fresh
}

// openStore opens the packs in a node's directory, and the files that an
// earlier version has left there.
func openStore(cfg Config, d *doomed) (*store, error) {
	packs, err := pack.Open(pack.Config{Dir: filepath.Join(cfg.Dir, "packs"), Log: cfg.Log})
	if err != nil {
		return nil, err
	}
	f, err := openFormer(filepath.Join(cfg.Dir, "blocks"))
	if err != nil {
		return nil, errors.Join(err, packs.Close())
	}
	return &store{packs: packs, former: f, doomed: d}, nil
}

func (s *store) close() error {
	if s.former == nil {
		return s.packs.Close()
	}
	return errors.Join(s.packs.Close(), s.former.Close())
}

// maxFresh bounds what is remembered as just written: 8 GiB of leaves.
const maxFresh = 1 << 15

// fresh are blocks that this process has verified and put on the disk since
// something was last pinned: a pin need not read them again.
type fresh struct {
	mu     sync.Mutex // guards hashes
	hashes map[string]bool
}

func (f *fresh) add(batch []node.Block) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hashes == nil {
		f.hashes = map[string]bool{}
	}
	for _, b := range batch {
		if len(f.hashes) < maxFresh {
			f.hashes[string(b.CID.Hash())] = true
		}
	}
}

func (f *fresh) has(c cid.Cid) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hashes[string(c.Hash())]
}

// forget drops all: what follows is what a pin would read.
func (f *fresh) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hashes = nil
}

// keep stores blocks durably, as packs do. What is held is not written again.
func (s *store) keep(ctx context.Context, batch []node.Block) error {
	var lacking []node.Block
	for _, b := range batch {
		if s.former == nil || !s.former.holds(ctx, b) {
			lacking = append(lacking, b)
		}
	}
	if err := s.packs.Keep(ctx, lacking...); err != nil {
		return err
	}
	s.fresh.add(lacking)
	return nil
}

// Get verifies, and lets go of what is damaged. Both cases of absence are
// ipld.ErrNotFound, as bitswap expects; damage is node.ErrVerify as well.
func (s *store) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	data, err := s.packs.Read(ctx, c)
	if errors.Is(err, node.ErrNotFound) {
		if s.former != nil {
			if b, old := s.former.read(ctx, c); old == nil || !errors.Is(old, node.ErrNotFound) || errors.Is(old, node.ErrVerify) {
				return b, old
			}
		}
		return nil, errors.Join(ipld.ErrNotFound{Cid: c}, err)
	}
	if err != nil {
		return nil, err
	}
	return blocks.NewBlockWithCid(data, c)
}

// Has tells whether a block is held, without reading it.
func (s *store) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if has, err := s.packs.Has(ctx, c); has || err != nil || s.former == nil {
		return has, err
	}
	return s.former.Has(ctx, c)
}

// GetSize is how long a block is; ipld.ErrNotFound for one that is not held.
func (s *store) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	if n, ok := s.packs.Size(c); ok {
		return n, nil
	}
	if s.former != nil {
		return s.former.GetSize(ctx, c)
	}
	return 0, ipld.ErrNotFound{Cid: c}
}

// Put is boxo's; what we store ourselves goes by keep.
func (s *store) Put(ctx context.Context, b blocks.Block) error {
	return s.PutMany(ctx, []blocks.Block{b})
}

// PutMany is boxo's.
func (s *store) PutMany(ctx context.Context, all []blocks.Block) error {
	batch := make([]node.Block, len(all))
	for i, b := range all {
		batch[i] = node.Block{CID: b.Cid(), Data: b.RawData()}
	}
	return s.packs.Put(ctx, batch...)
}

// DeleteBlock removes a block, durably.
func (s *store) DeleteBlock(ctx context.Context, c cid.Cid) error {
	if err := s.drop(ctx, c); err != nil {
		return err
	}
	return s.packs.Flush()
}

// drop has a block be gone for all who ask; the packs' disk is told by the
// next flush of theirs.
func (s *store) drop(ctx context.Context, c cid.Cid) error {
	s.packs.Drop(c)
	if s.former == nil {
		return nil
	}
	return s.former.DeleteBlock(ctx, c)
}

// AllKeysChan is boxo's: the raw CIDs of all that is held.
func (s *store) AllKeysChan(ctx context.Context) (<-chan cid.Cid, error) {
	out := make(chan cid.Cid)
	go func() {
		defer close(out)
		s.each(ctx, func(c cid.Cid, _ int64) error { // boxo has no way to be told
			select {
			case out <- c:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return out, nil
}

// each calls f for each block held, by a raw CID.
func (s *store) each(ctx context.Context, f func(c cid.Cid, size int64) error) error {
	if err := s.packs.Each(ctx, f); err != nil || s.former == nil {
		return err
	}
	return s.former.each(ctx, func(c cid.Cid, size int64) error {
		if _, ok := s.packs.Size(c); ok {
			return nil // that one is read
		}
		return f(c, size)
	})
}

// used is what all of it takes, in bytes.
func (s *store) used(ctx context.Context) (int64, error) {
	n := s.packs.Used()
	if s.former == nil {
		return n, nil
	}
	more, err := s.former.files.DiskUsage(ctx)
	return n + int64(more), err
}

// Put stores blocks with one sync and tells the peers that want them; see
// node.Putter. A full disk gives node.ErrNoSpace.
func (n *Node) Put(ctx context.Context, batch ...node.Block) error {
	for _, b := range batch {
		if err := node.Verify(b.CID, b.Data); err != nil {
			return fmt.Errorf("put: %w", err)
		}
	}
	return n.Keep(ctx, batch...)
}

// Keep is Put of blocks that are verified; see node.Keeper.
func (n *Node) Keep(ctx context.Context, batch ...node.Block) error {
	for _, b := range batch {
		if err := node.Verifiable(b.CID, len(b.Data)); err != nil {
			return fmt.Errorf("put: %w", err)
		}
	}
	all := make([]blocks.Block, len(batch))
	for i, b := range batch {
		n.store.doomed.spare(b.CID)
		var err error
		if all[i], err = blocks.NewBlockWithCid(b.Data, b.CID); err != nil {
			return fmt.Errorf("put %s: %w", b.CID, err)
		}
	}
	if err := n.store.keep(ctx, batch); err != nil {
		return err
	}
	// Without this no neighbour that asked before hears that it is here now.
	if err := n.exchange.NotifyNewBlocks(ctx, all...); err != nil {
		n.log.Debug("announce blocks", "err", err)
	}
	return nil
}

// Has tells whether a block is on this disk.
func (n *Node) Has(ctx context.Context, c cid.Cid) (bool, error) {
	n.store.doomed.spare(c)
	return n.store.Has(ctx, c)
}

// Read reads a block from this disk, verified; see node.Blocks.
func (n *Node) Read(ctx context.Context, c cid.Cid) ([]byte, error) {
	n.store.doomed.spare(c)
	b, err := n.store.Get(ctx, c)
	if ipld.IsNotFound(err) {
		err = fmt.Errorf("%w: %w", node.ErrNotFound, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c, err)
	}
	return b.RawData(), nil
}

// Lend is Read by memory that is lent; see node.Lender.
func (n *Node) Lend(ctx context.Context, c cid.Cid) (data []byte, free func(), err error) {
	n.store.doomed.spare(c)
	if _, ok := n.store.packs.Size(c); ok || n.store.former == nil {
		return n.store.packs.Lend(ctx, c)
	}
	data, err = n.Read(ctx, c)
	return data, func() {}, err
}

// Delete removes a block from this disk.
func (n *Node) Delete(ctx context.Context, c cid.Cid) error { return n.store.DeleteBlock(ctx, c) }

// Get asks the peers, and by the DHT those who announce the block, until one
// gives it or ctx ends; see node.Getter. It stores nothing.
func (n *Node) Get(ctx context.Context, c cid.Cid, w node.Want) ([]byte, error) {
	if node.Verify(c, nil) == nil {
		return []byte{}, nil // bitswap cannot carry the empty block
	}
	// A peer that once said it has a block and later that it has not is never
	// asked again by the same session, so a silent one is given up and a new
	// one begun; ever later, so that a slow line still finishes a block.
	for patience := 5 * time.Second; ; patience = min(2*patience, time.Minute) {
		try, cancel := context.WithTimeout(ctx, patience)
		b, err := n.exchange.GetBlock(try, c)
		cancel()
		switch {
		case err == nil:
			if err := node.Verify(c, b.RawData()); err != nil {
				return nil, fmt.Errorf("get: %w", err)
			}
			return b.RawData(), nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("get %s: %w", c, ctx.Err())
		case n.ctx.Err() != nil:
			return nil, fmt.Errorf("get %s: node closed: %w", c, node.ErrNotFound)
		case try.Err() == nil:
			return nil, fmt.Errorf("get %s: %w: %w", c, node.ErrNotFound, err)
		}
	}
}
