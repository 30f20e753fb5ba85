package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"playnode/fetch"
	"playnode/node"
)

// What a hostile venue does to who asks it for a block. All say that they hold
// everything.
const (
	givesWrong    = iota // gives other bytes
	givesNot             // says then that it does not hold it
	givesHalf            // begins it, and never ends
	givesNothing         // says that it is busy, for ever
	givesPromises        // says later, and names peers that are not there
	floods               // besides nothing: asks for more than anyone may, in streams without end
	manners
)

// hostile is a venue that wants the others to have nothing. It speaks the
// protocol by its bytes (SPEC, section 19), so as to say what none of ours
// would.
type hostile struct {
	node   *Node
	does   int
	blocks []node.Block
	size   int

	mu    sync.Mutex // guards what follows
	lied  map[string]bool
	again int // peers that asked it once more after a lie
}

func newHostile(n *Node, does int, blocks []node.Block) *hostile {
	h := &hostile{node: n, does: does, blocks: blocks, size: len(blocks[0].Data), lied: map[string]bool{}}
	n.Handle(fetch.BlocksProtocol, h.give)
	n.OnConnect(func(peer string) { h.take(peer) })
	return h
}

func frame(kind byte, body []byte) []byte {
	n := len(body)
	return append([]byte{kind, byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

// next reads one frame.
func next(r io.Reader) (kind byte, body []byte, err error) {
	var h [4]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	body = make([]byte, int(h[1])<<16|int(h[2])<<8|int(h[3]))
	_, err = io.ReadFull(r, body)
	return h[0], body, err
}

// give answers one asker, badly.
func (h *hostile) give(peer string, s node.Stream) {
	defer s.Reset()
	h.mu.Lock()
	if h.lied[peer] {
		h.again++
	}
	h.mu.Unlock()
	for {
		kind, body, err := next(s)
		if err != nil {
			return
		}
		switch kind {
		case 2: // ask: all of it is here
			n := (len(body) - 4) / 32
			held := binary.BigEndian.AppendUint16(body[:4:4], uint16(n))
			for i := range (n + 7) / 8 {
				held = append(held, byte(1<<min(8, n-8*i)-1))
			}
			_, err = s.Write(frame(17, held))
		case 3: // want
			for ; len(body) >= 37 && err == nil; body = body[37:] {
				err = h.answer(peer, s, body[:4:4])
			}
		}
		if err != nil {
			return
		}
	}
}

func (h *hostile) answer(peer string, s node.Stream, number []byte) (err error) {
	switch h.does {
	case givesWrong:
		wrong := append(number, make([]byte, h.size)...)
		copy(wrong[4:], mark)
		if _, err = s.Write(frame(19, wrong)); err == nil {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.lied[peer] = true
		}
	case givesNot:
		_, err = s.Write(frame(20, number))
	case givesHalf:
		_, err = s.Write(append([]byte{19, byte((h.size + 4) >> 16), byte((h.size + 4) >> 8), byte(h.size + 4)}, append(number, 0)...))
	case givesPromises:
		nobody := "12D3KooWNobodyNobodyNobodyNobodyNobodyNobodyNobodyNobo"
		addr := "/memory/1/p2p/" + nobody
		body := append(number, 0, 0, 0, 100, 1, byte(len(nobody)))
		body = append(append(append(body, nobody...), 1, byte(len(addr))), addr...)
		_, err = s.Write(frame(21, body))
	default:
		_, err = s.Write(frame(22, nil))
	}
	return err
}

// take asks peer for everything that there is, and gives nothing on. What it
// is given first the others wait for.
func (h *hostile) take(peer string) {
	for h.ask(peer) && h.does == floods {
		select {
		case <-time.After(time.Second):
		case <-h.node.left:
			return
		}
	}
}

func (h *hostile) ask(peer string) bool {
	s, err := h.node.Open(context.Background(), peer, fetch.BlocksProtocol)
	if err != nil {
		return false
	}
	defer s.Reset()
	go io.Copy(io.Discard, s)
	s.Write(frame(1, []byte{0}))
	if h.does == floods {
		many := make([]byte, 4+32*4096)
		for range 64 {
			for i := 4; i < len(many); i += 8 {
				binary.BigEndian.PutUint64(many[i:], rand.Uint64())
			}
			if _, err := s.Write(frame(2, many)); err != nil {
				return true
			}
		}
		s.Write([]byte{2, 255, 255, 255})
		return true
	}
	for i := 0; i < len(h.blocks); i += 16 {
		var wants, numbers []byte
		for k, b := range h.blocks[i:min(i+16, len(h.blocks))] {
			number := binary.BigEndian.AppendUint32(nil, uint32(i+k))
			numbers = append(numbers, number...)
			wants = append(append(append(wants, number...), 3), b.CID.Hash()[2:]...)
		}
		if _, err := s.Write(frame(3, wants)); err != nil {
			return false
		}
		select {
		case <-time.After(10 * time.Second):
		case <-h.node.left:
			return false
		}
		if _, err := s.Write(frame(7, numbers)); err != nil {
			return false
		}
	}
	return false
}

// judge is what came of those that are hostile.
func (r *SwarmReport) judge(enemies []*hostile, venues []*venue, blocks []node.Block) {
	lied := map[string]bool{}
	for _, h := range enemies {
		h.mu.Lock()
		r.Again += h.again
		if h.does == givesWrong {
			lied[h.node.ID()] = true
		}
		h.mu.Unlock()
	}
	for _, v := range venues {
		for _, b := range blocks {
			if data, err := v.local.Read(context.Background(), b.CID); err == nil && !bytes.Equal(data, b.Data) {
				r.Wrong++
			}
		}
		if f, ok := v.filler.(interface{ Liars() []string }); ok {
			for _, p := range f.Liars() {
				if r.Liars++; !lied[p] {
					r.Innocent++
				}
			}
		}
	}
}
