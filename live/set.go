package live

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"playnode/manifests"
	"playnode/node"
)

const (
	// window is how much of a set is held in memory to be passed on; minWindow
	// and maxWindow bound it in segments, maxBytes in bytes.
	window               = 60 * time.Second
	minWindow, maxWindow = 32, 256
	maxBytes             = 16 << 20
	// maxRecords bounds a set's records in memory.
	maxRecords = 16
	// leap is how many segments there may be beside one for each shortest since
	// their record.
	leap = 64
	// slowest and shortest bound the length that a set's segments are taken to
	// have; before it is known it is usual.
	slowest, shortest, usual = 10 * time.Second, 100 * time.Millisecond, time.Second
	// usualSize is what a segment is taken to have, in bytes, before one came.
	usualSize = 20_000
)

var (
	// errLiar is of what no honest neighbour sends.
	errLiar = errors.New("what no honest neighbour sends")
	// errUseless is of a neighbour that is not worth its stream.
	errUseless = errors.New("of no use")
)

// carry is a set that is carried here. Guarded by Carrier.mu.
type carry struct {
	c       *Carrier
	set     Set
	root    bool // it comes from this box
	holders int  // feeds and the DJ's own
	changed chan struct{}

	records  []*record // ascending by number and by From
	pending  *manifests.Signed
	held     map[uint64]*held
	low      uint64 // numbers below are forgotten
	edge     uint64 // the number after the newest head
	top      uint64 // the number after the newest segment here
	begun    bool
	begin    uint64 // the first segment that is sought here
	closed   bool   // the head of edge-1 is final
	followed bool   // another set has taken its place
	bytes    int64  // of segments in memory
	size     float64
	moved    time.Time // when edge moved
	skew     time.Duration
	dev      time.Duration
	hasty    time.Duration // how much longer is waited because others were pulled in vain
	hushed   time.Time     // when others were asked because nothing came
	heralded time.Time

	taker
	giver
	stats Stats
}

// record is a live record that was verified.
type record struct {
	signed manifests.Signed
	live   *manifests.Live
}

// held is what is known of one number.
type held struct {
	head   *manifests.LiveHead // nil: only its number is known
	signed manifests.Signed
	known  time.Time // since when
	data   []byte    // nil: not here
	came   time.Time
	// What was done to have it.
	pulls   int
	pulled  time.Time
	fetched bool
	forked  bool // there is another head of this number, or before it
	blamed  bool // the parent was late with it
}

func (cr *carry) wake() {
	close(cr.changed)
	cr.changed = make(chan struct{})
}

// pace is how long a segment is, by the seconds in the heads.
func (cr *carry) pace() time.Duration {
	if cr.edge == 0 {
		return usual
	}
	last := cr.held[cr.edge-1]
	for seq := cr.low; seq+8 <= cr.edge && last != nil && last.head != nil; seq++ {
		if h := cr.held[seq]; h != nil && h.head != nil {
			d := time.Duration(last.head.IAT-h.head.IAT) * time.Second / time.Duration(cr.edge-1-seq)
			return min(max(d, shortest), slowest)
		}
	}
	return usual
}

// rate is what the set takes of a line, in bytes a second.
func (cr *carry) rate() float64 { return cmp.Or(cr.size, usualSize) / cr.pace().Seconds() }

// under is the record that segment seq is sealed under, or nil.
func (cr *carry) under(seq uint64) *record {
	for _, r := range slices.Backward(cr.records) {
		if r.live.From <= seq {
			return r
		}
	}
	return nil
}

