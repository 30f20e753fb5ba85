package follow

import (
	"context"
	"fmt"
	"sync"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// maxCrowd is how many leaves are sought at once where the order is another's
// to choose.
const maxCrowd = 1024

// Asker is asked for many blocks at once, and chooses their order;
// fetch.Scheduler is one.
type Asker interface {
	// Ask calls done once with what Get would return, from any goroutine, also
	// before it returns.
	Ask(ctx context.Context, c cid.Cid, w node.Want, done func(data []byte, err error))
}

// crowd is the leaves of many tracks, sought at once. A nil crowd is one that
// nobody can be asked for.
type crowd struct {
	w     *walk
	end   context.CancelFunc
	slots chan struct{}
	wg    sync.WaitGroup

	mu  sync.Mutex // guards err
	err error
}

// crowd makes one whose context ends when it fails.
func (w *walk) crowd(ctx context.Context) (*crowd, context.Context) {
	if w.f.cfg.Many == nil || w.local {
		return nil, ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	return &crowd{w: w, end: cancel, slots: make(chan struct{}, maxCrowd)}, ctx
}

// seek has a leaf that is not here sought; done is called when it has come.
// Where there is no room it is left out.
func (k *crowd) seek(ctx context.Context, c cid.Cid, size uint64, p Priority, class node.Class, done func()) error {
	select {
	case k.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	release, err := k.w.place(ctx, c, size, p)
	if release == nil {
		<-k.slots
		return err
	}
	k.wg.Add(1)
	k.w.f.cfg.Many.Ask(ctx, c, node.Want{Class: class}, func(data []byte, err error) {
		if err == nil {
			err = k.w.come(c, size, data, true)
		}
		release()
		if err == nil {
			done()
		} else if ctx.Err() == nil {
			k.fail(fmt.Errorf("leaf %s: %w", c, err))
		}
		<-k.slots
		k.wg.Done()
	})
	return nil
}

// fail ends the crowd; the first error counts.
func (k *crowd) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.err = err
		k.end()
	}
}

// wait is for all that are sought, or, where something else has failed, for
// their end. Its error is nil where another's has ended them.
func (k *crowd) wait(failed bool) error {
	if k == nil {
		return nil
	}
	if failed {
		k.end()
	}
	k.wg.Wait()
	k.end()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}
