package fetch

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"playnode/node"
)

const (
	// maxPeers bounds the peers that are asked at once, maxMet those that are
	// remembered as connected, maxLiars those that are not asked any more.
	maxPeers, maxMet, maxLiars = 32, 512, 4096
	// maxWindow is how many blocks are asked of one peer at once.
	maxWindow = 32
	// pipe is how much of a line's time is kept asked for beyond its delay.
	pipe = 300 * time.Millisecond
	// stalled is how long a peer that is asked may be silent, givingUp how
	// long it may give nothing whatever it says, idle how long a stream
	// without use is kept.
	stalled, givingUp, idle = 10 * time.Second, time.Minute, time.Minute
	// coolest and coldest bound the wait before a peer that failed is tried
	// again.
	coolest, coldest = 2 * time.Second, 5 * time.Minute
	// loneliest is how long one who has nobody else waits before a peer that had
	// no room is tried again.
	loneliest = 5 * time.Second
	// opening bounds one Open, meeting one Meet.
	opening, meeting, maxMeeting = 10 * time.Second, 15 * time.Second, 8
	// saving is how long a peer that has put a block off is taken to save its
	// line for blocks that nobody else has.
	saving = 30 * time.Second
)

// peers is who is asked. Guarded by Scheduler.mu.
type peers struct {
	open    []*peer
	byID    map[string]*peer
	used    uint64 // bits of open
	opening int
	met     map[string]*acquaintance // connected, or told of, and not open
	liars   map[string]bool
	meeting map[string]*referral // whom a goroutine each dials
	awaited map[string]*referral // whom we dial in a while, unless they dial us
	named   []referral           // to be dialled
	turn    int                  // how many were taken off those
	leaf    int64                // about how large a leaf is
	rate    float64              // bytes a second of one, as they come
	began   time.Time            // when something was first wanted
	active  time.Time            // when something was last wanted
}

// acquaintance is a peer that may be asked, once its stream is open.
type acquaintance struct {
	busy  bool // it is being opened, or met
	until time.Time
	wait  time.Duration
	taken int // as of peer, more than it had given when its last stream ended
}

func newPeers() peers {
	return peers{leaf: 128 << 10, rate: 1e6, byID: map[string]*peer{}, met: map[string]*acquaintance{}, meeting: map[string]*referral{}, awaited: map[string]*referral{}, liars: map[string]bool{}}
}

// peer is one whose blocks we ask for. Its fields are guarded by Scheduler.mu.
type peer struct {
	id     string
	row    string // of Counts
	near   bool
	bit    uint64
	stream node.Stream
	kick   chan struct{} // one slot: there is something to say
	hasty  chan struct{} // one slot: and at once
	gone   chan struct{} // closed when the stream has ended
	since  time.Time     // it is asked

	// What is to be said.
	greeted bool
	dialled bool // it knows that others have dialled us
	opens   bool // it tells of whom it names whether others have dialled it
	tells   []*want
	wants   []order
	hurries []order
	cancels []uint32
	got     []uint32
	done    []Digest

	asks     map[uint32]*ask
	order    []*ask // the same, as asked
	asked    int64  // bytes of asks
	crossing int    // blocks that may come though cancelled
	stray    int    // bytes of parts of such, since the last whole one
	lag      time.Duration
	came     flow
	usual    *float64 // as peers.rate
	told     time.Time
	posed    time.Time // when it was asked what it holds, from posing on; zero once it has said
	posing   uint32
	heard    time.Time // last byte
	gave     time.Time // last block
	flowed   time.Time // last byte of one
	hits     int
	misses   int
	taken    int // asks that others were given instead
	lies     int // blocks it said it held, and did not give
	saved    time.Time
	spoke    bool
	mute     bool          // it has let a playhead wait, and said nothing since
	still    bool          // or what is next: it may have a slow line, and is asked all the same
	full     time.Duration // it has no room for us for so long
	reading  bool          // a block of its is coming
}

