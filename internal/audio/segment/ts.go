package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

const (
	tsPacket  = 188
	tsLinks   = 5 // packets in a row that make a sync
	tsRate    = 90000
	tsSection = 3 + 1021 // bytes
	// tsLead is how long an audio decoder takes that begins in a transport stream, whichever it is.
	tsLead = tsRate / 10
)

// tsPackets follows a transport stream (ISO/IEC 13818-1) by its packets. Its time is that of the first
// program's first video, or audio where it has none.
type tsPackets struct {
	in *input

	init     []byte // packets so far that belong before all others; nil once they are whole
	pat, pmt section
	patRaw   []byte // packets of the last whole program association
	mapPID   int    // of the first program's map; 0 where none is known
	layout   []byte // what that map says, to see it change

	clock int  // PID that tells the time; 0 where none is known
	video bool // it is one of video
	kind  byte // its stream type

	counter [1 << 13]int8 // of the last packet of a PID, and one
	begun   bool          // a time is known
	last    uint64        // the last one, of 33 bits
	now     int64         // the same, unrolled
	shown   bool          // a packet was handed out
	tick    int64         // how long the last picture or frames took
	ended   bool
}

func (s *tsPackets) next() (unit, error) {
	var u unit
	for n := 0; n <= junk; {
		lost, ok, err := s.sync()
		if err != nil {
			return unit{}, err
		}
		u.gap = u.gap || lost && s.shown
		if !ok {
			if s.shown && !s.ended {
				s.ended = true // the last picture's time
				return unit{at: s.now, end: s.now + s.tick}, nil
			}
			return unit{}, s.in.end()
		}
		p := s.in.whole(tsPacket)
		pid := int(p[1]&0x1f)<<8 | int(p[2])
		if s.counted(p, pid) {
			u.gap = u.gap || s.shown
		}
		run, err := s.tables(p, pid)
		if err != nil {
			return unit{}, err
		}
		if run != nil {
			u.run = run
			continue
		}
		if s.clock == 0 {
			n += tsPacket
			continue
		}
		if pid == s.clock && p[1]&0x40 != 0 {
			u.start = s.time(p)
		}
		s.shown = true
		u.data, u.at, u.end = p, s.now, s.now
		return u, nil
	}
	return unit{}, fmt.Errorf("cut MPEG-TS: %w: no program with video or audio within %d bytes", ErrUnknown, junk)
}

// sync moves to the next packet. ok is false where the stream ends.
func (s *tsPackets) sync() (lost, ok bool, err error) {
	b := s.in.peek(tsPacket)
	if len(b) < tsPacket {
		return false, false, nil
	}
	if b[0] == 0x47 {
		return false, true, nil
	}
	for n := 0; n <= junk; n++ {
		found, end := tsLinked(s.in, 0)
		if found {
			return true, true, nil
		}
		if end {
			return true, false, nil
		}
		s.in.drop(1)
	}
	return true, false, fmt.Errorf("cut MPEG-TS: %w: no packets within %d bytes", ErrDamaged, junk)
}

// tsLinked tells whether packets follow one another from byte i on; end, that too few bytes are left.
func tsLinked(in *input, i int) (ok, end bool) {
	for n := range tsLinks {
		at := i + n*tsPacket
		b := in.peek(at + 1)
		if len(b) <= at {
			return false, true
		}
		if b[at] != 0x47 {
			return false, false
		}
	}
	return true, false
}

// payload is what a packet carries, and its adaptation field's flags.
func payload(p []byte) (b []byte, flags byte) {
	i := 4
	if p[3]&0x20 != 0 {
		if p[4] > 0 {
			flags = p[5]
		}
		i += 1 + int(p[4])
	}
	if p[3]&0x10 == 0 || i >= len(p) {
		return nil, flags
	}
	return p[i:], flags
}

// counted tells whether packets of this PID are missing before p.
func (s *tsPackets) counted(p []byte, pid int) bool {
	was, now := s.counter[pid], int8(p[3]&15)
	if p[3]&0x10 == 0 || pid == 0x1fff {
		return false
	}
	s.counter[pid] = now + 1
	_, flags := payload(p)
	return was != 0 && was != now+1 && was&15 != now && flags&0x80 == 0
}

// tables reads the tables that stand before all. It returns a run where a program is known anew: then the
// packet is in the run's init.
func (s *tsPackets) tables(p []byte, pid int) (*run, error) {
	before := s.clock == 0
	if before && (pid < 0x20 || pid == s.mapPID) && len(s.init)+tsPacket <= MaxInit {
		s.init = append(s.init, p...)
	}
	switch {
	case pid == 0:
		b := s.pat.take(p)
		if b == nil || b[0] != 0 {
			return nil, nil
		}
		s.patRaw = append(s.patRaw[:0], s.pat.raw...)
		for e := b[8 : len(b)-4]; len(e) >= 4; e = e[4:] {
			if program := binary.BigEndian.Uint16(e); program != 0 {
				if at := int(binary.BigEndian.Uint16(e[2:]) & 0x1fff); at != s.mapPID {
					s.mapPID, s.pmt = at, section{}
				}
				return nil, nil
			}
		}
	case pid == s.mapPID && s.mapPID != 0:
		b := s.pmt.take(p)
		if b == nil || b[0] != 2 || bytes.Equal(b, s.layout) {
			return nil, nil
		}
		s.layout = append(s.layout[:0], b...)
		if err := s.program(b); err != nil {
			return nil, err
		}
		r := &run{format: TS, rate: tsRate, lead: tsLead, init: s.init}
		if !before {
			r.init = append(append([]byte{}, s.patRaw...), s.pmt.raw...)
		}
		s.init, s.begun = nil, false
		return r, nil
	}
	return nil, nil
}

