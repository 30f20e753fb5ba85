package live

import (
	"context"
	"fmt"
	"io"
	"time"

	"playnode/manifests"
)

// Item is the next of a set that is heard.
type Item struct {
	// Record, when not nil, is all of the item: it is in effect from segment
	// Record.From on, and given as soon as it is known.
	Record *manifests.Live
	// Signed is the record or the head as it was signed, for who keeps it.
	Signed manifests.Signed
	// Seq is the segment's number.
	Seq uint64
	// Missing counts the segments from Seq on that have not come in time; the
	// item has nothing else then. They may come still, and are passed on and
	// kept, but not given here.
	Missing int
	// Head announces the segment, whose bytes Sealed are; both are verified,
	// and must not be changed.
	Head   *manifests.LiveHead
	Sealed []byte
	// Came is when the segment was here, by Config.Now.
	Came time.Time
}

// Stats is how a set is carried here. Bytes are of segments, but for Sent.
type Stats struct {
	// Edge is the number after the newest head, Top that after the newest
	// segment here.
	Edge, Top uint64
	// Depth is how many boxes are between the DJ's and this one: 0 for who has
	// it from her, -1 for who has it from nobody.
	Depth int
	// Parent and Standby are the peers that it comes from; "" for none.
	Parent, Standby string
	// Children are given everything, Near of whom are on our own network.
	Children, NearChildren int
	// Received counts what neighbours gave, Near that from our own network,
	// Twice what had come already. Sent is all that this set's children were
	// sent.
	Received, Near, Twice, Sent int64
	// Pulled counts segments that were asked for because they were late,
	// Fetched those that the block exchange brought.
	Pulled, Fetched int
	// Parents counts how often a parent was found, Lost how often one was lost.
	Parents, Lost int
	// Held counts the segments in memory, HeldBytes what they have.
	Held      int
	HeldBytes int64
	// Forks counts signed records and heads that contradict those kept.
	Forks int
}

// Carried is a set that is carried here.
type Carried struct {
	Set
	Stats
}

// Carried lists what is carried here now, in no order.
func (c *Carrier) Carried() (out []Carried) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for set, cr := range c.sets {
		out = append(out, Carried{set, cr.summary()})
	}
	return out
}

// Feed is a set as it is heard here. Its methods are for one goroutine, but
// for Stats and Close.
type Feed struct {
	cr       *carry
	patience time.Duration
	since    time.Time
	record   uint64 // the newest number given
	late     bool   // others here hear the set already
	began    bool
	next     uint64
	closed   chan struct{}
}

// Hear begins to carry a set, and gives it from its edge on. What has not come
// within patience of its head is told as missing; 0 means 3 s. The Feed is to
// be closed.
func (c *Carrier) Hear(set Set, patience time.Duration) *Feed {
	if patience <= 0 {
		patience = 3 * time.Second
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	cr := c.carry(set)
	cr.holders++
	cr.seek(c.cfg.Now())
	nudge(c.hurry)
	return &Feed{cr: cr, patience: patience, since: c.cfg.Now(), late: cr.begun, closed: make(chan struct{})}
}

// carry is the set's, made where there is none. c.mu is held.
func (c *Carrier) carry(set Set) *carry {
	cr := c.sets[set]
	if cr == nil {
		cr = &carry{c: c, set: set, changed: make(chan struct{}), held: map[uint64]*held{}, taker: taker{candidates: map[string]*candidate{}, opening: map[*candidate]time.Time{}}}
		c.sets[set] = cr
		if x := c.watched[set.DJ].of(set.Live); x != nil {
			cr.addRecord(x.record)
		}
	}
	return cr
}

// release lets go of a set; the last one ends it. c.mu is held.
func (c *Carrier) release(cr *carry) {
	if cr.holders--; cr.holders > 0 {
		return
	}
	delete(c.sets, cr.set)
	for _, s := range cr.sources {
		s.stream.Reset()
	}
	for _, ch := range cr.children {
		ch.stream.Reset()
	}
	cr.wake()
}

// Close lets go of the set.
func (f *Feed) Close() error {
	c := f.cr.c
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-f.closed:
	default:
		close(f.closed)
		c.release(f.cr)
	}
	return nil
}

