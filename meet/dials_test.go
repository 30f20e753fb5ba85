package meet_test

import (
	"context"
	"sync/atomic"

	"playnode/node"
)

// dials counts what a node dials for a Meeting.
type dials struct {
	node.Records
	now, most, all atomic.Int32
}

func (d *dials) Dial(ctx context.Context, record []byte, by string) error {
	n := d.now.Add(1)
	for m := d.most.Load(); n > m && !d.most.CompareAndSwap(m, n); m = d.most.Load() {
	}
	defer d.now.Add(-1)
	d.all.Add(1)
	return d.Records.Dial(ctx, record, by)
}
