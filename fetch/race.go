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

// bear is how long a class bears silence before one more is asked.
var bear = [...]time.Duration{
	node.Now:   150 * time.Millisecond,
	node.Next:  500 * time.Millisecond,
	node.Soon:  2 * time.Second,
	node.Later: 5 * time.Second,
}

const (
	// briefly is how long a peer or source that is not known may be silent
	// while a playhead waits; shortly is the least that any may.
	briefly, shortly = 100 * time.Millisecond, 40 * time.Millisecond
	// abreast is how many are asked for one block at once, at most.
	abreast = 3
	// sourceLoad is how many blocks that are in no hurry are asked of one
	// source at once; where receiving is bounded, what comes in sourceAhead.
	sourceLoad, sourceAhead = 32, 4 * time.Second
	// again bounds the waits before a source that had nothing is asked anew.
	againSoonest, againLatest = 2 * time.Second, time.Minute
	// gathering is how long after a beginning peers may yet appear.
	gathering = 2 * time.Second
	// soon is when a deadline is near enough to leave no room for manners.
	soon = 5 * time.Second
)

// source is a Source and what is known of it. Guarded by Scheduler.mu.
type source struct {
	Source
	load   int           // asks that run
	took   time.Duration // about how long a block takes; 0 for not known
	silent time.Time     // until when it comes after the others, for what is urgent
}

// mistrust is for how long a source comes after the others that has let somebody
// wait.
const mistrust = 30 * time.Second

// after tells whether f is asked after o, which stands behind it: it has been
// silent of late, or takes more than twice as long.
func (f *source) after(o *source, w *want, now time.Time) bool {
	if w.Class <= node.Next || w.urgent(now) {
		if f.silent.After(now) != o.silent.After(now) {
			return f.silent.After(now)
		}
	}
	return o.took > 0 && f.took > 2*o.took
}

// urgent tells whether w goes before all order.
func (w *want) urgent(now time.Time) bool {
	return w.Class == node.Now || !w.Deadline.IsZero() && w.Deadline.Sub(now) < soon
}

// patience is how long w bears silence of those asked by now, left more being
// there. A deadline that is past makes nobody quicker: whoever was asked has
// the time that an answer takes.
func (w *want) patience(now time.Time, left int) time.Duration {
	d := bear[min(int(w.Class), len(bear)-1)]
	if !w.Deadline.IsZero() {
		d = min(d, w.Deadline.Sub(now)/time.Duration(left+2))
	}
	return max(d, briefly)
}

// silence is how long p may be silent while somebody waits for it.
func (p *peer) silence() time.Duration {
	if p.lag == 0 {
		return briefly
	}
	return min(max(2*p.lag, shortly), bear[node.Soon])
}

// consider asks somebody for w if it is time to, and sets the time to look
// again. s.mu is held.
func (s *Scheduler) consider(w *want, now time.Time) {
	if w.landed {
		return
	}
	w.alarm, w.starved = time.Time{}, false
	if len(w.asks) > 0 {
		s.rescue(w, now)
		return
	}
	if p := s.bestHolder(w, now); p != nil {
		s.askPeer(w, p, now)
		s.second(w, now)
		s.beside(w, p, now)
		return
	}
	until, hope := s.hope(w, now)
	if w.Class <= node.Next || w.urgent(now) {
		s.guess(w, now)
		if len(w.asks) > 0 {
			return
		}
		if w.urgent(now) && s.askSource(w, now) {
			return // and if a peer says that it has it, that one too
		}
	}
	if hope && now.Before(until) {
		s.look(w, until)
		return
	}
	if s.rests(w) {
		s.look(w, now.Add(restAgain))
		return
	}
	if s.askSource(w, now) || w.starved {
		return
	}
	s.wait(w, now)
}

// second asks one more that holds w for a playhead while nothing is known of the only
// one that is asked, whichever of them was the first to say that it holds it: the
// first of the two gives it. s.mu is held.
func (s *Scheduler) second(w *want, now time.Time) bool {
	if w.Class != node.Now || len(w.asks) != 1 || w.asks[0].peer == nil || w.asks[0].peer.lag > 0 || w.asks[0].came > 0 {
		return false
	}
	q := s.bestHolder(w, now)
	if q != nil {
		s.askPeer(w, q, now)
	}
	return q != nil
}

// guess asks peers that may have w, nothing being known of it: the best two
// when it is for the playhead and the best is near or has never answered, else
// one; where nobody waits, one that has mostly had what it was asked for. s.mu
// is held.
func (s *Scheduler) guess(w *want, now time.Time) {
	p := s.bestUnknown(w, now)
	if p == nil {
		return
	}
	s.askPeer(w, p, now)
	if w.Class == node.Now && (p.near || p.lag == 0) {
		if q := s.bestUnknown(w, now); q != nil {
			s.askPeer(w, q, now)
		}
	}
	s.beside(w, p, now)
}

