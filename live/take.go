package live

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"playnode/manifests"
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
	rove                  time.Time
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

// request asks a source for everything.
func (cr *carry) request(s *source, now time.Time) {
	cr.next = s
	s.wants, s.asked = full, now
	cr.c.say(s.link, modeFrame(full, cr.flags(), cr.lacks()))
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
		env, payload, err := parseSigned(body)
		if err != nil {
			return err
		}
		signed := manifests.Signed{Env: manifests.NewBlock(env), Payload: manifests.NewBlock(payload)}
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
	default:
		cr.choose(now, cr.cost(cr.parent, now)-15)
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
	for _, s := range cr.sources {
		switch {
		case s.answered.IsZero():
		case s == cr.parent || !cr.fit(s) || now.Sub(s.refused) < again<<min(s.denied, 4):
		case cr.cost(s, now) < most && (best == nil || cr.cost(s, now) < cr.cost(best, now)):
			best = s
		}
	}
	urgent := cr.parent == nil || cr.leaving()
	if best != nil && (waiting == 0 || !urgent || now.Sub(best.answered) >= listening || cr.c.cfg.Near(best.peer)) {
		cr.request(best, now)
		return
	}
	if best != nil || !urgent {
		return
	}
	cr.ask(now, probes-waiting, false)
}

// cost is how much another parent is to be preferred to s.
func (cr *carry) cost(s *source, now time.Time) int {
	n := 10*len(s.st.path) + 20*s.misses
	if s.near {
		n -= 1000
		if cr.parent != nil && !cr.parent.near && s != cr.parent && s.peer > cr.c.cfg.Peers.ID() {
			return 1 << 20 // of two who both have it from afar the other moves
		}
	}
	if s.st.free == 0 && s != cr.parent && !s.near {
		n += 15
	}
	if slices.Contains(s.st.path, cr.former) && now.Sub(cr.lost) < 10*time.Second {
		n += 25
	}
	return n
}

// ask opens streams to at most n candidates, the most promising first: as a
// parent, or as a standby.
func (cr *carry) ask(now time.Time, n int, standby bool) {
	c := cr.c
	n = min(n, maxSources-len(cr.sources)-len(cr.opening))
	if n <= 0 {
		return
	}
	connected := c.cfg.Known(cr.set.DJ)
	var ready []*candidate
	for _, p := range connected {
		if cr.candidates[p] == nil && p != c.cfg.Peers.ID() {
			cr.candidate(p)
		}
	}
	for p, k := range cr.candidates {
		if !k.busy && !k.until.After(now) && !c.liars[p] && (len(k.addrs) > 0 && c.cfg.Meet != nil || slices.Contains(connected, p)) {
			ready = append(ready, k)
		}
	}
	slices.SortFunc(ready, func(a, b *candidate) int { return cmp.Compare(a.peer, b.peer) }) // so that a seed decides
	c.rand.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
	rank := func(k *candidate) int {
		n := 10 * k.depth
		if standby { // whoever has room; the DJ's box has enough to do
			n = -n
			if k.depth > 0 {
				n = 0
			}
		}
		if c.cfg.Near(k.peer) {
			n -= 1000
		}
		if k.free == 0 && !k.at.IsZero() {
			n += 15
		}
		if !slices.Contains(connected, k.peer) {
			n += 5
		}
		return n
	}
	slices.SortStableFunc(ready, func(a, b *candidate) int { return cmp.Compare(rank(a), rank(b)) })
	for i, k := range ready[:min(len(ready), n)] {
		m := nothing
		if i == 0 && !standby && cr.next == nil && (cr.parent == nil || cr.leaving()) && (k.free > 0 || len(ready) == 1) {
			m = full // no need to ask whether
		}
		cr.open(k, m)
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
		cr.ask(now, 2-waiting, true)
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
			cr.next = nil // it may come still
		}
	}
	if cr.rove.IsZero() || now.After(cr.rove) {
		first := cr.rove.IsZero()
		cr.rove = now.Add(roving + time.Duration(cr.c.rand.Int64N(int64(roving))))
		if !first && cr.parent != nil && !cr.root {
			cr.ask(now, 2-cr.awaited(now), false)
		}
	}
	if cr.parent == nil && !cr.lost.IsZero() && now.Sub(cr.lost) > stray {
		cr.place = nil
	}
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
