package embedded

import (
	"fmt"
	"net"
	"syscall"

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
	raw      syscall.RawConn
	mark     int // bytes that wake
	most     int // bytes that are taken in and not sent; of unsent_linux.go
	chances  chances
	persists bool // as far as the system lets it
	losses   *losses
}

// seldom has who reads c woken seldom. What it returns is c where the system, or
// what c is, does not allow it.
func seldom(c net.Conn, l *losses) net.Conn {
	t, ok := c.(socket)
	if !ok {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	s := &sleeper{socket: t, raw: raw, losses: l}
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
