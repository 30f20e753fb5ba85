package fetch

import (
	"slices"
	"time"

	"playnode/node"
)

const (
	// leastTurns and mostTurns bound how many blocks are under way at once,
	// those for playheads apart: a block that is whole can go on, and ten halves
	// cannot. As many are as arrive in turnsTime, and slowTurns where one takes
	// longer than slowTurn.
	leastTurns, mostTurns, slowTurns = 3, 16, 2
	turnsTime, slowTurn              = 500 * time.Millisecond, time.Second
	// aloneTurns is how many are where only one waits, and nobody else is given
	// to: there is none whose block they would halve.
	aloneTurns = 32
	// leastTurn and longestTurn bound how long a turn lasts if the block does
	// not arrive.
	leastTurn, longestTurn = 500 * time.Millisecond, 30 * time.Second
)

// turns is who may give a block, and who waits. Guarded by giver.mu.
type turns struct {
	held    int       // granted, or under way
	shut    bool      // as of seesShut
	waiting []*client // as they came
	pace              // of those that take turns
	apart   pace      // of the others
}

// pace is about how long a block takes until it has arrived: what the median of the
// peers takes that were given to of late. A line that is slow is slow for all of
// them; one that reads slowly, or lies, is one of many.
type pace struct {
	took    time.Duration
	samples []sample // a peer has one, the latest last
}

// sample is how long a peer's blocks took of late.
type sample struct {
	peer string
	took time.Duration
	at   time.Time
}

// maxSamples bounds the peers of whom it is known how long blocks take, for
// sampleTerm.
const maxSamples, sampleTerm = 32, time.Minute

// abreast is how many blocks may be under way.
func (t *turns) abreast() int {
	switch {
	case t.took == 0:
		return leastTurns
	case t.took > slowTurn:
		return slowTurns
	}
	return min(max(leastTurns, int(turnsTime/t.took)), mostTurns)
}

// most is how long a turn lasts: who takes longer reads slowly, as all go by
// the same line.
func (t *turns) most() time.Duration { return min(max(leastTurn, 4*t.took), longestTurn) }

// timed notes how long a block took peer. Where it is the only one it raises
// what a block takes by steps: one that was late may have been lost.
func (t *pace) timed(peer string, took time.Duration, now time.Time) {
	took = max(took, time.Millisecond)
	x := sample{peer, took, now}
	t.samples = slices.DeleteFunc(t.samples, func(o sample) bool {
		if o.peer == peer {
			x.took = o.took + (min(took, 4*o.took)-o.took)/4
		}
		return o.peer == peer || now.Sub(o.at) > sampleTerm
	})
	if len(t.samples) == maxSamples {
		t.samples = slices.Delete(t.samples, 0, 1)
	}
	t.samples = append(t.samples, x)
	var all [maxSamples]time.Duration
	for i, o := range t.samples {
		all[i] = o.took
	}
	known := all[:len(t.samples)]
	slices.Sort(known)
	t.took = known[(len(known)-1)/2]
}

// of is how long a block takes peer, and no longer than a turn may last; 0 where that
// is not known of late.
func (t *pace) of(peer string, now time.Time) time.Duration {
	for _, o := range t.samples {
		if o.peer == peer && now.Sub(o.at) <= sampleTerm {
			return min(o.took, longestTurn)
		}
	}
	return 0
}

// takes is about how long a block takes that goes to whoever was given d here last.
// g.mu is held.
func (g *giver) takes(d Digest) time.Duration {
	e := g.ledger.rows[d]
	if e == nil {
		return g.turns.took
	}
	return max(g.turns.took, g.turns.apart.of(e.last, g.cfg.Now()))
}

// urgent is the most urgent class that c waits for.
func (c *client) urgent() node.Class {
	class := node.Later
	for _, o := range c.orders {
		class = min(class, o.class)
	}
	return class
}

// maxOwed is how many blocks a peer may have been given that nobody else has
// been seen to have: for each so many more it waits as if it were less urgent
// by a class. What goes to who gives on goes on, and the others have it too.
const maxOwed = 2

// rank is when c comes among those who wait: the lower the sooner. One that cannot
// be dialled, and gives on what it is given, goes before the others as if it were
// more urgent by a class: they can have a block from it, and it from few. Who has
// given nothing yet may only say so: it may begin with what nobody else gives, where
// others like it are seen to give on, while it owes nothing and has let no turn end.
// g.mu is held.
func (g *giver) rank(c *client) int {
	rank := int(c.urgent())
	x := g.ledger.guests[c.peer]
	if x != nil {
		rank += min(x.owes/maxOwed, 8)
	}
	if x == nil || x.dialled || !x.proven() && !(g.turns.shut && x.owes == 0 && !x.late && g.own(c)) {
		rank++
	}
	return rank
}

// own tells whether c waits for what has not come from others. g.mu is held.
func (g *giver) own(c *client) bool {
	return slices.ContainsFunc(c.orders, func(o order) bool { return !g.ledger.came(o.digest) })
}

