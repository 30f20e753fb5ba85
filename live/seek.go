package live

import (
	"cmp"
	"slices"
	"time"
)

// seek finds a parent where there is none, or is to be another, and a standby.
// It is called whenever something has changed. c.mu is held.
func (cr *carry) seek(now time.Time) {
	if cr.root || cr.holders == 0 || cr.c.ended || !cr.c.running {
		return
	}
	switch {
	case cr.next != nil:
	case cr.parent == nil || cr.leaving():
		cr.choose(now, 1<<20)
	case now.Before(cr.roam) || !cr.parent.near:
		cr.choose(now, cr.cost(cr.parent, now)-20*cr.parent.misses-9)
	}
	if cr.parent != nil && cr.standby == nil {
		cr.spareOne(now)
	}
}

// choose asks the best of those who have answered, if it is cheaper than most,
// and asks others where that is not enough.
func (cr *carry) choose(now time.Time, most int) {
	var best *source
	waiting := cr.awaited(now)
	urgent := cr.parent == nil || cr.leaving()
	for _, s := range cr.sources {
		switch {
		case s.answered.IsZero():
		case s == cr.parent || !cr.fit(s) || !urgent && !s.near && !now.Before(cr.roam) && !cr.invites(s) || now.Sub(s.refused) < again<<min(s.denied, 4):
		case cr.cost(s, now) < most && (best == nil || cr.cost(s, now) < cr.cost(best, now)):
			best = s
		}
	}
	if best != nil && (waiting == 0 || !urgent || now.Sub(best.answered) >= listening || cr.c.cfg.Near(best.peer)) {
		cr.request(best, now)
		if urgent && best.st.free == 0 { // it will hardly have us, and others are looked for meanwhile
			cr.ask(now, probes-waiting, asParent)
		}
		return
	}
	if best != nil || !urgent {
		return
	}
	cr.ask(now, probes-waiting, asParent)
}

// invites tells whether s has room and stands so much nearer to the DJ than the
// parent that it is moved to although nobody looks for another.
func (cr *carry) invites(s *source) bool {
	return cr.parent != nil && s.st.free > 0 && len(s.st.path)+2 <= len(cr.parent.st.path)
}

// cost is how much another parent is to be preferred to s.
func (cr *carry) cost(s *source, now time.Time) int {
	n := 10*len(s.st.path) + 20*s.misses
	if s.near {
		n -= 1000
		if cr.parent != nil && !cr.parent.near && s != cr.parent && !cr.yields(s.peer) {
			return 1 << 20
		}
	}
	if s.st.free == 0 && s != cr.parent && !s.near {
		n += cr.unwelcome()
	} else if s.st.free == 1 && s != cr.parent {
		n += 5 // somebody will be sooner
	}
	if slices.Contains(s.st.path, cr.former) && now.Sub(cr.lost) < 10*time.Second {
		n += 25
	}
	return n
}

// yields tells whether of two on one network who both have the set from afar it is
// this box that moves, and not the neighbour.
func (cr *carry) yields(peer string) bool { return peer < cr.c.cfg.Peers.ID() }

// unwelcome is what it costs to ask one that has no room: it may make some for
// who carries.
func (cr *carry) unwelcome() int {
	if offer, _ := cr.slots(); offer >= 2 && cr.c.cfg.Dialable() {
		return 15
	}
	return 60
}

// purpose is what a candidate is asked for.
type purpose int

const (
	asParent purpose = iota
	asStandby
	asNearby // a parent on our own network, by one who has the set from afar
)

// ask opens streams to at most n candidates, the most promising first.
func (cr *carry) ask(now time.Time, n int, as purpose) {
	c := cr.c
	if n <= 0 {
		return
	}
	connected := c.cfg.Known(cr.set.DJ)
	room := maxSources - len(cr.sources) - len(cr.opening)
	if room <= 0 {
		cr.shed(connected, now)
		return
	}
	n = min(n, room)
	var ready []*candidate
	for _, p := range connected {
		if cr.candidates[p] == nil && p != c.cfg.Peers.ID() {
			cr.candidate(p)
		}
	}
	for p, k := range cr.candidates {
		if cr.askable(k, connected, now) && (as != asNearby || c.cfg.Near(p) && cr.yields(p)) {
			ready = append(ready, k)
		}
	}
	slices.SortFunc(ready, func(a, b *candidate) int { return cmp.Compare(a.peer, b.peer) }) // so that a seed decides
	c.rand.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
	rank := func(k *candidate) int {
		n := 10 * k.depth
		if as == asStandby { // whoever has room; the DJ's box has enough to do
			n = -n
			if k.depth > 0 {
				n = 0
			}
		}
		if c.cfg.Near(k.peer) {
			n -= 1000
		}
		if k.free == 0 && !k.at.IsZero() && now.Sub(k.at) < roving {
			n += cr.unwelcome()
		}
		if !slices.Contains(connected, k.peer) {
			n += 5
		}
		return n
	}
	slices.SortStableFunc(ready, func(a, b *candidate) int {
		if as == asNearby { // each in its turn: one of them does not have it through this box
			return a.at.Compare(b.at)
		}
		return cmp.Compare(rank(a), rank(b))
	})
	for i, k := range ready[:min(len(ready), n)] {
		m := nothing
		if i == 0 && as == asParent && cr.next == nil && (cr.parent == nil || cr.leaving()) && (k.free > 0 || len(ready) == 1) {
			m = full // no need to ask whether
		}
		cr.open(k, m)
	}
}

