package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// TreesProtocol has the small blocks of a graph come in one answer, where each
// would take a round trip to learn of the next. One stream is one question and
// one answer; integers are big-endian:
//
//	question  most:4  size:1  cid:size
//	answer    status:1  (size:3 block:size)*
//
// Status 0: the blocks follow, the one that was asked for first, then those
// below it, breadth first, each once: all that the peer holds but for what a
// dag-pb block links to as raw, which are the leaves of files, what is over
// MaxTree bytes, and large blocks that others have just been given: those are
// asked for by BlocksProtocol, which names who has them. They end with the
// stream, and before they are over most bytes together, or MaxTrees. 1: asked too
// much, nothing follows; 2: not held, nothing follows.
const TreesProtocol = "/playnode/trees/1.0.0"

const (
	// MaxTrees is how many bytes one answer has, at the most, and MaxTree a block
	// of it.
	MaxTrees, MaxTree = 4 << 20, 256 << 10

	treesAnswer = 0
	treesBusy   = 1
	treesNot    = 2

	// treesPatience bounds one exchange, by the wall clock of sockets.
	treesPatience = 20 * time.Second
	// treesBurst bytes are given to a peer at once, treesRate a second after
	// that, to treesPeers that are remembered, treesAbreast at once.
	treesBurst, treesRate    = 4 * MaxTrees, 1 << 20
	treesPeers, treesAbreast = 1024, 4
	// treesAsked is how many peers are asked for a graph, one after the other,
	// beside those who say at once that they do not hold it: treesSought in all.
	treesAsked, treesSought = 3, 16
	// maxLinked bounds the links of one answer that are remembered.
	maxLinked = 1 << 17
)

// errNotHeld is of a peer that says that it does not hold a graph's root.
var errNotHeld = fmt.Errorf("it is not held there: %w", node.ErrNotFound)

// trees gives the small blocks of graphs. Safe for concurrent use.
type trees struct {
	cfg     Config
	giver   *giver
	slots   chan struct{}
	budgets node.Budgets // in bytes
}

func newTrees(cfg Config, g *giver) *trees {
	return &trees{
		cfg: cfg, giver: g, slots: make(chan struct{}, treesAbreast),
		budgets: node.Budgets{Burst: treesBurst, Rate: treesRate, Peers: treesPeers, Now: cfg.Now},
	}
}

func (t *trees) serve(peer string, st node.Stream) {
	st.SetDeadline(time.Now().Add(treesPatience)) // sockets know only the wall clock
	ctx, cancel := context.WithTimeout(context.Background(), treesPatience)
	defer cancel()
	if err := t.answer(ctx, peer, st); err != nil {
		t.cfg.Log.Debug("question for trees", "peer", peer, "err", err)
		st.Reset()
		return
	}
	st.Close()
}

