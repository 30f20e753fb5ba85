package kubo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multicodec"

	"playnode/node"
)

const (
	// putting is how many bytes of blocks one call carries, about.
	putting = 8 << 20
	// many is how many blocks go as one CAR. Fewer are put one by one, which
	// tells the peers that have asked for them: an import tells nobody.
	many = 8
)

// Put has Kubo store what it has not yet; see node.Putter. It is as durable as
// Kubo's own datastore makes it.
func (n *Node) Put(ctx context.Context, batch ...node.Block) error {
	seen := map[cid.Cid]bool{}
	var all []node.Block
	for _, b := range batch {
		if err := node.Verify(b.CID, b.Data); err != nil {
			return fmt.Errorf("put: %w", err)
		}
		if !seen[b.CID] {
			seen[b.CID] = true
			all = append(all, b)
		}
	}
	fresh, err := n.lacking(ctx, all)
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	for len(fresh) > 0 {
		size, end := 0, 0
		for ; end < len(fresh) && size < putting; end++ {
			size += len(fresh[end].Data)
		}
		if err := n.store(ctx, fresh[:end]); err != nil {
			return fmt.Errorf("put %d blocks: %w", end, err)
		}
		n.mended(ctx)
		fresh = fresh[end:]
	}
	return nil
}

// lacking are those of some blocks that Kubo is to be sent. Where it lacks the
// first it is not asked for the others, which are as new: to be sent what it has
// costs it less than a question a block.
func (n *Node) lacking(ctx context.Context, all []node.Block) (fresh []node.Block, err error) {
	for i, b := range all {
		has, err := n.Has(ctx, b.CID)
		switch {
		case err != nil:
			return nil, err
		case has:
		case i == 0:
			return all, nil
		default:
			fresh = append(fresh, b)
		}
	}
	return fresh, nil
}

// store has Kubo write blocks in one call, or in one for each codec.
func (n *Node) store(ctx context.Context, some []node.Block) error {
	if len(some) >= many {
		err := n.load(ctx, some)
		if f := (*failure)(nil); !errors.As(err, &f) || errors.Is(err, node.ErrNoSpace) {
			return err
		}
		// What is not of its codec Kubo does not import, and puts.
	}
	calls := map[string][]node.Block{}
	for _, b := range some {
		how := codec(b.CID) // what peers ask for by CID, they hear of by it
		calls[how] = append(calls[how], b)
	}
	for how, same := range calls {
		if err := n.put(ctx, how, same); err != nil {
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
	data := make([][]byte, len(some))
	want := map[string]bool{}
	for i, b := range some {
		data[i], want[b.CID.String()] = b.Data, true
	}
	if err := give(ctx, n.rpc, "block/put", how, "data", data, func(l struct{ Key string }) { delete(want, l.Key) }); err != nil {
		return err
	}
	if len(want) > 0 {
		return fmt.Errorf("no answer from Kubo for %d of them", len(want))
	}
	return nil
}

// carHeader begins a CAR that is of no root: {"roots": [], "version": 1}.
const carHeader = "\x11\xa2eroots\x80gversion\x01"

// load has Kubo import blocks as one CAR. It verifies them, and writes them side
// by side.
func (n *Node) load(ctx context.Context, some []node.Block) error {
	size := len(carHeader)
	for _, b := range some {
		size += binary.MaxVarintLen32 + b.CID.ByteLen() + len(b.Data)
	}
	car := append(make([]byte, 0, size), carHeader...)
	for _, b := range some {
		car = binary.AppendUvarint(car, uint64(b.CID.ByteLen()+len(b.Data)))
		car = append(append(car, b.CID.Bytes()...), b.Data...)
	}
	taken := 0
	how := args("pin-roots", "false", "fast-provide-root", "false", "stats", "true")
	if err := give(ctx, n.rpc, "dag/import", how, "car", [][]byte{car}, func(l struct{ Stats struct{ BlockCount int } }) { taken += l.Stats.BlockCount }); err != nil {
		return err
	}
	if taken != len(some) {
		return fmt.Errorf("of them Kubo has imported %d", taken)
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
	data, err := n.look(ctx, c)
	if errors.Is(err, node.ErrVerify) {
		err = errors.Join(err, n.drop(ctx, c))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c, err)
	}
	return data, nil
}

// look is Read that leaves what is damaged where it is.
func (n *Node) look(ctx context.Context, c cid.Cid) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	data, err := n.rpc.call(ctx, "block/get", args("arg", c.String(), "offline", "true"), "", nil, node.MaxBlock)
	if err == nil {
		err = node.Verify(c, data)
	}
	if lacks(err) || errors.Is(err, node.ErrVerify) {
		err = errors.Join(node.ErrNotFound, err)
	}
	return data, err
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
	n.mended(ctx)
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
