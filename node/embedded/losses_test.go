package embedded

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

var elsewhere = netip.MustParseAddrPort("11.0.0.2:4001")

// line is a connection whose counts a test makes, over a way that answers in
// half a second.
type line struct {
	*losses
	conn   *quic.Conn
	begun  time.Time
	s      quic.ConnectionStats
	little bool // its packets are
}

func newTestLine() *line {
	return &line{losses: newLosses(time.Now), conn: new(quic.Conn), begun: time.Now().Add(-time.Minute), s: quic.ConnectionStats{
		PacketsSent: 1000, MinRTT: 500 * time.Millisecond, SmoothedRTT: 505 * time.Millisecond, CongestionWindow: 10_000,
	}}
}

// pass is two seconds in which so many packets go, little ones if so, and so many of them are lost.
// It returns how often they go from then on, beside once.
func (l *line) pass(sent, lost uint64) int {
	<-time.After(2 * time.Second)
	l.sending(elsewhere, int(sent))
	size := uint64(1200)
	if l.little {
		size = 40
	}
	l.s.PacketsSent, l.s.BytesSent, l.s.PacketsLost = l.s.PacketsSent+sent, l.s.BytesSent+size*sent, l.s.PacketsLost+lost
	l.judge(elsewhere, l.conn, l.begun, l.s)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ways[elsewhere].copies
}

// passes are many, of each of which so many packets are lost of a hundred.
func (l *line) passes(lost ...uint64) (copies []int) {
	for _, n := range lost {
		copies = append(copies, l.pass(100, n))
	}
	return copies
}

func TestWhereMuchIsLostDatagramsGoAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			change func(*line)
			lost   []uint64
			want   []int
		}{
			"a good line":                  {nil, []uint64{0, 0, 1, 0}, []int{0, 0, 0, 0}},
			"a tenth is lost":              {nil, []uint64{0, 10, 10, 0, 0}, []int{0, 2, 2, 2, 2}},
			"three of a hundred":           {nil, []uint64{0, 3, 3, 0, 0}, []int{0, 1, 1, 1, 1}},
			"more than was thought":        {nil, []uint64{0, 3, 3, 1, 0}, []int{0, 1, 1, 2, 2}},
			"it is no help":                {nil, []uint64{0, 10, 10, 9, 9, 9, 9, 9, 9}, []int{0, 2, 2, 1, 1, 0, 0, 0, 0}},
			"what was under way is passed": {nil, []uint64{0, 10, 10, 0}, []int{0, 2, 2, 2}},
			"the line is full":             {func(l *line) { l.s.SmoothedRTT = 800 * time.Millisecond }, []uint64{0, 10, 10}, []int{0, 0, 0}},
			"enough comes through":         {func(l *line) { l.s.CongestionWindow = 100_000 }, []uint64{0, 10, 10}, []int{0, 0, 0}},
		} {
			l := newTestLine()
			if c.change != nil {
				c.change(l)
			}
			if got := l.passes(c.lost...); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s: %v lost, %v copies, not %v", name, c.lost, got, c.want)
			}
		}
	})
}

// TestCopiesAreTakenBack: now and then fewer are tried; who sends little says
// how much is lost by few; another connection's counts say nothing.
func TestCopiesAreTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLine()
		l.passes(0, 10, 10)
		for range int(trying / (2 * time.Second)) {
			l.pass(100, 0)
		}
		if n := l.pass(100, 0); n != 1 {
			t.Errorf("after two minutes %d copies", n)
		}
		l = newTestLine()
		l.little = true
		l.pass(30, 0)
		if n := l.pass(8, 0) + l.pass(8, 1) + l.pass(8, 0); n != 0 {
			t.Errorf("one lost: %d copies", n)
		}
		if n := l.pass(300, 1); n != 1 {
			t.Errorf("a second one of many: %d copies", n)
		}
		l = newTestLine()
		l.pass(100, 50)
		l.conn = new(quic.Conn) // which has stood for as long
		if n := l.pass(100, 50); n != 0 {
			t.Errorf("another connection: %d copies", n)
		}
		l = newTestLine()
		l.pass(100, 50)
		l.anew()
		l.s.CongestionWindow = 100_000 // enough
		if n := l.pass(100, 0); n != 0 {
			t.Errorf("a young connection: %d copies", n)
		}
	})
}

