package live

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"playnode/manifests"
	"playnode/node"
)

const (
	// offered is the share of a line that is offered to others, borne what it
	// bears for a while beside heads and what neighbours say.
	offered, borne = .8, .83
	// watching is the share of it that heads take for those who are given them
	// alone; a head has about headSize bytes.
	watching, headSize = .05, 350
	// told is how often neighbours are told at most of what is free here.
	told = time.Second
	// parting is how long a child that was asked to go elsewhere is waited for
	// before it may stay.
	parting = 20 * time.Second
	// settling is the least between two children that make room for others.
	settling = 300 * time.Millisecond
	// owing is how long a segment that was pulled is waited for.
	owing = 2 * time.Second
	// pulling segments may be asked for at once by one child, and a few a
	// second after that.
	pulling, pullRate = 32, 8
	// turns of mode may be asked for at once by one child, and one a second
	// after that.
	turning = 16
	// backlog is how many of the newest segments a newcomer is given: the two that
	// are waited for before there is sound. maxBack is the same for one that has
	// lost its parent.
	backlog, maxBack = 2, 10
)

// giver is who is given a set by this box. Guarded by Carrier.mu.
type giver struct {
	children []*child
	parted   time.Time // when a child was last asked to make room
	rescue   allowance // segments for those that lack them
	offer    spare     // as the parent was told
	offerAt  time.Time
}

// child is one who asks us, whatever it is given.
type child struct {
	*link
	mode    mode
	flags   byte
	spare   spare
	addrs   []string
	first   uint64 // numbers below are not pushed to it
	has     map[uint64]bool
	pulls   map[uint64]time.Time
	leaving time.Time // since when it is asked to go elsewhere
	said    state
	saidAt  time.Time
	waits   bool      // it has asked for everything, and there was no room
	welcome time.Time // when it was last told that there is
	allow   allowance // pulls
	turns   allowance
}

// allowance is what is left of a budget.
type allowance struct {
	left float64
	at   time.Time
}

// spend takes one of burst, which fill up at rate a second.
func (a *allowance) spend(now time.Time, burst, rate float64) bool {
	if a.at.IsZero() {
		a.left = burst
	} else {
		a.left = min(burst, a.left+max(0, now.Sub(a.at).Seconds())*rate)
	}
	a.at = now
	if a.left < 1 {
		return false
	}
	a.left--
	return true
}

// serve is a neighbour's stream.
func (c *Carrier) serve(peer string, s node.Stream) {
	c.mu.Lock()
	if !c.running || c.liars[peer] || c.streams >= maxStreams || !c.asks.Spend(peer, 1) {
		c.mu.Unlock()
		s.Reset()
		return
	}
	c.streams++
	c.wg.Add(1)
	c.mu.Unlock()
	err := c.listenTo(peer, s)
	c.mu.Lock()
	c.streams--
	c.mu.Unlock()
	c.cfg.Log.Debug("neighbour on air asks no more", "peer", peer, "err", err)
	c.wg.Done()
}

// listenTo reads a hello, and then what the asker says until it goes.
func (c *Carrier) listenTo(peer string, s node.Stream) error {
	ctx, cancel := c.within(greeting)
	watched := make(chan struct{})
	go func() {
		<-ctx.Done()
		select {
		case <-watched:
		default:
			s.Reset()
		}
	}()
	kind, body, err := readFrame(s, false)
	close(watched)
	cancel()
	if err == nil && kind != frameHello {
		err = errFrame
	}
	var h hello
	if err == nil {
		h, err = parseHello(body, peer)
	}
	if err != nil {
		s.Reset()
		return err
	}
	c.mu.Lock()
	cr := c.sets[h.set]
	if cr == nil || !c.running {
		answer := state{flags: flagAbsent}.frame()
		if h.set.Live == (Set{}).Live {
			answer = c.program(h.set.DJ)
		}
		c.mu.Unlock()
		if _, err := s.Write(answer); err != nil {
			s.Reset()
			return err
		}
		return s.Close()
	}
	for _, o := range cr.children {
		if o.peer == peer {
			o.stream.Reset()
		}
	}
	ch := &child{link: c.attach(peer, s), spare: h.spare, addrs: h.addrs, has: map[uint64]bool{}, pulls: map[uint64]time.Time{}}
	cr.children = append(cr.children, ch)
	cr.turn(ch, h.mode, h.flags, h.next)
	c.mu.Unlock()
	for err == nil {
		if kind, body, err = readFrame(s, false); err == nil {
			err = c.hearChild(cr, ch, kind, body)
		}
	}
	c.mu.Lock()
	cr.children = slices.DeleteFunc(cr.children, func(o *child) bool { return o == ch })
	cr.stats.Sent += ch.sent
	c.detach(ch.link)
	c.mu.Unlock()
	s.Reset()
	return err
}

