package segment

import (
	"encoding/binary"
	"fmt"
)

const (
	mp4Piece = 64 << 10 // of a fragment that is longer than a segment may be
	maxRate  = 1 << 30
	maxBox   = 1 << 40
)

// mp4Boxes follows a fragmented MP4 (ISO/IEC 14496-12, 8.8; CMAF, 23000-19) by its fragments, each a moof
// and its mdat with what stands before. Its time is that of the first track of video, or of audio.
type mp4Boxes struct {
	in   *input
	most int

	tracks map[uint32]mp4Track
	clock  uint32 // the track that tells the time
	rate   int
	begun  bool // init was read
	every  bool // all fragments of the run could be begun at

	now  int64
	left int64 // bytes of an mdat that comes in pieces
	full int64 // of how many
	from int64 // time of that fragment
	till int64
	pre  []byte // boxes before the next mdat
	half bool   // a moof is among them
}

// mp4Track is what moov says of a track.
type mp4Track struct {
	rate     uint32
	video    bool
	audio    bool
	duration uint32 // of a sample, where a fragment does not say
	flags    uint32
}

func (m *mp4Boxes) next() (unit, error) {
	var u unit
	for {
		if m.left > 0 {
			return m.piece(u)
		}
		kind, size, head, err := m.box()
		if err != nil {
			if len(m.pre) > 0 && m.begun && !m.half {
				u.data, u.at, u.end = m.pre, m.now, m.now
				m.pre = nil
				return u, nil
			}
			return unit{}, err
		}
		switch {
		case kind == "ftyp", kind == "moov", !m.begun && kind != "mdat" && kind != "moof":
			if u.run, err = m.header(); err != nil {
				return unit{}, err
			}
		case !m.begun:
			return unit{}, fmt.Errorf("cut MP4: %w: %s before moov: it is not fragmented", ErrUnknown, kind)
		case kind == "mdat":
			m.full = size
			return m.fragment(u, size, head)
		default:
			if int64(len(m.pre))+size > int64(min(m.most, MaxInit*2)) {
				return unit{}, fmt.Errorf("cut MP4: %w: %d bytes of boxes before a fragment's media", ErrTooLong, int64(len(m.pre))+size)
			}
			b := m.in.whole(int(size))
			if b == nil {
				return unit{}, m.in.end()
			}
			m.pre = append(m.pre, b...)
			if kind == "moof" {
				m.half = true
				if err := m.moof(b[head:], &u); err != nil {
					return unit{}, err
				}
			}
		}
	}
}

// box looks at the next box's header.
func (m *mp4Boxes) box() (kind string, size int64, head int, err error) {
	b := m.in.peek(8)
	if len(b) < 8 {
		return "", 0, 0, m.in.end()
	}
	size, head, kind = int64(binary.BigEndian.Uint32(b)), 8, string(b[4:8])
	if size == 1 {
		if b = m.in.peek(16); len(b) < 16 {
			return "", 0, 0, m.in.end()
		}
		size, head = int64(binary.BigEndian.Uint64(b[8:])), 16
	}
	for _, c := range []byte(kind) {
		if c < ' ' || c > '~' && c != 0xa9 {
			return "", 0, 0, fmt.Errorf("cut MP4: %w: no box where one should be", ErrDamaged)
		}
	}
	if size < int64(head) || size > maxBox {
		return "", 0, 0, fmt.Errorf("cut MP4: %w: a box %s of %d bytes", ErrDamaged, kind, size)
	}
	return kind, size, head, nil
}

// header reads all up to and with moov.
func (m *mp4Boxes) header() (*run, error) {
	init := m.pre
	m.pre, m.half, m.tracks, m.clock, m.rate, m.begun, m.every = nil, false, map[uint32]mp4Track{}, 0, 0, false, true
	for {
		kind, size, head, err := m.box()
		if err != nil {
			return nil, err
		}
		if kind == "mdat" || kind == "moof" {
			return nil, fmt.Errorf("cut MP4: %w: %s before moov: it is not fragmented", ErrUnknown, kind)
		}
		if int64(len(init))+size > MaxInit {
			return nil, fmt.Errorf("cut MP4: %w: headers of more than %d bytes", ErrTooLong, MaxInit)
		}
		b := m.in.whole(int(size))
		if b == nil {
			return nil, m.in.end()
		}
		init = append(init, b...)
		if kind != "moov" {
			continue
		}
		m.moov(b[head:])
		if m.clock == 0 {
			return nil, fmt.Errorf("cut MP4: %w: no track of video or audio", ErrUnknown)
		}
		m.begun, m.now = true, 0
		return &run{format: MP4, rate: m.rate, lead: int64(m.rate / 10), init: init}, nil
	}
}

// boxes calls f with each box in b.
func boxes(b []byte, f func(kind string, b []byte)) {
	for len(b) >= 8 {
		size, head := uint64(binary.BigEndian.Uint32(b)), uint64(8)
		if size == 1 && len(b) >= 16 {
			size, head = binary.BigEndian.Uint64(b[8:]), 16
		}
		if size < head || size > uint64(len(b)) {
			return
		}
		f(string(b[4:8]), b[head:size])
		b = b[size:]
	}
}

// word is the 32 bits at i, 0 where there are none.
func word(b []byte, i int) uint32 {
	if len(b) < i+4 {
		return 0
	}
	return binary.BigEndian.Uint32(b[i:])
}

func (m *mp4Boxes) moov(b []byte) {
	var defaults [][]byte
	boxes(b, func(kind string, b []byte) {
		switch kind {
		case "trak":
			m.trak(b)
		case "mvex":
			boxes(b, func(kind string, b []byte) {
				if kind == "trex" {
					defaults = append(defaults, b)
				}
			})
		}
	})
	for _, b := range defaults {
		id := word(b, 4)
		if t, ok := m.tracks[id]; ok {
			t.duration, t.flags = word(b, 12), word(b, 20)
			m.tracks[id] = t
		}
	}
}