// anew has another connection stand from now on.
func (l *line) anew() {
	l.conn, l.begun, l.s = new(quic.Conn), time.Now(), quic.ConnectionStats{MinRTT: 500 * time.Millisecond, SmoothedRTT: 505 * time.Millisecond, CongestionWindow: 40_960}
}

// glances are looks a quarter of a second apart, by each of which so many packets have gone
// and so many of them are known to be lost.
func (l *line) glances(sent uint64, lost ...uint64) (copies []int) {
	for _, n := range lost {
		<-time.After(glance)
		l.sending(elsewhere, int(sent))
		l.s.PacketsSent, l.s.BytesSent, l.s.PacketsLost = l.s.PacketsSent+sent, l.s.BytesSent+1200*sent, l.s.PacketsLost+n
		l.judge(elsewhere, l.conn, l.begun, l.s)
		l.mu.Lock()
		copies = append(copies, l.ways[elsewhere].copies)
		l.mu.Unlock()
	}
	return copies
}

// TestWhatIsFarIsTriedTwice: the first packets of a connection that can carry
// little at first go twice, and more often as soon as one is lost all the same.
func TestWhatIsFarIsTriedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			change func(*line)
			sent   uint64
			lost   []uint64
			want   []int
		}{
			"nothing is lost":         {nil, 40, []uint64{0, 0, 0, 0, 0}, []int{1, 1, 1, 0, 0}},
			"one is lost":             {nil, 40, []uint64{0, 1, 0, 0, 0}, []int{1, 2, 2, 2, 2}},
			"one was lost at once":    {nil, 10, []uint64{1}, []int{2}},
			"much is, once they went": {nil, 60, []uint64{0, 0, 0, 6, 0}, []int{1, 1, 0, 2, 2}},
			"it is near enough":       {func(l *line) { l.s.MinRTT, l.s.SmoothedRTT = 100*time.Millisecond, 100*time.Millisecond }, 40, []uint64{0, 0}, []int{0, 0}},
			"it stands for long":      {func(l *line) { l.s.PacketsSent = guessed }, 40, []uint64{0, 0}, []int{0, 0}},
			"the line is full":        {func(l *line) { l.s.SmoothedRTT = 800 * time.Millisecond }, 40, []uint64{0, 0}, []int{0, 0}},
		} {
			l := newTestLine()
			l.anew()
			if c.change != nil {
				c.change(l)
			}
			if got := l.glances(c.sent, c.lost...); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s: %v lost of %d, %v copies, not %v", name, c.lost, c.sent, got, c.want)
			}
		}
	})
}

// TestWhatIsEvidentIsNotWaitedFor: a few lost are enough, and two are not.
func TestWhatIsEvidentIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLine()
		l.pass(100, 0)
		if got := l.glances(20, 0, 2, 0, 1); fmt.Sprint(got) != "[0 0 0 1]" {
			t.Errorf("%v", got)
		}
	})
}

// TestAWayIsSlowByItself: where little comes through and nothing queues.
func TestAWayIsSlowByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			srtt time.Duration
			cwnd uint64
			want bool
		}{
			"little comes through": {510 * time.Millisecond, 10_000, true},
			"others are on it":     {650 * time.Millisecond, 10_000, false},
			"much comes through":   {510 * time.Millisecond, 100_000, false},
		} {
			l := newTestLine()
			l.s.SmoothedRTT, l.s.CongestionWindow = c.srtt, c.cwnd
			l.pass(100, 0)
			if got := l.slow(elsewhere); got != c.want {
				t.Errorf("%s: %v", name, got)
			}
		}
		if newTestLine().slow(elsewhere) {
			t.Error("nobody knows it")
		}
	})
}

