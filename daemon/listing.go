package daemon

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/live"
	"playnode/manifests"
)

// storeAnswers is how long a store may take to say whether it holds a segment.
const storeAnswers = 2 * time.Second

// Listing is what a box tells of a set on air to who asks by its DJ and id: its
// newest records and segments, of which the box need not open any.
type Listing struct {
	Records  []ListedRecord  `json:"records"`
	Segments []ListedSegment `json:"segments"`
	// First is the first segment's number, Next the one after the last; those
	// between them that are not listed are not here.
	First uint64 `json:"first"`
	Next  uint64 `json:"next"`
	Ended bool   `json:"ended"`
	// Excerpt is the block of the excerpt that is all of it, once that is known.
	Excerpt string `json:"excerpt,omitempty"`
}

// ListedRecord is what of a live record who has the set's key needs.
type ListedRecord struct {
	Sel  string `json:"sel"` // hexadecimal, as Lid
	Gen  uint64 `json:"gen"`
	Cur  uint64 `json:"cur"`
	From uint64 `json:"from"`
	Lid  string `json:"lid"`
}

// ListedSegment is what of a live head.
type ListedSegment struct {
	N     uint64 `json:"n"`
	Gen   uint64 `json:"gen"`
	Cur   uint64 `json:"cur"`
	CID   string `json:"cid"`
	Final bool   `json:"final"`
}

// noticeboard is the Listing of a set, kept while somebody looks.
type noticeboard struct {
	lookout

	// What follows is guarded by lookout.mu.
	records []ListedRecord
	parts   []ListedSegment
	next    uint64
}

// Listed is what there is of what an open link leads to, in JSON: the Listing of a
// set on air, or where the block of an excerpt is found; of this box's DJ or of
// one whom it follows. ok is false where there is nothing. dj and id are as links
// have them.
func (d *Daemon) Listed(dj, id string) (listing []byte, ok bool) {
	d.mu.Lock()
	n := d.opened
	d.mu.Unlock()
	var set live.Set
	var err error
	if set.DJ, err = manifests.ParseDJ(dj); err != nil || n == nil || n.air == nil {
		return nil, false
	}
	if b, err := hex.DecodeString(id); err != nil || copy(set.Live[:], b) != len(set.Live) {
		return nil, false
	}
	block, open := n.excerpt(d.keys.DJ(), set)
	if l, ok := n.air.listing(set, !open); ok { // who heard it to its end still looks
		if open {
			l.Excerpt = block.String()
		}
		listing, err = json.Marshal(l)
		return listing, err == nil
	}
	if open {
		listing, err = json.Marshal(struct {
			Excerpt string `json:"excerpt"`
		}{block.String()})
		return listing, err == nil
	}
	return nil, false
}

// excerpt is the block of an excerpt that a card here leads to: this box's DJ's,
// or that of one whom it follows.
func (n *network) excerpt(own manifests.DJ, of live.Set) (cid.Cid, bool) {
	var cards []*manifests.Card
	if of.DJ == own {
		if block, ok := n.publisher.ExcerptBlock(of.Live); ok {
			return block, true
		}
	}
	for _, f := range n.follow.Follows() {
		if f.DJ != of.DJ.String() {
			continue
		}
		if c, err := n.follow.Newest(f.Name); err == nil && c.DJ == of.DJ && c.Card != nil {
			cards = append(cards, c.Card)
		}
	}
	for _, c := range cards {
		if block, ok := excerptOf(c, of.Live); ok {
			return block, true
		}
	}
	return cid.Undef, false
}

// excerptOf is where a card says that the block of an excerpt is; c may be nil.
func excerptOf(c *manifests.Card, id manifests.LiveID) (cid.Cid, bool) {
	if c != nil {
		for _, o := range c.Open {
			if o.ID == id {
				return o.Block, true
			}
		}
	}
	return cid.Undef, false
}

// listing is a set's, if it is on air here; anew says that it may be the first.
func (a *air) listing(set live.Set, anew bool) (Listing, bool) {
	a.mu.Lock()
	for other, b := range a.listed {
		if b.over() {
			delete(a.listed, other)
		}
	}
	b := a.listed[set]
	if b == nil && !anew {
		a.mu.Unlock()
		return Listing{}, false
	}
	if b == nil {
		airs := a.own[set]
		for _, known := range a.known {
			airs = airs || known == set
		}
		if !airs {
			a.mu.Unlock()
			return Listing{}, false
		}
		b = &noticeboard{lookout: lookout{a: a, set: set}}
		a.listed[set] = b
	}
	a.mu.Unlock()
	b.mu.Lock()
	b.look(func() { b.hear(b.note) })
	l := Listing{Records: append([]ListedRecord{}, b.records...), Segments: append([]ListedSegment{}, b.parts...), First: b.next, Next: b.next, Ended: b.ended}
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(a.d.life, storeAnswers) // a Kubo may be slow, and a set's carrier waits for nobody who asks
	defer cancel()
	for k := len(l.Segments); k > 0 && !l.Ended; k-- { // the newest may be on its way to the disk, and is listed when it is there
		c, err := cid.Decode(l.Segments[k-1].CID)
		has := false
		if err == nil {
			has, err = a.n.node.Has(ctx, c)
		}
		if has || err != nil {
			break
		}
		l.Segments, l.First, l.Next = l.Segments[:k-1], l.Segments[k-1].N, l.Segments[k-1].N
	}
	if len(l.Segments) > 0 {
		l.First = l.Segments[0].N
	}
	return l, true
}

// note takes what comes.
func (b *noticeboard) note(it live.Item) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case it.Record != nil:
		r := it.Record
		b.records = append(b.records, ListedRecord{hex.EncodeToString(r.Sel[:]), r.Gen, r.Cur, r.From, hex.EncodeToString(r.LID[:])})
		if k := len(b.records) - shown; k > 0 {
			b.records = slices.Delete(b.records, 0, k)
		}
	case it.Missing > 0:
		b.next = it.Seq + uint64(it.Missing)
	case it.Head != nil:
		b.parts = append(b.parts, ListedSegment{it.Seq, it.Head.Gen, it.Head.Cur, it.Head.Seg.String(), it.Head.Final})
		b.next = it.Seq + 1
		if k := len(b.parts) - shown; k > 0 {
			b.parts = slices.Delete(b.parts, 0, k)
		}
	}
	return true
}
