package live

import (
	"slices"
	"time"

	"playnode/node"
)

const (
	// probes is how many neighbours are asked at once who might be the parent,
	// maxSources the streams open to such, maxCandidates those known.
	probes, maxSources, maxCandidates = 3, 8, 64
	// listening is how long others that were asked are waited for when one has
	// answered, silent how long one may take to answer, lingering how long a
	// stream is kept that serves for nothing.
	listening, silent, lingering = 120 * time.Millisecond, 2 * time.Second, 3 * time.Second
	// hesitant is how long one is waited for before others are asked as well.
	hesitant = 600 * time.Millisecond
	// again is how soon one that had no room is asked once more.
	again = 2 * time.Second
	// roving is how often, and at most twice that, it is looked whether another
	// parent stands nearer to the DJ.
	roving = 20 * time.Second
	// deep is the length of a path from which on it is looked for more often.
	deep = 4
	// visiting is how often one who has the set from afar looks for one who has
	// it on its own network.
	visiting = 4 * time.Second
	// coolest and coldest bound the wait before a neighbour that was of no use
	// is asked again.
	coolest, coldest = 2 * time.Second, 2 * time.Minute
	// maxUseless frames that serve for nothing may come in a row; wordy frames
	// at once, and wordRate a second after that.
	maxUseless, wordy, wordRate = 64, 256, 64
	// shortHold and longHold bound how long a late parent is borne with after
	// another was left, calm is when that is forgotten.
	shortHold, longHold, calm = 4 * time.Second, time.Minute, time.Minute
	// stray is how long an orphan still says that it stands where it stood.
	stray = 2 * time.Second
)

// taker is whom a set comes from. Guarded by Carrier.mu.
type taker struct {
	sources               []*source
	opening               map[*candidate]time.Time // since when each is being opened
	parent, next, standby *source
	candidates            map[string]*candidate
	place                 []mark    // the path to here, ourselves last
	lost                  time.Time // since when there is no parent
	former                mark      // of the parent before
	rove, visited         time.Time
	roam                  time.Time // until when one that stands nearer is moved to
	bound                 time.Time // until when a late parent is borne with
	hold                  time.Duration
	from                  uint64 // all before is here, or given up
}

// source is one whom we ask, whatever it gives.
type source struct {
	*link
	wants, given mode
	asked        time.Time
	answered     time.Time
	st           state
	pulls        map[uint64]time.Time
	tip          uint64 // the number after the newest that it has told of
	adopted      time.Time
	surplus      bool // it was not needed, and closed by us
	misses       int  // segments in a row that it was late with
	idle         int  // frames in a row that served for nothing
	refused      time.Time
	denied       int // how often
	words        allowance
}

// candidate is one who may be asked.
type candidate struct {
	referral
	by    string // who told of it; "" for who is connected by itself
	at    time.Time
	busy  bool // a stream is open, or being opened
	until time.Time
	wait  time.Duration
}

// useful notes that a frame served for something.
func (s *source) useful() {
	if s != nil {
		s.idle = 0
	}
}

// tells notes a head that s has brought, new or not.
func (s *source) tells(seq uint64) {
	if s != nil {
		s.tip = max(s.tip, seq+1)
	}
}

// shrug is err where there is nobody to blame, and errUseless for a source that
// has come with too much of the kind.
func (s *source) shrug(err error) error {
	if s == nil {
		return err
	}
	if s.idle++; s.idle > maxUseless {
		return errUseless
	}
	return nil
}

// brought notes that s was the first with a segment.
func (s *source) brought(cr *carry, seq uint64, x *held) {
	if !cr.begun {
		cr.begun, cr.begin, cr.from = true, seq, seq
	}
	if s == nil {
		return
	}
	s.tip = max(s.tip, seq+1)
	if !x.blamed && x.pulls == 0 {
		s.misses = 0
	}
	if s == cr.next && s.given == full {
		cr.adopt(s)
	}
}

// rooted tells whether this box stands below the DJ.
func (cr *carry) rooted() bool {
	return cr.root || cr.parent != nil && cr.parent.st.flags&flagRooted != 0 || cr.parent == nil && len(cr.place) > 1
}

// path is the boxes from the DJ's to this one.
func (cr *carry) path() []mark {
	switch {
	case cr.root || cr.parent == nil && len(cr.place) == 0:
		return []mark{cr.c.self}
	case cr.parent == nil:
		return cr.place
	}
	return append(slices.Clip(cr.parent.st.path), cr.c.self)
}

