package kubo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"

	"playnode/node"
)

// putting is how many bytes of blocks one call carries, about.
const putting = 8 << 20

// Put has Kubo store what it has not yet; see node.Putter. It is as durable as
// Kubo's own datastore makes it.
func (n *Node) Put(ctx context.Context, batch ...node.Block) error {
	for _, b := range batch {
		if err := node.Verify(b.CID, b.Data); err != nil {
			return fmt.Errorf("put: %w", err)
		}
	}
	// A call is of one codec: what peers ask for by CID, they hear of by it.
	calls := map[string][]node.Block{}
	sizes := map[string]int{}
	seen := map[cid.Cid]bool{}
	for _, b := range batch {
		if seen[b.CID] {
			continue
		}
		seen[b.CID] = true
		if has, err := n.Has(ctx, b.CID); err != nil {
			return fmt.Errorf("put: %w", err)
		} else if has {
			continue
		}
		how := codec(b.CID)
		calls[how], sizes[how] = append(calls[how], b), sizes[how]+len(b.Data)
		if sizes[how] >= putting {
			if err := n.put(ctx, how, calls[how]); err != nil {
				return err
			}
			delete(calls, how)
			delete(sizes, how)
		}
	}
	for how, some := range calls {
		if err := n.put(ctx, how, some); err != nil {
			return err
		}
	}
	return nil
}

// codec is how block/put is told what CID to give.
func codec(c cid.Cid) string {
	if c.Version() == 0 {
		return args("format", "v0")
	}
	return args("cid-codec", multicodec.Code(c.Type()).String())
}

func (n *Node) put(ctx context.Context, how string, some []node.Block) error {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	data := make([][]byte, len(some))
	want := map[string]bool{}
	for i, b := range some {
		data[i], want[b.CID.String()] = b.Data, true
	}
	kind, body, err := file("data", data...)
	if err != nil {
		return fmt.Errorf("put %d blocks: %w", len(some), err)
	}
	res, err := n.rpc.send(ctx, "block/put", how, kind, body, maxAnswer)
	if err != nil {
		return fmt.Errorf("put %d blocks: %w", len(some), full(err))
	}
	defer res.Body.Close()
	for dec := json.NewDecoder(res.Body); ; {
		var line struct{ Key string }
		if err := dec.Decode(&line); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("put %d blocks: %w", len(some), err)
		}
		delete(want, line.Key)
	}
	if late := res.Trailer.Get("X-Stream-Error"); late != "" {
		return fmt.Errorf("put %d blocks: %w", len(some), full(&failure{late}))
	}
	if len(want) > 0 {
		return fmt.Errorf("put %d blocks: Kubo did not answer for %d of them", len(some), len(want))
	}
	for _, b := range some {
		n.mended(ctx, b.CID)
	}
	return nil
}

// Has tells whether Kubo has the block on its disk.
func (n *Node) Has(ctx context.Context, c cid.Cid) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	err := n.rpc.ask(ctx, "block/stat", args("arg", c.String(), "offline", "true"), nil)
	if lacks(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", c, err)
	}
	return true, nil
}

// Read reads a block from Kubo's disk, verified; see node.Blocks. Kubo is told
// not to ask its peers, as it would.
func (n *Node) Read(ctx context.Context, c cid.Cid) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	data, err := n.rpc.call(ctx, "block/get", args("arg", c.String(), "offline", "true"), "", nil, node.MaxBlock)
	if lacks(err) {
		return nil, fmt.Errorf("read %s: %w: %w", c, node.ErrNotFound, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c, err)
	}
	if err := node.Verify(c, data); err != nil {
		return nil, fmt.Errorf("read: %w: %w", errors.Join(node.ErrNotFound, err), n.drop(ctx, c))
	}
	return data, nil
}

// Get has Kubo fetch a block from its peers, and keep it; see node.Getter.
func (n *Node) Get(ctx context.Context, c cid.Cid, _ node.Want) ([]byte, error) {
	if node.Verify(c, nil) == nil {
		return []byte{}, nil // bitswap cannot carry the empty block
	}
	data, err := n.rpc.call(ctx, "block/get", args("arg", c.String()), "", nil, node.MaxBlock)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("get %s: %w", c, ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("get %s: %w: %w", c, node.ErrNotFound, err)
	}
	if err := node.Verify(c, data); err != nil {
		// What Kubo's peers send it has verified itself: its disk has rotted.
		return nil, fmt.Errorf("get: %w", errors.Join(err, n.drop(ctx, c)))
	}
	n.mended(ctx, c)
	return data, nil
}

// Delete removes a block from Kubo's disk, unless something is pinned there
// that has it.
func (n *Node) Delete(ctx context.Context, c cid.Cid) error {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	pinned, err := n.remove(ctx, c)
	if err != nil && !pinned {
		return fmt.Errorf("delete %s: %w", c, err)
	}
	return nil
}
