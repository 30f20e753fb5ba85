package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"playnode/node"
)

// Holders counts who else holds the blocks of one version. What a peer says is
// believed as far as it proves it: of each answer one block, drawn at random,
// must be proved, or all that the peer ever said is forgotten. Safe for
// concurrent use.
type Holders struct {
	streams node.Streams
	blocks  node.Blocks

	mu    sync.Mutex // guards what follows
	list  []Digest
	peers map[string]*claims
}

// claims is what one peer said.
type claims struct {
	busy chan struct{}   // one slot: held by the Ask that runs
	has  map[Digest]bool // guarded by Holders.mu
}

// NewHolders makes Holders that ask by streams and check proofs by blocks.
func NewHolders(streams node.Streams, blocks node.Blocks) *Holders {
	return &Holders{streams: streams, blocks: blocks, peers: map[string]*claims{}}
}

// Watch replaces the blocks that are counted. What is known of those that stay
// is kept.
func (h *Holders) Watch(list []Digest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = list
	for _, c := range h.peers {
		left := map[Digest]bool{}
		for _, d := range list {
			if c.has[d] {
				left[d] = true
			}
		}
		c.has = left
	}
}

// Forget drops what peer said: it may have let go since.
func (h *Holders) Forget(peer string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.peers, peer)
}

// Ask asks peer about the blocks that it is not known to hold, and tells how
// many of all it holds now. One whose proof fails is forgotten, with an error
// that wraps node.ErrNotFound.
func (h *Holders) Ask(ctx context.Context, peer string) (held int, err error) {
	h.mu.Lock()
	c := h.peers[peer]
	if c == nil {
		c = &claims{busy: make(chan struct{}, 1), has: map[Digest]bool{}}
		h.peers[peer] = c
	}
	h.mu.Unlock()
	select {
	case c.busy <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-c.busy }()
	h.mu.Lock()
	var unknown []Digest
	for _, d := range h.list {
		if !c.has[d] {
			unknown = append(unknown, d)
		}
	}
	held = len(h.list) - len(unknown)
	h.mu.Unlock()
	for len(unknown) > 0 {
		about := unknown[:min(MaxHave, len(unknown))]
		unknown = unknown[len(about):]
		n, err := h.ask(ctx, peer, c, about)
		if err != nil {
			if errors.Is(err, node.ErrNotFound) {
				h.Forget(peer)
				return 0, err
			}
			return held, err
		}
		held += n
	}
	return held, nil
}

// ask is one question, its proof, and what follows from both.
func (h *Holders) ask(ctx context.Context, peer string, c *claims, about []Digest) (int, error) {
	has, err := askHave(ctx, h.streams, peer, about)
	if err != nil {
		return 0, err
	}
	var said []Digest
	for i, d := range about {
		if has[i] {
			said = append(said, d)
		}
	}
	if len(said) == 0 {
		return 0, nil
	}
	drawn := said[rand.IntN(len(said))]
	data, err := h.blocks.Read(ctx, cidOf(drawn))
	if err != nil {
		return 0, fmt.Errorf("check %s: our own block: %v", peer, err) // no fault of the peer's
	}
	if err := askProof(ctx, h.streams, peer, drawn, data); err != nil {
		return 0, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range said {
		c.has[d] = true
	}
	return len(said), nil
}

// Count is how many blocks there are, and how many of them at least n peers
// hold.
func (h *Holders) Count(n int) (blocks, held int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.list {
		k := 0
		for _, c := range h.peers {
			if c.has[d] {
				k++
			}
		}
		if k >= n {
			held++
		}
	}
	return len(h.list), held
}