// saves tells whether p keeps its line for blocks that nobody else has.
func (p *peer) saves(now time.Time) bool { return !p.saved.IsZero() && now.Before(p.saved) }

func (p *peer) latency() time.Duration {
	switch {
	case p.lag > 0:
		return p.lag
	case p.near:
		return 5 * time.Millisecond
	}
	return 100 * time.Millisecond
}

func (p *peer) speed() float64 {
	switch {
	case p.came.known():
		return p.came.rate()
	case p.near:
		return 20e6
	}
	return *p.usual
}

// eta is how long p will take for size more bytes: as long at the least as it
// has given nothing.
func (p *peer) eta(size int64, now time.Time) time.Duration {
	eta := p.latency() + time.Duration(float64(p.asked+size)/p.speed()*float64(time.Second))
	if p.mute {
		eta += stalled
	}
	if len(p.order) > 0 {
		eta = max(eta, p.idle(p.order[0], now))
	}
	return eta
}

// idle is how long p has given nothing whole since it was asked for a.
func (p *peer) idle(a *ask, now time.Time) time.Duration {
	if p.gave.After(a.sent) {
		return now.Sub(p.gave)
	}
	return now.Sub(a.sent)
}

// left is how long p will take yet for a: as its bytes have come so far, behind
// half a block at p's usual speed, as they come in lumps; or, if none have, after
// what it was asked for before.
func (p *peer) left(a *ask, now time.Time) time.Duration {
	if a.came > 0 {
		before := float64(a.size) / 2
		rate := (before + float64(a.came)) / (before/p.speed() + now.Sub(a.first).Seconds())
		return time.Duration(float64(max(0, a.size-a.came)) / rate * float64(time.Second))
	}
	var ahead int64
	for _, o := range p.order {
		if ahead += o.size; o == a {
			break
		}
	}
	return max(time.Duration(float64(ahead)/p.speed()*float64(time.Second)), p.idle(a, now))
}

// idles tells whether p is asked and gives nothing, or more was taken off it for
// that than it has given.
func (p *peer) idles(now time.Time) bool {
	return p.taken > p.hits || len(p.order) > 0 && p.idle(p.order[0], now) >= dripping && now.Sub(p.flowed) >= dripping
}

func (p *peer) oldest() *ask {
	if len(p.order) == 0 {
		return nil
	}
	return p.order[0]
}

// window is how many blocks p is asked for at once: as many as its line takes
// while the next are asked for.
func (p *peer) window(leaf int64) int {
	if p.taken > p.hits {
		return 1
	}
	if !p.came.known() {
		if p.near {
			return 8
		}
		return 4
	}
	return min(max(2, 1+int(p.came.rate()*(p.latency()+pipe).Seconds()/float64(leaf))), maxWindow)
}

// room tells whether p may be asked for w as well, a leaf being about so large.
func (p *peer) room(w *want, leaf int64, now time.Time) bool {
	n := len(p.asks)
	switch {
	case w.urgent(now):
		return n < maxWindow+16
	case w.Class == node.Next:
		return n < maxWindow+16 && p.ahead(w) < p.window(leaf)+4
	}
	return n < p.window(leaf)
}

// ahead is how many blocks p is asked for that are due no later than w.
func (p *peer) ahead(w *want) (n int) {
	for _, o := range p.order {
		if !w.before(o.w) {
			n++
		}
	}
	return n
}

func (p *peer) remember(a *ask, now time.Time) {
	if len(p.asks) == 0 {
		p.heard, p.gave = now, now
	}
	p.asks[a.w.number] = a
	p.order = append(p.order, a)
	p.asked += a.size
}

func (p *peer) forget(a *ask) {
	delete(p.asks, a.w.number)
	if i := slices.Index(p.order, a); i >= 0 {
		p.order = slices.Delete(p.order, i, i+1)
	}
	p.asked -= a.size
}

// poke has p's writer say what there is to say.
func (p *peer) poke(now bool) {
	c := p.kick
	if now {
		c = p.hasty
	}
	select {
	case c <- struct{}{}:
	default:
	}
}

