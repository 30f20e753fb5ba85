package fetch

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"playnode/node"
)

// lazily is how long what is in no hurry waits for more of its kind.
const lazily = 20 * time.Millisecond

var errLiar = errors.New("wrong bytes")

// speak writes what there is to say to p.
func (s *Scheduler) speak(p *peer) {
	var b []byte
	for {
		select {
		case <-p.hasty:
		case <-p.kick:
			select {
			case <-s.cfg.After(lazily):
			case <-p.hasty:
			case <-p.gone:
				return
			}
		case <-p.gone:
			return
		}
		s.mu.Lock()
		b = s.compose(p, b[:0])
		s.swarm.said(b)
		s.mu.Unlock()
		if !s.giver.line.takeAll(node.Now, len(b)) {
			return
		}
		if _, err := p.stream.Write(b); err != nil {
			p.stream.Reset() // listen tells
			return
		}
	}
}

// compose appends all that there is to say to p. s.mu is held.
func (s *Scheduler) compose(p *peer, b []byte) []byte {
	open := s.dialled()
	if !p.greeted {
		p.greeted, p.dialled = true, open
		b = appendHello(b, hello{s.cfg.Peers.Addrs(), true, open})
	}
	if open && !p.dialled {
		p.dialled = true
		p.cancels = append(p.cancels, noBlock)
	}
	p.tells = slices.DeleteFunc(p.tells, func(w *want) bool { return w.landed })
	for len(p.tells) > 0 {
		base := p.tells[0].number
		var run []Digest
		for len(p.tells) > 0 && len(run) < maxAsk && p.tells[0].number == base+uint32(len(run)) {
			run = append(run, p.tells[0].digest)
			p.tells = p.tells[1:]
		}
		b = appendAsk(b, base, run)
		if p.told.IsZero() {
			p.told = s.cfg.Now()
		}
		if p.posed.IsZero() {
			p.posed, p.posing = s.cfg.Now(), base
		}
	}
	b = appendNumbers(b, frameGot, p.got)
	b = appendNumbers(b, frameCancel, p.cancels)
	b = appendWants(b, frameWant, p.wants)
	b = appendWants(b, frameHurry, p.hurries)
	b = appendDone(b, p.done)
	p.tells, p.wants, p.hurries, p.cancels, p.got, p.done = nil, p.wants[:0], p.hurries[:0], p.cancels[:0], p.got[:0], p.done[:0]
	return b
}

// listen reads what p says until it ends, or breaks a rule.
func (s *Scheduler) listen(p *peer) error {
	var body []byte
	halves := map[uint32]*half{}
	for {
		kind, n, err := readHead(p.stream)
		if err != nil {
			return err
		}
		switch kind {
		case frameBlock:
			err = s.readBlock(p, n)
		case framePart:
			err = s.readPart(p, n, halves)
		default:
			body, err = s.readWords(p, kind, n, body)
		}
		if err != nil {
			return err
		}
	}
}

// readWords reads a frame other than a block, by what memory there is in body.
func (s *Scheduler) readWords(p *peer, kind byte, n int, body []byte) ([]byte, error) {
	if cap(body) < n {
		body = make([]byte, n)
	}
	body = body[:n]
	if !s.coming.takeAll(node.Now, n) {
		return body, errClosed
	}
	if _, err := io.ReadFull(p.stream, body); err != nil {
		return body, err
	}
	return body, s.hear(p, kind, body)
}

// hear does what a frame other than a block says.
func (s *Scheduler) hear(p *peer, kind byte, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	p.heard, p.spoke, p.mute, p.still = now, true, false, false
	switch kind {
	case frameHeld:
		base, held, err := parseHeld(body)
		if err != nil {
			return err
		}
		if base == p.posing && !p.posed.IsZero() {
			if len(held) <= 64 && len(p.asks) == 0 {
				p.delayed(now.Sub(p.posed))
			}
			p.posed = time.Time{}
		}
		s.learn(p, len(held), func(i int) (uint32, bool) { return base + uint32(i), held[i] }, now)
	case frameGain:
		numbers, err := parseNumbers(body)
		if err != nil {
			return err
		}
		s.learn(p, len(numbers), func(i int) (uint32, bool) { return numbers[i], true }, now)
	case frameNot:
		numbers, err := parseNumbers(body)
		if err != nil {
			return err
		}
		for _, k := range numbers {
			s.refused(p, k, now)
		}
		if p.lies > 8+p.hits/8 {
			return fmt.Errorf("%d blocks it said it had", p.lies)
		}
		s.fill(p, now)
	case frameLater:
		number, wait, refs, err := parseLater(body)
		if err != nil {
			return err
		}
		after := time.Duration(wait) * time.Millisecond
		if number == 0 { // who else is there; after a while there may be room for us
			p.full = min(after, coldest)
			var w *want
			if len(s.list) > 0 {
				w = s.list[0]
			}
			for _, r := range refs {
				s.introduced(p, r, w, now)
			}
			return nil
		}
		s.putOff(p, number, after, refs, now)
		s.fill(p, now)
	case frameBusy:
	default:
		return fmt.Errorf("%w: type %d from a giver", errFrame, kind)
	}
	return nil
}

