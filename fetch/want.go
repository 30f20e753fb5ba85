package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// maxLanding bounds the blocks that are verified and wait for the disk: who
// brings more waits.
const maxLanding = 64

var errClosed = errors.New("fetching has ended")

// want is one block that is not here, for one or more passengers. Its fields
// are guarded by Scheduler.mu.
type want struct {
	id     cid.Cid
	digest Digest
	number uint32
	at     int    // its place in Scheduler.list
	rank   uint64 // drawn once: no two boxes have one order

	node.Want
	since      time.Time // it has been as urgent as this
	passengers []*passenger
	landed     bool   // verified bytes are here, or nobody waits any more
	data       []byte // what is being stored

	// Peers by their bit: who was asked whether they hold it, who has
	// answered, who holds it.
	told, said, has uint64
	held            time.Time // since when a peer has it that does not save its line
	asks            []*ask
	off             []*putOff
	tried           map[*source]time.Time // when those that failed may be tried again; zero for never
	failed          int
	last            error // how a source failed
	moves           int   // from one peer to another
	starved         bool  // the source it would be asked of is busy
	alarm           time.Time
}

// putOff is a peer that would give the block later.
type putOff struct {
	peer  *peer
	until time.Time
	times int
	named []string
	alone bool // nobody of those can be reached
}

// ask is one block asked of one peer or source.
type ask struct {
	w     *want
	peer  *peer
	from  *source // when peer is nil
	end   context.CancelFunc
	sent  time.Time
	due   time.Time // it is late from then on
	most  time.Time // an urgent one is, from then on, even if bytes come
	size  int64     // as was guessed
	came  int64     // bytes of it that have come, the first at first
	first time.Time
	// pressed says that the peer has been told that it is nearly due.
	pressed bool
}

// passenger is one who waits.
type passenger struct {
	class node.Class
	heard bool // it is to be heard by a time, and does not wait for the disk
	done  func([]byte, error)
	leave func() bool // ends the watch of its context
}

// heard tells whether a want is a playhead's.
func heard(w node.Want) bool { return w.Class == node.Now && !w.Deadline.IsZero() }

// end tells a passenger, once it is off its want.
func (p *passenger) end(data []byte, err error) {
	p.leave()
	p.done(data, err)
}

// board joins the want for c, or begins it. s.mu is held.
func (s *Scheduler) board(c cid.Cid, w node.Want, p *passenger) *want {
	now := s.cfg.Now()
	f := s.wants[c]
	if f == nil {
		s.number++
		f = &want{id: c, digest: digestOf(c), number: s.number, rank: s.rand.Uint64(), Want: w, since: now, at: len(s.list)}
		s.wants[c], s.numbers[f.number] = f, f
		s.list = append(s.list, f)
		f.passengers = append(f.passengers, p)
		s.seek(f)
		s.consider(f, now)
		return f
	}
	f.passengers = append(f.passengers, p)
	if sooner(w, f.Want) && !f.landed {
		f.Want, f.since = w, now
		s.hurry(f, now)
	}
	return f
}

func sooner(a, b node.Want) bool {
	if a.Class != b.Class {
		return a.Class < b.Class
	}
	return !a.Deadline.IsZero() && (b.Deadline.IsZero() || a.Deadline.Before(b.Deadline))
}

// digestOf is what peers call the block; a CID of another hash has one that
// no block has.
func digestOf(c cid.Cid) Digest {
	var d Digest
	if h := c.Hash(); len(h) == 34 && h[0] == 0x12 {
		copy(d[:], h[2:])
	}
	return d
}

// leave takes one passenger off, and ends a want that has lost its last.
func (s *Scheduler) leave(w *want, p *passenger, err error) {
	s.mu.Lock()
	i := slices.Index(w.passengers, p)
	if i >= 0 {
		err = s.explained(w, err)
		w.passengers = slices.Delete(w.passengers, i, i+1)
		if len(w.passengers) == 0 && !w.landed {
			s.land(w)
			delete(s.wants, w.id)
		}
	}
	s.mu.Unlock()
	if i >= 0 {
		p.done(nil, err)
	}
}

