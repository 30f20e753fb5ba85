package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	flatfs "github.com/ipfs/go-ds-flatfs"
	ipld "github.com/ipfs/go-ipld-format"

	"playnode/node"
)

// former is how blocks were kept before there were packs, in a file each. What
// is there is read and let go, and nothing is written to it any more: a start
// that moved it all would keep a box silent, and an earlier version of this
// program finds it as it left it.
type former struct {
	blockstore.Blockstore
	files *flatfs.Datastore
}

// openFormer returns nil where nothing was ever kept so.
func openFormer(dir string) (*former, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	files, err := flatfs.CreateOrOpen(dir, flatfs.NextToLast(2), false)
	if err != nil {
		return nil, err
	}
	return &former{blockstore.NewBlockstore(files, blockstore.NoPrefix(), blockstore.WriteThrough(true)), files}, nil
}

// Close lets others in.
func (f *former) Close() error { return f.files.Close() }

// holds tells whether a block is here, in these very bytes.
func (f *former) holds(ctx context.Context, b node.Block) bool {
	held, err := f.Get(ctx, b.CID)
	return err == nil && bytes.Equal(held.RawData(), b.Data)
}

// read verifies, and deletes what is damaged. Absence is ipld.ErrNotFound and
// node.ErrNotFound; damage is node.ErrVerify as well.
func (f *former) read(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	b, err := f.Get(ctx, c)
	switch {
	case ipld.IsNotFound(err):
		return nil, fmt.Errorf("%w: %w", node.ErrNotFound, err)
	case errors.Is(err, syscall.EIO):
		// The medium has lost it; deleting lets it be fetched to another place.
		return nil, errors.Join(ipld.ErrNotFound{Cid: c}, node.ErrNotFound, node.ErrVerify, err, f.DeleteBlock(ctx, c))
	case err != nil:
		return nil, err
	}
	if err := node.Verify(c, b.RawData()); err != nil {
		return nil, errors.Join(ipld.ErrNotFound{Cid: c}, node.ErrNotFound, err, f.DeleteBlock(ctx, c))
	}
	return b, nil
}

// each calls g for each block held, by a raw CID.
func (f *former) each(ctx context.Context, g func(c cid.Cid, size int64) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing when g does
	all, err := f.AllKeysChan(ctx)
	if err != nil {
		return fmt.Errorf("list blocks: %w", err)
	}
	for c := range all {
		size, err := f.GetSize(ctx, c)
		if err != nil {
			continue // it went meanwhile
		}
		if err := g(c, int64(size)); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("list blocks: %w", err)
	}
	return nil
}
