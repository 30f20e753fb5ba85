package fetch

import (
	"context"
	"sync"

	"playnode/node"
)

const (
	// maxBatch bounds one durable write, in blocks.
	maxBatch = 64
	// second is how many blocks must wait for a second write to be under way:
	// it is at hand when the disk has synced the first.
	second = 48
)

// writer stores verified blocks durably, many with one sync: whoever comes
// while a batch is being written waits for the next, or has it begun if enough
// wait. It has no
// goroutine of its own; the first of a batch writes it.
type writer struct {
	write func(ctx context.Context, blocks ...node.Block) error

	mu      sync.Mutex // guards what follows
	writing int
	waiting []*deposit
	led     bool // the first that waits has been told to write
}

// deposit is one block that waits to be written.
type deposit struct {
	block node.Block
	done  chan error // one slot
	lead  chan struct{}
}

// newWriter makes a writer into local, which believes us if it believes anyone.
func newWriter(local node.Putter) writer {
	if k, ok := local.(node.Keeper); ok {
		return writer{write: k.Keep}
	}
	return writer{write: local.Put}
}

func (w *writer) put(ctx context.Context, b node.Block) error {
	d := &deposit{b, make(chan error, 1), make(chan struct{}, 1)}
	w.mu.Lock()
	w.waiting = append(w.waiting, d)
	w.next()
	w.mu.Unlock()
	select {
	case err := <-d.done:
		return err
	case <-d.lead:
	}
	w.mu.Lock()
	n := min(len(w.waiting), maxBatch)
	batch := w.waiting[:n:n]
	w.waiting, w.led = w.waiting[n:], false
	w.next()
	w.mu.Unlock()
	// The batch is not one passenger's: no one context may end it.
	w.commit(context.WithoutCancel(ctx), batch)
	w.mu.Lock()
	w.writing--
	w.next()
	w.mu.Unlock()
	return <-d.done
}

// next has the first that waits write, if there is room for one more write.
// w.mu is held.
func (w *writer) next() {
	if n := len(w.waiting); !w.led && (n > 0 && w.writing == 0 || n >= second && w.writing == 1) {
		w.led = true
		w.writing++
		w.waiting[0].lead <- struct{}{}
	}
}

// commit writes a batch; when it is refused whole, each block is tried by
// itself, so that one bad block fails nobody else.
func (w *writer) commit(ctx context.Context, batch []*deposit) {
	blocks := make([]node.Block, len(batch))
	for i, d := range batch {
		blocks[i] = d.block
	}
	err := w.write(ctx, blocks...)
	for _, d := range batch {
		if err != nil && len(batch) > 1 {
			d.done <- w.write(ctx, d.block)
			continue
		}
		d.done <- err
	}
	clear(batch) // which what waits is a part of
}
