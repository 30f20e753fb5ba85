package embedded

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// leastUnsent and mostUnsent bound what the system takes in of a connection and
	// has not sent, in bytes, which is what its line carries in queueTime otherwise.
	leastUnsent, mostUnsent = 16 << 10, 1 << 20
	queueTime               = 20 * time.Millisecond
	// leastFlying is what may be under way at the least, in bytes: who shares a line
	// with others, that fill the router's queue, is not left with nothing.
	leastFlying = 64 << 10
	// leastHeld and mostHeld bound one wait until less is under way, held all waits
	// of one write: where nothing is acknowledged any more, that is the system's.
	leastHeld, mostHeld, held = time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond
)

// Write has little of what is large queue on the way: what is urgent, of whichever
// stream, comes behind it. By itself the system takes in megabytes, and sends what a
// router's queue holds, and loses what it does not.
func (s *sleeper) Write(b []byte) (int, error) {
	if len(b) > cushion {
		for waited := time.Duration(0); waited < held; {
			d := s.restrain()
			if d == 0 {
				break
			}
			time.Sleep(d)
			waited += d
		}
	}
	return s.socket.Write(b)
}

// restrain sets what the system takes in, and tells for how long to wait until less
// is under way; 0 where little is.
func (s *sleeper) restrain() (wait time.Duration) {
	s.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		most := unsent(info)
		if most < s.most*3/4 || most > s.most*5/4 {
			if unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, most) == nil {
				s.most = most
			}
		}
		wait = overfull(info)
		s.persist(int(fd), info)
	})
	return wait
}

// unsent is how many bytes the system is to take in beyond what it has sent.
func unsent(info *unix.TCPInfo) int {
	carries := float64(info.Delivery_rate) * queueTime.Seconds()
	return int(min(max(carries, leastUnsent), mostUnsent))
}

// overfull is how long it takes until as much is under way as is to be: what comes
// through in two of the shortest ways there and back, and queueTime. Who begins
// sends twice as much each time, and is not held up by that.
func overfull(info *unix.TCPInfo) time.Duration {
	rate := float64(info.Delivery_rate)
	if rate == 0 {
		return 0
	}
	shortest := time.Duration(info.Min_rtt) * time.Microsecond
	flying := float64(info.Unacked) + float64(info.Retrans) - float64(info.Sacked) - float64(info.Lost)
	over := flying*float64(info.Snd_mss) - max(leastFlying, rate*(2*shortest+queueTime).Seconds())
	if over <= 0 {
		return 0
	}
	return min(max(time.Duration(over/rate*float64(time.Second)), leastHeld), mostHeld)
}