func (t *trees) answer(ctx context.Context, peer string, st node.Stream) error {
	var h [5]byte
	if _, err := io.ReadFull(st, h[:]); err != nil {
		return err
	}
	text := make([]byte, h[4])
	if _, err := io.ReadFull(st, text); err != nil {
		return err
	}
	root, err := cid.Cast(text)
	if err != nil {
		return err
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if has, err := t.cfg.Local.Has(ctx, root); err != nil || !has || t.giver.keeps(peer) {
		_, err = st.Write([]byte{treesNot})
		return err
	}
	left := int(min(binary.BigEndian.Uint32(h[:]), MaxTrees))
	if !t.budgets.Spend(peer, float64(left)) {
		_, err = st.Write([]byte{treesBusy})
		return err
	}
	out := []byte{treesAnswer}
	err = breadthFirst(root, func(c cid.Cid) ([]byte, error) {
		data, err := t.cfg.Local.Read(ctx, c)
		if errors.Is(err, node.ErrNotFound) || err == nil && len(data) > MaxTree {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if len(data) > left {
			return nil, errEnough
		}
		large := len(data) > smallBlock
		if large && !t.giver.lend(digestOf(c), peer) {
			return nil, nil
		}
		left -= len(data)
		out = append(out, byte(len(data)>>16), byte(len(data)>>8), byte(len(data)))
		out = append(out, data...)
		if !large && len(out) < freePiece {
			return data, nil
		}
		err = t.write(st, out)
		out = out[:0]
		if large {
			t.giver.lent(digestOf(c), peer, err == nil)
		}
		return data, err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return t.write(st, out)
}

func (t *trees) write(st node.Stream, b []byte) error {
	if !t.giver.line.takeAll(node.Next, len(b)) {
		return errClosed
	}
	n, err := st.Write(b)
	t.giver.mu.Lock()
	defer t.giver.mu.Unlock()
	t.giver.did.Sent += int64(n)
	return err
}

// breadthFirst calls read for root and what is below it, but for files' leaves,
// each once; what read gives no bytes for is not gone into. It ends with read's
// error, or at maxLinked.
func breadthFirst(root cid.Cid, read func(cid.Cid) ([]byte, error)) error {
	seen := map[cid.Cid]bool{root: true}
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[0]
		todo = todo[1:]
		data, err := read(c)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		links, err := below(c, data)
		if err != nil {
			return err
		}
		for _, l := range links {
			if !seen[l] && len(seen) < maxLinked {
				seen[l] = true
				todo = append(todo, l)
			}
		}
	}
	return nil
}

// below are the links of a block that may come with it.
func below(c cid.Cid, data []byte) ([]cid.Cid, error) {
	links, err := node.Links(c, data)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(links, func(l cid.Cid) bool {
		return c.Prefix().Codec == cid.DagProtobuf && l.Prefix().Codec == cid.Raw || node.Verifiable(l, 0) != nil
	}), nil
}

// Trees has the small blocks of the graph below root here, durably, as far as
// one peer of the exchange holds them and they come within most bytes: records,
// and the inner nodes of files. each is as Stream's, and so are errors:
// node.ErrNotFound says that no peer was there who has it.
func (b *Bulk) Trees(ctx context.Context, root cid.Cid, most int64, each func(c cid.Cid, size int)) error {
	err := node.ErrNotFound
	asked, all := 0, b.s.connected()
	for _, id := range all[:min(len(all), treesSought)] {
		if asked == treesAsked {
			break
		}
		err = b.from(ctx, b.s.row(id), func(ctx context.Context, f func(node.Block) error) error {
			return b.s.askTrees(ctx, id, root, most, f)
		}, most, each)
		if err == nil || ctx.Err() != nil {
			break
		}
		if !errors.Is(err, errNotHeld) {
			asked++
		}
		b.s.cfg.Log.Debug("no trees", "peer", id, "root", root, "err", err)
	}
	if err != nil {
		return fmt.Errorf("trees of %s: %w", root, err)
	}
	return nil
}

// connected are the peers that may be asked for trees, in random order, those near first.
func (s *Scheduler) connected() []string {
	if s.cfg.Streams == nil {
		return nil
	}
	ids := s.cfg.Peers.Connected()
	s.mu.Lock()
	defer s.mu.Unlock()
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return s.peers.liars[id] || s.cfg.Speaks != nil && !s.cfg.Speaks(id, TreesProtocol)
	})
	s.order(ids)
	return ids
}

// row is where what a peer gives is counted.
func (s *Scheduler) row(id string) string {
	if s.cfg.Near != nil && s.cfg.Near(id) {
		return FromLAN
	}
	return FromSwarm
}

// askTrees asks one peer, and calls f for each block, verified and linked from
// one before.
func (s *Scheduler) askTrees(ctx context.Context, id string, root cid.Cid, most int64, f func(node.Block) error) error {
	if err := node.Verifiable(root, 0); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, treesPatience)
	defer cancel()
	st, err := s.cfg.Streams.Open(ctx, id, TreesProtocol)
	if err != nil {
		return fmt.Errorf("%w: %w", node.ErrNotFound, err)
	}
	defer st.Reset()
	defer context.AfterFunc(ctx, func() { st.Reset() })()
	text := root.Bytes()
	q := binary.BigEndian.AppendUint32(nil, uint32(min(max(most, 0), MaxTrees)))
	if _, err = st.Write(append(append(q, byte(len(text))), text...)); err == nil {
		err = st.CloseWrite()
	}
	var status [1]byte
	if err == nil {
		_, err = io.ReadFull(st, status[:])
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", node.ErrNotFound, err)
	case status[0] == treesBusy:
		return fmt.Errorf("%w: %w", node.ErrNotFound, ErrBusy)
	case status[0] == treesNot:
		return errNotHeld
	case status[0] != treesAnswer:
		return node.ErrNotFound
	}
	err = s.readTrees(st, root, f)
	if errors.Is(err, node.ErrVerify) {
		s.blame(id)
	}
	return err
}

// readTrees reads an answer's blocks. Only what is linked from before is taken.
func (s *Scheduler) readTrees(r io.Reader, root cid.Cid, f func(node.Block) error) error {
	linked := map[Digest]cid.Cid{digestOf(root): root}
	for total := 0; ; {
		var h [3]byte
		if _, err := io.ReadFull(r, h[:]); err == io.EOF && total > 0 {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: %w", node.ErrNotFound, err)
		}
		n := int(h[0])<<16 | int(h[1])<<8 | int(h[2])
		if total += n; n > MaxTree || total > MaxTrees {
			return fmt.Errorf("a block of %d bytes, of %d: %w", n, total, node.ErrVerify)
		}
		if !s.coming.takeAll(node.Next, n) {
			return errClosed
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(r, data); err != nil {
			return fmt.Errorf("%w: %w", node.ErrNotFound, err)
		}
		d := Digest(sha256.Sum256(data))
		c, ok := linked[d]
		if !ok {
			return fmt.Errorf("a block that nothing links: %w", node.ErrVerify)
		}
		delete(linked, d)
		links, err := below(c, data)
		if err != nil { // its maker's fault, and not the peer's
			return fmt.Errorf("%w: %w", node.ErrNotFound, err)
		}
		for _, l := range links {
			if len(linked) < maxLinked {
				linked[digestOf(l)] = l
			}
		}
		if err := f(node.Block{CID: c, Data: data}); err != nil {
			return err
		}
	}
}

// blame has a peer that sent wrong bytes asked no more.
func (s *Scheduler) blame(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lied(id)
	if p := s.peers.byID[id]; p != nil {
		p.stream.Reset()
	}
}
