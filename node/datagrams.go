package node

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// maxFlows bounds the addresses that a socket's turns are counted for.
const maxFlows = 1024

// udp is a socket without the ways past WriteTo and ReadFrom.
type udp struct{ c *net.UDPConn }

func (u udp) LocalAddr() net.Addr                   { return u.c.LocalAddr() }
func (u udp) SetDeadline(t time.Time) error         { return u.c.SetDeadline(t) }
func (u udp) SetReadDeadline(t time.Time) error     { return u.c.SetReadDeadline(t) }
func (u udp) SetWriteDeadline(t time.Time) error    { return u.c.SetWriteDeadline(t) }
func (u udp) SetReadBuffer(n int) error             { return u.c.SetReadBuffer(n) }
func (u udp) SetWriteBuffer(n int) error            { return u.c.SetWriteBuffer(n) }
func (u udp) SyscallConn() (syscall.RawConn, error) { return u.c.SyscallConn() }

// datagrams is a socket of UDP that shares a line.
type datagrams struct {
	udp
	line     *Line
	in       flow
	gone     chan struct{}
	goneOnce sync.Once
	bounded  sync.Once

	mu sync.Mutex // guards to
	to map[netip.AddrPort]*flow
}

// Packets has a socket of UDP share the line: those whom it sends to go by
// turns. What comes faster than it may is dropped by the system, as a slow line
// drops it.
func (l *Line) Packets(c *net.UDPConn) net.PacketConn {
	if l == nil {
		return c
	}
	d := &datagrams{udp: udp{c}, line: l, to: map[netip.AddrPort]*flow{}, gone: make(chan struct{})}
	d.in.class.Store(int32(Next))
	return d
}

func (d *datagrams) ReadFrom(b []byte) (int, net.Addr, error) {
	if d.line.down != nil {
		// Whoever took the socket has asked for room for megabytes by now.
		d.bounded.Do(func() { d.c.SetReadBuffer(d.line.down.queue()) })
	}
	n, from, err := d.c.ReadFrom(b)
	if err == nil {
		err = d.line.down.pass(&d.in, n+datagram, d.gone)
	}
	return n, from, err
}

func (d *datagrams) WriteTo(b []byte, to net.Addr) (int, error) {
	if d.line.up != nil {
		if err := d.line.up.pass(d.flow(to), len(b)+datagram, d.gone); err != nil {
			return 0, err
		}
	}
	return d.c.WriteTo(b, to)
}

// flow is what is sent to one address.
func (d *datagrams) flow(to net.Addr) *flow {
	var at netip.AddrPort
	if u, ok := to.(*net.UDPAddr); ok {
		at = u.AddrPort()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.to[at]
	if f == nil {
		for old := range d.to { // any: it begins anew where the others are
			if len(d.to) < maxFlows {
				break
			}
			delete(d.to, old)
		}
		f = &flow{}
		f.class.Store(int32(Next))
		d.to[at] = f
	}
	return f
}

func (d *datagrams) Close() error {
	d.goneOnce.Do(func() { close(d.gone) })
	return d.c.Close()
}