// adopt makes s the parent; the one before stays as standby, if there is none.
func (cr *carry) adopt(s *source) {
	old := cr.parent
	cr.parent, cr.next = s, nil
	cr.lost = time.Time{}
	s.misses, s.adopted = 0, cr.c.cfg.Now()
	cr.offer = spare{}
	if s == cr.standby {
		cr.standby = nil
	}
	cr.stats.Parents++
	if old != nil && old != s {
		if old.misses >= maxMisses {
			cr.bind(cr.c.cfg.Now())
		}
		old.wants = nothing
		if cr.standby == nil && old.st.flags&flagRooted != 0 {
			cr.standby, old.wants = old, heads
		}
		old.answered = cr.c.cfg.Now() // it lingers
		cr.c.say(old.link, modeFrame(old.wants, cr.flags(), 0))
	}
	cr.place = cr.path()
	now := cr.c.cfg.Now()
	cr.offers(now)
	cr.seek(now)
}

// flags is what an asker says of itself.
func (cr *carry) flags() (f byte) {
	if cr.c.cfg.Dialable() {
		f |= flagDialable
	}
	if cr.begun && (cr.parent == nil || cr.parent.misses >= maxMisses) {
		f |= flagOrphan
	}
	return f
}

// lacks is the segment from which on none is here. What is missing before it is
// pulled: a new parent would send all that is here from there on again.
func (cr *carry) lacks() uint64 {
	if !cr.begun {
		return 0
	}
	return max(cr.top, 1)
}

// forget takes a source off, and has another take its place. c.mu is held.
func (cr *carry) forget(s *source, now time.Time) {
	cr.sources = slices.DeleteFunc(cr.sources, func(o *source) bool { return o == s })
	for seq := range s.pulls {
		if x := cr.held[seq]; x != nil {
			x.pulled = time.Time{}
		}
	}
	if s == cr.next {
		cr.next = nil
	}
	if s == cr.standby {
		cr.standby = nil
	}
	if s == cr.parent {
		cr.orphan(now)
	}
	cr.seek(now)
}

// orphan has the standby asked to be the parent.
func (cr *carry) orphan(now time.Time) {
	cr.former = markOf(cr.parent.peer)
	cr.place = cr.path()
	cr.parent = nil
	cr.lost = now
	cr.stats.Lost++
	if s := cr.standby; s != nil && cr.next == nil && cr.fit(s) {
		cr.standby = nil
		cr.request(s, now)
	}
}

// cool leaves a candidate alone for a while, ever longer.
func (cr *carry) cool(k *candidate, least time.Duration, now time.Time) {
	k.busy = false
	k.wait = min(max(2*k.wait, least), coldest)
	k.until = now.Add(k.wait)
}

// looped tells whether s has the set from here.
func (cr *carry) looped(s *source) bool { return slices.Contains(s.st.path, cr.c.self) }

// fit tells whether s could be the parent.
func (cr *carry) fit(s *source) bool {
	return !s.answered.IsZero() && s.st.flags&flagRooted != 0 && !cr.looped(s) && len(s.st.path) < maxPath
}

// consider notes one that by has told of.
func (cr *carry) consider(r referral, by string, now time.Time) {
	if r.peer == cr.c.cfg.Peers.ID() || cr.c.liars[r.peer] {
		return
	}
	k := cr.candidates[r.peer]
	if k == nil {
		k = cr.candidate(r.peer)
		if k == nil {
			return
		}
		k.by = by
	}
	if k.busy {
		return
	}
	if len(r.addrs) > 0 {
		k.addrs, k.by = r.addrs, by
	}
	k.depth, k.free, k.at = r.depth, r.free, now
}

// candidate makes one; nil when there are too many that are busy.
func (cr *carry) candidate(peer string) *candidate {
	for p, k := range cr.candidates { // any
		if len(cr.candidates) < maxCandidates {
			break
		}
		if !k.busy {
			delete(cr.candidates, p)
		}
	}
	if len(cr.candidates) >= maxCandidates {
		return nil
	}
	k := &candidate{referral: referral{peer: peer, depth: 3}}
	cr.candidates[peer] = k
	return k
}

// leaving tells whether another parent is to be found.
func (cr *carry) leaving() bool {
	return cr.parent.st.flags&flagLeave != 0 || cr.parent.misses >= maxMisses && !cr.c.cfg.Now().Before(cr.bound)
}

// bind has who was left for being late followed by one that is borne with for
// longer: where lines are short nobody is in time, and moving makes it worse.
func (cr *carry) bind(now time.Time) {
	if now.Sub(cr.bound) > calm {
		cr.hold = 0
	}
	cr.hold = min(max(2*cr.hold, shortHold), longHold)
	cr.bound = now.Add(cr.hold)
}

// fetch has a segment fetched by the block exchange.
func (cr *carry) fetch(seq uint64, x *held, by time.Time) {
	c, link := cr.c, x.head.Seg
	x.fetched = true
	c.spawn(func() {
		ctx, cancel := c.within(by.Sub(c.cfg.Now()))
		defer cancel()
		data, err := c.cfg.Fetch.Get(ctx, link, node.Want{Class: node.Now, Deadline: by})
		if err != nil || node.Verify(link, data) != nil {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		cr.stats.Fetched++
		cr.addSegment(seq, data, nil)
	})
}
