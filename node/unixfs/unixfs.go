// Package unixfs reads the tree of a UnixFS file: which leaves it has, and where they lie in it.
//
// What comes in: a root and the file's size, which somebody signed, and blocks that are verified but
// hostile. What goes out: leaves whose sizes add up to just that. The blocks of the leaves are the
// caller's to read, in what order and how far ahead it likes; Check holds each against the tree. Trees
// of any shape and leaf size up to 1 MiB are read, as ipfs add makes them with raw leaves. Number and
// depth are bounded before memory is taken.
package unixfs

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/ipfs/boxo/ipld/merkledag"
	boxo "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
)

const (
	maxLeaf = 1 << 20
	// maxLeaves bounds a file's table of leaves.
	maxLeaves = 1 << 20
	// maxDepth bounds a file's tree: two levels reach 7 GiB.
	maxDepth = 6
)

// ErrMalformed says that blocks are no such file.
var ErrMalformed = errors.New("malformed file")

// Leaf is a stretch of a file: the raw block CID, whose first byte is the file's byte At.
type Leaf struct {
	CID cid.Cid
	At  int64
}

// File is a file's leaves, in their order. It is never changed: any number of goroutines may read it.
type File struct {
	Size   int64
	Leaves []Leaf
}

// Open reads the tree above the leaves of a file of size bytes. block fetches what is not a leaf; it is
// called one block at a time, and its errors are returned wrapped. Others wrap ErrMalformed.
func Open(ctx context.Context, root cid.Cid, size uint64, block func(context.Context, cid.Cid) ([]byte, error)) (*File, error) {
	f := &File{}
	if err := f.branch(ctx, root, size, 0, block); err != nil {
		return nil, fmt.Errorf("open sealed file %s: %w", root, err)
	}
	return f, nil
}

func (f *File) branch(ctx context.Context, c cid.Cid, size uint64, depth int, block func(context.Context, cid.Cid) ([]byte, error)) error {
	if c.Type() == cid.Raw {
		if size > maxLeaf || len(f.Leaves) >= maxLeaves {
			return fmt.Errorf("%w: leaf of %d bytes", ErrMalformed, size)
		}
		f.Leaves = append(f.Leaves, Leaf{c, f.Size})
		f.Size += int64(size)
		return nil
	}
	if c.Type() != cid.DagProtobuf || depth >= maxDepth {
		return fmt.Errorf("%w: codec %#x at depth %d", ErrMalformed, c.Type(), depth)
	}
	data, err := block(ctx, c)
	if err != nil {
		return err
	}
	n, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	fs, err := boxo.FSNodeFromBytes(n.Data())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if fs.IsDir() || len(fs.Data()) > 0 || fs.NumChildren() != len(n.Links()) || fs.FileSize() != size {
		return fmt.Errorf("%w: a branch of %d bytes where %d were signed", ErrMalformed, fs.FileSize(), size)
	}
	left := size
	for i, l := range n.Links() {
		s := fs.BlockSize(i)
		if s == 0 || s > left {
			return fmt.Errorf("%w: link of %d bytes", ErrMalformed, s)
		}
		if err := f.branch(ctx, l.Cid, s, depth+1, block); err != nil {
			return err
		}
		left -= s
	}
	if left != 0 {
		return fmt.Errorf("%w: %d bytes are missing", ErrMalformed, left)
	}
	return nil
}

// Find is the number of the leaf that holds byte off, which must lie in the file.
func (f *File) Find(off int64) int {
	return sort.Search(len(f.Leaves), func(i int) bool { return f.Leaves[i].At > off }) - 1
}

// Check tells whether data is as long as the tree says that leaf i is. The error wraps ErrMalformed.
func (f *File) Check(i int, data []byte) error {
	end := f.Size
	if i+1 < len(f.Leaves) {
		end = f.Leaves[i+1].At
	}
	if want := end - f.Leaves[i].At; int64(len(data)) != want {
		return fmt.Errorf("%w: leaf of %d bytes where %d were linked", ErrMalformed, len(data), want)
	}
	return nil
}
