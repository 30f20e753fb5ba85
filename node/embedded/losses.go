package embedded

import (
	"errors"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"

	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/quic-go/quic-go"
)

// QUIC takes each lost packet for a line that is full, and sends less. Where a
// line loses a tenth of whatever is sent, and an answer takes half a second, 12
// kB a second are left of any line, and music takes 16. So to where much is lost
// though nothing queues, datagrams go more than once, a little at a time: QUIC
// numbers its packets, and whoever receives passes over what has come already.
const (
	// lossy is the share of packets lost from which on they go more than once,
	// and the share of it for one who sends so little, in bytes a second, that
	// most of it answers what came and is not missed; faint the share from which
	// on they go once more yet.
	lossy, little, faint = .02, 8 << 10, .005
	littleShare          = lossy / 5
	// clean is the share that is to be left.
	clean = .002
	// chancy is the share of packets lost though nothing queues from which on they
	// are lost by chance, and not for want of room: one in a hundred takes half of 10
	// Mbit/s at 20 ms.
	chancy = .005
	// filling is by how much longer than ever answers take where a line's queue fills, or
	// by half, where that is more: who acknowledges may wait for so long.
	filling = 40 * time.Millisecond
	// enough is how much may come through, in bytes a second, for a connection
	// to be left as it is: six times what music takes.
	enough = 96 << 10
	// mostCopies is how often a datagram goes at the most, beside once.
	mostCopies = 2
	// mostPace bounds what goes one such way, copies included, in bytes a second:
	// in half a second there and back QUIC sends in heaps, and three times as much
	// at once is more than a router has room for. paceBurst is what goes at once.
	mostPace, leastPace, paceBurst = 256 << 10, 16 << 10, 8 << 10
	// maxPaced is how many datagrams may wait for their turn on one way.
	maxPaced = 256
	// queued is by how much longer than ever an answer must take, at the least,
	// for the line to be full, and not only uneven; by half, where that is more.
	queued = 100 * time.Millisecond
	// queuing is by how much longer it takes, beside an eighth, once anything
	// queues: who acknowledges waits a little for more.
	queuing = 10 * time.Millisecond
	// glance and few are between two looks at one way: each loss that nothing is
	// done about has QUIC send less, and it takes long to send more again.
	glance, few = 250 * time.Millisecond, 8
	// looking and round are how long it is counted before it is judged, and the
	// packets sent in it at the least; evident is how many lost are enough before
	// that, and counting how long it is counted at the most; chance is how many must
	// be lost of those that go more than once for it to be no help.
	looking, round, roundCopied, evident, counting, chance = time.Second, 24, 64, 3, 10 * time.Second, 5
	// guessed is how many packets of a new connection go twice that has an answer
	// so late that what it may send at first is not enough: a first leaf's.
	guessed = 128
	// trying is after how long it is tried whether fewer do, spared how long a
	// way is left alone that it was no help on.
	trying, spared = 2 * time.Minute, 5 * time.Minute
	// lately is how long it counts that somebody waited for what went there, or that
	// nobody did.
	lately = 10 * time.Second
	// maxWays bounds the addresses that are known.
	maxWays = 1024
)

// losses is what is known of the ways to others by UDP, and how often datagrams
// go there. Safe for concurrent use.
type losses struct {
	now   func() time.Time
	after func(time.Duration) <-chan time.Time
	look  chan struct{} // one slot: there may be something to judge

	mu   sync.Mutex // guards what follows
	ways map[netip.AddrPort]*way
	tcp  map[netip.AddrPort]struct{} // those by TCP that lose by chance
}

// way is the way to one address. Guarded by losses.mu.
type way struct {
	copies  int
	before  float64   // the share lost without any
	since   time.Time // there are so many
	until   time.Time // there are to be none
	fresh   bool      // what is lost now went before there were so many
	guess   bool      // there is one because nobody knows yet
	slow    bool      // its connection carries little, or loses by chance, though nothing queues
	chances chances
	pace    float64  // bytes a second, copies included
	queue   []parcel // what waits for its turn
	driven  bool     // a goroutine sends it

	awaited, spare time.Time // somebody waited for what went there, and nobody did

	sent   int // datagrams since looked
	looked time.Time
	conn   *quic.Conn // whose counts these are, as of counted
	counts quic.ConnectionStats
	at     time.Time
}

