package embedded

import (
	"bytes"
	"net"
	"net/netip"
	"syscall"

	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/quic-go/quic-go"

	"playnode/node"
)

// onSockets has sockets of UDP share the line, if it is bound, and send more
// than once to where much is lost.
func onSockets(line *node.Line, l *losses) quicreuse.Option {
	return quicreuse.OverrideListenUDP(func(network string, at *net.UDPAddr) (net.PacketConn, error) {
		c, err := net.ListenUDP(network, at)
		if err != nil {
			return nil, err
		}
		if lined, ok := line.Packets(c).(packets); ok && line != nil {
			return single{lined, l}, nil
		}
		return batched{c, l}, nil
	})
}

// packets is a socket of UDP that takes one datagram at a time.
type packets interface {
	net.PacketConn
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
	SyscallConn() (syscall.RawConn, error)
}

// single is a socket that sends more than once to where much is lost.
type single struct {
	packets
	losses *losses
}

func (s single) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok || !s.losses.sending(u.AddrPort(), 1) {
		return s.packets.WriteTo(b, to)
	}
	one := bytes.Clone(b)
	s.losses.again(u.AddrPort(), parcel{len(one), func() error {
		_, err := s.packets.WriteTo(one, to)
		return err
	}})
	return len(b), nil
}

// batched is one that takes many datagrams at a time, too.
type batched struct {
	*net.UDPConn
	losses *losses
}

var _ quic.OOBCapablePacketConn = batched{}

// WriteMsgUDP sends b, in datagrams of the size that oob tells.
func (s batched) WriteMsgUDP(b, oob []byte, to *net.UDPAddr) (n, oobn int, err error) {
	size := segment(oob, len(b))
	if to == nil || size <= 0 || !s.losses.sending(to.AddrPort(), (len(b)+size-1)/size) {
		return s.UDPConn.WriteMsgUDP(b, oob, to)
	}
	all, how := bytes.Clone(b), unsegmented(oob)
	for len(all) > 0 {
		one := all[:min(size, len(all))]
		all = all[len(one):]
		s.losses.again(to.AddrPort(), parcel{len(one), func() error {
			_, _, err := s.UDPConn.WriteMsgUDP(one, how, to)
			return err
		}})
	}
	return len(b), len(oob), nil
}

// addressOf is where a connection of QUIC leads.
func addressOf(c *quic.Conn) (netip.AddrPort, bool) {
	u, ok := c.RemoteAddr().(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	return u.AddrPort(), true
}
