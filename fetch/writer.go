package fetch

import (
	"context"
	"sync"

	"playnode/node"
)

// maxBatch bounds one durable write, in blocks.
const maxBatch = 64

// writer stores blocks durably, many with one sync: whoever comes while a
// batch is being written waits for the next. It has no goroutine of its own;
// the first of a batch writes it.
type writer struct {
	local node.Putter

	mu      sync.Mutex // guards what follows
	writing bool
	waiting []*deposit
}

// deposit is one block that waits to be written.
type deposit struct {
	block node.Block
	done  chan error // one slot
	lead  chan struct{}
}

func (w *writer) put(ctx context.Context, b node.Block) error {
	d := &deposit{b, make(chan error, 1), make(chan struct{}, 1)}
	w.mu.Lock()
	w.waiting = append(w.waiting, d)
	if !w.writing {
		w.writing = true
		d.lead <- struct{}{}
	}
	w.mu.Unlock()
	select {
	case err := <-d.done:
		return err
	case <-d.lead:
	}
	w.mu.Lock()
	n := min(len(w.waiting), maxBatch)
	batch := w.waiting[:n:n]
	w.waiting = w.waiting[n:]
	w.mu.Unlock()
	// The batch is not one passenger's: no one context may end it.
	w.write(context.WithoutCancel(ctx), batch)
	w.mu.Lock()
	if w.writing = len(w.waiting) > 0; w.writing {
		w.waiting[0].lead <- struct{}{}
	}
	w.mu.Unlock()
	return <-d.done
}

// write stores a batch; when it is refused whole, each block is tried by
// itself, so that one bad block fails nobody else.
func (w *writer) write(ctx context.Context, batch []*deposit) {
	blocks := make([]node.Block, len(batch))
	for i, d := range batch {
		blocks[i] = d.block
	}
	err := w.local.Put(ctx, blocks...)
	for _, d := range batch {
		if err != nil && len(batch) > 1 {
			d.done <- w.local.Put(ctx, d.block)
			continue
		}
		d.done <- err
	}
}
