package live

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"playnode/node"
)

// open has a candidate asked.
func (cr *carry) open(k *candidate, m mode) {
	c := cr.c
	k.busy = true
	cr.opening[k] = c.cfg.Now()
	c.spawn(func() {
		s, err := c.reach(k)
		c.mu.Lock()
		delete(cr.opening, k)
		now := c.cfg.Now()
		if err == nil && (c.ended || cr.holders == 0 || len(cr.sources) >= maxSources) {
			err = errUseless
			s.Reset()
		}
		if err != nil {
			cr.cool(k, coolest, now)
			cr.seek(now)
			c.mu.Unlock()
			return
		}
		src := &source{link: c.attach(k.peer, s), wants: m, asked: now, pulls: map[uint64]time.Time{}}
		cr.sources = append(cr.sources, src)
		if m == full && (cr.next != nil || cr.parent != nil && !cr.leaving()) {
			src.wants = nothing
		}
		if src.wants == full {
			cr.next = src
		}
		c.say(src.link, hello{cr.set, src.wants, cr.flags(), cr.spare(), cr.lacks(), c.cfg.Peers.Addrs()}.frame())
		c.mu.Unlock()
		for err == nil {
			var kind byte
			var body []byte
			if kind, body, err = readFrame(s, true); err == nil {
				err = c.hearSource(cr, src, k, kind, body)
			}
		}
		s.Reset()
		c.part(cr, src, k, err)
	})
}

// reach opens a stream to a candidate, and dials it first where it is not
// connected.
func (c *Carrier) reach(k *candidate) (node.Stream, error) {
	if !slices.Contains(c.cfg.Peers.Connected(), k.peer) {
		if c.cfg.Meet == nil || len(k.addrs) == 0 {
			return nil, node.ErrNotFound
		}
		ctx, cancel := c.within(meeting)
		defer cancel()
		var err error
		for _, a := range k.addrs {
			if err = c.cfg.Meet(ctx, a, k.by); err == nil || ctx.Err() != nil {
				break
			}
		}
		if err != nil {
			return nil, err
		}
	}
	ctx, cancel := c.within(opening)
	defer cancel()
	return c.cfg.Streams.Open(ctx, k.peer, Protocol)
}

// part ends with a source.
func (c *Carrier) part(cr *carry, s *source, k *candidate, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	c.detach(s.link)
	if errors.Is(err, errLiar) || errors.Is(err, errFrame) {
		c.lied(s.peer, err)
	} else {
		c.cfg.Log.Debug("source on air left", "peer", s.peer, "err", err)
	}
	if s.surplus {
		k.busy, k.until = false, now
	} else {
		cr.cool(k, coolest, now)
	}
	cr.forget(s, now)
}

// hearSource does what a giver's frame says.
func (c *Carrier) hearSource(cr *carry, s *source, k *candidate, kind byte, body []byte) error {
	c.mu.Lock()
	now := c.cfg.Now()
	if kind != frameSegment && !s.words.spend(now, wordy, wordRate) {
		c.mu.Unlock()
		return errUseless
	}
	c.mu.Unlock()
	switch kind {
	case frameRecord, frameHead:
		signed, err := signedOf(body)
		if err != nil {
			return err
		}
		if kind == frameRecord {
			return c.takeRecord(cr, signed, s)
		}
		return c.takeHead(cr, signed, s)
	case frameSegment:
		if len(body) < 8 {
			return errFrame
		}
		seqs, _ := parseSeqs(body[:8])
		return c.takeSegment(cr, seqs[0], body[8:], s)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch kind {
	case frameState:
		st, err := parseState(body, s.peer)
		if err != nil {
			return err
		}
		return cr.stands(s, k, st, now)
	case frameRefer:
		refs, err := parseRefer(body)
		if err != nil {
			return err
		}
		for _, r := range refs {
			cr.consider(r, s.peer, now)
		}
		cr.seek(now)
	case frameNot:
		seqs, err := parseSeqs(body)
		if err != nil {
			return err
		}
		for _, seq := range seqs {
			delete(s.pulls, seq)
			if x := cr.held[seq]; x != nil {
				x.pulled = time.Time{}
			}
		}
	}
	return nil
}

// stands takes in a source's state.
func (cr *carry) stands(s *source, k *candidate, st state, now time.Time) error {
	if st.flags&flagAbsent != 0 {
		k.wait = max(k.wait, coolest)
		return fmt.Errorf("it does not carry the set: %w", errUseless)
	}
	first := s.answered.IsZero()
	if len(st.addrs) == 0 {
		st.addrs = s.st.addrs
	}
	s.st, s.given = st, st.mode
	if first {
		s.answered = now
		k.wait = 0
	}
	k.depth, k.free, k.at = len(st.path)-1, st.free, now
	if st.free > 0 && s != cr.next {
		s.refused = time.Time{} // there was none when it was asked
	}
	switch {
	case s == cr.next && st.mode == full:
		if cr.parent == nil && cr.fit(s) {
			cr.adopt(s)
		}
	case s != cr.parent && s.wants == full && st.mode == full: // it took its time
		if cr.parent == nil && cr.fit(s) {
			cr.adopt(s)
			break
		}
		s.wants = nothing
		cr.c.say(s.link, modeFrame(nothing, cr.flags(), 0))
	case s == cr.next: // refused
		s.wants, s.refused = st.mode, now
		s.denied++
		cr.next = nil
	case s == cr.parent && (st.mode != full || cr.looped(s)):
		s.wants = nothing
		cr.c.say(s.link, modeFrame(nothing, cr.flags(), 0))
		cr.orphan(now)
	case s == cr.parent && !slices.Equal(cr.place, cr.path()):
		cr.place = cr.path()
	}
	cr.offers(now)
	cr.seek(now)
	return nil
}

// request asks a source for everything.
func (cr *carry) request(s *source, now time.Time) {
	cr.next = s
	s.wants, s.asked = full, now
	cr.c.say(s.link, modeFrame(full, cr.flags(), cr.lacks()))
}
