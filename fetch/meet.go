package fetch

import (
	"context"
	"errors"
	"slices"
	"time"

	"playnode/node"
)

// within is a context that ends after d by the injected clock, or with the
// exchange.
func (s *Scheduler) within(d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-s.cfg.After(d):
		case <-s.down:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}

// join opens a stream to an acquaintance and listens to it until it ends.
func (s *Scheduler) join(id string) {
	ctx, cancel := s.within(opening)
	st, err := s.cfg.Streams.Open(ctx, id, BlocksProtocol)
	cancel()
	connected := err == nil || slices.Contains(s.cfg.Peers.Connected(), id)
	s.mu.Lock()
	s.peers.opening--
	now := s.cfg.Now()
	closed := false
	select {
	case <-s.down:
		closed = true
	default:
	}
	if err != nil || closed {
		if connected {
			s.cool(id, 10*coolest)
		} else {
			delete(s.peers.met, id)
		}
		s.lost(id, now)
		s.mu.Unlock()
		if st != nil {
			st.Reset()
		}
		return
	}
	taken := 0
	if m := s.peers.met[id]; m != nil {
		taken = m.taken
	}
	delete(s.peers.met, id)
	p := s.admit(id, st, now)
	p.taken = taken
	s.mu.Unlock()
	go s.speak(p)
	err = s.listen(p)
	st.Reset()
	s.part(p, err)
}

// company is how many who have a block, or wait for it as we do, are enough for
// nobody else to be dialled on its account: each more that is exchanged with costs
// a handshake, and a word for each block.
const company = 10

// accompanied tells whether company enough has w, or waits for it. Who is asked and
// silent is none, whatever it says that it has. Who is new may yet be, and who is about
// to be dialled, but for one that has not been by others, where we have not either:
// most of those never answer. Of no want that is all. s.mu is held.
func (s *Scheduler) accompanied(w *want, now time.Time) bool {
	n := s.peers.opening
	open := s.cfg.Dialled == nil || s.dialled()
	for _, r := range s.peers.meeting {
		if open || r.dialled {
			n++
		}
	}
	for _, r := range s.peers.named {
		if open || r.dialled {
			n++
		}
	}
	var waiting []string
	if w != nil {
		waiting = s.giver.waiting(w.digest)
	}
	for _, q := range s.peers.open {
		of := w != nil && w.has&q.bit != 0 || slices.Contains(waiting, q.id)
		silent := len(q.order) > 0 && now.Sub(q.heard) >= dripping
		if now.Sub(q.since) < gathering || of && !silent {
			n++
		}
	}
	return n >= company
}

// dialled tells whether others have dialled us.
func (s *Scheduler) dialled() bool { return s.cfg.Dialled != nil && s.cfg.Dialled() }

// knocking is after how long the second of two dials the first, who has given up by
// then: a firewall takes it for the answer.
const knocking = 7 * time.Second

// follows tells whether we are the second to dial, of us and r's peer.
func (s *Scheduler) follows(r referral) bool { return s.cfg.Peers.ID() > r.peer }