// parcel is a datagram on its way to a socket.
type parcel struct {
	size int
	send func() error
}

func newLosses(now func() time.Time) *losses {
	return &losses{now: now, after: time.After, look: make(chan struct{}, 1), ways: map[netip.AddrPort]*way{}, tcp: map[netip.AddrPort]struct{}{}}
}

// way is the way to an address. l.mu is held.
func (l *losses) way(to netip.AddrPort, now time.Time) *way {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	w := l.ways[to]
	if w == nil {
		for old, o := range l.ways { // any: it is learned anew
			if len(l.ways) < maxWays {
				break
			}
			if !o.driven {
				delete(l.ways, old)
			}
		}
		w = &way{looked: now}
		l.ways[to] = w
	}
	return w
}

// sending notes that so many datagrams go to an address, and tells whether they
// are to go more than once.
func (l *losses) sending(to netip.AddrPort, datagrams int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	w := l.way(to, now)
	if w.sent += datagrams; w.sent >= few && now.Sub(w.looked) >= glance {
		w.sent, w.looked = 0, now
		l.glance()
	}
	return w.copies > 0 && !w.rests(now) || len(w.queue) > 0
}

// rests tells whether nothing goes more than once for a while, as nobody waits for
// what goes there: what a line has room for comes sooner by ways side by side.
func (w *way) rests(now time.Time) bool {
	return now.Sub(w.spare) < lately && now.Sub(w.awaited) >= lately
}

// waits notes whether somebody waits for what goes to an address.
func (l *losses) waits(to netip.AddrPort, does bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if w := l.way(to, now); does {
		w.awaited = now
	} else {
		w.spare = now
	}
}

// glance has the ways looked at.
func (l *losses) glance() {
	select {
	case l.look <- struct{}{}:
	default:
	}
}

// again has a datagram sent in its turn as often as the way asks for. Each one's
// copies follow it at once: after others they would come out of order, and those
// before them would be taken for lost.
func (l *losses) again(to netip.AddrPort, p parcel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.way(to, l.now())
	if len(w.queue) >= maxPaced {
		return // as a router would
	}
	w.queue = append(w.queue, p)
	if !w.driven {
		w.driven = true
		go l.drive(w)
	}
}

// drive sends what waits for its turn until nothing does.
func (l *losses) drive(w *way) {
	var due time.Time // when what went is through, at the way's pace
	for {
		l.mu.Lock()
		if len(w.queue) == 0 {
			w.queue, w.driven = nil, false
			l.mu.Unlock()
			return
		}
		p := w.queue[0]
		w.queue = w.queue[1:]
		copies, pace := w.copies, max(w.pace, leastPace)
		if w.rests(l.now()) {
			copies = 0
		}
		l.mu.Unlock()
		for range 1 + copies {
			if err := p.send(); errors.Is(err, net.ErrClosed) {
				l.mu.Lock()
				w.queue, w.driven = nil, false
				l.mu.Unlock()
				return
			} else if err != nil {
				break
			}
		}
		now := l.now()
		if due.Before(now) {
			due = now
		}
		due = due.Add(time.Duration(float64((1+copies)*p.size) / pace * float64(time.Second)))
		if wait := due.Sub(now) - time.Duration(paceBurst/pace*float64(time.Second)); wait > 0 {
			<-l.after(wait)
		}
	}
}