// seesShut tells whether somebody is given to who cannot be dialled, and gives on
// what it is given. g.mu is held.
func (g *giver) seesShut() bool {
	for _, c := range g.clients {
		if x := g.ledger.guests[c.peer]; x != nil && !x.dialled && x.proven() {
			return true
		}
	}
	return false
}

// alone tells whether the only one who waits has all turns, and room for more.
func (t *turns) alone() bool {
	c := t.waiting[0]
	return len(t.waiting) == 1 && t.took < slowTurn && t.held < aloneTurns && c.granted+len(c.flying) == t.held
}

// grant gives turns to who waits, the most urgent first, then by turns. g.mu
// is held.
func (g *giver) grant() {
	g.turns.shut = len(g.turns.waiting) > 1 && g.seesShut()
	for len(g.turns.waiting) > 0 && (g.turns.held < g.turns.abreast() || g.turns.alone()) {
		best := 0
		for i, c := range g.turns.waiting {
			if g.rank(c) < g.rank(g.turns.waiting[best]) {
				best = i
			}
		}
		c := g.turns.waiting[best]
		g.turns.waiting = slices.Delete(g.turns.waiting, best, best+1)
		g.turns.held++
		c.granted++
		c.poke()
	}
}

// arrived ends the turns of blocks that c has. g.mu is held.
func (g *giver) arrived(c *client, numbers []uint32, now time.Time) {
	for _, k := range numbers {
		g.passed(c, k)
		if began, ok := c.flying[k]; ok {
			delete(c.flying, k)
			g.turns.held--
			g.turns.timed(c.peer, now.Sub(began), now)
		} else if began, ok := c.late[k]; ok {
			delete(c.late, k)
			g.turns.timed(c.peer, now.Sub(began), now)
			c.poke()
		} else if began, ok := c.beside[k]; ok {
			delete(c.beside, k)
			g.turns.apart.timed(c.peer, now.Sub(began), now)
		}
	}
	g.grant()
}

// overdue ends turns that have lasted too long: others go on, and who reads
// slowly is given the next block when it has this one. One that never says so
// is left. g.mu is held.
func (g *giver) overdue(c *client, now time.Time) {
	for k, began := range c.flying {
		if now.Sub(began) >= g.turns.most() {
			delete(c.flying, k)
			g.turns.held--
			g.turns.timed(c.peer, now.Sub(began), now) // the line may be slower than was thought
			if c.late == nil {
				c.late = map[uint32]time.Time{}
			}
			c.late[k] = began
			g.ledger.guest(c.peer).late = true
		}
	}
	for _, began := range c.late {
		if now.Sub(began) >= 2*givingUp {
			c.stream.Reset()
		}
	}
	g.grant()
}

// leave ends all turns of c. g.mu is held.
func (g *giver) leave(c *client) {
	g.turns.waiting = slices.DeleteFunc(g.turns.waiting, func(o *client) bool { return o == c })
	g.turns.held -= c.granted + len(c.flying)
	c.granted, c.flying, c.late, c.beside = 0, nil, nil, nil
	g.grant()
}

// speak writes what there is to say, and gives in its turn, the most urgent
// first.
func (g *giver) speak(c *client) {
	var b []byte
	for {
		select {
		case <-g.resume(c):
		case <-c.kick:
		case <-c.gone:
			return
		}
		for {
			var next order
			var any bool
			b, next, any = g.compose(c, b[:0])
			if len(b) == 0 && !any {
				break
			}
			if !g.line.takeAll(node.Now, len(b)) || !g.write(c, b) || any && !g.hand(c, next) {
				c.stream.Reset() // listen tells
				return
			}
		}
	}
}

// compose appends all small frames, and takes the most urgent order if it is
// c's turn, or the order is for a playhead; else c waits for its turn.
func (g *giver) compose(c *client, b []byte) (_ []byte, next order, any bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b = g.words(c, b)
	if len(c.orders) == 0 {
		g.turns.held -= c.granted
		c.granted = 0
		g.grant()
		return b, order{}, false
	}
	best := 0
	for i, o := range c.orders {
		if o.class < c.orders[best].class {
			best = i
		}
	}
	if next = c.orders[best]; next.class != node.Now && g.makesWay(c) > 0 {
		return b, order{}, false
	}
	switch {
	case next.class == node.Now:
	case g.apart(c):
		if c.beside == nil {
			c.beside = map[uint32]time.Time{}
		}
		if len(c.beside) < maxSamples {
			c.beside[next.number] = g.cfg.Now()
		}
	default:
		if len(c.late) > 0 {
			g.turns.held -= c.granted
			c.granted = 0
			g.grant()
			return b, order{}, false
		}
		if c.granted == 0 && !slices.Contains(g.turns.waiting, c) {
			g.turns.waiting = append(g.turns.waiting, c)
			g.grant()
		}
		if c.granted == 0 {
			return b, order{}, false
		}
		c.granted--
		if c.flying == nil {
			c.flying = map[uint32]time.Time{}
		}
		if _, twice := c.flying[next.number]; twice {
			g.turns.held--
		}
		c.flying[next.number] = g.cfg.Now()
	}
	return b, g.take(c, best), true
}

