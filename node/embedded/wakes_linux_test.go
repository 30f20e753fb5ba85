package embedded

import (
	"bytes"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// marked notes at each read by how many bytes the reader is woken.
type marked struct {
	*net.TCPConn
	t     *testing.T
	reads [][2]int // asked for, and the mark
}

func (m *marked) Read(b []byte) (int, error) {
	raw, err := m.SyscallConn()
	if err != nil {
		return 0, err
	}
	raw.Control(func(fd uintptr) {
		at, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT)
		if err != nil {
			m.t.Error(err)
		}
		m.reads = append(m.reads, [2]int{len(b), at})
	})
	return m.TCPConn.Read(b)
}

// pair is a connection of TCP, over loopback.
func pair(t *testing.T) (from, to *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close() })
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
}

// TestSeldom has who needs much woken by as much, who needs little by anything,
// and the last by the end: whatever comes when, nobody waits for more than comes.
func TestSeldom(t *testing.T) {
	from, to := pair(t)
	inner := &marked{TCPConn: to, t: t}
	s := seldom(inner, newLosses(time.Now))
	if _, ok := s.(*sleeper); !ok {
		t.Fatalf("a connection of TCP is woken for everything: %T", s)
	}
	sizes := []int{2, 65_535, 2, cushion, cushion + 1, 2, mostWaiting - 1, mostWaiting, mostWaiting + 1, 1, 200_000, 2}
	var all []byte
	for i, n := range sizes {
		all = append(all, bytes.Repeat([]byte{byte(i)}, n)...)
	}
	go func() {
		for part := range slices.Chunk(slices.Concat(all, make([]byte, 10_000)), 1_448) {
			from.Write(part)
		}
		from.Close()
	}()
	for i, n := range sizes {
		b := make([]byte, n)
		if _, err := io.ReadFull(s, b); err != nil || !bytes.Equal(b, bytes.Repeat([]byte{byte(i)}, n)) {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if rest, err := io.ReadFull(s, make([]byte, 65_535)); rest != 10_000 || err != io.ErrUnexpectedEOF {
		t.Errorf("half a message at the end: %d bytes, %v", rest, err)
	}
	for _, r := range inner.reads {
		want := 1
		if r[0] > cushion {
			want = min(r[0], mostWaiting)
		}
		if r[1] != want {
			t.Errorf("read for %d bytes, and woken by %d", r[0], r[1])
		}
	}
}