// beside asks a source for w as well, if it is urgent or next and the best peer was
// silent when it was asked last, or a playhead waits and that peer has never said
// anything: whether it answers nobody knows, and waiting to see costs as much as an
// answer. s.mu is held.
func (s *Scheduler) beside(w *want, p *peer, now time.Time) {
	if (p.mute && w.urgent(now) || p.still && w.Class == node.Next || !p.spoke && w.Class == node.Now) && s.askSource(w, now) {
		s.swarm.Rescued++
	}
}

// begins notes that the bytes of an ask of a peer begin to come: a source that was
// asked as well for a playhead, not long ago, has given little yet, and both would
// come by one line. Where nobody waits for it, who has not begun is asked no more.
// s.mu is held.
func (s *Scheduler) begins(a *ask, now time.Time) {
	a.came, a.first = 1, now
	patient := a.w.Class > node.Next && !a.w.urgent(now)
	for _, o := range slices.Clone(a.w.asks) {
		if o.peer == nil && a.w.Class == node.Now && now.Sub(o.sent) < briefly || patient && o.peer != nil && o != a && o.came == 0 {
			s.drop(o)
		}
	}
}

// hope is until when a peer may yet turn out to be able to give w, if one may.
// s.mu is held.
func (s *Scheduler) hope(w *want, now time.Time) (until time.Time, hope bool) {
	if s.cfg.Streams == nil {
		return time.Time{}, false
	}
	at := func(t time.Time) {
		if !hope || t.After(until) {
			until, hope = t, true
		}
	}
	patient := w.since.Add(w.patience(w.since, len(s.sources)))
	if len(s.peers.open) == 0 && w.Class >= node.Soon && !w.urgent(now) && (s.cfg.Expect == nil || s.cfg.Expect()) {
		if t := s.peers.began.Add(gathering); t.After(now) {
			at(t)
		}
	}
	if s.peers.opening > 0 {
		at(patient)
	}
	for _, p := range s.peers.open {
		switch {
		case w.said&p.bit == 0:
			at(patient)
		case w.has&p.bit == 0:
			// It may gain it. Each box draws how long it waits for that, so
			// that not all of them ask the same source for the same block.
			at(w.since.Add(time.Duration(float64(patient.Sub(w.since)) * float64(w.rank>>11) / (1 << 53))))
		default: // it holds it, and is busy or has put us off
			if o := w.offBy(p); o != nil && o.until.After(now) {
				at(o.until.Add(time.Millisecond))
			} else if !w.urgent(now) {
				at(now.Add(bear[node.Later]))
			}
		}
	}
	if !w.Deadline.IsZero() && hope {
		if d := now.Add(w.patience(now, len(s.sources))); d.Before(until) {
			until = d
		}
	}
	return until, hope
}

// rescue asks one more for w when those asked are late. s.mu is held.
func (s *Scheduler) rescue(w *want, now time.Time) {
	s.press(w, now)
	last := w.asks[len(w.asks)-1]
	if last.peer == nil { // a source: no telling how far it is
		if p := s.bestHolder(w, now); p != nil {
			s.askPeer(w, p, now)
			if w.Class > node.Next && !w.urgent(now) {
				for _, a := range slices.Clone(w.asks) {
					if a.from != nil {
						s.drop(a)
					}
				}
			}
			return
		}
	}
	if s.second(w, now) {
		return
	}
	if now.Before(last.due) {
		s.look(w, last.due)
		return
	}
	if p := last.peer; p != nil && (w.urgent(now) || !w.Deadline.IsZero()) && now.Before(last.most) && p.flowed.After(last.sent) {
		// Bytes come: ours, or some that were under way before it. One more would
		// have both come slower.
		if last.due = p.flowed.Add(p.silence()); last.due.After(last.most) {
			last.due = last.most
		}
		if last.due.After(now) {
			s.look(w, last.due)
			return
		}
	}
	if p := last.peer; p != nil && (w.urgent(now) || w.Class == node.Next) && !p.heard.After(last.sent) {
		p.mute, p.still = p.mute || w.urgent(now), true
		s.distrust(now)
	}
	if last.peer == nil && now.Sub(last.sent) >= briefly {
		last.from.silent = now.Add(mistrust)
	}
	if p := last.peer; p != nil && !w.urgent(now) && w.Deadline.IsZero() {
		silence := bear[min(w.Class, node.Later)]
		if w.Class >= node.Later {
			silence = stalled // then its stream ends anyhow
		}
		last.due = p.heard.Add(silence)
		if last.came > 0 {
			last.due = p.flowed.Add(stalled)
		}
		if last.due.After(now) { // bytes are coming; ours will
			s.look(w, last.due)
			return
		}
		if q := s.bestHolder(w, now); q != nil { // nothing comes, so this does not: it moves
			p.lag = max(p.lag, silence)
			s.drop(last)
			s.askPeer(w, q, now)
			s.swarm.Rescued++
			return
		}
	}
	if len(w.asks) < abreast {
		n := len(w.asks)
		if p := s.bestHolder(w, now); p != nil {
			s.askPeer(w, p, now)
		} else if w.Class <= node.Next || w.urgent(now) {
			if p := s.bestUnknown(w, now); p != nil {
				s.askPeer(w, p, now)
			}
		}
		if len(w.asks) == n {
			s.askSource(w, now)
		}
		if len(w.asks) > n {
			s.swarm.Rescued++
			return
		}
	}
	last.due = now.Add(w.patience(now, 0) + 50*time.Millisecond)
	s.look(w, last.due)
}