// Next gives the next item in order. It blocks until there is one, and fails
// with io.EOF after the final segment, with ErrOffAir when the Feed or the
// Carrier was closed, when nothing has come for ten minutes or the DJ has begun
// another set of the selection, or with ctx's error.
func (f *Feed) Next(ctx context.Context) (Item, error) {
	c := f.cr.c
	for {
		select {
		case <-f.closed:
			return Item{}, ErrOffAir
		default:
		}
		c.mu.Lock()
		item, wait, err := f.look(c.cfg.Now())
		changed := f.cr.changed
		c.mu.Unlock()
		if err != nil || item.Record != nil || item.Head != nil || item.Missing > 0 {
			return item, err
		}
		var due <-chan time.Time
		if wait > 0 {
			due = c.cfg.After(wait)
		}
		select {
		case <-changed:
		case <-due:
		case <-f.closed:
			return Item{}, ErrOffAir
		case <-c.down:
			return Item{}, ErrOffAir
		case <-ctx.Done():
			return Item{}, ctx.Err()
		}
	}
}

// look is the next item, or how long to wait for it. c.mu is held.
func (f *Feed) look(now time.Time) (item Item, wait time.Duration, err error) {
	cr := f.cr
	if cr.begun && !f.began {
		f.began = true
		f.next = cr.begin
		if f.late {
			f.next = max(cr.begin, cr.top-min(backlog, cr.top))
		}
		if r := cr.under(f.next); r != nil && r.live.Seq != f.record {
			f.record = r.live.Seq - 1
		}
	}
	for _, r := range cr.records {
		if r.live.Seq > f.record && (f.began || r == cr.records[len(cr.records)-1]) {
			f.record = r.live.Seq
			return Item{Record: r.live, Signed: r.signed, Seq: r.live.From}, 0, nil
		}
	}
	if !cr.begun {
		wait, err = f.silent(now)
		return item, wait, err
	}
	if f.next < cr.low {
		item = Item{Seq: f.next, Missing: int(min(cr.low-f.next, 1<<30))}
		f.next = cr.low
		return item, 0, nil
	}
	if f.next >= cr.edge {
		if cr.closed {
			return item, 0, io.EOF
		}
		wait, err = f.silent(now)
		return item, wait, err
	}
	x := cr.held[f.next]
	if x == nil {
		x = &held{known: now}
		cr.held[f.next] = x
	}
	if x.data != nil {
		f.next++
		return Item{Seq: f.next - 1, Head: x.head, Signed: x.signed, Sealed: x.data, Came: x.came}, 0, nil
	}
	if wait = x.known.Add(f.patience).Sub(now); wait > 0 {
		return item, wait, nil
	}
	f.next++
	return Item{Seq: f.next - 1, Missing: 1}, 0, nil
}

// silent is how long nothing more may come, or ErrOffAir: a box that has died
// does not say that a set has ended. c.mu is held.
func (f *Feed) silent(now time.Time) (wait time.Duration, err error) {
	cr := f.cr
	if cr.root {
		return 0, nil
	}
	last := f.since
	if cr.moved.After(last) {
		last = cr.moved
	}
	if wait = last.Add(fresh).Sub(now); wait > 0 && !cr.followed {
		return wait, nil
	}
	if w := cr.c.watched[cr.set.DJ]; w != nil && !cr.followed {
		delete(w.told, cr.set.Live) // she may come back
	}
	return 0, fmt.Errorf("set %s, silent for %s: %w", cr.set.Live, now.Sub(last), ErrOffAir)
}

// Stats is how the set is carried here.
func (f *Feed) Stats() Stats { return f.cr.c.stats(f.cr) }

func (c *Carrier) stats(cr *carry) Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cr.summary()
}

// summary is how the set is carried. c.mu is held.
func (cr *carry) summary() Stats {
	s := cr.stats
	s.Edge, s.Top, s.Depth = cr.edge, cr.top, -1
	if cr.root || cr.parent != nil {
		s.Depth = len(cr.path()) - 2
	}
	if cr.parent != nil {
		s.Parent = cr.parent.peer
	}
	if cr.standby != nil {
		s.Standby = cr.standby.peer
	}
	s.HeldBytes = cr.bytes
	for _, x := range cr.held {
		if x.data != nil {
			s.Held++
		}
	}
	far, near, _ := cr.fed()
	s.Children, s.NearChildren = far+near, near
	for _, ch := range cr.children {
		s.Sent += ch.sent
	}
	return s
}
