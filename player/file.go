package player

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
	"playnode/node"
	"playnode/node/unixfs"
)

const (
	// ahead is how far beyond the playhead's leaf others are asked for.
	ahead = 30 * time.Second
	// maxAhead bounds how many leaves that is, maxKept how many are in memory.
	maxAhead = 12
	maxKept  = 2 * maxAhead
)

var errBeforeFile = errors.New("read before the start of a file")

// file reads a sealed UnixFS file anywhere, a leaf at a time, and asks for
// the next leaves while the present one is used. It is an io.ReaderAt whose
// reads end with its context. Safe for concurrent use.
type file struct {
	ctx  context.Context // of the deck that reads
	p    *Player
	urge *urge
	pace float64 // bytes a second of sound
	tree *unixfs.File

	mu      sync.Mutex // guards what follows
	futures map[int]*future
	read    int // the leaf read last
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
func (p *Player) openFile(ctx context.Context, e manifests.Entry, u *urge) (*file, error) {
	f := &file{ctx: ctx, p: p, urge: u, futures: map[int]*future{}}
	f.pace = float64(e.Size) / float64(max(1, e.Sec))
	tree, err := unixfs.Open(ctx, e.Track, e.Size, func(_ context.Context, c cid.Cid) ([]byte, error) { return f.fetch(c, node.Now, 0) })
	if err != nil {
		return nil, err
	}
	f.tree = tree
	return f, nil
}

// fetch gets a block that will be heard so much time after what is heard first.
func (f *file) fetch(c cid.Cid, class node.Class, in time.Duration) ([]byte, error) {
	return f.urge.get(f.ctx, f.p, c, class, in)
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
		u.data, u.err = f.fetch(f.tree.Leaves[i].CID, class, in)
		if u.err == nil {
			u.err = f.tree.Check(i, u.data)
		}
	}()
	return u
}

// ReadAt reads sealed bytes. A leaf that cannot be had within patience gives
// an error that wraps node.ErrNotFound.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errBeforeFile
	}
	for n < len(p) {
		at := off + int64(n)
		if at >= f.tree.Size {
			return n, io.EOF
		}
		i := f.tree.Find(at)
		u := f.leaf(i, node.Now, 0)
		select {
		case <-u.done:
		case <-f.ctx.Done():
			return n, f.ctx.Err()
		}
		f.look(i, at) // and not before: all come by one line, and this one is waited for
		if u.err != nil {
			f.forget(i, u)
			if u.class != node.Now && f.ctx.Err() == nil {
				continue // it was asked for ahead; it may have come since
			}
			return n, u.err
		}
		n += copy(p[n:], u.data[at-f.tree.Leaves[i].At:])
	}
	return n, nil
}

// until is how long after byte at is heard leaf k is needed: what lies before it
// is no sound while its chunk of the cipher is not whole.
func (f *file) until(k int, at int64) time.Duration {
	return time.Duration(float64(max(0, f.tree.Leaves[k].At-unread-at)) / f.pace * float64(time.Second))
}

// look asks for the leaves that will be heard soon after byte at of leaf i, and
// lets go of those before the last where one is read after the other.
func (f *file) look(i int, at int64) {
	f.mu.Lock()
	if i == f.read+1 {
		for k := range f.futures {
			if k < i-1 {
				delete(f.futures, k)
			}
		}
	}
	f.read = i
	f.mu.Unlock()
	for k := i + 1; k < len(f.tree.Leaves) && k <= i+maxAhead; k++ {
		in := f.until(k, at)
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