func (m *mp4Boxes) trak(b []byte) {
	var id uint32
	var t mp4Track
	boxes(b, func(kind string, b []byte) {
		switch kind {
		case "tkhd":
			id = word(b, 12)
			if len(b) > 0 && b[0] == 1 {
				id = word(b, 20)
			}
		case "mdia":
			boxes(b, func(kind string, b []byte) {
				switch kind {
				case "mdhd":
					t.rate = word(b, 12)
					if len(b) > 0 && b[0] == 1 {
						t.rate = word(b, 20)
					}
				case "hdlr":
					t.video, t.audio = word(b, 8) == 0x76696465, word(b, 8) == 0x736f756e // vide, soun
				}
			})
		}
	})
	if id == 0 || t.rate == 0 || t.rate > maxRate || len(m.tracks) == 64 {
		return
	}
	m.tracks[id] = t
	if was := m.tracks[m.clock]; t.video && !was.video || t.audio && m.clock == 0 {
		m.clock, m.rate = id, int(t.rate)
	}
}

// moof reads when a fragment begins and how long it lasts, and whether it can be begun at.
func (m *mp4Boxes) moof(b []byte, u *unit) error {
	at, lasts, start, mine := m.now, int64(0), false, false
	boxes(b, func(kind string, b []byte) {
		if kind != "traf" {
			return
		}
		var id uint32
		var t mp4Track
		boxes(b, func(kind string, b []byte) {
			switch {
			case kind == "tfhd":
				id = word(b, 4)
				t = m.tracks[id]
				i := 8
				for _, f := range []struct {
					bit, size uint32
					to        *uint32
				}{{1, 8, nil}, {2, 4, nil}, {8, 4, &t.duration}, {16, 4, nil}, {32, 4, &t.flags}} {
					if word(b, 0)&f.bit != 0 {
						if f.to != nil {
							*f.to = word(b, i)
						}
						i += int(f.size)
					}
				}
			case id != m.clock:
			case kind == "tfdt" && !mine:
				if at = int64(word(b, 4)); len(b) >= 12 && b[0] == 1 {
					at = int64(binary.BigEndian.Uint64(b[4:]))
				}
			case kind == "trun":
				d, flags, ok := trun(b, t)
				lasts += d
				if ok && !mine {
					start, mine = flags&0x10000 == 0, true // sample_is_non_sync_sample
				}
			}
		})
	})
	if at < 0 || at > 1<<56 || lasts < 0 || lasts > 3600*int64(m.rate) {
		return fmt.Errorf("cut MP4: %w: a fragment at %d that lasts %d", ErrDamaged, at, lasts)
	}
	if at < m.now && m.now-at < int64(m.rate) {
		at = m.now // to a sample or so
	}
	u.at, u.end, u.start = at, at+lasts, start
	if mine {
		m.every = m.every && start
	}
	m.from, m.till = u.at, u.end
	return nil
}

// trun sums up a run of samples, and returns the flags of its first.
func trun(b []byte, t mp4Track) (lasts int64, first uint32, ok bool) {
	flags, n := word(b, 0), int64(word(b, 4))
	if n == 0 || len(b) < 8 {
		return 0, 0, false
	}
	i := 8
	if flags&1 != 0 {
		i += 4
	}
	first = t.flags
	given := flags&4 != 0
	if given {
		first = word(b, i)
		i += 4
	}
	size := 0
	for bit := uint32(0x100); bit <= 0x800; bit <<= 1 {
		if flags&bit != 0 {
			size += 4
		}
	}
	if flags&0x100 == 0 {
		lasts = n * int64(t.duration)
	}
	if size == 0 {
		return lasts, first, true
	}
	for k := int64(0); k < n && i+size <= len(b); k++ {
		at := i
		if flags&0x100 != 0 {
			lasts += int64(word(b, at))
			at += 4
		}
		if flags&0x200 != 0 {
			at += 4
		}
		if flags&0x400 != 0 && k == 0 && !given {
			first = word(b, at)
		}
		i += size
	}
	return lasts, first, true
}

// fragment hands out a moof with its mdat, or its first piece.
func (m *mp4Boxes) fragment(u unit, size int64, head int) (unit, error) {
	if !m.half { // media of the moof before
		m.from, m.till = m.now, m.now
		u.at, u.end = m.now, m.now
	}
	all := int64(len(m.pre)) + size
	take := size
	if all > int64(m.most) {
		take = min(size, max(int64(head), int64(min(mp4Piece, m.most-len(m.pre)))))
	}
	b := m.in.whole(int(take))
	if b == nil {
		return unit{}, m.in.end()
	}
	u.data = append(m.pre, b...)
	m.pre, m.half = nil, false
	m.left = size - take
	u.end = m.part()
	m.now = u.end
	u.sure = m.left == 0 && m.every
	return u, nil
}

// piece hands out more of a fragment that is too long.
func (m *mp4Boxes) piece(u unit) (unit, error) {
	b := m.in.whole(int(min(m.left, mp4Piece, int64(m.most))))
	if b == nil {
		return unit{}, m.in.end()
	}
	m.left -= int64(len(b))
	u.data, u.at, u.end = b, m.now, m.part()
	m.now = u.end
	u.sure = m.left == 0 && m.every
	return u, nil
}

// part is when what was read of a fragment is over: time goes by its bytes.
func (m *mp4Boxes) part() int64 {
	return m.till - int64(float64(m.till-m.from)*(float64(m.left)/float64(m.full)))
}
