package live

import (
	"errors"
	"fmt"

	"playnode/manifests"
	"playnode/node"
)

// Air is a set that this box's DJ has on air. Safe for concurrent use.
type Air struct {
	cr     *carry
	closed bool // guarded by Carrier.mu
}

// Go puts a set on air by its first signed record, or by its newest after this
// box was restarted. Those who watch the DJ hear of it at once.
func (c *Carrier) Go(record manifests.Signed) (*Air, error) {
	l, err := manifests.DecodeLive(record.Payload.Data)
	if err != nil {
		return nil, fmt.Errorf("go on air: %w", err)
	}
	set := Set{l.DJ, l.Live}
	c.mu.Lock()
	if cr := c.sets[set]; cr != nil && cr.root || c.ended {
		c.mu.Unlock()
		return nil, fmt.Errorf("go on air: set %s is already, or all has ended", l.Live)
	}
	cr := c.carry(set)
	cr.root = true
	cr.holders++
	nudge(c.hurry)
	c.mu.Unlock()
	a := &Air{cr: cr}
	if err := a.Record(record); err != nil {
		a.Close()
		return nil, fmt.Errorf("go on air: %w", err)
	}
	return a, nil
}

// Record announces the set's next signed record, before the first segment under
// it is cut.
func (a *Air) Record(s manifests.Signed) error {
	if err := a.cr.c.takeRecord(a.cr, s, nil); err != nil {
		return fmt.Errorf("announce record: %w", err)
	}
	a.cr.c.herald(a.cr)
	return nil
}

// Announce sends a segment and the signed head that announces it on their way.
// It waits for nobody. The bytes must not be changed any more.
func (a *Air) Announce(head manifests.Signed, segment manifests.Block) error {
	c := a.cr.c
	h, err := manifests.DecodeLiveHead(head.Payload.Data)
	if err == nil {
		err = node.Verify(h.Seg, segment.Data)
	}
	c.mu.Lock()
	closed := a.closed
	c.mu.Unlock()
	if closed {
		err = ErrOffAir
	}
	if err == nil {
		err = c.takeHead(a.cr, head, nil)
	}
	if err != nil {
		return fmt.Errorf("announce segment: %w", err)
	}
	c.mu.Lock()
	x := a.cr.held[h.Seq]
	if x == nil || x.head == nil || x.head.Seg != h.Seg {
		err = errors.New("another one was announced under its number")
	} else {
		a.cr.addSegment(h.Seq, segment.Data, nil)
	}
	first := a.cr.begin == h.Seq
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("announce segment %d: %w", h.Seq, err)
	}
	if first || h.Final {
		c.herald(a.cr)
	}
	return nil
}

// Set is which it is.
func (a *Air) Set() Set { return a.cr.set }

// Stats is how the set is carried.
func (a *Air) Stats() Stats { return a.cr.c.stats(a.cr) }

// Close goes off air. What a set's final segment has ended is best held for a
// while, for those who have not got it yet.
func (a *Air) Close() error {
	c := a.cr.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if !a.closed {
		a.closed = true
		a.cr.root = false
		c.release(a.cr)
	}
	return nil
}
