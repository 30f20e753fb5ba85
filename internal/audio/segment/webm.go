package segment

import (
	"bytes"
	"fmt"
)

// IDs of elements (RFC 8794, RFC 9559).
const (
	idEBML      = 0x1A45DFA3
	idSegment   = 0x18538067
	idInfo      = 0x1549A966
	idTracks    = 0x1654AE6B
	idCluster   = 0x1F43B675
	idTime      = 0xE7
	idSimple    = 0xA3
	idGroup     = 0xA0
	idBlock     = 0xA1
	idReference = 0xFB
	idTrack     = 0xAE
	idNumber    = 0xD7
	idType      = 0x83
	idScale     = 0x2AD7B1
)

// known are those that may stand in a segment or a cluster, with 1 for one that takes part in a cluster.
var known = map[uint32]int{
	idInfo: 0, idTracks: 0, 0x114D9B74: 0, 0x1C53BB6B: 0, 0x1254C367: 0, 0x1043A770: 0, 0x1941A469: 0, 0xEC: 1, 0xBF: 1,
	idTime: 1, idSimple: 1, idGroup: 1, 0xA7: 1, 0xAB: 1, 0x5854: 1, 0xAF: 1,
}

const webmRate = 1000

// webmBlocks follows WebM or Matroska as it is sent live, by its blocks; decoders begin at clusters. Its time
// is that of the first track of video, or of audio, to a millisecond.
type webmBlocks struct {
	in *input

	begun bool
	scale int64  // ns
	clock uint64 // the track that tells the time
	video bool

	pre   []byte // elements before the next block
	base  int64  // of the cluster
	first bool   // no block of it was seen
	timed bool   // a block of the run was
	now   int64
	tick  int64
	shown bool
	ended bool
}

// element is an element's header.
type element struct {
	id   uint32
	size int64 // of its content; -1 where that is not known
	head int   // bytes; 0 where it is none
}

func (w *webmBlocks) next() (unit, error) {
	var u unit
	for n := 0; n <= junk; {
		e, ok := w.element()
		if !ok {
			if err := w.in.end(); !w.shown || w.ended {
				return unit{}, err
			}
			w.ended = true
			return unit{data: w.pre, at: w.now, end: w.now + w.tick}, nil
		}
		part, is := known[e.id]
		switch {
		case e.id == idEBML:
			run, err := w.header()
			if err != nil {
				return unit{}, err
			}
			u.run = run
		case w.begun && e.id == idCluster:
			w.pre = append(w.pre, w.in.whole(e.head)...)
			w.first = true
		case w.begun && is && e.size >= 0:
			if e.size > MaxMedia-int64(e.head+len(w.pre)) {
				return unit{}, fmt.Errorf("cut WebM: %w: an element of %d bytes", ErrTooLong, e.size)
			}
			b := w.in.whole(e.head + int(e.size))
			if b == nil {
				w.in.drop(len(w.in.peek(0))) // what is not whole
				continue
			}
			w.pre = append(w.pre, b...)
			body := b[e.head:]
			switch {
			case part == 0:
			case e.id == idTime:
				w.base = number(body)
			case e.id == idSimple || e.id == idGroup:
				if w.first && !w.mine(e.id, body) {
					continue // it belongs to the cluster's first of the clock
				}
				w.block(&u, e.id, body)
				u.data = w.pre
				w.pre = nil
				w.shown = true
				return u, nil
			}
		default: // junk
			w.in.drop(1)
			n++
			u.gap = u.gap || w.shown
			for n <= junk && !w.resumes() {
				if len(w.in.peek(1)) == 0 {
					break
				}
				w.in.drop(1)
				n++
			}
			w.pre = w.pre[:0]
		}
	}
	return unit{}, fmt.Errorf("cut WebM: %w: no cluster within %d bytes", ErrDamaged, junk)
}

// resumes tells whether a cluster or a new stream comes next.
func (w *webmBlocks) resumes() bool {
	b := w.in.peek(4)
	return bytes.HasPrefix(b, []byte("\x1F\x43\xB6\x75")) || bytes.HasPrefix(b, []byte("\x1A\x45\xDF\xA3"))
}

// element looks at the next element's header; ok is false where the stream ends.
func (w *webmBlocks) element() (e element, ok bool) {
	b := w.in.peek(1)
	if len(b) < 1 {
		return e, false
	}
	n := length(b[0])
	if n > 4 {
		return e, true // none
	}
	if b = w.in.peek(n + 1); len(b) < n+1 {
		return e, false
	}
	m := length(b[n])
	if m > 8 {
		return e, true
	}
	if b = w.in.peek(n + m); len(b) < n+m {
		return e, false
	}
	return header(b), true
}

// length is how many bytes a number has whose first is b; more than 8 where it is none.
func length(b byte) int {
	n := 1
	for ; n <= 8 && b&0x80 == 0; n++ {
		b <<= 1
	}
	return n
}

