package fetch

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// sparing is how long a block that others hold as well is not asked of a peer
// that saves its line for blocks that nobody else has.
var sparing = [...]time.Duration{
	node.Now:   0,
	node.Next:  time.Second,
	node.Soon:  5 * time.Second,
	node.Later: 30 * time.Second,
}

// bestHolder is who holds w, may be asked and would be done first; nil when
// there is none. s.mu is held.
func (s *Scheduler) bestHolder(w *want, now time.Time) *peer {
	if w.has == 0 {
		return nil
	}
	var best *peer
	size := s.guessSize(w)
	for _, p := range s.peers.open {
		if w.has&p.bit != 0 && s.mayAsk(w, p, now) && (best == nil || p.eta(size, now) < best.eta(size, now)) {
			best = p
		}
	}
	return best
}

// bestUnknown is the best of those who have not said whether they hold w.
// s.mu is held.
func (s *Scheduler) bestUnknown(w *want, now time.Time) *peer {
	var best *peer
	size := s.guessSize(w)
	for _, p := range s.peers.open {
		if (w.said|w.has)&p.bit != 0 || !s.mayAsk(w, p, now) || w.Class != node.Now && p.misses > p.hits {
			continue
		}
		if best == nil || p.likelier(best, w) || !best.likelier(p, w) && p.eta(size, now) < best.eta(size, now) {
			best = p
		}
	}
	return best
}

// likelier tells whether p has given something, and q nothing, where w is to be
// heard: to be told that it is not held costs a round trip.
func (p *peer) likelier(q *peer, w *want) bool {
	return !w.Deadline.IsZero() && p.hits > 0 && q.hits == 0
}

// mayAsk tells whether p has room for w, has not put it off, is not asked for
// it now, and is not to be spared. s.mu is held.
func (s *Scheduler) mayAsk(w *want, p *peer, now time.Time) bool {
	if !p.room(w, s.peers.leaf, now) || !s.roomInAll(w, now) || p.asks[w.number] != nil {
		return false
	}
	o := w.offBy(p)
	if o != nil && o.until.After(now) || !p.near && s.rests(w) {
		return false
	}
	return o != nil && o.alone || !s.spared(w, p, now) && !s.nearer(w, p, now) && !s.outdone(w, p, now)
}

// outdone tells whether p, off which more was taken than it has given, is not
// asked for w, as one that gives, and may be asked, has room for it, or may yet
// say that it holds it. s.mu is held.
func (s *Scheduler) outdone(w *want, p *peer, now time.Time) bool {
	return p.taken > p.hits && !w.urgent(now) && slices.ContainsFunc(s.peers.open, func(q *peer) bool {
		if q == p || q.taken > q.hits || q.mute || !q.near && s.rests(w) {
			return false
		}
		if w.said&q.bit == 0 {
			return now.Sub(w.since) < bear[node.Next]
		}
		o := w.offBy(q)
		return w.has&q.bit != 0 && (o == nil || !o.until.After(now)) && q.asks[w.number] == nil && q.room(w, s.peers.leaf, now) && !s.spared(w, q, now)
	})
}

// nearer tells whether somebody on our own network gives w, or may yet say that
// it does: then nobody far away is asked, unless it is urgent. s.mu is held.
func (s *Scheduler) nearer(w *want, p *peer, now time.Time) bool {
	return !p.near && !w.urgent(now) && slices.ContainsFunc(s.peers.open, func(q *peer) bool {
		if !q.near || q.mute || q.idles(now) || w.offBy(q) != nil {
			return false
		}
		return w.has&q.bit != 0 || w.said&q.bit == 0 && now.Sub(w.since) < bear[node.Next]
	})
}

// spared tells whether w is better asked of others than of p, who saves its
// line. s.mu is held.
func (s *Scheduler) spared(w *want, p *peer, now time.Time) bool {
	if !p.saves(now) || w.urgent(now) || now.Sub(w.held) >= sparing[min(w.Class, node.Later)] {
		return false
	}
	for _, q := range s.peers.open {
		if q != p && w.has&q.bit != 0 && !q.saves(now) && !q.idles(now) {
			return true
		}
	}
	return false
}

// offBy is how p has put w off, if it has.
func (w *want) offBy(p *peer) *putOff {
	for _, o := range w.off {
		if o.peer == p {
			return o
		}
	}
	return nil
}

