package embedded

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestWhatLosesByChancePersists: a connection of TCP that loses while nothing queues
// goes on with BBR, where the system lets us, and is known until it is closed.
func TestWhatLosesByChancePersists(t *testing.T) {
	from, _ := pair(t)
	now := time.Unix(1000, 0)
	l := newLosses(func() time.Time { return now })
	s := seldom(from, l).(*sleeper)
	congestion := func() (name string) {
		s.raw.Control(func(fd uintptr) { name, _ = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION) })
		return name
	}
	look := func(info unix.TCPInfo) {
		info.Min_rtt = 20_000
		s.raw.Control(func(fd uintptr) { s.persist(int(fd), &info) })
	}
	const before = "reno" // whatever the machine prefers
	s.raw.Control(func(fd uintptr) { unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, before) })
	look(unix.TCPInfo{Data_segs_out: 100, Total_retrans: 30, Rtt: 110_000, Rttvar: 5_000})
	if l.isLossy(s.far()) || congestion() != before {
		t.Errorf("its line was full, and it sends by %q", congestion())
	}
	look(unix.TCPInfo{Data_segs_out: 200, Total_retrans: 33, Dsack_dups: 1, Rtt: 22_000, Rttvar: 3_000})
	if l.isLossy(s.far()) || congestion() != before {
		t.Errorf("it has lost little, and sends by %q", congestion())
	}
	look(unix.TCPInfo{Data_segs_out: 300, Total_retrans: 34, Dsack_dups: 1, Rtt: 50_000, Rttvar: 15_000})
	now = now.Add(glance)
	look(unix.TCPInfo{Data_segs_out: 310, Total_retrans: 34, Dsack_dups: 1, Rtt: 50_000, Rttvar: 15_000})
	if !l.isLossy(s.far()) {
		t.Error("it is not known to lose by chance")
	}
	other, _ := pair(t)
	raw, err := other.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, bbr)
	})
	if want := map[bool]string{true: bbr, false: before}[err == nil]; congestion() != want {
		t.Errorf("it sends by %q, and not %q", congestion(), want)
	}
	l.noteLossy(s.far(), false) // another one there has been closed
	look(unix.TCPInfo{Data_segs_out: 311, Total_retrans: 34, Dsack_dups: 1, Rtt: 50_000, Rttvar: 15_000})
	if !l.isLossy(s.far()) {
		t.Error("it is not known, as another one there is no more")
	}
	s.socket = &written{s.socket, func() {
		look(unix.TCPInfo{Data_segs_out: 312, Total_retrans: 34, Dsack_dups: 1, Rtt: 50_000, Rttvar: 15_000})
	}}
	s.Close()
	if l.isLossy(s.far()) {
		t.Error("it is known when it is closed")
	}
}

// written is a socket that somebody writes to in the moment in which it is closed.
type written struct {
	socket
	write func()
}

func (w *written) Close() error {
	w.write()
	return w.socket.Close()
}