// header reads an element's header; its head is 0 where it has none.
func header(b []byte) (e element) {
	if len(b) < 2 {
		return e
	}
	n := length(b[0])
	if n > 4 || len(b) < n+1 {
		return e
	}
	m := length(b[n])
	if m > 8 || len(b) < n+m {
		return e
	}
	for _, v := range b[:n] {
		e.id = e.id<<8 | uint32(v)
	}
	ones := true
	for i, v := range b[n : n+m] {
		if i == 0 {
			v &= 1<<(8-m) - 1
			ones = v == 1<<(8-m)-1
		} else {
			ones = ones && v == 0xff
		}
		e.size = e.size<<8 | int64(v)
	}
	if ones {
		e.size = -1
	}
	e.head = n + m
	return e
}

// elements calls f with each element in b.
func elements(b []byte, f func(id uint32, b []byte)) {
	for {
		e := header(b)
		if e.head == 0 || e.size < 0 || e.size > int64(len(b)-e.head) {
			return
		}
		f(e.id, b[e.head:e.head+int(e.size)])
		b = b[e.head+int(e.size):]
	}
}

// number reads an unsigned integer, bounded.
func number(b []byte) (n int64) {
	if len(b) > 8 {
		return 0
	}
	for _, v := range b {
		n = n<<8 | int64(v)
	}
	return min(max(n, 0), 1<<50)
}

// header reads all up to the first cluster.
func (w *webmBlocks) header() (*run, error) {
	w.begun, w.scale, w.clock, w.video, w.timed, w.pre = false, 1e6, 0, false, false, nil
	var init []byte
	for n := 0; ; n++ {
		e, ok := w.element()
		if !ok {
			return nil, w.in.end()
		}
		size := int64(e.head)
		_, is := known[e.id]
		switch {
		case e.id == idCluster:
			if w.clock == 0 {
				return nil, fmt.Errorf("cut WebM: %w: no track of video or audio", ErrUnknown)
			}
			w.begun = true
			return &run{format: WebM, rate: webmRate, lead: webmRate / 10, init: init}, nil
		case e.id == idSegment && e.head > 0: // its content comes next
		case (e.id == idEBML && n == 0 || is) && e.size >= 0:
			size += e.size
		default:
			return nil, fmt.Errorf("cut WebM: %w: an element %x in its headers", ErrDamaged, e.id)
		}
		if size > MaxInit-int64(len(init)) {
			return nil, fmt.Errorf("cut WebM: %w: headers of more than %d bytes", ErrTooLong, MaxInit)
		}
		b := w.in.whole(int(size))
		if b == nil {
			return nil, w.in.end()
		}
		init = append(init, b...)
		elements(b[e.head:], func(id uint32, b []byte) {
			switch {
			case e.id == idInfo && id == idScale:
				if v := number(b); v > 0 && v < 1e12 {
					w.scale = v
				}
			case e.id == idTracks && id == idTrack:
				var kind int64
				var track uint64
				elements(b, func(id uint32, b []byte) {
					switch id {
					case idNumber:
						track = uint64(number(b))
					case idType:
						kind = number(b)
					}
				})
				if track > 0 && (kind == 1 && !w.video || kind == 2 && w.clock == 0) {
					w.clock, w.video = track, kind == 1
				}
			}
		})
	}
}

// open returns a block's track and what is behind it: its time, of 16 bits, and flags. key says that it
// needs no other.
func open(id uint32, b []byte) (track uint64, rest []byte, key bool) {
	key = true
	if id == idGroup {
		group := b
		b = nil
		elements(group, func(id uint32, c []byte) {
			switch id {
			case idBlock:
				b = c
			case idReference:
				key = false
			}
		})
	}
	if len(b) == 0 {
		return 0, nil, false
	}
	n := length(b[0])
	if n > 8 || len(b) < n+3 {
		return 0, nil, false
	}
	track = uint64(b[0]) & (1<<(8-n) - 1)
	for _, v := range b[1:n] {
		track = track<<8 | uint64(v)
	}
	return track, b[n:], key && (id == idGroup || b[n+2]&0x80 != 0)
}

// mine tells whether a block is of the track that tells the time.
func (w *webmBlocks) mine(id uint32, b []byte) bool {
	track, _, _ := open(id, b)
	return track == w.clock
}

// block reads when a block is due, and whether a decoder can begin there.
func (w *webmBlocks) block(u *unit, id uint32, b []byte) {
	track, rest, key := open(id, b)
	first := w.first
	w.first = false
	u.at, u.end = w.now, w.now
	if track != w.clock {
		return
	}
	t := w.base + int64(int16(uint16(rest[0])<<8|uint16(rest[1])))
	if w.scale != 1e6 {
		t = int64(float64(t) * float64(w.scale) / 1e6)
	}
	switch d := t - w.now; {
	case !w.timed:
		w.now, w.timed = t, true
	case d > 0:
		w.now = t
		w.tick = min(d, webmRate)
	case d < -5*webmRate:
		w.now = t // a clock that was set
	}
	u.at, u.end, u.start = w.now, w.now, first && key
}
