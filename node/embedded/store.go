package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/ipfs/boxo/blockstore"
	dshelp "github.com/ipfs/boxo/datastore/dshelp"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	flatfs "github.com/ipfs/go-ds-flatfs"
	ipld "github.com/ipfs/go-ipld-format"
	"golang.org/x/sync/errgroup"

	"playnode/node"
)

// store is a flatfs blockstore that verifies what it reads; bitswap serves
// from it, so that a damaged block is never sent.
type store struct {
	blockstore.Blockstore
	dir    string
	shard  *flatfs.ShardIdV1
	files  *flatfs.Datastore
	doomed *doomed
	fresh  fresh
}

// openStore has flatfs sync nothing by itself: it would sync the directories
// of a batch one after the other, which is most of the time that a write takes.
func openStore(dir string, d *doomed) (*store, error) {
	shard := flatfs.NextToLast(2)
	files, err := flatfs.CreateOrOpen(dir, shard, false)
	if err != nil {
		return nil, err
	}
	return &store{blockstore.NewBlockstore(files, blockstore.NoPrefix(), blockstore.WriteThrough(true)), dir, shard, files, d, fresh{}}, nil
}

// write stores a batch durably, or leaves nothing of it lying about.
func (s *store) write(ctx context.Context, batch []blocks.Block) error {
	t, err := s.files.Batch(ctx)
	if err != nil {
		return err
	}
	for _, b := range batch {
		if err = t.Put(ctx, dshelp.MultihashToDsKey(b.Cid().Hash()), b.RawData()); err != nil {
			break
		}
	}
	if err == nil {
		err = t.Commit(ctx)
	}
	if err != nil {
		if d, ok := t.(interface{ Discard(context.Context) error }); ok {
			err = errors.Join(err, d.Discard(ctx)) // a full disk needs the room
		}
		return err
	}
	if err := s.sync(batch); err != nil {
		return err
	}
	s.fresh.add(batch)
	return nil
}

// maxFresh bounds what is remembered as just written: 8 GiB of leaves.
const maxFresh = 1 << 15

// fresh are blocks that this process has verified and put on the disk since
// something was last pinned: a pin need not read them again.
type fresh struct {
	mu     sync.Mutex // guards hashes
	hashes map[string]bool
}

func (f *fresh) add(batch []blocks.Block) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hashes == nil {
		f.hashes = map[string]bool{}
	}
	for _, b := range batch {
		if len(f.hashes) < maxFresh {
			f.hashes[string(b.Cid().Hash())] = true
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

// full tells whether err is a disk's that takes no more.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// sync makes a batch durable: all files at once, then all directories, which
// a journal joins into few commits. A cut before it ends leaves files that do
// not verify, and are absent.
func (s *store) sync(batch []blocks.Block) error {
	dirs := map[string]bool{s.dir: true}
	var files errgroup.Group
	for _, b := range batch {
		key := fileKey(b)
		dir := filepath.Join(s.dir, s.shard.Func()(key))
		dirs[dir] = true
		files.Go(func() error { return syncPath(filepath.Join(dir, key+".data"), os.O_RDWR) })
	}
	if err := files.Wait(); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // directories cannot be synced there
		return nil
	}
	var all errgroup.Group
	for dir := range dirs {
		all.Go(func() error { return syncPath(dir, os.O_RDONLY) })
	}
	return all.Wait()
}

// fileKey is a block's file name before its extension.
func fileKey(b blocks.Block) string { return dshelp.MultihashToDsKey(b.Cid().Hash()).String()[1:] }

func syncPath(path string, flag int) error {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (s *store) close() error { return s.files.Close() }

// Get verifies, and deletes what is damaged. Both cases of absence are
// ipld.ErrNotFound, as bitswap expects; damage is node.ErrVerify as well.
func (s *store) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	b, err := s.Blockstore.Get(ctx, c)
	if errors.Is(err, syscall.EIO) {
		// The medium has lost it; deleting lets it be fetched to another place.
		return nil, errors.Join(ipld.ErrNotFound{Cid: c}, node.ErrVerify, err, s.Blockstore.DeleteBlock(ctx, c))
	}
	if err != nil {
		return nil, err
	}
	if err := node.Verify(c, b.RawData()); err != nil {
		return nil, errors.Join(ipld.ErrNotFound{Cid: c}, err, s.Blockstore.DeleteBlock(ctx, c))
	}
	return b, nil
}

// Put stores blocks with one batch of syncs and tells the peers that want
// them; see node.Putter. A full disk gives node.ErrNoSpace.
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
	var fresh, all []blocks.Block
	seen := map[cid.Cid]bool{}
	for _, b := range batch {
		if err := node.Verifiable(b.CID, len(b.Data)); err != nil {
			return fmt.Errorf("put: %w", err)
		}
		if seen[b.CID] {
			continue
		}
		seen[b.CID] = true
		n.store.doomed.spare(b.CID)
		blk, err := blocks.NewBlockWithCid(b.Data, b.CID)
		if err != nil {
			return fmt.Errorf("put %s: %w", b.CID, err)
		}
		all = append(all, blk)
		if held, err := n.store.Blockstore.Get(ctx, b.CID); err != nil || !bytes.Equal(held.RawData(), b.Data) {
			fresh = append(fresh, blk)
		}
	}
	if len(fresh) > 0 {
		if err := n.store.write(ctx, fresh); err != nil {
			if full(err) {
				err = fmt.Errorf("%w: %w", node.ErrNoSpace, err)
			}
			return fmt.Errorf("put %d blocks: %w", len(fresh), err)
		}
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