// sample notes how quick a block of n bytes came.
func (p *peer) sample(a *ask, n int, now time.Time) {
	since, behind := a.sent, p.gave.After(a.sent) // another block, which says nothing of the way
	if behind {
		since = p.gave
	}
	p.gave = now
	took := max(now.Sub(since), 50*time.Microsecond)
	if n < 16<<10 {
		if !behind {
			p.delayed(took)
		}
		return
	}
	p.came.add(n, took)
	*p.usual += (p.came.rate() - *p.usual) * .1
}

// flow is how much has come of late, in how much time that was waited for: what
// stood behind a lost packet comes in a heap, after a time in which nothing did.
type flow struct{ bytes, seconds float64 }

// fading is how much of such time counts, about; what came before fades.
const fading = 3 * time.Second

// add counts n bytes that came when they had been waited for so long.
func (f *flow) add(n int, took time.Duration) {
	fade := math.Exp(-took.Seconds() / fading.Seconds())
	f.bytes, f.seconds = f.bytes*fade+float64(n), f.seconds*fade+took.Seconds()
}

func (f *flow) known() bool { return f.seconds > 0 }

// rate is in bytes a second.
func (f *flow) rate() float64 { return f.bytes / f.seconds }

// delayed notes how long a short answer took.
func (p *peer) delayed(took time.Duration) {
	switch {
	case p.lag == 0 || took < p.lag:
		p.lag = max(took, 100*time.Microsecond)
	default:
		p.lag += (min(took, 4*p.lag) - p.lag) / 8
	}
}

// seek has all peers told of a new want. s.mu is held.
func (s *Scheduler) seek(w *want) {
	if s.cfg.Streams == nil || w.digest == (Digest{}) {
		return
	}
	if s.peers.active = w.since; len(s.list) == 1 {
		s.peers.began = w.since
	}
	s.reach(w.since)
	for _, p := range s.peers.open {
		p.tell(w)
	}
}

// tell has p asked whether it holds w.
func (p *peer) tell(w *want) {
	w.told |= p.bit
	p.tells = append(p.tells, w)
	p.poke(true)
}

// met notes a peer that has connected.
func (s *Scheduler) met(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peers.byID[id] != nil || s.peers.liars[id] {
		return
	}
	if a := s.peers.met[id]; a != nil {
		a.until, a.wait = time.Time{}, 0
		if _, dialled := s.peers.meeting[id]; dialled { // it has come by itself meanwhile
			delete(s.peers.meeting, id)
			a.busy = false
		}
		if i := slices.IndexFunc(s.peers.named, func(r referral) bool { return r.peer == id }); i >= 0 {
			s.peers.named = slices.Delete(s.peers.named, i, i+1)
			a.busy = false
		}
	} else if !s.remember(id) {
		return
	}
	if len(s.list) > 0 {
		s.reach(s.cfg.Now())
	}
}

// remember makes an acquaintance of id; false when there are too many. s.mu
// is held.
func (s *Scheduler) remember(id string) bool {
	for other, a := range s.peers.met {
		if len(s.peers.met) < maxMet {
			break
		}
		if !a.busy {
			delete(s.peers.met, other)
		}
	}
	if len(s.peers.met) >= maxMet || id == s.cfg.Peers.ID() {
		return false
	}
	s.peers.met[id] = &acquaintance{}
	return true
}

// reach opens streams to acquaintances, while there is room. s.mu is held.
func (s *Scheduler) reach(now time.Time) {
	if len(s.peers.open)+s.peers.opening >= maxPeers || len(s.peers.met) == 0 {
		return
	}
	var ready []string
	for id, a := range s.peers.met {
		if !a.busy && !a.until.After(now) {
			ready = append(ready, id)
		}
	}
	s.order(ready)
	for _, id := range ready {
		if len(s.peers.open)+s.peers.opening >= maxPeers {
			return
		}
		s.peers.met[id].busy = true
		s.peers.opening++
		go s.join(id)
	}
}

