package publisher

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"playnode/node"
)

const (
	// leafSize is the size of a leaf in bytes: a first sound needs one, which
	// holds age's header and its first chunk of 64 KiB.
	leafSize = 128 << 10
	// batchSize is how many bytes of blocks are put at once, each batch
	// being one barrier on the disk.
	batchSize = 4 << 20
)

// buildDAG cuts r into a UnixFS file, as
//
//	ipfs add --cid-version=1 --raw-leaves --chunker=size-131072
//
// does, and puts its blocks. All are durable when it returns. Memory taken
// does not grow with r.
func buildDAG(ctx context.Context, r io.Reader, to node.Putter) (root cid.Cid, err error) {
	w := &dagWriter{to: to}
	p := helpers.DagBuilderParams{
		Maxlinks: helpers.DefaultLinksPerBlock, RawLeaves: true,
		CidBuilder: cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256},
		Dagserv:    w,
	}
	// The builder has no context of its own: it sees ctx end as its input's.
	db, err := p.New(chunk.NewSizeSplitter(ctxReader{ctx, r}, leafSize))
	if err != nil {
		return cid.Undef, fmt.Errorf("build file: %w", err)
	}
	n, err := balanced.Layout(db)
	if err == nil {
		err = w.flush(ctx)
	}
	if err != nil {
		return cid.Undef, fmt.Errorf("build file: %w", err)
	}
	return n.Cid(), nil
}

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// dagWriter is as much of an ipld.DAGService as building needs: it puts nodes
// in batches.
type dagWriter struct {
	to    node.Putter
	batch []node.Block
	size  int
}

func (w *dagWriter) Add(ctx context.Context, n ipld.Node) error {
	// The builder reuses no buffers, so the data can be kept.
	w.batch = append(w.batch, node.Block{CID: n.Cid(), Data: n.RawData()})
	w.size += len(n.RawData())
	if w.size < batchSize {
		return nil
	}
	return w.flush(ctx)
}

func (w *dagWriter) AddMany(ctx context.Context, ns []ipld.Node) error {
	for _, n := range ns {
		if err := w.Add(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (w *dagWriter) flush(ctx context.Context) error {
	if len(w.batch) == 0 {
		return nil
	}
	err := w.to.Put(ctx, w.batch...)
	w.batch, w.size = nil, 0
	return onDisk(err)
}

var errWriteOnly = errors.New("the builder only writes")

func (*dagWriter) Get(context.Context, cid.Cid) (ipld.Node, error) { return nil, errWriteOnly }

func (*dagWriter) GetMany(context.Context, []cid.Cid) <-chan *ipld.NodeOption {
	c := make(chan *ipld.NodeOption)
	close(c)
	return c
}
func (*dagWriter) Remove(context.Context, cid.Cid) error       { return errWriteOnly }
func (*dagWriter) RemoveMany(context.Context, []cid.Cid) error { return errWriteOnly }

var _ ipld.DAGService = (*dagWriter)(nil)