// distrust has the company come after the other sources where all who are connected
// exchange blocks with us, and are still. s.mu is held.
func (s *Scheduler) distrust(now time.Time) {
	if s.peers.opening+len(s.peers.met) > 0 || slices.ContainsFunc(s.peers.open, func(p *peer) bool { return !p.still }) {
		return
	}
	for _, f := range s.sources {
		if f.Company {
			f.silent = now.Add(mistrust)
		}
	}
}

// hurry has w looked at as it is more urgent now. s.mu is held.
func (s *Scheduler) hurry(w *want, now time.Time) {
	for _, a := range w.asks {
		if a.peer != nil { // it goes before others there
			class := min(w.Class, node.Later)
			if a.pressed {
				class = node.Now // as it was told
			}
			if w.Class == node.Now {
				a.peer.yield(now)
			}
			a.peer.hurries = append(a.peer.hurries, order{w.number, class, false, w.digest})
			a.peer.poke(true)
			a.due = now.Add(a.peer.silence())
			a.most = now.Add(s.most(w, a.peer, now))
			continue
		}
		a.due = now
	}
	s.consider(w, now)
}

// Coming tells whether a block that is wanted is asked of a peer that has spoken
// of late: who waits for it may go on doing so.
func (s *Scheduler) Coming(c cid.Cid) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.wants[c]
	if w == nil || w.landed {
		return w != nil
	}
	now := s.cfg.Now()
	return slices.ContainsFunc(w.asks, func(a *ask) bool {
		return a.peer != nil && a.peer.spoke && now.Sub(a.peer.heard) < stalled
	})
}

// most is how long p may take for w, which is urgent, while bytes come. s.mu is
// held.
func (s *Scheduler) most(w *want, p *peer, now time.Time) time.Duration {
	return max(2*p.eta(s.guessSize(w), now), bear[node.Next])
}

// spoken is until when the company is not asked for w, as all who are connected
// exchange blocks with us or are about to: they are silent or late from then on, or
// w is in no hurry and none of them is asked. s.mu is held.
func (s *Scheduler) spoken(w *want, now time.Time) time.Time {
	if len(s.peers.open)+s.peers.opening == 0 {
		return now
	}
	for _, a := range s.peers.met {
		if !a.busy && a.until.After(now) { // it does not exchange
			return now
		}
	}
	until := now
	if w.urgent(now) {
		until = w.since.Add(bear[node.Soon])
	}
	for _, a := range w.asks {
		if a.peer != nil && !w.urgent(now) && a.due.After(until) {
			until = a.due
		}
		if a.peer != nil && (a.peer.heard.After(a.sent) || a.peer.spoke && !w.urgent(now)) {
			if t := a.peer.heard.Add(stalled); t.After(until) {
				until = t
			}
		}
	}
	return until
}

