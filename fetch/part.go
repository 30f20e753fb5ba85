package fetch

import (
	"encoding/binary"
	"io"
	"slices"
	"time"

	"playnode/node"
)

const (
	// leastPart is the smallest part of a block, in bytes, but for its last, and
	// partTime about how long one is on the line: so long waits at the most what
	// is for a playhead. Where a line is quick, blocks go whole.
	leastPart, partTime = 8 << 10, 20 * time.Millisecond
	// maxHalves is how many blocks of one stream may have come in part.
	maxHalves = 2
)

// send gives c a block, whole or in parts, and returns how much of it has gone:
// all, unless it was cancelled. Between parts goes what is for a playhead. False
// says that the stream has ended.
func (g *giver) send(c *client, o order, data []byte) (sent int, ok bool) {
	g.mu.Lock()
	parts := c.parts && len(data) > smallBlock
	g.mu.Unlock()
	if !parts {
		head := appendHead(make([]byte, 0, 4+4+smallBlock), frameBlock, 4+len(data))
		return len(data), g.pass(c, o.class, binary.BigEndian.AppendUint32(head, o.number), data)
	}
	for sent < len(data) {
		n := min(c.part, len(data)-sent)
		began := g.cfg.Now()
		if !g.pass(c, o.class, partFrame(o.number, sent, len(data), n), data[sent:][:n]) {
			return sent, false
		}
		c.paced(n, g.cfg.Now().Sub(began))
		if sent += n; sent == len(data) {
			break
		}
		if cancelled, ok := g.between(c, &o); cancelled || !ok {
			return sent, ok
		}
	}
	return sent, true
}

// paced sets how large the next part is, as n bytes took so long. What a socket
// takes in at once says little: it grows by steps.
func (c *client) paced(n int, took time.Duration) {
	if n < leastPart {
		return
	}
	next := min(2*c.part, freePiece)
	if took > 0 {
		next = min(next, int(float64(n)*float64(partTime)/float64(took)))
	}
	c.part = max(next, leastPart)
}

// pass writes a frame's beginning and its bytes, at the pace of the line.
func (g *giver) pass(c *client, class node.Class, head, data []byte) bool {
	n := min(len(data), max(0, min(smallBlock, g.line.piece()-len(head))))
	for rest, left := append(head, data[:n]...), data[n:]; len(rest) > 0; {
		if !g.line.takeAll(class, len(rest)) || !g.write(c, rest) {
			return false
		}
		n := min(len(left), g.line.piece())
		rest, left = left[:n], left[n:]
	}
	return true
}

// between says between two parts of o what there is to say, and gives what is for
// a playhead unless o is, too, for which the rest of o makes way; or tells that o
// was cancelled: it may have been asked for anew.
func (g *giver) between(c *client, o *order) (cancelled, ok bool) {
	for {
		g.mu.Lock()
		b := g.words(c, nil)
		h := c.handing[o.number]
		cancelled := h == nil || h.cancelled
		if !cancelled {
			if o.class != node.Now && h.class == node.Now {
				g.clear(c, o.number)
			}
			o.class = h.class
		}
		i, wait := -1, time.Duration(0)
		if !cancelled && o.class != node.Now {
			i = slices.IndexFunc(c.orders, func(q order) bool { return q.class == node.Now })
			wait = g.makesWay(c)
		}
		var next order
		if i >= 0 {
			next = g.take(c, i)
		}
		g.mu.Unlock()
		if !g.line.takeAll(node.Now, len(b)) || !g.write(c, b) || i >= 0 && !g.hand(c, next) {
			return cancelled, false
		}
		switch {
		case i >= 0:
			continue
		case wait == 0:
			return cancelled, true
		}
		select {
		case <-g.cfg.After(wait):
		case <-c.kick:
		case <-c.gone:
			return cancelled, false
		}
	}
}

// half is a block of which parts have come. It is the listener's.
type half struct {
	a     *ask
	class node.Class
	size  int
	data  []byte
}

// readPart reads a part of a block, of which the frame's length is known.
func (s *Scheduler) readPart(p *peer, n int, halves map[uint32]*half) error {
	var h [partHead]byte
	if n <= len(h) {
		return errFrame
	}
	if _, err := io.ReadFull(p.stream, h[:]); err != nil {
		return err
	}
	n -= len(h)
	number, at, size := binary.BigEndian.Uint32(h[:]), int(binary.BigEndian.Uint32(h[4:])), int(binary.BigEndian.Uint32(h[8:]))
	if size > node.MaxBlock || at > size-n {
		return errFrame
	}
	x, err := s.half(p, number, at, size, n, halves)
	if err != nil {
		return err
	}
	if x == nil {
		if _, err := s.readBody(p, node.Later, nil, n, nil); err != nil {
			return err
		}
		s.mu.Lock()
		p.reading = false
		s.vain(n)
		if at+n == size { // it has come whole all the same: its turn ends
			p.got = append(p.got, number)
			p.poke(true)
		}
		s.mu.Unlock()
		return nil
	}
	if x.data, err = s.readBody(p, x.class, x.data, n, x.a); err != nil {
		return err
	}
	if at+n == size {
		delete(halves, number)
		return s.whole(p, number, x.a, x.data, size)
	}
	s.mu.Lock()
	p.reading = false
	s.mu.Unlock()
	return nil
}

// half is what a part belongs to; nil when nobody waits for it any more.
func (s *Scheduler) half(p *peer, number uint32, at, size, n int, halves map[uint32]*half) (*half, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	p.reading, p.flowed = true, now
	a := p.asks[number]
	for k, o := range halves { // those that nobody waits for any more make room
		if p.asks[k] != o.a {
			delete(halves, k)
			s.vain(len(o.data))
		}
	}
	x := halves[number]
	switch {
	case a != nil && at == 0: // perhaps anew: it was cancelled, and asked for again
		if x == nil && len(halves) >= maxHalves {
			return nil, errFrame
		}
		x = &half{a: a, class: min(a.w.Class, node.Later), size: size, data: make([]byte, 0, min(size, ahead))}
		halves[number] = x
		s.begins(a, now)
		return x, nil
	case x != nil && at == len(x.data) && size == x.size:
		x.class = min(a.w.Class, node.Later)
		return x, nil
	case x != nil || p.crossing == 0:
		return nil, errFrame
	}
	// It was cancelled, and has crossed that.
	if p.stray += n; at+n == size || p.stray > node.MaxBlock {
		p.crossing--
		p.stray = 0
	}
	return nil, nil
}