// askable tells whether a candidate may be asked now, and can be.
func (cr *carry) askable(k *candidate, connected []string, now time.Time) bool {
	c := cr.c
	return !k.busy && !k.until.After(now) && !c.liars[k.peer] && (len(k.addrs) > 0 && c.cfg.Meet != nil || slices.Contains(connected, k.peer))
}

// shed closes streams to those who have no room: one for each who is known to
// have some, and cannot be asked for want of a stream alone.
func (cr *carry) shed(connected []string, now time.Time) {
	roomy := 0
	for _, k := range cr.candidates {
		if k.free > 0 && now.Sub(k.at) < roving && cr.askable(k, connected, now) {
			roomy++
		}
	}
	for _, s := range cr.sources {
		if s.surplus {
			roomy-- // it is being closed for one of them
		}
	}
	for _, s := range cr.sources {
		if roomy > 0 && s != cr.parent && s != cr.standby && s != cr.next && !s.answered.IsZero() && s.st.free == 0 && !s.surplus {
			roomy--
			s.surplus = true
			s.stream.Reset() // who reads it tells
		}
	}
}

// spareOne asks for a standby: one that does not depend on the parent, and has
// room.
func (cr *carry) spareOne(now time.Time) {
	var best *source
	waiting := cr.awaited(now)
	cost := func(s *source) int {
		n := len(s.st.path)
		if s.st.free == 0 {
			n += 8
		}
		if n == 1 {
			n += 4 // the DJ's box has enough to do
		}
		if slices.Contains(s.st.path, markOf(cr.parent.peer)) {
			n += 20
		}
		if s.given == full {
			n += 100
		}
		return n
	}
	for _, s := range cr.sources {
		switch {
		case s.answered.IsZero():
		case s == cr.parent || s == cr.next || !cr.fit(s) || s.wants == heads && now.Sub(s.asked) < again:
		case best == nil || cost(s) < cost(best):
			best = s
		}
	}
	if best != nil && (waiting == 0 || now.Sub(best.answered) >= listening) {
		cr.standby = best
		best.wants, best.asked = heads, now
		cr.c.say(best.link, modeFrame(heads, cr.flags(), 0))
		return
	}
	if best == nil {
		cr.ask(now, 2-waiting, asStandby)
	}
}

// release closes streams that serve for nothing, and now and then looks for a
// better parent.
func (cr *carry) release(now time.Time) {
	for _, s := range slices.Clone(cr.sources) {
		kept := s == cr.parent || s == cr.standby || s == cr.next
		switch {
		case s.answered.IsZero() && now.Sub(s.asked) > silent, s == cr.standby && s.given != heads && now.Sub(s.asked) > silent,
			!kept && !s.answered.IsZero() && now.Sub(s.answered) > lingering:
			s.surplus = !s.answered.IsZero()
			s.stream.Reset() // who reads it tells
		case s == cr.next && s.given != full && now.Sub(s.asked) > hesitant, s == cr.next && now.Sub(s.asked) > 2*silent:
			cr.next = nil // it may come still, but others are asked before it is again
			s.refused = now
			s.denied++
		}
	}
	if cr.rove.IsZero() || now.After(cr.rove) {
		first := cr.rove.IsZero()
		every := roving
		if len(cr.path()) > deep {
			every /= 3
		}
		cr.rove = now.Add(every + time.Duration(cr.c.rand.Int64N(int64(every))))
		if !first && cr.parent != nil && !cr.root {
			cr.roam = now.Add(hesitant)
			cr.ask(now, 2-cr.awaited(now), asParent)
		}
	}
	if p := cr.parent; p != nil && !p.near && now.Sub(cr.visited) > visiting {
		cr.visited = now
		cr.ask(now, 1, asNearby)
	}
	if cr.parent == nil && !cr.lost.IsZero() && now.Sub(cr.lost) > stray {
		cr.place = nil
	}
}

// awaited counts those that may answer soon: who does not is not waited for.
func (cr *carry) awaited(now time.Time) (n int) {
	for _, at := range cr.opening {
		if now.Sub(at) < hesitant {
			n++
		}
	}
	for _, s := range cr.sources {
		if s.answered.IsZero() && now.Sub(s.asked) < hesitant {
			n++
		}
	}
	return n
}