// program says what a DJ has on air, as it is carried here: of each set its
// newest record and head. c.mu is held.
func (c *Carrier) program(dj manifests.DJ) (out []byte) {
	var on []*carry
	for set, cr := range c.sets {
		if set.DJ == dj && len(cr.records) > 0 && !cr.closed && !cr.followed {
			on = append(on, cr)
		}
	}
	if len(on) == 0 {
		return state{flags: flagAbsent}.frame()
	}
	slices.SortFunc(on, func(a, b *carry) int {
		return cmp.Or(cmp.Compare(b.records[0].live.IAT, a.records[0].live.IAT), bytes.Compare(a.set.Live[:], b.set.Live[:]))
	})
	for _, cr := range on[:min(len(on), maxProgram)] {
		out = append(out, signedFrame(frameRecord, cr.records[len(cr.records)-1].signed)...)
		if x := cr.held[cr.edge-1]; cr.edge > 0 && x != nil && x.head != nil && cr.under(x.head.Seq) == cr.records[len(cr.records)-1] {
			out = append(out, signedFrame(frameHead, x.signed)...)
		}
	}
	return append(out, state{edge: on[0].edge}.frame()...)
}

// hearChild does what an asker's frame says.
func (c *Carrier) hearChild(cr *carry, ch *child, kind byte, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	switch kind {
	case frameMode:
		m, flags, next, err := parseMode(body)
		if err != nil {
			return err
		}
		if !ch.turns.spend(now, turning, 1) {
			return errUseless
		}
		cr.turn(ch, m, flags, next)
	case framePull:
		seqs, err := parseSeqs(body)
		if err != nil {
			return err
		}
		for _, seq := range seqs {
			if !ch.allow.spend(now, pulling, pullRate) {
				return errUseless
			}
			cr.pulled(ch, seq, now)
		}
	case frameSpare:
		if len(body) != spareSize || !ch.allow.spend(now, pulling, pullRate) {
			return errFrame
		}
		ch.spare = parseSpare(body)
	default: // a second hello
		return errFrame
	}
	return nil
}

// pulled gives a child a segment that it lacks, now or when it comes.
func (cr *carry) pulled(ch *child, seq uint64, now time.Time) {
	x := cr.held[seq]
	switch {
	case !ch.near && ch.mode != full && cr.c.cfg.Hush():
		cr.c.say(ch.link, seqsFrame(frameNot, seq))
	case x != nil && x.data != nil && (ch.near || cr.rescue.spend(now, 4, cr.rescues())):
		ch.pulls[seq] = now
		cr.c.say(ch.link, signedFrame(frameHead, x.signed))
		cr.push(ch, seq, segmentFrame(seq, x.data), now)
	case x != nil && x.data == nil && len(ch.pulls) < maxPull:
		ch.pulls[seq] = now
	default:
		cr.c.say(ch.link, seqsFrame(frameNot, seq))
	}
}

func segmentFrame(seq uint64, data []byte) []byte {
	return frame(frameSegment, binary.BigEndian.AppendUint64(nil, seq), data)
}

// push has a child given a segment: those that lack it first, then those that
// pass it on, then newcomers and the others.
func (cr *carry) push(ch *child, seq uint64, bin []byte, now time.Time) {
	pace := cr.pace()
	due := now
	_, pulled := ch.pulls[seq]
	switch {
	case pulled:
		due = now.Add(-pace)
	case ch.carries():
	case len(ch.has) < backlog:
		due = now.Add(pace / 4)
	default:
		due = now.Add(pace / 2)
	}
	delete(ch.pulls, seq)
	ch.has[seq] = true
	cr.c.give(ch.link, part{seq, due, bin})
}

