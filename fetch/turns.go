package fetch

import (
	"encoding/binary"
	"slices"
	"time"

	"playnode/node"
)

const (
	// leastTurns and mostTurns bound how many blocks are under way at once,
	// those for playheads apart: a block that is whole can go on, and ten halves
	// cannot. As many are as arrive in turnsTime, and slowTurns where one takes
	// longer than slowTurn.
	leastTurns, mostTurns, slowTurns = 3, 8, 2
	turnsTime, slowTurn              = 500 * time.Millisecond, time.Second
	// leastTurn and longestTurn bound how long a turn lasts if the block does
	// not arrive.
	leastTurn, longestTurn = 500 * time.Millisecond, 30 * time.Second
)

// turns is who may give a block, and who waits. Guarded by giver.mu.
type turns struct {
	held    int           // granted, or under way
	waiting []*client     // as they came
	took    time.Duration // about how long a block takes until it has arrived
}

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

// timed notes how long a block took.
func (t *turns) timed(took time.Duration) {
	took = max(took, time.Millisecond)
	if t.took == 0 {
		t.took = took
	}
	t.took += (min(took, 4*t.took) - t.took) / 4
}

// load is how a line fares: how long a block is under way, and about how long
// one waits that is asked for now.
type load struct{ took, queue time.Duration }

// load tells how the line fares. g.mu is held.
func (g *giver) load() load {
	waiting := 0
	for _, c := range g.clients {
		waiting += len(c.orders)
	}
	return load{g.turns.took, time.Duration(waiting) * g.turns.took / time.Duration(g.turns.abreast())}
}

// urgent is the most urgent class that c waits for.
func (c *client) urgent() node.Class {
	class := node.Later
	for _, o := range c.orders {
		class = min(class, o.class)
	}
	return class
}

// grant gives turns to who waits, the most urgent first, then by turns. g.mu
// is held.
func (g *giver) grant() {
	for g.turns.held < g.turns.abreast() && len(g.turns.waiting) > 0 {
		best := 0
		for i, c := range g.turns.waiting {
			if c.urgent() < g.turns.waiting[best].urgent() {
				best = i
			}
		}
		c := g.turns.waiting[best]
		g.turns.waiting = slices.Delete(g.turns.waiting, best, best+1)
		g.turns.held++
		c.granted++
		c.poke(true)
	}
}

// arrived ends the turns of blocks that c has. g.mu is held.
func (g *giver) arrived(c *client, numbers []uint32, now time.Time) {
	for _, k := range numbers {
		if began, ok := c.flying[k]; ok {
			delete(c.flying, k)
			g.turns.held--
			g.turns.timed(now.Sub(began))
		} else if began, ok := c.late[k]; ok {
			delete(c.late, k)
			g.turns.timed(now.Sub(began))
			c.poke(true)
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
			g.turns.timed(now.Sub(began)) // the line may be slower than was thought
			if c.late == nil {
				c.late = map[uint32]time.Time{}
			}
			c.late[k] = began
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
	c.granted, c.flying, c.late = 0, nil, nil
	g.grant()
}

// speak writes what there is to say, and gives in its turn, the most urgent
// first.
func (g *giver) speak(c *client) {
	var b []byte
	for {
		select {
		case <-c.hasty:
		case <-c.kick:
			select {
			case <-g.cfg.After(lazily):
			case <-c.hasty:
			case <-c.gone:
				return
			}
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
	b = append(b, c.small...)
	b = appendNumbers(b, frameNot, c.nots)
	b = appendNumbers(b, frameGain, c.gains)
	c.small, c.nots, c.gains = c.small[:0], c.nots[:0], c.gains[:0]
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
	if next = c.orders[best]; next.class != node.Now {
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
	c.orders = slices.Delete(c.orders, best, best+1)
	return b, next, true
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

// hand gives one block, or says that it is not held.
func (g *giver) hand(c *client, o order) bool {
	data, err := g.read(o.digest)
	g.mu.Lock()
	if err != nil {
		c.nots = append(c.nots, o.number)
		g.ledger.undo(o.digest, c.peer)
		if _, ok := c.flying[o.number]; ok {
			delete(c.flying, o.number)
			g.turns.held--
		}
		g.grant()
		g.mu.Unlock()
		return true
	}
	g.ledger.sized(o.digest, len(data))
	g.mu.Unlock()
	head := binary.BigEndian.AppendUint32(appendHead(nil, frameBlock, 4+len(data)), o.number)
	rest := append(head, data[:min(len(data), smallBlock, g.line.piece()-len(head))]...)
	left := data[len(rest)-len(head):]
	for len(rest) > 0 {
		if !g.line.take(o.class, len(rest)) || !g.write(c, rest) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.ledger.undo(o.digest, c.peer)
			return false
		}
		n := min(len(left), g.line.piece())
		rest, left = left[:n], left[n:]
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sent += int64(len(data))
	g.ledger.gave(o.digest, g.cfg.Now())
	return true
}