// askSource asks the best source that is not asked yet; false when there is
// none. One that is busy is waited for: w is starved then. s.mu is held.
func (s *Scheduler) askSource(w *want, now time.Time) bool {
	if s.rests(w) {
		return false
	}
	var best *source
	left := 0
	until := s.spoken(w, now)
	for _, f := range s.sources {
		if at, tried := w.tried[f]; tried && (at.IsZero() || now.Before(at)) || s.counts[f.Name].Dropped ||
			slices.ContainsFunc(w.asks, func(a *ask) bool { return a.from == f }) {
			continue
		}
		if f.Company && until.After(now) {
			s.look(w, until)
			continue
		}
		left++
		if best == nil || best.after(f, w, now) {
			best = f
		}
	}
	if best == nil {
		return false
	}
	if best.load >= s.sourceLoad() && w.Class > node.Next && !w.urgent(now) {
		w.starved = true
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &ask{w: w, from: best, end: cancel, sent: now, due: now.Add(w.patience(now, left-1))}
	w.asks = append(w.asks, a)
	best.load++
	s.look(w, a.due)
	get, id, as := best.Get, w.id, w.Want
	go func() {
		data, err := get(ctx, id, as)
		s.answered(a, data, err)
	}()
	if w.Class == node.Now && best.Company && best.took == 0 && len(w.asks) < abreast && s.askSource(w, now) {
		s.swarm.Rescued++ // whether any of the company has it nobody knows
	}
	return true
}

// sourceLoad is how many blocks are asked of one source at once. s.mu is held.
func (s *Scheduler) sourceLoad() int {
	if s.cfg.Download <= 0 {
		return sourceLoad
	}
	leaf := int64(256 << 10)
	if s.cfg.Streams != nil {
		leaf = max(s.peers.leaf, 16<<10)
	}
	return int(min(max(2, s.cfg.Download*int64(sourceAhead/time.Second)/leaf), sourceLoad))
}

// answered is how an ask of a source has ended.
func (s *Scheduler) answered(a *ask, data []byte, err error) {
	w, wrong := a.w, errors.Is(err, node.ErrVerify)
	if err == nil {
		sum, err := w.id.Prefix().Sum(data)
		wrong = err != nil || !sum.Equals(w.id) || len(data) > node.MaxBlock
	}
	good := err == nil && !wrong
	if wrong && err == nil {
		err = fmt.Errorf("from %s: %w", a.from.Name, node.ErrVerify)
	}
	if good {
		select {
		case s.landing <- struct{}{}:
		case <-s.down:
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	running := slices.Contains(w.asks, a)
	k := s.counts[a.from.Name]
	switch {
	case good:
		k.Blocks++
		k.Bytes += int64(len(data))
		a.from.silent = time.Time{}
		if took := now.Sub(a.sent); a.from.took == 0 {
			a.from.took = took
		} else {
			a.from.took += (took - a.from.took) / 4
		}
	case wrong:
		k.Failed++
		k.Dropped = true
	case running:
		k.Failed++
	}
	if running {
		s.drop(a)
	}
	if good && !w.landed {
		s.land(w)
		go s.keep(w, data)
		s.feed(a.from, now)
		return
	}
	if good {
		s.swarm.Duplicate += int64(len(data))
		<-s.landing
	}
	if running && !w.landed {
		w.last = err
		if w.tried == nil {
			w.tried = map[*source]time.Time{}
		}
		w.tried[a.from] = time.Time{}
		if w.failed++; s.cfg.Streams != nil { // it may get it, as peers may
			w.tried[a.from] = now.Add(min(againSoonest<<min(w.failed-1, 10), againLatest))
		}
		s.next(w, now)
	}
	s.feed(a.from, now)
}

// next asks another for w at once, as one asked has failed. s.mu is held.
func (s *Scheduler) next(w *want, now time.Time) {
	for _, a := range w.asks {
		if a.peer == nil {
			a.due = now
		}
	}
	s.consider(w, now)
}

// wait is for a w that nobody can be asked for: until a source is to be tried
// anew, or a peer comes. Without an exchange it fails. s.mu is held.
func (s *Scheduler) wait(w *want, now time.Time) {
	if s.cfg.Streams == nil {
		s.fail(w)
		return
	}
	for f, at := range w.tried {
		if at.After(now) && !s.counts[f.Name].Dropped {
			s.look(w, at)
		}
	}
}

// feed gives a source that has room what waits for it. s.mu is held.
func (s *Scheduler) feed(f *source, now time.Time) {
	for _, w := range slices.Clone(s.list) {
		if f.load >= s.sourceLoad() {
			return
		}
		if w.starved && len(w.asks) == 0 {
			s.consider(w, now)
		}
	}
}

// drop ends one ask. s.mu is held.
func (s *Scheduler) drop(a *ask) {
	if i := slices.Index(a.w.asks, a); i >= 0 {
		a.w.asks = slices.Delete(a.w.asks, i, i+1)
	}
	if a.peer == nil {
		a.end()
		a.from.load--
		return
	}
	if p := a.peer; p.asks[a.w.number] == a {
		p.forget(a)
		if i := slices.IndexFunc(p.wants, func(o order) bool { return o.number == a.w.number }); i >= 0 {
			p.wants = slices.Delete(p.wants, i, i+1) // it has not been said yet
			return
		}
		p.cancels = append(p.cancels, a.w.number)
		p.crossing = min(p.crossing+1, maxCrossing)
		p.poke(false)
	}
}
