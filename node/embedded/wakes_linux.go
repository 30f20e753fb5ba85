package embedded

import (
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// cushion is how much the cipher's reader takes in at once where it needs
	// little: who reads for more needs all of it, as a message that is not whole
	// cannot be opened.
	cushion = 4 << 10
	// mostWaiting bounds what waits in a socket for the rest of its message.
	mostWaiting = 32 << 10
)

// socket is a connection of TCP.
type socket interface {
	net.Conn
	syscall.Conn
	CloseRead() error
	CloseWrite() error
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
}

// sleeper is a connection whose reader is woken when what it reads for is here,
// and not for each packet of it: on a slow line a message comes in 45. It takes
// one reader at a time.
type sleeper struct {
	socket
	raw  syscall.RawConn
	mark int // bytes that wake
	most int // bytes that are taken in and not sent
}

// seldom has who reads c woken seldom. What it returns is c where the system, or
// what c is, does not allow it.
func seldom(c net.Conn) net.Conn {
	t, ok := c.(socket)
	if !ok {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	s := &sleeper{socket: t, raw: raw}
	if err := s.wake(1); err != nil {
		return c
	}
	return s
}

func (s *sleeper) Read(b []byte) (int, error) {
	at := 1
	if len(b) > cushion {
		at = min(len(b), mostWaiting)
	}
	if at != s.mark {
		if err := s.wake(at); err != nil {
			return 0, err
		}
	}
	return s.socket.Read(b)
}

const (
	// leastUnsent and mostUnsent bound what the system takes in of a connection and
	// has not sent, in bytes, which is what its line carries in unsentTime otherwise.
	leastUnsent, mostUnsent = 16 << 10, 1 << 20
	unsentTime              = 20 * time.Millisecond
)

// Write has the system take in little more than it can send, as what is urgent comes
// behind it: by itself it takes in megabytes.
func (s *sleeper) Write(b []byte) (int, error) {
	if len(b) > cushion {
		s.restrain()
	}
	return s.socket.Write(b)
}

// restrain sets what is taken in by what the line has carried of late.
func (s *sleeper) restrain() {
	s.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		most := min(max(int(info.Delivery_rate*uint64(unsentTime)/uint64(time.Second)), leastUnsent), mostUnsent)
		if most >= s.most*3/4 && most <= s.most*5/4 {
			return
		}
		if unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, most) == nil {
			s.most = most
		}
	})
}

// wake has the reader woken by so many bytes, or by the end.
func (s *sleeper) wake(at int) error {
	var err error
	if cerr := s.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, at)
	}); cerr != nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("set when to wake: %w", err)
	}
	s.mark = at
	return nil
}