// TestWhatIsLostByChance is told from what is lost for want of room, also later.
func TestWhatIsLostByChance(t *testing.T) {
	for name, c := range map[string]struct {
		sent, lost []int64 // since the look before
		fills      []bool
		want       bool
	}{
		"nothing is lost":         {[]int64{1000, 1000}, []int64{0, 0}, []bool{false, false}, false},
		"a tenth is":              {[]int64{30, 10}, []int64{3, 1}, []bool{false, false}, true},
		"for a moment":            {[]int64{30}, []int64{3}, []bool{false}, false},
		"before the queue is":     {[]int64{30, 10, 10}, []int64{3, 1, 1}, []bool{false, true, false}, false},
		"little is":               {[]int64{500, 500}, []int64{2, 2}, []bool{false, false}, false},
		"one in a hundred is":     {[]int64{100, 100, 100, 100}, []int64{1, 1, 1, 1}, []bool{false, false, false, false}, true},
		"too little yet":          {[]int64{20}, []int64{2}, []bool{false}, false},
		"the line was full":       {[]int64{100, 100}, []int64{30, 0}, []bool{true, false}, false},
		"and is again":            {[]int64{100, 100}, []int64{10, 10}, []bool{false, true}, false},
		"it loses no more":        {[]int64{500, 200, 700}, []int64{50, 20, 0}, []bool{false, false, false}, false},
		"it loses after all":      {[]int64{100_000, 100, 100}, []int64{0, 10, 10}, []bool{false, false, false}, true},
		"it lost for long enough": {[]int64{500, 200, 100}, []int64{50, 20, 0}, []bool{false, false, false}, true},
	} {
		var x chances
		var sent, lost int64
		now := time.Unix(1000, 0)
		for i := range c.sent {
			sent, lost = sent+c.sent[i], lost+c.lost[i]
			x.look(now, sent, lost, c.fills[i])
			now = now.Add(glance)
		}
		if x.does != c.want {
			t.Errorf("%s: %v", name, x.does)
		}
	}
	for name, c := range map[string]struct {
		mean, deviation time.Duration
		want            bool
	}{
		"as ever":               {20 * time.Millisecond, 2 * time.Millisecond, false},
		"acknowledged late":     {60 * time.Millisecond, 20 * time.Millisecond, false},
		"behind a full queue":   {110 * time.Millisecond, 8 * time.Millisecond, true},
		"now and then far away": {110 * time.Millisecond, 60 * time.Millisecond, false},
	} {
		if got := fills(20*time.Millisecond, c.mean, c.deviation); got != c.want {
			t.Errorf("%s: the queue fills: %v", name, got)
		}
	}
	if fills(500*time.Millisecond, 700*time.Millisecond, 0) || !fills(500*time.Millisecond, 800*time.Millisecond, 0) {
		t.Error("a long way's queue is not half of it")
	}
}

// TestALossyWayIsSlowByItself, however much it carries.
func TestALossyWayIsSlowByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLine()
		l.s.MinRTT, l.s.SmoothedRTT, l.s.CongestionWindow = 20*time.Millisecond, 22*time.Millisecond, 10_000
		l.pass(100, 0)
		if l.slow(elsewhere) {
			t.Error("nothing is lost")
		}
		l.pass(100, 10)
		l.pass(100, 10)
		if !l.slow(elsewhere) || l.ways[elsewhere].copies > 0 {
			t.Errorf("slow: %v, %d copies", l.slow(elsewhere), l.ways[elsewhere].copies)
		}
		l.s.SmoothedRTT = 100 * time.Millisecond
		if l.pass(100, 10); l.slow(elsewhere) {
			t.Error("its line is full")
		}
		for i := range uint16(2 * maxWays % (1 << 16)) {
			l.noteLossy(netip.AddrPortFrom(elsewhere.Addr(), i), true)
		}
		if len(l.tcp) > maxWays {
			t.Errorf("%d ways of TCP are known", len(l.tcp))
		}
	})
}

// TestNobodyWaitsForCopies: nothing goes more than once for a while where what goes
// there is not waited for, and what is known of the way stays.
func TestNobodyWaitsForCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLine()
		l.passes(0, 10)
		again := func() bool { return l.sending(elsewhere, 1) }
		if !again() {
			t.Fatal("nothing goes again")
		}
		l.waits(elsewhere, false)
		if again() {
			t.Error("it goes again, and nobody waits for it")
		}
		l.passes(10, 10, 10) // which is what one copy of none leaves
		l.waits(elsewhere, true)
		l.waits(elsewhere, false)
		if !again() || l.ways[elsewhere].copies != 2 {
			t.Errorf("it goes again: %v, %d times", again(), l.ways[elsewhere].copies)
		}
		var went atomic.Int64
		l.again(elsewhere, parcel{100, func() error { went.Add(1); return nil }})
		synctest.Wait()
		if went.Load() != 3 {
			t.Errorf("%d went", went.Load())
		}
		<-time.After(lately)
		if !again() {
			t.Error("nothing goes again once nobody has said so for long")
		}
		l.waits(elsewhere, false)
		l.again(elsewhere, parcel{100, func() error { went.Add(1); return nil }})
		synctest.Wait()
		if again() || went.Load() != 4 {
			t.Errorf("%d went", went.Load())
		}
	})
}

