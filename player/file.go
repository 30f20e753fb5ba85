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

	"playnode/manifests"
	"playnode/node"
)

const (
	// maxLeaf is the largest leaf that is taken, in bytes.
	maxLeaf = 1 << 20
	// maxLeaves bounds a file's table of leaves.
	maxLeaves = 1 << 20
	// maxDepth bounds a file's tree: two levels reach 7 GiB.
	maxDepth = 6
	// ahead is how far beyond the playhead's leaf others are asked for.
	ahead = 10 * time.Second
	// maxAhead bounds how many leaves that is, maxKept how many are in memory.
	maxAhead = 6
	maxKept  = 2 * maxAhead
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
	pace     float64 // bytes a second of sound
	leaves   []leaf

	mu      sync.Mutex // guards futures
	futures map[int]*future
}

// future is a leaf that is on its way.
type future struct {
	done  chan struct{}
	class node.Class
	data  []byte
	err   error
}

// openFile reads the tree above a file's leaves and holds it against its
// size, which is signed.
func (p *Player) openFile(ctx context.Context, e manifests.Entry) (*file, error) {
	f := &file{ctx: ctx, get: p.cfg.Fetch, now: p.cfg.Now, patience: p.cfg.Patience, futures: map[int]*future{}}
	f.pace = float64(e.Size) / float64(max(1, e.Sec))
	if err := f.branch(e.Track, e.Size, 0); err != nil {
		return nil, fmt.Errorf("open sealed file %s: %w", e.Track, err)
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
	data, err := f.fetch(c, node.Now, 0)
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

// fetch gets a block that will be heard in so much time.
func (f *file) fetch(c cid.Cid, class node.Class, in time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(f.ctx, f.patience+in)
	defer cancel()
	data, err := f.get.Get(ctx, c, node.Want{Class: class, Deadline: f.now().Add(in)})
	if err != nil && f.ctx.Err() == nil && ctx.Err() != nil {
		err = fmt.Errorf("no block within %s: %w", f.patience+in, node.ErrNotFound)
	}
	return data, err
}

// leaf is leaf i, fetched or on its way, to be heard in so much time. Of too
// many the farthest from it is forgotten.
func (f *file) leaf(i int, class node.Class, in time.Duration) *future {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.futures[i]; u != nil {
		return u
	}
	u := &future{done: make(chan struct{}), class: class}
	f.futures[i] = u
	if len(f.futures) > maxKept {
		far := i
		for k := range f.futures {
			if max(k-i, i-k) > max(far-i, i-far) {
				far = k
			}
		}
		delete(f.futures, far)
	}
	go func() {
		defer close(u.done)
		end := f.size
		if i+1 < len(f.leaves) {
			end = f.leaves[i+1].at
		}
		u.data, u.err = f.fetch(f.leaves[i].cid, class, in)
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
		u := f.leaf(i, node.Now, 0)
		f.look(i, at)
		select {
		case <-u.done:
		case <-f.ctx.Done():
			return n, f.ctx.Err()
		}
		if u.err != nil {
			f.forget(i, u)
			if u.class != node.Now && f.ctx.Err() == nil {
				continue // it was asked for ahead; it may have come since
			}
			return n, u.err
		}
		n += copy(p[n:], u.data[at-f.leaves[i].at:])
	}
	return n, nil
}

// look asks for the leaves that will be heard soon after byte at of leaf i.
func (f *file) look(i int, at int64) {
	for k := i + 1; k < len(f.leaves) && k <= i+maxAhead; k++ {
		in := time.Duration(float64(f.leaves[k].at-at) / f.pace * float64(time.Second))
		if in > ahead && k > i+1 {
			return
		}
		f.leaf(k, node.Next, in)
	}
}

// forget drops a failed leaf, so that reading again asks again.
func (f *file) forget(i int, u *future) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.futures[i] == u {
		delete(f.futures, i)
	}
}