// judge decides how often datagrams go to an address, by what a connection there,
// which stands since then, has counted so far.
func (l *losses) judge(to netip.AddrPort, conn *quic.Conn, since time.Time, s quic.ConnectionStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.ways[netip.AddrPortFrom(to.Addr().Unmap(), to.Port())]
	if w == nil {
		return
	}
	now, round := l.now(), float64(round)
	wait := max(looking, 2*s.SmoothedRTT)
	rate := float64(s.CongestionWindow) / max(s.SmoothedRTT, time.Millisecond).Seconds()
	v := verdict{
		full: s.SmoothedRTT-s.MinRTT > max(s.MinRTT/2, queued),
		slow: s.SmoothedRTT > 0 && rate < enough,
	}
	if w.conn != conn {
		w.chances = chances{}
	}
	w.chances.look(now, int64(s.PacketsSent), int64(s.PacketsLost), fills(s.MinRTT, s.SmoothedRTT, s.MeanDeviation))
	w.slow = v.slow && s.SmoothedRTT-s.MinRTT <= s.MinRTT/8+queuing || w.chances.does
	switch {
	case w.conn != conn && now.Sub(since) > counting:
		w.conn, w.counts, w.at, w.fresh, w.guess = conn, s, now, false, false
		return
	case w.conn != conn: // from its beginning
		w.conn, w.counts, w.at, w.fresh, w.guess = conn, quic.ConnectionStats{}, since, false, false
	case w.rests(now): // and counts anew when it does not
		w.counts, w.at, w.since, w.fresh, w.guess = s, now, now, w.copies > 0, false
		return
	case w.fresh && now.Sub(w.since) >= wait:
		w.counts, w.at, w.fresh = s, now, false
		return
	}
	if s.PacketsSent < guessed && w.copies == 0 && v.slow && !v.full && !now.Before(w.until) { // how far it is is known late
		w.copies, w.guess = 1, true
	}
	took := now.Sub(w.at)
	sent := float64(s.PacketsSent - w.counts.PacketsSent)
	v.lost = max(0, float64(int64(s.PacketsLost-w.counts.PacketsLost)))
	v.share, v.little = v.lost/max(1, sent), float64(s.BytesSent-w.counts.BytesSent)/max(took, looking).Seconds() < little
	if w.copies > 0 {
		round = roundCopied
	}
	was := w.copies
	switch {
	case w.fresh, !w.guess && (took < wait || sent < round) && (was > 0 || v.lost < evident):
		return
	case w.guess && v.lost > 0:
		w.copies, w.guess = mostCopies, false
	case w.guess && sent >= guessed:
		w.copies, w.guess, was = 0, false, 0
		w.counts, w.at = s, now
	case !w.guess:
		w.copies = w.judge(v, now)
	}
	w.pace = min(2*float64(1+w.copies)*rate, mostPace)
	if w.copies != was {
		w.since, w.fresh = now, true
	} else if !w.guess && (took >= counting || w.copies > 0) {
		w.counts, w.at = s, now
	}
}

// slow tells whether a way's connection carries little, and not because others
// are on our line.
func (l *losses) slow(to netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.ways[netip.AddrPortFrom(to.Addr().Unmap(), to.Port())]
	return w != nil && w.slow
}

// chances tells whether a connection loses by chance, and not for want of room.
type chances struct {
	sent, lost int64     // packets, as of when it was last known
	since      time.Time // it seems to; zero where it does not
	does       bool
}

// look judges by what a connection has sent and lost so far. While the line's queue
// fills what is lost tells nothing, and that is seen a little later than what is lost.
func (c *chances) look(now time.Time, sent, lost int64, fills bool) {
	n, missed := float64(sent-c.sent), float64(lost-c.lost)
	switch {
	case fills:
		c.since, c.does = time.Time{}, false
	case missed >= evident && missed >= chancy*n:
		if c.since.IsZero() {
			c.since = now
		}
		c.does = c.does || now.Sub(c.since) >= glance
		if n < evident/chancy {
			return
		}
	case n >= evident/chancy:
		c.since, c.does = time.Time{}, false
	default:
		return
	}
	c.sent, c.lost = sent, lost
}

// fills tells whether a line's queue fills, by how long answers take at the least,
// and of late, and how uneven that is.
func fills(shortest, mean, deviation time.Duration) bool {
	return mean-deviation-shortest > max(shortest/2, filling)
}

// noteLossy notes whether a connection of TCP there loses by chance.
func (l *losses) noteLossy(to netip.AddrPort, does bool) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	l.mu.Lock()
	defer l.mu.Unlock()
	if !does {
		delete(l.tcp, to)
		return
	}
	if _, is := l.tcp[to]; is {
		return
	}
	for old := range l.tcp { // any: it is learned anew
		if len(l.tcp) < maxWays {
			break
		}
		delete(l.tcp, old)
	}
	l.tcp[to] = struct{}{}
}