// TestTheBusiestIsJudged: of two connections to one address, however it is
// written, one speaks for the way.
func TestTheBusiestIsJudged(t *testing.T) {
	mapped := netip.AddrPortFrom(netip.AddrFrom16(elsewhere.Addr().As16()), elsewhere.Port())
	few, many, other := tally{to: elsewhere, conn: new(quic.Conn)}, tally{to: mapped, conn: new(quic.Conn)}, tally{to: netip.AddrPortFrom(elsewhere.Addr(), 9)}
	few.stats.PacketsSent, many.stats.PacketsSent = 100, 101
	for _, all := range [][]tally{{few, many, other}, {many, other, few}} {
		if got := busiest(all); len(got) != 2 || got[elsewhere].conn != many.conn {
			t.Errorf("%v", got)
		}
	}
}

// TestAClosedSocketEndsItsQueue: nothing waits for its turn on one that is closed.
func TestAClosedSocketEndsItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLine()
		tried, all := 0, make(chan struct{})
		for range 100 {
			l.again(elsewhere, parcel{10_000, func() error { <-all; tried++; return fmt.Errorf("write: %w", net.ErrClosed) }})
		}
		close(all)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if w := l.ways[elsewhere]; tried != 1 || len(w.queue) > 0 || w.driven {
			t.Errorf("%d sent, %d wait", tried, len(w.queue))
		}
	})
}

// TestCopiesArePaced: three times as much goes no faster than the way takes it.
func TestCopiesArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLine()
		l.passes(0, 10)
		began := time.Now()
		var went atomic.Int64
		for range 100 {
			l.again(elsewhere, parcel{1000, func() error { went.Add(1000); return nil }})
		}
		<-time.After(time.Second)
		pace := 2. * 3 * 10_000 / .505
		if most, n := pace+paceBurst+3000, float64(went.Load()); n > most || n < most/2 {
			t.Errorf("%.0f bytes in a second, of at most %.0f", n, most)
		}
		for l.sending(elsewhere, 0); went.Load() < 300_000; {
			<-time.After(100 * time.Millisecond)
		}
		if took := time.Since(began); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("all took %v", took)
		}
		for range 2 * maxPaced {
			l.again(elsewhere, parcel{1000, func() error { return net.ErrClosed }})
		}
		l.mu.Lock()
		if n := len(l.ways[elsewhere].queue); n > maxPaced {
			t.Errorf("%d wait", n)
		}
		l.mu.Unlock()
		<-time.After(time.Minute)
	})
}

// TestWaysAreBounded: however many addresses there are, few are known.
func TestWaysAreBounded(t *testing.T) {
	l := newLosses(time.Now)
	for i := range 2 * maxWays {
		l.sending(netip.AddrPortFrom(netip.AddrFrom4([4]byte{11, 1, byte(i >> 8), byte(i)}), 1), 1)
	}
	if len(l.ways) > maxWays {
		t.Errorf("%d ways", len(l.ways))
	}
}

// TestCopiesFollowTheirDatagram: on real sockets, of what is sent at once each
// datagram goes thrice, and then the next.
func TestCopiesFollowTheirDatagram(t *testing.T) {
	to, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l := newLosses(time.Now)
	at := to.LocalAddr().(*net.UDPAddr)
	read := func() string {
		b := make([]byte, 2000)
		to.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := to.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%c%d", b[0], n)
	}
	many := append(append(make([]byte, 0, 2500), bytesOf('a', 1000)...), bytesOf('b', 1000)...)
	many = append(many, bytesOf('c', 500)...)
	oob, want := segments(1000), []string{"a1000", "b1000", "c500"}
	if oob == nil {
		many, want = many[:1000], want[:1]
	}
	for copies := range 3 {
		l.mu.Lock()
		w := l.way(at.AddrPort(), time.Now())
		w.copies, w.pace = copies, mostPace
		l.mu.Unlock()
		if n, _, err := (batched{c, l}).WriteMsgUDP(many, oob, at); err != nil || n != len(many) {
			t.Fatalf("%d bytes, %v", n, err)
		}
		for _, x := range want {
			for range 1 + copies {
				if got := read(); got != x {
					t.Errorf("%d copies: %s for %s", copies, got, x)
				}
			}
		}
		if n, err := (single{c, l}).WriteTo([]byte("d"), at); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		for range 1 + copies {
			if got := read(); got != "d1" {
				t.Errorf("%d copies: %s for d1", copies, got)
			}
		}
	}
}

func bytesOf(b byte, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}
