package fetch

import (
	"slices"
	"time"

	"playnode/node"
)

const (
	// maxLedger bounds the blocks of which it is noted to whom they went,
	// maxHolders the peers of one. Of those that came from others the latest
	// maxGained are noted at least, and twice as many at the most.
	maxLedger, maxGained, maxHolders = 1 << 16, 1 << 15, 4
	// smallBlock is the size, in bytes, up to which a block is given to anyone.
	smallBlock = 16 << 10
	// spread is to how many at once a block goes that came from others: those
	// can give it on while more would still wait for theirs.
	spread = 1
	// slowly is how long a block may be under way to others before it goes to
	// one more.
	slowly = 3 * time.Second
	// onItsWay is how long one waits, at the least, who asks for a block that is
	// being given.
	onItsWay = 500 * time.Millisecond
	// longestHold bounds how long a block is put off.
	longestHold = time.Minute
	// unproven is how long it is put off while it is only with peers of whom
	// nobody else is known to have had a block.
	unproven = 2 * time.Second
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

// ledger is to whom large blocks went that others cannot have had but from
// here: each is given once, and those who come after are sent to who has it.
// Guarded by giver.mu.
type ledger struct {
	rows   map[Digest]*entry
	from   [2]map[brief]struct{} // came from others: of late, and before
	guests map[string]*guest
}

// brief stands for a Digest: of two that it cannot tell apart one may be given
// sooner.
type brief = [8]byte

// entry is where one block went.
type entry struct {
	to    []string // newest last
	last  string   // of those to whom it was given here; none if that was undone
	owed  []string // to whom it was given, while nobody else has been seen to have it
	seen  bool     // somebody else has
	times int      // it was given
	gave  time.Time
	going int       // it is being given
	since time.Time // it went to one more
}

func newLedger() ledger {
	return ledger{rows: map[Digest]*entry{}, from: [2]map[brief]struct{}{{}, {}}, guests: map[string]*guest{}}
}

// gained notes a large block that came from others.
func (l *ledger) gained(d Digest) {
	if l.came(d) {
		return
	}
	if len(l.from[0]) == maxGained {
		l.from = [2]map[brief]struct{}{{}, l.from[0]}
	}
	l.from[0][brief(d[:8])] = struct{}{}
}

// came tells whether a block came from others.
func (l *ledger) came(d Digest) bool {
	_, late := l.from[0][brief(d[:8])]
	_, before := l.from[1][brief(d[:8])]
	return late || before
}

// putOff tells whether peer is to have a large block later, when, and who has
// it now, of those for whom there holds. took is about how long a block is
// under way: where that is long, waits are longer.
func (l *ledger) putOff(o order, peer string, now time.Time, took time.Duration, there func(string) bool) (wait time.Duration, to []string, off bool) {
	patient := func(least time.Duration, blocks int) time.Duration {
		return min(max(least, time.Duration(blocks)*min(took, least)), longestHold)
	}
	e := l.rows[o.digest]
	if e == nil || o.class == node.Now || slices.Contains(e.to, peer) {
		return 0, nil, false
	}
	if o.alone {
		// It may soon reach somebody who has it from those: they go on with it.
		if wait = patient(alone[o.class], 8); e.going == 0 {
			wait -= now.Sub(e.gave)
		}
		return wait, nil, wait > 0 && len(e.to) > 0
	}
	proven := false
	for i := len(e.to) - 1; i >= 0; i-- {
		if there(e.to[i]) {
			to = append(to, e.to[i])
			proven = proven || l.guests[e.to[i]].proven()
		}
	}
	if len(to) == 0 {
		return 0, nil, false
	}
	// Those who have been given it come first; here it is given after them.
	after := time.Duration(0)
	if !l.came(o.digest) {
		if after = patient(hold[o.class], 16); !proven && !e.seen {
			after = min(after, patient(unproven, 6))
		}
		if e.seen {
			after *= 4 // it goes on without us
		}
		after = min(after<<min(max(e.times-1, 0), 8), longestHold)
	}
	under := now.Sub(e.since) // way
	switch {
	case e.going == 0:
		wait = after - now.Sub(e.gave)
	case l.came(o.digest) && (e.going < spread || under >= patient(slowly, 4)), under >= patient(hold[node.Later], 4):
	default:
		wait = max(onItsWay, took-under) + after
	}
	return min(wait, longestHold), to, wait > 0
}

// begin notes that a large block goes to peer.
func (l *ledger) begin(d Digest, peer string, now time.Time) {
	e := l.rows[d]
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
		l.rows[d] = e
	}
	e.going++
	e.since, e.last = now, peer
	e.add(peer)
	if !l.came(d) && !e.seen && !slices.Contains(e.owed, peer) {
		e.owed = append(e.owed, peer)
		l.guest(peer).owes++
	}
}

func (e *entry) add(peer string) {
	if i := slices.Index(e.to, peer); i >= 0 {
		e.to = slices.Delete(e.to, i, i+1)
	} else if len(e.to) == maxHolders {
		e.to = slices.Delete(e.to, 0, 1)
	}
	e.to = append(e.to, peer)
}

// holds notes that peer says it has a block. When it has it from others, the one
// to whom it was given last gives on: those before had it for as long as it was
// put off, and nobody saw it.
func (l *ledger) holds(d Digest, peer string) {
	e := l.rows[d]
	if e == nil {
		return
	}
	e.add(peer)
	if slices.Contains(e.owed, peer) {
		return
	}
	if n := len(e.owed); n > 0 {
		x := l.guest(e.owed[n-1])
		x.gives++
		x.owes = max(0, x.owes-2) // this one, and an old debt
	}
	e.owed, e.seen = nil, true
}

// gave notes that a block was given whole.
func (l *ledger) gave(d Digest, now time.Time) {
	if e := l.rows[d]; e != nil {
		e.going, e.gave = max(0, e.going-1), now
		e.times++
	}
}

// undo takes back that a block goes to peer.
func (l *ledger) undo(d Digest, peer string) {
	e := l.rows[d]
	if e == nil {
		return
	}
	e.going = max(0, e.going-1)
	if e.last == peer {
		e.last = ""
	}
	if i := slices.Index(e.to, peer); i >= 0 {
		e.to = slices.Delete(e.to, i, i+1)
	}
	if i := slices.Index(e.owed, peer); i >= 0 {
		e.owed = slices.Delete(e.owed, i, i+1)
		x := l.guest(peer)
		x.owes = max(0, x.owes-1)
	}
	if len(e.to) == 0 && e.going == 0 {
		delete(l.rows, d)
	}
}