// learn notes which of n wants p holds. s.mu is held.
func (s *Scheduler) learn(p *peer, n int, of func(i int) (number uint32, held bool), now time.Time) {
	var look []*want
	var theirs []Digest
	for i := range n {
		number, held := of(i)
		w := s.numbers[number]
		if w == nil || w.told&p.bit == 0 {
			continue
		}
		w.said |= p.bit
		if held {
			w.has |= p.bit
			theirs = append(theirs, w.digest)
			if w.held.IsZero() && !p.saves(now) {
				w.held = now
			}
		}
		if !held && len(w.asks) == 0 || held && (len(w.asks) > 0 || w.urgent(now)) {
			look = append(look, w)
		}
	}
	s.giver.forgo(p.id, theirs)
	s.fill(p, now)
	for _, w := range look {
		s.consider(w, now)
	}
}

// refused notes that p does not hold a block after all. s.mu is held.
func (s *Scheduler) refused(p *peer, number uint32, now time.Time) {
	a := p.asks[number]
	if a == nil {
		return // given up meanwhile
	}
	w := a.w
	p.delayed(now.Sub(a.sent))
	s.unask(a)
	p.misses++
	if w.has&p.bit != 0 {
		p.lies++
	}
	w.said, w.has = w.said|p.bit, w.has&^p.bit
	s.next(w, now)
}

// unask takes off an ask that p has answered. s.mu is held.
func (s *Scheduler) unask(a *ask) {
	a.peer.forget(a)
	if i := slices.Index(a.w.asks, a); i >= 0 {
		a.w.asks = slices.Delete(a.w.asks, i, i+1)
	}
}

// maxPutOff is how often one block may be put off by one peer, which is asked
// again after putOffSoonest at the least, and twice that each time, up to 32
// times that.
const (
	maxPutOff     = 16
	putOffSoonest = 100 * time.Millisecond
)

// putOff notes that p gives a block later, and has named others. s.mu is held.
func (s *Scheduler) putOff(p *peer, number uint32, wait time.Duration, refs []referral, now time.Time) {
	a := p.asks[number]
	if a == nil {
		return
	}
	w := a.w
	s.unask(a)
	if t := now.Add(3 * min(wait, saving/3)); t.After(p.saved) {
		p.saved = t
	}
	o := w.offBy(p)
	if o == nil {
		o = &putOff{peer: p}
		w.off = append(w.off, o)
	}
	w.said, w.has = w.said|p.bit, w.has|p.bit
	o.until = now.Add(min(max(wait, putOffSoonest<<min(o.times, 5)), time.Minute))
	if o.times++; o.times > maxPutOff {
		p.lies++
		w.has &^= p.bit
	}
	o.named, o.alone = o.named[:0], false
	for _, r := range refs {
		if r.peer == s.cfg.Peers.ID() || s.peers.liars[r.peer] {
			continue
		}
		o.named = append(o.named, r.peer)
		s.introduced(p, r, w, now)
	}
	if len(refs) > 0 && s.alone(p) && !s.accompanied(w, now) && !slices.ContainsFunc(o.named, s.reachable) {
		o.alone, o.until = true, now
	}
	s.next(w, now)
}

