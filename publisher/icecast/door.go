package icecast

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
)

// door is a listener that hangs up on whom there is no room for, and that lets in requests of the old
// protocol, whose first line ends in ICE/1.0.
type door struct {
	net.Listener
	room int64
	in   atomic.Int64
}

func newDoor(l net.Listener, room int) *door { return &door{Listener: l, room: int64(room)} }

func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if d.in.Add(1) <= d.room {
			return &guest{Conn: c, leave: sync.OnceFunc(func() { d.in.Add(-1) })}, nil
		}
		d.in.Add(-1)
		c.Close()
	}
}

// guest is one connection.
type guest struct {
	net.Conn
	leave func()
	line  []byte // the first line, as far as it has come
	whole bool   // and was handed out
	err   error
}

func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}

// Read hands out the first line when it is whole, with its protocol called by the name that net/http knows.
func (g *guest) Read(b []byte) (int, error) {
	if g.whole && len(g.line) == 0 {
		if g.err != nil {
			return 0, g.err
		}
		return g.Conn.Read(b)
	}
	for !g.whole {
		var part [1024]byte
		n, err := g.Conn.Read(part[:min(len(part), max(1, len(b)))])
		g.line = append(g.line, part[:n]...)
		if i := bytes.IndexByte(g.line, '\n'); i >= 0 || err != nil || len(g.line) > maxHeader {
			g.whole, g.err = true, err
			if line := bytes.TrimRight(g.line[:max(i, 0)], "\r"); bytes.HasSuffix(line, []byte(" ICE/1.0")) {
				g.line = append(append(append([]byte{}, line[:len(line)-7]...), "HTTP/1.0\r"...), g.line[i:]...)
			}
		}
	}
	n := copy(b, g.line)
	g.line = g.line[n:]
	if n == 0 {
		return 0, g.err
	}
	return n, nil
}