// apart tells whether the way to c is slow by itself: others are given to no later
// for it, and it no sooner for their waiting. It takes no turn then. g.mu is held.
func (g *giver) apart(c *client) bool {
	if g.cfg.Slow == nil || !g.cfg.Slow(c.peer) {
		return false
	}
	g.turns.waiting = slices.DeleteFunc(g.turns.waiting, func(o *client) bool { return o == c })
	g.turns.held -= c.granted
	c.granted = 0
	g.grant()
	return true
}

// take takes an order, and has a cancel of it heard from now on. g.mu is held.
func (g *giver) take(c *client, i int) order {
	o := c.orders[i]
	c.orders = slices.Delete(c.orders, i, i+1)
	if c.handing == nil {
		c.handing = map[uint32]*handing{}
	}
	c.handing[o.number] = &handing{class: o.class}
	g.cfg.waits(c.peer, o.class)
	if o.class == node.Now {
		g.clear(c, o.number)
	}
	return o
}

// words appends all small frames. g.mu is held.
func (g *giver) words(c *client, b []byte) []byte {
	b = append(b, c.small...)
	b = appendNumbers(b, frameNot, c.nots)
	b = appendNumbers(b, frameGain, c.gains)
	c.small, c.nots, c.gains, c.lazy = c.small[:0], c.nots[:0], c.gains[:0], false
	g.did.said(b)
	return b
}

// write writes b, and is seen to.
func (g *giver) write(c *client, b []byte) bool {
	if len(b) == 0 {
		return true
	}
	g.mu.Lock()
	c.writing, c.wrote = true, g.cfg.Now()
	g.mu.Unlock()
	_, err := c.stream.Write(b)
	g.mu.Lock()
	c.writing, c.wrote = false, g.cfg.Now()
	g.mu.Unlock()
	return err == nil
}

// hand gives one block, or says that it is not held, or is given later: others
// may have been given it while c waited. One that was cancelled goes nowhere.
func (g *giver) hand(c *client, o order) bool {
	l, err := g.read(o.digest)
	var data []byte
	if err == nil {
		data = l.data
	}
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(c.handing, o.number)
		if err == nil {
			g.release(l)
		}
	}()
	large := len(data) > smallBlock
	g.mu.Lock()
	cancelled := c.handing[o.number].cancelled
	if err != nil && !cancelled {
		c.nots = append(c.nots, o.number)
	}
	if err != nil || cancelled || large && g.defers(c, o) {
		g.passed(c, o.number)
		g.land(c, o.number)
		g.mu.Unlock()
		return true
	}
	if large {
		g.ledger.begin(o.digest, c.peer, g.cfg.Now())
		g.overtake(o.digest, c)
	}
	g.mu.Unlock()
	sent, ok := g.send(c, o, data)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.did.Sent += int64(sent)
	switch {
	case !ok:
		g.ledger.undo(o.digest, c.peer)
		return false
	case sent < len(data): // nobody waits for it any more
		g.passed(c, o.number)
		g.ledger.undo(o.digest, c.peer)
		g.land(c, o.number)
	case large:
		g.ledger.gave(o.digest, g.cfg.Now())
	default:
		g.land(c, o.number) // it is there as soon as it is heard of
	}
	return true
}

// lend notes that a large block goes to peer beside its orders; false when it is
// to be had from those who have been given it.
func (g *giver) lend(d Digest, peer string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now()
	if _, _, off := g.ledger.putOff(order{class: node.Next, digest: d}, peer, now, g.takes(d), g.near); off {
		return false
	}
	g.ledger.begin(d, peer, now)
	g.overtake(d, g.clients[peer])
	return true
}

// lent notes how lend's block went.
func (g *giver) lent(d Digest, peer string, whole bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if whole {
		g.ledger.gave(d, g.cfg.Now())
	} else {
		g.ledger.undo(d, peer)
	}
}

// land ends c's turn for a block. g.mu is held.
func (g *giver) land(c *client, number uint32) {
	if _, ok := c.flying[number]; ok {
		delete(c.flying, number)
		g.turns.held--
	}
	delete(c.late, number)
	delete(c.beside, number)
	g.grant()
}

// defers puts an order off if others have been given the block. g.mu is held.
func (g *giver) defers(c *client, o order) bool {
	wait, to, off := g.ledger.putOff(o, c.peer, g.cfg.Now(), g.takes(o.digest), g.near)
	if !off {
		return false
	}
	var refs []referral
	for _, p := range to {
		refs = append(refs, g.ledger.guests[p].refer(p))
	}
	c.small = appendLater(c.small, o.number, uint32(wait.Milliseconds()), refs)
	g.did.Referred++
	return true
}

// overtake puts off all who wait for a block that c is given. g.mu is held.
func (g *giver) overtake(d Digest, c *client) {
	for _, o := range g.clients {
		if o == c {
			continue
		}
		n := len(o.orders)
		o.orders = slices.DeleteFunc(o.orders, func(q order) bool { return q.digest == d && g.defers(o, q) })
		if len(o.orders) < n {
			g.lazily(o)
		}
	}
}
