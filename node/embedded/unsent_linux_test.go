package embedded

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLittleWaitsUnsent: of what is written to one who reads nothing the system has
// taken in, and not sent, no more than a message and the most that it may.
func TestLittleWaitsUnsent(t *testing.T) {
	from, to := pair(t)
	to.SetReadBuffer(16 << 10)
	s := seldom(from, newLosses(time.Now))
	s.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	var err error
	for err == nil {
		_, err = s.Write(make([]byte, 64<<10))
	}
	raw, err := from.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var unsent int
	raw.Control(func(fd uintptr) { unsent, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD) })
	if err != nil || unsent > mostUnsent+64<<10 {
		t.Errorf("%d bytes are unsent: %v", unsent, err)
	}
}

// TestLittleIsUnderWay: where a line's queue fills, who writes waits until what is
// over is through; a beginning, a long way, and one that hardly carries anything are
// not held up.
func TestLittleIsUnderWay(t *testing.T) {
	for name, c := range map[string]struct {
		rate    uint64
		rtt     time.Duration
		packets uint32
		arrived uint32 // of packets, behind one that was lost
		want    time.Duration
	}{
		"nothing is known":       {0, 0, 1000, 0, 0},
		"10 Mbit/s":              {1_250_000, 20 * time.Millisecond, 50, 0, 0},
		"its queue fills":        {1_250_000, 20 * time.Millisecond, 53, 0, 1_395_000},
		"and is full":            {1_250_000, 20 * time.Millisecond, 150, 0, mostHeld},
		"one was lost":           {1_250_000, 20 * time.Millisecond, 150, 100, 0},
		"a beginning":            {280_000, 50 * time.Millisecond, 20, 0, 0},
		"which goes on":          {28_000_000, 50 * time.Millisecond, 2000, 0, 0},
		"a long way":             {250_000, 500 * time.Millisecond, 170, 0, 0},
		"hardly anything passes": {20_000, 20 * time.Millisecond, 45, 0, 0},
		"on the LAN":             {110_000_000, 200 * time.Microsecond, 1500, 0, 0},
	} {
		info := &unix.TCPInfo{Delivery_rate: c.rate, Min_rtt: uint32(c.rtt.Microseconds()), Unacked: c.packets, Sacked: c.arrived, Snd_mss: 1448}
		if d := overfull(info); (d - c.want).Abs() > 100*time.Microsecond {
			t.Errorf("%s: it waits for %v, and not %v", name, d, c.want)
		}
		if n := unsent(info); n < leastUnsent || n > mostUnsent {
			t.Errorf("%s: %d bytes are taken in", name, n)
		}
	}
}