// land ends all asks for w and takes it off the list. It stays in wants until
// it is stored. s.mu is held.
func (s *Scheduler) land(w *want) {
	w.landed = true
	var free []*peer
	for _, a := range slices.Clone(w.asks) {
		if s.drop(a); a.peer != nil {
			free = append(free, a.peer)
		}
	}
	last := s.list[len(s.list)-1]
	s.list[w.at], last.at = last, w.at
	s.list[len(s.list)-1] = nil
	s.list = s.list[:len(s.list)-1]
	delete(s.numbers, w.number)
	if len(s.list) == 0 {
		s.rest()
	}
	for _, p := range free {
		s.fill(p, s.cfg.Now())
	}
}

// keep stores what has landed, and tells all who wait. The caller has taken a
// slot of landing.
func (s *Scheduler) keep(w *want, data []byte) {
	s.hand(w, data)
	unkept := s.writer.put(context.Background(), node.Block{CID: w.id, Data: data})
	<-s.landing
	var err error
	if errors.Is(unkept, node.ErrVerify) { // a hash this house does not take
		data, err = nil, unkept
	}
	if unkept == nil {
		s.gained(w.id, data, w)
	}
	s.arrive(w, data, err, unkept)
}

// hand gives what has landed, and is not yet stored, to those who hear it.
func (s *Scheduler) hand(w *want, data []byte) {
	if node.Verifiable(w.id, 0) != nil { // this house may not take it
		return
	}
	s.mu.Lock()
	w.data = data
	var all []*passenger
	w.passengers = slices.DeleteFunc(w.passengers, func(p *passenger) bool {
		if p.heard {
			all = append(all, p)
		}
		return p.heard
	})
	s.mu.Unlock()
	for _, p := range all {
		p.end(data, nil)
	}
}

// arrive tells all who wait for w, which has landed, how it ended.
func (s *Scheduler) arrive(w *want, data []byte, err, unkept error) {
	s.mu.Lock()
	if s.wants[w.id] == w {
		delete(s.wants, w.id)
	}
	all := w.passengers
	w.passengers = nil
	s.mu.Unlock()
	for _, p := range all {
		switch {
		case err != nil:
			p.end(nil, err)
		case unkept != nil && p.class != node.Now:
			p.end(nil, fmt.Errorf("keep: %w", unkept))
		default:
			p.end(data, nil)
		}
	}
}

// fail ends a want that nobody can serve. s.mu is held.
func (s *Scheduler) fail(w *want) {
	err := s.explained(w, node.ErrNotFound)
	s.land(w)
	go s.arrive(w, nil, err, nil)
}

// explained is err, which ends w, and who has sent wrong bytes where somebody
// has: they are asked no more. s.mu is held.
func (s *Scheduler) explained(w *want, err error) error {
	if w.last != nil && errors.Is(w.last, node.ErrVerify) {
		return fmt.Errorf("%w: %w", err, w.last)
	}
	for _, f := range s.sources {
		if s.counts[f.Name].Dropped {
			return fmt.Errorf("%w: %s has sent other bytes: %w", err, f.Name, node.ErrVerify)
		}
	}
	return err
}

// riding is how long it waits for something else to be said that a block is here,
// to those who only count who has it.
const riding = 200 * time.Millisecond

// gained tells peers that a block is here, for which w was, unless that is nil.
func (s *Scheduler) gained(c cid.Cid, data []byte, w *want) {
	if s.giver == nil {
		return
	}
	d := digestOf(c)
	s.giver.gained(d, data)
	if len(data) <= smallBlock { // of those nobody counts who has them
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	for _, p := range s.peers.open {
		// It counts who holds what it has given, and so what it holds.
		if p.saves(now) && (w == nil || (w.has|^w.said)&p.bit != 0) {
			p.done = append(p.done, d)
			s.ride()
		}
	}
}

// ride has what may wait said in a while, if nothing else is said until then. s.mu
// is held.
func (s *Scheduler) ride() {
	if s.rides {
		return
	}
	s.rides = true
	go func() {
		select {
		case <-s.cfg.After(riding):
		case <-s.down:
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rides = false
		for _, p := range s.peers.open {
			if len(p.done) > 0 {
				p.poke(true)
			}
		}
	}()
}
