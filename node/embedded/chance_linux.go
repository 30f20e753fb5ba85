package embedded

import (
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// bbr is the congestion control that goes by how quickly what was sent has come, and
// not by what is lost.
const bbr = "bbr"

// persist has a connection that loses by chance go on with BBR, where the system has
// it and lets us: others take each lost packet for a line that is full.
func (s *sleeper) persist(fd int, info *unix.TCPInfo) {
	did := s.chances.does
	us := func(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }
	lost := int64(info.Total_retrans) - int64(info.Dsack_dups) // those that came twice were not
	s.chances.look(s.losses.now(), int64(info.Data_segs_out), lost, fills(us(info.Min_rtt), us(info.Rtt), us(info.Rttvar)))
	if s.chances.does || did { // at each look: another one there may have ended, and said that none does
		s.losses.noteLossy(s.far(), s.chances.does)
	}
	if s.chances.does && !s.persists {
		s.persists = true
		unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, bbr)
	}
}

// far is where the connection leads.
func (s *sleeper) far() netip.AddrPort {
	if t, ok := s.RemoteAddr().(*net.TCPAddr); ok {
		return t.AddrPort()
	}
	return netip.AddrPort{}
}

// Close has the way not be known by this connection any more, once nobody can look at
// it: it waits for who does.
func (s *sleeper) Close() error {
	err := s.socket.Close()
	s.losses.noteLossy(s.far(), false)
	return err
}
