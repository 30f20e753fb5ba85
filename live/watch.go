package live

import (
	"time"
)

const (
	// maxMisses is how many segments in a row a parent may be late with.
	maxMisses = 2
	// tries bounds how often one segment is pulled; giveUp is when it is not
	// sought any more.
	tries  = 4
	giveUp = 8 * time.Second
	// mute is how long after others a parent may bring a head.
	mute = 600 * time.Millisecond
	// quiet is how many segments' time nothing may come before others are
	// asked whether they know more, and behind by how many segments one may be
	// before it is left.
	quiet, behind = 3, 3
)

// watch looks after what is late, and who. c.mu is held.
func (cr *carry) watch(now time.Time) {
	cr.retry()
	if cr.holders > 0 && !cr.root {
		cr.late(now)
		cr.compare(now)
		cr.release(now)
		cr.seek(now)
	}
	cr.offers(now)
}

// retry judges anew a record under a root that was not known.
func (cr *carry) retry() {
	s := cr.pending
	if s == nil {
		return
	}
	cr.pending = nil
	cr.c.spawn(func() { cr.c.takeRecord(cr, *s, nil) })
}

// late pulls the segments that are, and notes whether the parent was late.
func (cr *carry) late(now time.Time) {
	if !cr.begun {
		return
	}
	pace, late := cr.pace(), cr.lateness()
	blame := max(late, pace*5/2) // others may be as late
	cr.from = max(cr.from, cr.low)
	for seq := cr.from; seq < cr.edge; seq++ {
		x := cr.held[seq]
		if x == nil {
			x = &held{known: now}
			cr.held[seq] = x
		}
		age := now.Sub(x.known)
		// A parent passes a head on at once, whatever else it does.
		if p := cr.parent; p != nil && x.data == nil && x.head != nil && age > mute && p.tip <= seq && p.misses < maxMisses && p.adopted.Before(x.known) {
			p.misses = maxMisses
			cr.c.cfg.Log.Debug("parent on air is silent", "peer", p.peer, "head", seq)
		}
		switch {
		case x.data != nil, age > giveUp:
			if seq == cr.from {
				cr.from++
			}
			continue
		case age < late:
			continue
		}
		if p := cr.parent; p != nil && !x.blamed && age >= blame && p.given == full && p.adopted.Before(x.known) {
			x.blamed = true
			if p.misses++; p.misses == maxMisses {
				cr.c.cfg.Log.Debug("parent on air is late", "peer", p.peer, "segment", seq)
			}
		}
		if now.Sub(x.pulled) >= max(pace/2, 400*time.Millisecond) && x.pulls < tries {
			cr.pull(seq, x, now)
		}
		if age >= late+pace && !x.fetched && x.head != nil && cr.c.cfg.Fetch != nil {
			cr.fetch(seq, x, now.Add(giveUp-age))
		}
	}
}

// pull asks one of those at hand for a segment: the standby first, the parent
// last.
func (cr *carry) pull(seq uint64, x *held, now time.Time) {
	var from []*source
	if cr.standby != nil && cr.standby.given >= heads {
		from = append(from, cr.standby)
	}
	for _, s := range cr.sources {
		if s != cr.standby && s != cr.parent && !s.answered.IsZero() && s.st.edge > 0 {
			from = append(from, s)
		}
	}
	if cr.parent != nil {
		from = append(from, cr.parent)
	}
	if len(from) == 0 {
		return
	}
	s := from[x.pulls%len(from)]
	if len(s.pulls) >= maxPull {
		return
	}
	x.pulls++
	x.pulled = now
	s.pulls[seq] = now
	cr.stats.Pulled++
	cr.c.say(s.link, seqsFrame(framePull, seq))
}

// compare leaves a parent or a standby that is behind what others tell, and
// asks around where nothing comes from anyone.
func (cr *carry) compare(now time.Time) {
	pace := cr.pace()
	if p := cr.parent; p != nil && now.Sub(p.adopted) > behind*pace {
		if cr.edge > p.tip+behind {
			p.misses = max(p.misses, maxMisses)
		}
		if p.misses > 2*maxMisses { // and nobody was found in its place
			p.stream.Reset()
		}
	}
	if s := cr.standby; s != nil && now.Sub(s.asked) > behind*pace && cr.edge > s.tip+behind {
		cr.standby = nil
		s.stream.Reset()
	}
	if cr.parent != nil && !cr.closed && cr.edge > 0 && now.Sub(cr.moved) > quiet*pace {
		for _, s := range cr.sources {
			if s.st.edge > cr.edge+1 {
				cr.parent.misses = max(cr.parent.misses, maxMisses)
			}
		}
		if now.Sub(cr.hushed) > quiet*pace {
			cr.hushed = now
			cr.ask(now, 2-cr.awaited(now), asParent)
		}
	}
}