// awaits tells whether it is left to r's peer, of whom nobody knows whether it can be
// dialled, to dial us: where we can be, and, of two who may not, to one of them at
// first. Who is being dialled in vain does not get through himself meanwhile: to a
// system both are one connection. Who would not be dialled anyway is not awaited. s.mu
// is held.
func (s *Scheduler) awaits(p *peer, r referral, now time.Time) bool {
	if m := s.peers.met[r.peer]; len(r.addrs) == 0 || s.cfg.Meet == nil || m != nil && m.until.After(now) {
		return false
	}
	if s.dialled() {
		return true
	}
	if !s.follows(r) {
		return false
	}
	if len(s.peers.awaited) >= maxPeers {
		return true
	}
	s.peers.awaited[r.peer] = &r
	go func() {
		select {
		case <-s.cfg.After(knocking):
		case <-s.down:
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.peers.awaited[r.peer] != &r { // it is not left to it any more
			return
		}
		delete(s.peers.awaited, r.peer)
		now := s.cfg.Now()
		if !s.dialled() && len(s.list) > 0 {
			s.acquaint(p, r, s.list[0], now)
		}
		if !s.reachable(r.peer) {
			s.lost(r.peer, now)
		}
	}()
	return true
}

// introduced has a peer dialled that p has named, for w unless that is nil, unless
// it is known already. s.mu is held.
func (s *Scheduler) introduced(p *peer, r referral, w *want, now time.Time) {
	if r.peer == s.cfg.Peers.ID() || s.peers.liars[r.peer] {
		return
	}
	if r.dialled {
		s.opened(p, r, w, now)
	}
	if s.reachable(r.peer) {
		return
	}
	if p.opens = p.opens || r.dialled; p.opens && !r.dialled && s.awaits(p, r, now) {
		return
	}
	s.acquaint(p, r, w, now)
}

// opened has one dialled sooner that was not known to have been. s.mu is held.
func (s *Scheduler) opened(p *peer, r referral, w *want, now time.Time) {
	if x := s.peers.awaited[r.peer]; x != nil {
		delete(s.peers.awaited, r.peer)
		if s.acquaint(p, r, w, now); !s.reachable(r.peer) {
			s.peers.awaited[r.peer] = x // it may come by itself, as before
		}
	}
	if i := slices.IndexFunc(s.peers.named, func(o referral) bool { return o.peer == r.peer }); i >= 0 {
		s.peers.named[i].dialled = true
		slices.SortStableFunc(s.peers.named, openFirst)
	}
}

// acquaint is introduced where nothing else is awaited. s.mu is held.
func (s *Scheduler) acquaint(p *peer, r referral, w *want, now time.Time) {
	if s.reachable(r.peer) {
		return
	}
	m := s.peers.met[r.peer]
	if m != nil && m.until.After(now) || len(s.peers.open) >= maxPeers {
		return
	}
	if s.accompanied(w, now) {
		return
	}
	if s.cfg.Meet == nil || len(r.addrs) == 0 || len(s.peers.named) >= maxPeers || m == nil && !s.remember(r.peer) {
		return
	}
	s.peers.met[r.peer].busy = true
	r.by = p.id
	if len(s.peers.meeting) >= maxMeeting {
		s.peers.named = append(s.peers.named, r)
		slices.SortStableFunc(s.peers.named, openFirst)
		return
	}
	s.peers.meeting[r.peer] = &r
	go s.meet(&r)
}

// meet dials peers that others have named, one after the other, and has them
// asked as well.
func (s *Scheduler) meet(r *referral) {
	for more := true; more; {
		err := s.dial(*r)
		s.mu.Lock()
		now := s.cfg.Now()
		gone := r.peer
		ours := s.peers.meeting[gone] == r // it has not come by itself meanwhile
		if ours {
			if a := s.peers.met[gone]; a != nil {
				a.busy = false
			}
			delete(s.peers.meeting, gone)
		}
		if more = len(s.peers.named) > 0 && len(s.peers.meeting) < maxMeeting && s.open(); more {
			r = s.peers.next()
			s.peers.meeting[r.peer] = r
		}
		if err != nil && ours {
			s.cool(gone, coldest/5)
			s.lost(gone, now)
		}
		s.reach(now)
		s.mu.Unlock()
	}
}

// shutTurn says that each so manyth who is dialled of those that wait is one that has
// not been by others, if there is one: it is only said of the rest that they have.
const shutTurn = 4

// next takes who is dialled next off those that wait: there is one.
func (ps *peers) next() *referral {
	i := 0
	if ps.turn++; ps.turn%shutTurn == 0 {
		i = max(0, slices.IndexFunc(ps.named, func(r referral) bool { return !r.dialled }))
	}
	r := ps.named[i]
	ps.named = slices.Delete(ps.named, i, i+1)
	return &r
}

// clashes is how often one is dialled again whose answer was no good, after clash and
// up to twice that: two who dial each other at once from the ports at which they listen
// have one connection, and both begin to speak.
const clashes, clash = 3, 500 * time.Millisecond

func (s *Scheduler) dial(r referral) (err error) {
	ctx, cancel := s.within(meeting)
	defer cancel()
	for again := clashes; ; again-- {
		began, clashed := s.cfg.Now(), false
		for _, a := range r.addrs {
			if err = s.cfg.Meet(ctx, a, r.by); err == nil || ctx.Err() != nil {
				return err
			}
			clashed = clashed || !errors.Is(err, node.ErrNotFound)
		}
		if again == 0 || !clashed || s.cfg.Now().Sub(began) >= gathering || !r.dialled && s.dialled() {
			return err
		}
		s.mu.Lock()
		wait := (clash + time.Duration(s.rand.Int64N(int64(clash)))) << (clashes - again)
		s.mu.Unlock()
		if !r.dialled && s.follows(r) {
			wait = knocking
		}
		select {
		case <-s.cfg.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

// lost looks again at what was put off in favour of a peer that cannot be
// reached, and at what it might have given. s.mu is held.
func (s *Scheduler) lost(id string, now time.Time) {
	for _, w := range slices.Clone(s.list) {
		for _, o := range w.off {
			if slices.Contains(o.named, id) && s.alone(o.peer) && !slices.ContainsFunc(o.named, s.reachable) {
				o.alone, o.until = true, now
			}
		}
		if len(w.asks) == 0 {
			s.consider(w, now)
		}
	}
}

// alone tells whether blocks are exchanged with nobody but p, nor will be soon:
// else what p puts off may come by those. s.mu is held.
func (s *Scheduler) alone(p *peer) bool {
	return len(s.peers.meeting) == 0 && !slices.ContainsFunc(s.peers.open, func(q *peer) bool { return q != p && q.spoke })
}

// reachable tells whether a peer is asked, or is about to be. s.mu is held.
func (s *Scheduler) reachable(id string) bool {
	if s.peers.byID[id] != nil || s.peers.awaited[id] != nil {
		return true
	}
	a := s.peers.met[id]
	return a != nil && a.busy
}

// part takes a peer off whose stream has ended.
func (s *Scheduler) part(p *peer, err error) {
	s.cfg.Log.Debug("exchange of blocks ended", "peer", p.id, "err", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(p.gone)
	now := s.cfg.Now()
	s.peers.open = slices.DeleteFunc(s.peers.open, func(o *peer) bool { return o == p })
	delete(s.peers.byID, p.id)
	s.peers.used &^= p.bit
	if errors.Is(err, errLiar) {
		s.counts[p.row].Failed++
		s.lied(p.id)
	} else if s.open() {
		least := coolest
		if !p.spoke || p.taken > p.hits {
			least *= 10
		}
		if !slices.ContainsFunc(s.peers.open, func(q *peer) bool { return q.spoke }) {
			p.full = min(p.full, loneliest) // those that p has named may not be there
		}
		s.cool(p.id, max(least, p.full))
		if m := s.peers.met[p.id]; m != nil {
			m.taken = max(0, p.taken-p.hits)
		}
	}
	for _, w := range s.list {
		w.told, w.said, w.has = w.told&^p.bit, w.said&^p.bit, w.has&^p.bit
		w.off = slices.DeleteFunc(w.off, func(o *putOff) bool { return o.peer == p })
		w.asks = slices.DeleteFunc(w.asks, func(a *ask) bool { return a.peer == p })
	}
	s.lost(p.id, now)
	if len(s.list) == 0 {
		s.rest()
	}
}

// lied notes that a peer has sent wrong bytes. s.mu is held.
func (s *Scheduler) lied(id string) {
	s.swarm.Liars++
	for old := range s.peers.liars {
		if len(s.peers.liars) < maxLiars {
			break
		}
		delete(s.peers.liars, old)
	}
	s.peers.liars[id] = true
}

// open tells whether Close has not been called.
func (s *Scheduler) open() bool {
	select {
	case <-s.down:
		return false
	default:
		return true
	}
}