// readBlock reads a block of which the frame's length is known.
func (s *Scheduler) readBlock(p *peer, n int) error {
	var h [4]byte
	if n < len(h) {
		return errFrame
	}
	if _, err := io.ReadFull(p.stream, h[:]); err != nil {
		return err
	}
	n -= len(h)
	number := uint32(h[0])<<24 | uint32(h[1])<<16 | uint32(h[2])<<8 | uint32(h[3])
	s.mu.Lock()
	p.reading, p.flowed = true, s.cfg.Now()
	a := p.asks[number]
	if a == nil {
		if p.crossing == 0 {
			s.mu.Unlock()
			return fmt.Errorf("%w: a block that was not asked for", errFrame)
		}
		p.crossing--
	}
	class := node.Later
	if a != nil {
		s.begins(a, s.cfg.Now())
		class = min(a.w.Class, node.Later)
	}
	s.mu.Unlock()
	room := min(n, ahead)
	if a == nil {
		room = 0
	}
	data, err := s.readBody(p, class, make([]byte, 0, room), n, a)
	if err != nil {
		return err
	}
	return s.whole(p, number, a, data, n)
}

// whole takes in a block of n bytes that has come whole. Nobody has asked for it,
// if a is nil.
func (s *Scheduler) whole(p *peer, number uint32, a *ask, data []byte, n int) error {
	s.mu.Lock()
	p.reading = false
	p.got = append(p.got, number)
	p.poke(true)
	s.mu.Unlock()
	if a == nil {
		s.mu.Lock()
		s.vain(n)
		s.mu.Unlock()
		return nil
	}
	if err := node.Verify(a.w.id, data); err != nil {
		return fmt.Errorf("%w: %w", errLiar, err)
	}
	s.giver.given(p.id)
	return s.brought(p, a, data)
}

const (
	// ahead is how much memory a block takes before its bytes have come: a leaf's.
	ahead = 256 << 10
	// sip is after how many bytes it is noted that a block flows.
	sip = 64 << 10
)

// readBody appends n bytes to data, and takes little more memory than have come.
// Unless they answer an ask they take a piece's, and are dropped.
func (s *Scheduler) readBody(p *peer, class node.Class, data []byte, n int, a *ask) ([]byte, error) {
	piece := min(s.coming.piece(), sip)
	for got := 0; got < n; {
		k := min(piece, n-got)
		if !s.coming.take(class, k) {
			return nil, errClosed
		}
		at := 0
		if a != nil {
			at = len(data)
		}
		data = slices.Grow(data[:at], k)[:at+k]
		if err := s.readPiece(p, a, data[at:]); err != nil {
			return nil, err
		}
		got += k
	}
	return data, nil
}

// readPiece fills b, and notes now and then that bytes come: who waits for them
// asks nobody else.
func (s *Scheduler) readPiece(p *peer, a *ask, b []byte) error {
	var noted time.Time
	var came int64
	for len(b) > 0 {
		n, err := p.stream.Read(b)
		came += int64(n)
		if b = b[n:]; err != nil && len(b) > 0 {
			return err
		}
		now := s.cfg.Now()
		if len(b) > 0 && now.Sub(noted) < lazily {
			continue
		}
		noted = now
		s.mu.Lock()
		p.heard, p.spoke, p.mute, p.still, p.flowed = now, true, false, false, now
		if a != nil {
			a.came, came = a.came+came, 0
		}
		s.mu.Unlock()
	}
	return nil
}

// vain notes bytes that have come and are of no use. s.mu is held.
func (s *Scheduler) vain(n int) {
	s.swarm.Received += int64(n)
	s.swarm.Duplicate += int64(n)
}

// brought takes in a block that p was asked for and that verifies.
func (s *Scheduler) brought(p *peer, a *ask, data []byte) error {
	select {
	case s.landing <- struct{}{}:
	case <-s.down:
		return errClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	w := a.w
	p.sample(a, len(data), now)
	p.hits++
	s.swarm.Received += int64(len(data))
	if len(data) >= 16<<10 {
		s.peers.leaf += (int64(len(data)) - s.peers.leaf) / 8
	}
	if p.asks[w.number] == a {
		s.unask(a)
	} else if p.crossing > 0 {
		p.crossing-- // it was cancelled while it came
	}
	if w.landed {
		s.swarm.Duplicate += int64(len(data))
		<-s.landing
	} else {
		k := s.counts[p.row]
		k.Blocks++
		k.Bytes += int64(len(data))
		s.land(w)
		go s.keep(w, data)
	}
	s.fill(p, now)
	return nil
}
