package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"

	"playnode/node"
)

const (
	// maxLeaf is the largest leaf that is taken, in bytes.
	maxLeaf = 1 << 20
	// maxLeaves bounds a file's table of leaves.
	maxLeaves = 1 << 20
	// maxDepth bounds a file's tree: two levels reach 7 GiB.
	maxDepth = 6
)

var errFile = errors.New("malformed file")

// leaf is a stretch of a sealed file.
type leaf struct {
	cid cid.Cid
	at  int64
}

// file reads a sealed UnixFS file anywhere, a leaf at a time, and asks for
// the next leaf while the present one is used. It is an io.ReaderAt whose
// reads end with its context. Safe for concurrent use.
type file struct {
	ctx      context.Context // of the deck that reads
	get      node.Getter
	now      func() time.Time
	patience time.Duration
	size     int64
	leaves   []leaf

	mu    sync.Mutex // guards ahead
	ahead map[int]*future
}

// future is a leaf that is on its way.
type future struct {
	done chan struct{}
	data []byte
	err  error
}

// openFile reads the tree above a file's leaves and holds it against size,
// which is signed.
func (p *Player) openFile(ctx context.Context, root cid.Cid, size uint64) (*file, error) {
	f := &file{ctx: ctx, get: p.cfg.Fetch, now: p.cfg.Now, patience: p.cfg.Patience, ahead: map[int]*future{}}
	if err := f.branch(root, size, 0); err != nil {
		return nil, fmt.Errorf("open sealed file %s: %w", root, err)
	}
	return f, nil
}

func (f *file) branch(c cid.Cid, size uint64, depth int) error {
	if c.Type() == cid.Raw {
		if size > maxLeaf || len(f.leaves) >= maxLeaves {
			return fmt.Errorf("%w: leaf of %d bytes", errFile, size)
		}
		f.leaves = append(f.leaves, leaf{c, f.size})
		f.size += int64(size)
		return nil
	}
	if c.Type() != cid.DagProtobuf || depth >= maxDepth {
		return fmt.Errorf("%w: codec %#x at depth %d", errFile, c.Type(), depth)
	}
	data, err := f.fetch(c, node.Now)
	if err != nil {
		return err
	}
	n, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return fmt.Errorf("%w: %w", errFile, err)
	}
	fs, err := unixfs.FSNodeFromBytes(n.Data())
	if err != nil {
		return fmt.Errorf("%w: %w", errFile, err)
	}
	if !fs.IsDir() && (len(fs.Data()) > 0 || fs.NumChildren() != len(n.Links()) || fs.FileSize() != size) || fs.IsDir() {
		return fmt.Errorf("%w: a branch of %d bytes where %d were signed", errFile, fs.FileSize(), size)
	}
	left := size
	for i, l := range n.Links() {
		s := fs.BlockSize(i)
		if s == 0 || s > left {
			return fmt.Errorf("%w: link of %d bytes", errFile, s)
		}
		if err := f.branch(l.Cid, s, depth+1); err != nil {
			return err
		}
		left -= s
	}
	if left != 0 {
		return fmt.Errorf("%w: %d bytes are missing", errFile, left)
	}
	return nil
}

func (f *file) fetch(c cid.Cid, class node.Class) ([]byte, error) {
	ctx, cancel := context.WithTimeout(f.ctx, f.patience)
	defer cancel()
	data, err := f.get.Get(ctx, c, node.Want{Class: class, Deadline: f.now().Add(f.patience)})
	if err != nil && f.ctx.Err() == nil && ctx.Err() != nil {
		err = fmt.Errorf("no block within %s: %w", f.patience, node.ErrNotFound)
	}
	return data, err
}

// leaf is leaf i, fetched or on its way; the ones before the last two used
// are forgotten.
func (f *file) leaf(i int, class node.Class) *future {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.ahead[i]; u != nil {
		return u
	}
	u := &future{done: make(chan struct{})}
	f.ahead[i] = u
	for k := range f.ahead {
		if k < i-2 || k > i+2 {
			delete(f.ahead, k)
		}
	}
	go func() {
		defer close(u.done)
		end := f.size
		if i+1 < len(f.leaves) {
			end = f.leaves[i+1].at
		}
		u.data, u.err = f.fetch(f.leaves[i].cid, class)
		if u.err == nil && int64(len(u.data)) != end-f.leaves[i].at {
			u.err = fmt.Errorf("%w: leaf of %d bytes where %d were linked", errFile, len(u.data), end-f.leaves[i].at)
		}
	}()
	return u
}

// ReadAt reads sealed bytes. A leaf that cannot be had within patience gives
// an error that wraps node.ErrNotFound.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errFile
	}
	for n < len(p) {
		at := off + int64(n)
		if at >= f.size {
			return n, io.EOF
		}
		i := sort.Search(len(f.leaves), func(i int) bool { return f.leaves[i].at > at }) - 1
		u := f.leaf(i, node.Now)
		if i+1 < len(f.leaves) {
			f.leaf(i+1, node.Next)
		}
		select {
		case <-u.done:
		case <-f.ctx.Done():
			return n, f.ctx.Err()
		}
		if u.err != nil {
			f.forget(i, u)
			return n, u.err
		}
		n += copy(p[n:], u.data[at-f.leaves[i].at:])
	}
	return n, nil
}

// forget drops a failed leaf, so that reading again asks again.
func (f *file) forget(i int, u *future) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ahead[i] == u {
		delete(f.ahead, i)
	}
}