// before tells whether w is asked before v: by class, by deadline, then, for
// the playhead, as asked, and else the rarest first, each box in an order of
// its own.
func (w *want) before(v *want) bool {
	if w.Class != v.Class {
		return w.Class < v.Class
	}
	if !w.Deadline.Equal(v.Deadline) {
		return !w.Deadline.IsZero() && (v.Deadline.IsZero() || w.Deadline.Before(v.Deadline))
	}
	if w.Class == node.Now {
		return w.number < v.number
	}
	return cmp.Or(cmp.Compare(bits.OnesCount64(w.has), bits.OnesCount64(v.has)), cmp.Compare(w.rank, v.rank)) < 0
}

// fill gives p as much to do as it has room for. s.mu is held.
func (s *Scheduler) fill(p *peer, now time.Time) {
	for {
		var best *want
		full := len(p.asks) >= p.window(s.peers.leaf) // for what is neither urgent nor next; see room
		for _, w := range s.list {
			if full && w.Class > node.Next && !w.urgent(now) {
				continue
			}
			if w.has&p.bit != 0 && len(w.asks) == 0 && (best == nil || w.before(best)) && s.mayAsk(w, p, now) {
				best = w
			}
		}
		if best == nil {
			break
		}
		s.askPeer(best, p, now)
	}
	for s.relieve(p, now) {
	}
}

const (
	// maxMoves is how often a block may be moved from one peer to another that
	// has given some, moveAge how long it was asked of the first, moveGain how
	// much sooner it must come.
	maxMoves          = 4
	moveAge, moveGain = 300 * time.Millisecond, 250 * time.Millisecond
	// dripping is how long a block that has begun to come must take yet to be
	// asked of one more.
	dripping = 3 * time.Second
)

// relieve has p, who has room, take over the block that others are furthest
// from giving, when p would be done with it well before; false when there is
// none. Who is late is asked no less until somebody begins to give: its bytes may
// be under way, and come once they are. Of two that are late the first is asked no
// more. What comes too slowly stays, and p is asked as well. s.mu is held.
func (s *Scheduler) relieve(p *peer, now time.Time) bool {
	if p.taken > p.hits {
		return false
	}
	var last *ask
	most := moveGain
	for _, w := range s.list {
		n := len(w.asks)
		if n == 0 || n > 2 || w.has&p.bit == 0 || w.moves >= maxMoves || slices.ContainsFunc(w.asks, func(a *ask) bool { return a.peer == nil || n > 1 && a.came > 0 }) {
			continue
		}
		a := w.asks[n-1]
		theirs := a.peer.left(a, now)
		if now.Sub(a.sent) < moveAge || a.came > 0 && theirs < dripping {
			continue
		}
		ours := p.eta(a.size, now)
		if a.peer.hits > 0 {
			ours *= 2 // it has kept its word so far
		}
		if gain := theirs - ours; gain > most && s.mayAsk(w, p, now) {
			last, most = a, gain
		}
	}
	if last == nil {
		return false
	}
	w := last.w
	if last.peer.taken++; last.peer.hits > 0 {
		w.moves++
	}
	if len(w.asks) > 1 {
		s.drop(w.asks[0])
	}
	s.askPeer(w, p, now)
	s.swarm.Rescued++
	return true
}

// askPeer asks p for w. s.mu is held.
func (s *Scheduler) askPeer(w *want, p *peer, now time.Time) {
	size := s.guessSize(w)
	eta := p.eta(size, now)
	a := &ask{w: w, peer: p, sent: now, size: size, most: now.Add(s.most(w, p, now))}
	late := max(3*eta, bear[min(w.Class, node.Later)])
	if w.Class == node.Now {
		late = p.silence()
	}
	if !w.Deadline.IsZero() {
		late = min(late, max(w.Deadline.Sub(now)/3, p.silence()))
	}
	a.due = now.Add(late)
	w.asks = append(w.asks, a)
	o := w.offBy(p)
	if p.remember(a, now); w.Class == node.Now {
		p.yield(now)
	}
	s.cfg.waits(p.id, w.Class)
	p.wants = append(p.wants, order{w.number, min(w.Class, node.Later), o != nil && o.alone, w.digest})
	p.poke(true)
	s.look(w, a.due)
	s.press(w, now)
}

// guessSize is how large w may be, from what came before. s.mu is held.
func (s *Scheduler) guessSize(w *want) int64 {
	if w.id.Prefix().Codec != cid.Raw {
		return 8 << 10
	}
	return s.peers.leaf
}

// roomInAll tells whether a bound on what comes in leaves room for w: what is
// asked for comes within a second. s.mu is held.
func (s *Scheduler) roomInAll(w *want, now time.Time) bool {
	if s.coming == nil || w.urgent(now) {
		return true
	}
	var open int64
	for _, p := range s.peers.open {
		open += p.asked
	}
	return open == 0 || float64(open+s.guessSize(w)) <= s.coming.rate
}