// takeRecord judges a record from a neighbour, or from here (from is nil).
func (c *Carrier) takeRecord(cr *carry, s manifests.Signed, from *source) error {
	chain := c.cfg.Chain(cr.set.DJ)
	l, err := manifests.DecodeLive(s.Payload.Data)
	if err != nil || l.DJ != cr.set.DJ || l.Live != cr.set.Live {
		return fmt.Errorf("a record that is not this set's: %w", errLiar)
	}
	c.mu.Lock()
	known := slices.ContainsFunc(cr.records, func(r *record) bool { return bytes.Equal(r.signed.Payload.Data, s.Payload.Data) })
	if known || chain == nil || l.RootN != chain.Newest().N {
		// One of us knows an older root; it is none to blame.
		if !known && (chain == nil || l.RootN > chain.Newest().N) {
			cr.pending = &s
		}
		c.mu.Unlock()
		if !known && from == nil {
			return fmt.Errorf("root %d is not the newest here: %w", l.RootN, manifests.ErrUnauthorised)
		}
		return nil
	}
	c.mu.Unlock()
	if l, err = chain.OpenLive(s); err != nil {
		return fmt.Errorf("%w: %w", errLiar, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return cr.addRecord(&record{s, l})
}

// addRecord keeps a verified record and passes it on. c.mu is held.
func (cr *carry) addRecord(r *record) error {
	at, twice := slices.BinarySearchFunc(cr.records, r.live.Seq, func(x *record, seq uint64) int { return cmp.Compare(x.live.Seq, seq) })
	if twice {
		if !bytes.Equal(cr.records[at].signed.Payload.Data, r.signed.Payload.Data) {
			cr.fork(cr.records[at].signed, r.signed)
		}
		return nil
	}
	if at > 0 && cr.records[at-1].live.From >= r.live.From || at < len(cr.records) && cr.records[at].live.From <= r.live.From {
		return nil // numbers that do not ascend: the first that came hold
	}
	if at > 0 && cr.records[at-1].live.Seq+1 == r.live.Seq && *r.live.Prev != manifests.Digest(cr.records[at-1].signed.Payload.CID) {
		cr.fork(cr.records[at-1].signed, r.signed)
		return nil
	}
	cr.records = slices.Insert(cr.records, at, r)
	if len(cr.records) > maxRecords {
		cr.records = slices.Delete(cr.records, 0, 1)
	}
	for _, ch := range cr.children {
		if ch.mode >= heads {
			cr.c.say(ch.link, signedFrame(frameRecord, r.signed))
		}
	}
	cr.wake()
	return nil
}

// fork tells of two records with one number. c.mu is held.
func (cr *carry) fork(kept, other manifests.Signed) {
	cr.stats.Forks++
	cr.c.spawn(func() { cr.c.cfg.Report(kept, other) })
}

// takeHead judges a head from a neighbour, or from here.
func (c *Carrier) takeHead(cr *carry, s manifests.Signed, from *source) error {
	h, err := manifests.DecodeLiveHead(s.Payload.Data)
	if err != nil || h.DJ != cr.set.DJ || h.Live != cr.set.Live {
		return fmt.Errorf("a head that is not this set's: %w", errLiar)
	}
	chain := c.cfg.Chain(cr.set.DJ)
	c.mu.Lock()
	if x := cr.held[h.Seq]; x != nil && x.head != nil && bytes.Equal(x.signed.Payload.Data, s.Payload.Data) {
		from.tells(h.Seq)
		c.mu.Unlock()
		return nil
	}
	r := cr.under(h.Seq)
	switch {
	case chain == nil || r == nil || r.live.RootN != chain.Newest().N:
		err = fmt.Errorf("segment %d is under no record known here", h.Seq)
	case h.Seq < cr.low:
		err = fmt.Errorf("segment %d is long past", h.Seq)
	case h.Seq-r.live.From > leap+uint64(max(0, h.IAT-r.live.IAT))*uint64(time.Second/shortest):
		err = fmt.Errorf("segment %d comes sooner than any can", h.Seq)
	}
	if err != nil {
		err = from.shrug(err)
		c.mu.Unlock()
		return err
	}
	c.mu.Unlock()
	if h, err = chain.OpenLiveHead(s, r.live); err != nil {
		return fmt.Errorf("%w: %w", errLiar, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return cr.addHead(h, s, from)
}

// addHead keeps a verified head and passes it on. c.mu is held.
func (cr *carry) addHead(h *manifests.LiveHead, s manifests.Signed, from *source) error {
	now := cr.c.cfg.Now()
	from.tells(h.Seq)
	x := cr.held[h.Seq]
	switch {
	case x != nil && x.head != nil:
		if !bytes.Equal(x.signed.Payload.Data, s.Payload.Data) {
			x.forked = true
			cr.fork(x.signed, s)
		}
		return from.shrug(nil)
	case cr.closed && h.Seq >= cr.edge:
		cr.fork(cr.held[cr.edge-1].signed, s)
		return from.shrug(nil)
	case x == nil:
		x = &held{known: now}
		cr.held[h.Seq] = x
	}
	cr.chained(h, s)
	x.head, x.signed = h, s
	from.useful()
	if h.Seq >= cr.edge {
		cr.edge, cr.moved = h.Seq+1, now
		cr.closed = h.Final
		cr.trim()
	}
	for _, ch := range cr.children {
		if ch.mode >= heads && (from == nil || ch.peer != from.peer) && (ch.mode == heads || h.Seq >= ch.first) {
			cr.c.say(ch.link, signedFrame(frameHead, s))
		}
	}
	cr.wake()
	return nil
}

// chained reports a verified head that is not of one chain with those beside
// it. It is kept all the same: a DJ who has lost a number goes on after another
// one than is here, and is to be heard. c.mu is held.
func (cr *carry) chained(h *manifests.LiveHead, s manifests.Signed) {
	if h.Seq == 0 {
		if r := cr.under(0); r != nil && r.live.Seq == 1 && manifests.Digest(r.signed.Payload.CID) != h.Prev {
			cr.fork(r.signed, s)
		}
	} else if x := cr.held[h.Seq-1]; x != nil && x.head != nil && manifests.Digest(x.signed.Payload.CID) != h.Prev {
		x.forked = true
		cr.fork(x.signed, s)
	}
	if x := cr.held[h.Seq+1]; x != nil && x.head != nil && x.head.Prev != manifests.Digest(s.Payload.CID) {
		x.forked = true
		cr.fork(x.signed, s)
	}
}

// takeSegment judges a segment from a neighbour.
func (c *Carrier) takeSegment(cr *carry, seq uint64, data []byte, from *source) error {
	c.mu.Lock()
	x := cr.held[seq]
	_, pulled := from.pulls[seq]
	delete(from.pulls, seq)
	cr.stats.Received += int64(len(data))
	if from.near {
		cr.stats.Near += int64(len(data))
	}
	var err error
	switch {
	case from.given != full && from.wants != full && !pulled && (x == nil && seq >= cr.low || x != nil && x.pulls == 0):
		err = fmt.Errorf("segment %d unasked: %w", seq, errLiar)
	case x == nil || x.head == nil:
		err = from.shrug(fmt.Errorf("segment %d without its head", seq))
	case x.forked && node.Verify(x.head.Seg, data) != nil:
		err = from.shrug(fmt.Errorf("segment %d of another head", seq)) // its giver has kept that one
	case x.data != nil:
		cr.stats.Twice += int64(len(data))
		if err = from.shrug(nil); from == cr.next && from.given == full && bytes.Equal(x.data, data) {
			cr.adopt(from) // it gives, if not sooner than the other
		}
	default:
		link := x.head.Seg
		c.mu.Unlock()
		if err := node.Verify(link, data); err != nil {
			return fmt.Errorf("segment %d: %w: %w", seq, errLiar, err)
		}
		c.mu.Lock()
		cr.addSegment(seq, data, from)
	}
	c.mu.Unlock()
	return err
}

// addSegment keeps a verified segment and passes it on; from is nil where it
// came by another way. c.mu is held.
func (cr *carry) addSegment(seq uint64, data []byte, from *source) {
	now := cr.c.cfg.Now()
	x := cr.held[seq]
	if x == nil || x.data != nil {
		return
	}
	x.data, x.came = data, now
	cr.bytes += int64(len(data))
	cr.top = max(cr.top, seq+1)
	if cr.size == 0 {
		cr.size = float64(len(data))
	}
	cr.size += (float64(len(data)) - cr.size) / 8
	if p := cr.parent; p != nil && from != p && x.pulls > 0 && !x.blamed && p.adopted.Before(x.known) {
		x.blamed = true // others had it
		p.misses++
	}
	switch pace := cr.pace(); {
	case from == nil:
	case x.pulls == 0:
		cr.punctual(now.Sub(x.known))
		cr.hasty = max(0, cr.hasty-pace/64)
	case from == cr.parent:
		cr.hasty = min(pace, cr.hasty+pace/4) // it came by itself
	}
	from.useful()
	from.brought(cr, seq, x)
	cr.c.keep(node.Block{CID: x.head.Seg, Data: data})
	var bin []byte
	for _, ch := range cr.children {
		_, pulled := ch.pulls[seq]
		if pulled || ch.mode == full && seq >= ch.first && !ch.has[seq] && (from == nil || ch.peer != from.peer) {
			if bin == nil {
				bin = segmentFrame(seq, data)
			}
			cr.push(ch, seq, bin, now)
		}
	}
	cr.trim()
	cr.wake()
}

// punctual notes how long after its head a segment came. c.mu is held.
func (cr *carry) punctual(after time.Duration) {
	if cr.skew == 0 {
		cr.skew = after
	}
	d := after - cr.skew
	cr.skew += d / 8
	cr.dev += (d.Abs() - cr.dev) / 4
}

// lateness is how long after its head a segment is late: longer than most have
// taken, as who pulls what is on its way takes a line twice.
func (cr *carry) lateness() time.Duration {
	p := cr.pace()
	if cr.skew == 0 {
		return p * 3 / 2
	}
	return min(max(cr.skew+4*cr.dev+150*time.Millisecond, p*4/5)+cr.hasty, p*2)
}

// trim forgets what is out of the window. c.mu is held.
func (cr *carry) trim() {
	n := min(max(uint64(window/cr.pace()), minWindow), maxWindow)
	for cr.low+n < cr.edge || cr.bytes > maxBytes && cr.low < cr.edge {
		if cr.edge-cr.low > 4*maxWindow { // a leap
			cr.low = cr.edge - n
			maps.DeleteFunc(cr.held, func(seq uint64, x *held) bool {
				if seq < cr.low {
					cr.bytes -= int64(len(x.data))
				}
				return seq < cr.low
			})
			continue
		}
		if x := cr.held[cr.low]; x != nil {
			cr.bytes -= int64(len(x.data))
			delete(cr.held, cr.low)
		}
		cr.low++
	}
	for len(cr.records) > 1 && cr.records[1].live.From <= cr.low {
		cr.records = slices.Delete(cr.records, 0, 1)
	}
	for _, ch := range cr.children {
		maps.DeleteFunc(ch.has, func(seq uint64, _ bool) bool { return seq < cr.low })
	}
}