// isLossy tells whether one does.
func (l *losses) isLossy(to netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, does := l.tcp[netip.AddrPortFrom(to.Addr().Unmap(), to.Port())]
	return does
}

// verdict is what was seen of a way for a while.
type verdict struct {
	share, lost float64 // of the packets sent
	little      bool    // little is sent
	full        bool    // answers take longer than they need to
	slow        bool    // less may come through than is enough
}

// judge is how often datagrams go this way from now on, beside once.
func (w *way) judge(v verdict, now time.Time) int {
	least := lossy
	if v.little {
		least = littleShare
	}
	switch {
	case w.copies == 0:
		if v.lost < 2 || v.share < least || v.full || !v.slow || now.Before(w.until) {
			return 0
		}
		w.before = v.share
		return min(max(1, int(math.Ceil(math.Log(clean)/math.Log(v.share)))-1), mostCopies)
	case v.lost >= chance && v.share > max(w.before/2, lossy):
		// It is not by chance which are lost: there is no room for more.
		if w.copies == 1 {
			w.until = now.Add(spared)
		}
		return w.copies - 1
	case v.full:
		return w.copies - 1
	case v.share >= faint && v.slow:
		return min(w.copies+1, mostCopies)
	case now.Sub(w.since) >= trying:
		return w.copies - 1
	}
	return w.copies
}

// watchLosses judges the ways to others whenever something has gone there, for
// the host's life.
func (n *Host) watchLosses() {
	for {
		select {
		case <-n.losses.look:
		case <-n.ctx.Done():
			return
		}
		var all []tally
		for _, c := range n.host.Network().Conns() {
			var q *quic.Conn
			if !c.As(&q) {
				continue
			}
			if to, ok := addressOf(q); ok {
				all = append(all, tally{to, q, c.Stat().Opened, q.ConnectionStats()})
			}
		}
		for _, c := range busiest(all) {
			n.losses.judge(c.to, c.conn, c.since, c.stats)
		}
	}
}

// tally is what a connection to an address has counted.
type tally struct {
	to    netip.AddrPort
	conn  *quic.Conn
	since time.Time // it stands
	stats quic.ConnectionStats
}

// Slow tells whether the way to a peer, by itself, carries less than the line that
// all share: other ways are no quicker for its being idle. It looks through the peer's connections, and asks none of
// them anything.
func (n *Host) Slow(id string) bool {
	p, err := n.ids.id(id)
	if err != nil {
		return false
	}
	for _, c := range n.host.Network().ConnsToPeer(p) {
		var q *quic.Conn
		if !c.As(&q) {
			if at, err := manet.ToNetAddr(c.RemoteMultiaddr()); err == nil {
				if t, ok := at.(*net.TCPAddr); ok && n.losses.isLossy(t.AddrPort()) {
					return true
				}
			}
			continue
		}
		if to, ok := addressOf(q); ok && n.losses.slow(to) {
			return true
		}
	}
	return false
}

// Waits has what goes to a peer go once, where nobody waits for it. It costs what Slow
// does.
func (n *Host) Waits(id string, does bool) {
	p, err := n.ids.id(id)
	if err != nil {
		return
	}
	for _, c := range n.host.Network().ConnsToPeer(p) {
		var q *quic.Conn
		if !c.As(&q) {
			continue
		}
		if to, ok := addressOf(q); ok {
			n.losses.waits(to, does)
		}
	}
}

// busiest are those that have sent most, one for each address: two by turns would
// have each begin anew.
func busiest(all []tally) map[netip.AddrPort]tally {
	most := map[netip.AddrPort]tally{}
	for _, c := range all {
		at := netip.AddrPortFrom(c.to.Addr().Unmap(), c.to.Port())
		if b, two := most[at]; !two || c.stats.PacketsSent > b.stats.PacketsSent {
			most[at] = c
		}
	}
	return most
}