// turn judges what a child asks for, and gives it.
func (cr *carry) turn(ch *child, m mode, flags byte, next uint64) {
	now := cr.c.cfg.Now()
	ch.flags, ch.waits = flags, false
	was := ch.mode
	switch {
	case m == full && was != full && !cr.bears(ch, now):
		m, ch.waits = min(was, heads), true
	case m == heads && was != heads && !ch.near && (cr.standbys() >= cr.watchable() || cr.c.cfg.Hush()):
		m = nothing
	}
	if m != full {
		ch.rest()
	}
	ch.mode = m
	if m == full && was != full {
		ch.first = cr.start(next, now)
	}
	cr.tell(ch, now)
	switch {
	case m == full && was != full:
		cr.catchUp(ch, now)
	case m == heads && was == nothing:
		cr.sayRecords(ch, cr.edge)
		if x := cr.held[cr.edge-1]; cr.edge > 0 && x != nil && x.head != nil {
			cr.c.say(ch.link, signedFrame(frameHead, x.signed))
		}
	case m == nothing || m == heads && was == heads:
		cr.c.say(ch.link, referFrame(cr.refer(ch)))
	}
}

// rest has a child given no more segments.
func (ch *child) rest() {
	ch.leaving = time.Time{}
	ch.parts = nil
	clear(ch.has)
	clear(ch.pulls)
}

// bears tells whether one more child is given everything, and has another one
// make room for it if need be.
func (cr *carry) bears(ch *child, now time.Time) bool {
	if !cr.rooted() || slices.Contains(cr.path(), markOf(ch.peer)) || len(cr.path()) >= maxPath {
		return false
	}
	far, near, leaving := cr.fed()
	if ch.near {
		return near < maxNearby
	}
	offer, most := cr.slots()
	switch {
	case offer == 0, cr.c.debt(now) > 2*cr.pace():
		return false
	case far-leaving < offer && far <= most, ch.flags&flagOrphan != 0 && far < most:
		return true
	case leaving > 0 || far > most || now.Sub(cr.parted) < settling:
		return false // one at a time
	}
	var weakest *child
	for _, o := range cr.children {
		if o.mode == full && !o.near && o.leaving.IsZero() && (weakest == nil || o.weight() < weakest.weight()) {
			weakest = o
		}
	}
	if weakest == nil || ch.weight() < 2 || ch.weight() < 2*weakest.weight() {
		return false
	}
	ch.mode = full // it is the first that the other is referred to
	cr.dismiss(weakest, now)
	return true
}

// dismiss asks a child to go elsewhere, and gives to it until it does.
func (cr *carry) dismiss(ch *child, now time.Time) {
	cr.parted = now
	ch.leaving = now
	cr.tell(ch, now)
	cr.c.say(ch.link, referFrame(cr.refer(ch)))
}

// start is the first segment that a child is given which has all before next.
// A newcomer has sound at once, and a line that is taken is not taken more.
func (cr *carry) start(next uint64, now time.Time) uint64 {
	back := uint64(backlog)
	if next > 0 {
		back = maxBack
	}
	switch debt := cr.c.debt(now); {
	case debt > cr.pace()/2:
		back = 1
	case debt > cr.pace()/4:
		back = 2
	}
	first := cr.top - min(back, cr.top)
	return max(first, next, cr.low)
}

// catchUp gives a child what is here already.
func (cr *carry) catchUp(ch *child, now time.Time) {
	cr.sayRecords(ch, ch.first)
	for seq := ch.first; seq < cr.edge; seq++ {
		if x := cr.held[seq]; x != nil && x.head != nil {
			cr.c.say(ch.link, signedFrame(frameHead, x.signed))
		}
	}
	for seq := ch.first; seq < cr.edge; seq++ {
		if x := cr.held[seq]; x != nil && x.data != nil && !ch.has[seq] {
			cr.push(ch, seq, segmentFrame(seq, x.data), now)
		}
	}
}

// sayRecords gives a child the records from the one on that segment seq is
// under.
func (cr *carry) sayRecords(ch *child, seq uint64) {
	from := cr.under(seq)
	for _, r := range cr.records {
		if from == nil || r.live.Seq >= from.live.Seq {
			cr.c.say(ch.link, signedFrame(frameRecord, r.signed))
		}
	}
}