// program finds in a program's map whose time to go by.
func (s *tsPackets) program(b []byte) error {
	s.clock, s.video = 0, false
	skip := 12 + (int(b[10]&15)<<8 | int(b[11]))
	for e := b[min(skip, len(b)-4) : len(b)-4]; len(e) >= 5; {
		kind, pid := e[0], int(binary.BigEndian.Uint16(e[1:])&0x1fff)
		switch kind {
		case 0x01, 0x02, 0x10, 0x1b, 0x24, 0x33: // MPEG-1, -2, -4, AVC, HEVC, VVC
			if !s.video {
				s.clock, s.video, s.kind = pid, true, kind
			}
		case 0x03, 0x04, 0x06, 0x0f, 0x11, 0x81, 0x87: // MPEG audio, private (Opus), AAC, LATM, AC-3
			if s.clock == 0 {
				s.clock, s.kind = pid, kind
			}
		}
		e = e[min(len(e), 5+(int(e[3]&15)<<8|int(e[4]))):]
	}
	if s.clock == 0 {
		return fmt.Errorf("cut MPEG-TS: %w: a program without video or audio", ErrUnknown)
	}
	return nil
}

// time reads when a picture or frames are due that begin in p, and whether a decoder can begin there.
func (s *tsPackets) time(p []byte) (start bool) {
	b, flags := payload(p)
	if len(b) < 9 || b[0] != 0 || b[1] != 0 || b[2] != 1 {
		return false
	}
	data := b[min(len(b), 9+int(b[8])):]
	var t uint64
	switch {
	case b[7]&0xc0 == 0xc0 && len(b) >= 19: // decoding time, where it is another
		t = stamp(b[14:])
	case b[7]&0x80 != 0 && len(b) >= 14:
		t = stamp(b[9:])
	default:
		return false
	}
	const half = 1 << 32
	d := int64((t-s.last)&(2*half-1)+half)%(2*half) - half
	switch {
	case !s.begun:
		s.begun = true
	case d > 0 && d < longestJump*tsRate:
		s.now += d
		s.tick = d
	case d <= 0 && d > -tsRate:
		t = s.last // out of order
	default:
		s.now += s.tick // a clock that was set
	}
	s.last = t
	if !s.video {
		return true
	}
	return flags&0x40 != 0 || tsKey(s.kind, data)
}

// stamp reads 33 bits of time.
func stamp(b []byte) uint64 {
	return uint64(b[0]>>1&7)<<30 | uint64(b[1])<<22 | uint64(b[2]>>1)<<15 | uint64(b[3])<<7 | uint64(b[4]>>1)
}

// tsKey tells whether a picture begins what can be decoded by itself, where its packet does not say.
func tsKey(kind byte, b []byte) bool {
	for i := 0; i+3 < len(b); i++ {
		if b[i] != 0 || b[i+1] != 0 || b[i+2] != 1 {
			continue
		}
		switch n := b[i+3]; kind {
		case 0x01, 0x02:
			if n == 0xb3 { // sequence header
				return true
			}
		case 0x1b:
			if n&31 == 5 || n&31 == 7 { // IDR, sequence parameters
				return true
			}
		case 0x24:
			if n := n >> 1 & 63; n >= 16 && n <= 23 || n == 32 || n == 33 {
				return true
			}
		}
	}
	return false
}

// section puts a table together.
type section struct {
	data []byte
	raw  []byte // the packets that it came in
	open bool
}

// take takes a packet, and returns the section that it completes, of 12 bytes at least, its checksum right.
// It is valid until the next call.
func (s *section) take(p []byte) []byte {
	b, _ := payload(p)
	if len(b) == 0 {
		return nil
	}
	if p[1]&0x40 != 0 {
		at := 1 + int(b[0])
		if at > len(b) {
			return nil
		}
		s.data, s.raw, s.open = s.data[:0], s.raw[:0], true
		b = b[at:]
	}
	if !s.open || len(s.data) > tsSection {
		s.open = false
		return nil
	}
	s.data, s.raw = append(s.data, b...), append(s.raw, p...)
	if len(s.data) < 3 {
		return nil
	}
	size := 3 + (int(s.data[1]&15)<<8 | int(s.data[2]))
	if len(s.data) < size {
		return nil
	}
	s.open = false
	if d := s.data[:size]; size >= 12+4 || size >= 12 && d[0] == 0 {
		if tsSum(d) == 0 {
			return d
		}
	}
	return nil
}

// tsSum is the CRC-32 of MPEG-2 (13818-1, annex A).
func tsSum(b []byte) uint32 {
	crc := ^uint32(0)
	for _, v := range b {
		crc ^= uint32(v) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
