package fetch

import (
	"slices"
	"time"

	"playnode/node"
)

const (
	// maxLedger bounds the blocks of which it is noted to whom they went,
	// maxGained those that came from others, maxHolders the peers of one.
	maxLedger, maxGained, maxHolders = 1 << 16, 1 << 15, 4
	// smallBlock is the size, in bytes, up to which a block is given to anyone.
	smallBlock = 16 << 10
	// spread is to how many at once a block goes that came from others: those
	// can give it on while more would still wait for theirs.
	spread = 1
	// slowly is how long a block may be under way to others before it goes to
	// one more.
	slowly = 3 * time.Second
	// onItsWay is how long one waits who asks for a block that is being given.
	onItsWay = 500 * time.Millisecond
	// longestHold bounds how long a block is put off.
	longestHold = time.Minute
)

// hold is how long a block that has just been given to one is put off for
// others, by how much they are in a hurry; twice as long each time.
var hold = [...]time.Duration{
	node.Next:  time.Second,
	node.Soon:  3 * time.Second,
	node.Later: 10 * time.Second,
}

// alone is how long it is put off for one who reaches none of those who have
// it.
var alone = [...]time.Duration{
	node.Now:   0,
	node.Next:  500 * time.Millisecond,
	node.Soon:  2 * time.Second,
	node.Later: 3 * time.Second,
}

// ledger is to whom blocks went that others cannot have had but from here: each
// is given once, and those who come after are sent to who has it. Guarded by
// giver.mu.
type ledger struct {
	rows map[Digest]*entry
	from map[Digest]bool // came from others
	fifo []Digest        // of from
}

// entry is where one block went.
type entry struct {
	to    []string // newest last
	size  int      // 0 for not known
	times int      // it was given
	gave  time.Time
	going int       // it is being given
	since time.Time // it went to one more
}

func newLedger() ledger { return ledger{rows: map[Digest]*entry{}, from: map[Digest]bool{}} }

// gained notes a block that came from others.
func (l *ledger) gained(d Digest) {
	if l.from[d] {
		return
	}
	if len(l.fifo) >= maxGained {
		delete(l.from, l.fifo[0])
		l.fifo = l.fifo[1:]
	}
	l.from[d] = true
	l.fifo = append(l.fifo, d)
}

// putOff tells whether peer is to have the block later, when, and who has it
// now, of those for whom there holds; else it notes that it goes to peer. Where
// a block is long under way, waits are longer.
func (l *ledger) putOff(o order, peer string, now time.Time, x load, there func(string) bool) (wait time.Duration, to []string, off bool) {
	patient := func(least time.Duration, blocks int) time.Duration {
		return min(max(least, time.Duration(blocks)*min(x.took, least)), longestHold)
	}
	e := l.rows[o.digest]
	if e == nil {
		for d, old := range l.rows { // any; who is forgotten is given once more
			if len(l.rows) < maxLedger {
				break
			}
			if old.going == 0 {
				delete(l.rows, d)
			}
		}
		e = &entry{}
		l.rows[o.digest] = e
	}
	for i := len(e.to) - 1; i >= 0; i-- {
		if e.to[i] != peer && there(e.to[i]) {
			to = append(to, e.to[i])
		}
	}
	if o.alone {
		// It may soon reach somebody who has it from those: they go on with it.
		if wait = patient(alone[o.class], 8); e.going == 0 {
			wait -= now.Sub(e.gave)
		}
		if wait > 0 && len(e.to) > 0 && !slices.Contains(e.to, peer) {
			return wait, nil, true
		}
		to = nil
	}
	if o.class > node.Now && len(to) > 0 && !slices.Contains(e.to, peer) && (e.size == 0 || e.size > smallBlock) {
		// Those who have been given it come first; here it is given after them.
		after := time.Duration(0)
		if !l.from[o.digest] {
			after = min(patient(hold[o.class], 16)<<min(max(e.times-1, 0), 8), longestHold)
		}
		under := now.Sub(e.since) // way
		switch {
		case e.going == 0:
			wait = after - now.Sub(e.gave)
		case l.from[o.digest] && (e.going < spread || under >= patient(slowly, 4)+x.queue), under >= hold[node.Later]+x.queue:
			wait = 0
		default:
			wait = max(onItsWay, x.took+x.queue-under) + after
		}
		if wait > 0 {
			return wait, to, true
		}
	}
	e.going++
	e.since = now
	l.add(e, peer)
	return 0, nil, false
}

func (l *ledger) add(e *entry, peer string) {
	if i := slices.Index(e.to, peer); i >= 0 {
		e.to = slices.Delete(e.to, i, i+1)
	} else if len(e.to) == maxHolders {
		e.to = slices.Delete(e.to, 0, 1)
	}
	e.to = append(e.to, peer)
}

// holds notes that peer says it has a block.
func (l *ledger) holds(d Digest, peer string) {
	if e := l.rows[d]; e != nil {
		l.add(e, peer)
	}
}

// sized notes how large a block is.
func (l *ledger) sized(d Digest, size int) {
	if e := l.rows[d]; e != nil {
		e.size = size
	}
}

// gave notes that a block was given whole. A small one is given to anyone, and
// not remembered.
func (l *ledger) gave(d Digest, now time.Time) {
	e := l.rows[d]
	if e == nil {
		return
	}
	e.going, e.gave = max(0, e.going-1), now
	if e.times++; e.going == 0 && e.size <= smallBlock {
		delete(l.rows, d)
	}
}

// undo takes back that a block goes to peer.
func (l *ledger) undo(d Digest, peer string) {
	e := l.rows[d]
	if e == nil {
		return
	}
	e.going = max(0, e.going-1)
	if i := slices.Index(e.to, peer); i >= 0 {
		e.to = slices.Delete(e.to, i, i+1)
	}
	if len(e.to) == 0 && e.going == 0 {
		delete(l.rows, d)
	}
}