// order shuffles peers, those near first. s.mu is held.
func (s *Scheduler) order(ids []string) {
	slices.Sort(ids) // so that a seed decides
	s.rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	if s.cfg.Near == nil {
		return
	}
	slices.SortStableFunc(ids, func(a, b string) int {
		switch near := s.cfg.Near(a); {
		case near == s.cfg.Near(b):
			return 0
		case near:
			return -1
		}
		return 1
	})
}

// cool has an acquaintance left alone for a while, ever longer. s.mu is held.
func (s *Scheduler) cool(id string, least time.Duration) {
	a := s.peers.met[id]
	if a == nil {
		if s.peers.liars[id] || !s.remember(id) {
			return
		}
		a = s.peers.met[id]
	}
	a.busy = false
	a.wait = min(max(2*a.wait, least), coldest)
	a.until = s.cfg.Now().Add(a.wait)
	if len(s.list) > 0 {
		s.arm(a.until)
	}
}

// admit gives a stream its place. s.mu is held.
func (s *Scheduler) admit(id string, st node.Stream, now time.Time) *peer {
	near := s.cfg.Near != nil && s.cfg.Near(id)
	p := &peer{
		id: id, row: FromSwarm, near: near, stream: st, bit: 1 << bits.TrailingZeros64(^s.peers.used),
		kick: make(chan struct{}, 1), hasty: make(chan struct{}, 1), gone: make(chan struct{}),
		asks: map[uint32]*ask{}, since: now, heard: now, gave: now, usual: &s.peers.rate,
	}
	if near {
		p.row = FromLAN
	}
	s.peers.used |= p.bit
	s.peers.open = append(s.peers.open, p)
	s.peers.byID[id] = p
	for _, w := range s.list {
		p.tell(w)
	}
	for _, w := range slices.Clone(s.list) {
		if w.Class == node.Now && len(w.asks) < 2 && w.has == 0 && s.mayAsk(w, p, now) {
			s.askPeer(w, p, now)
		}
		if len(w.asks) == 0 && (w.Class <= node.Next || w.urgent(now)) {
			s.consider(w, now)
		}
	}
	p.poke(true)
	s.arm(now.Add(time.Second))
	return p
}

// inspect ends streams that are stalled or of no use, and opens others. s.mu
// is held.
func (s *Scheduler) inspect(now time.Time) {
	for _, p := range s.peers.open {
		o := p.oldest()
		switch {
		case o != nil && now.Sub(p.heard) >= stalled, o != nil && now.Sub(p.gave) >= givingUp && now.Sub(o.sent) >= givingUp:
			s.cfg.Log.Debug("peer is silent", "peer", p.id)
			p.stream.Reset()
		case p.reading && now.Sub(p.flowed) >= stalled:
			p.stream.Reset() // nobody waits for it any more, and nothing comes behind it
		case len(s.list) == 0 && now.Sub(s.peers.active) >= idle:
			p.stream.Reset()
		}
	}
	if len(s.peers.open) > 0 && len(s.list) == 0 {
		s.arm(now.Add(time.Second))
	}
	if len(s.list) == 0 {
		return
	}
	for _, p := range s.peers.open {
		for _, a := range p.order { // its way may have become slower, and others due sooner
			s.press(a.w, now)
		}
		s.fill(p, now)
	}
	if len(s.peers.open) > 0 {
		s.arm(now.Add(moveGain))
	}
	s.peers.active = now
	s.reach(now)
	for _, a := range s.peers.met {
		if !a.busy && a.until.After(now) {
			s.arm(a.until)
		}
	}
	s.remind(now)
}

// reminding is how often peers are asked anew about what they did not hold.
const reminding = 30 * time.Second

// remind asks peers anew: what they hold may have come in ways that they do
// not tell of. s.mu is held.
func (s *Scheduler) remind(now time.Time) {
	for _, p := range s.peers.open {
		if now.Sub(p.told) < reminding {
			continue
		}
		if !p.told.IsZero() {
			for _, w := range s.list {
				if w.has&p.bit == 0 {
					p.tell(w)
				}
			}
		}
		p.told = now
	}
}
