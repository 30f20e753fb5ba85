package segment

import (
	"fmt"

	"playnode/internal/audio/frames"
	"playnode/internal/audio/mp3"
)

// links is how many headers must follow one another to make a sync. A chance header has about one chance
// in 2,000 a byte.
const links = 3

// head is what a frame's header says.
type head struct {
	size     int // bytes, header included
	ticks    int64
	rate     int
	channels int
	kind     uint32 // what must be equal within a stream
	warm     int
}

// heads is a format whose frames say how long they are.
type heads struct {
	format Format
	size   int // of a header
	head   func(b []byte) (head, bool)
	// useful, where not nil, tells a frame of sound from one that only describes the file, and says how much
	// it needs of those before and has for those behind it.
	useful func(frame []byte) (needs, gives int, ok bool)
	lead   int64
}

// mpegFrames are MPEG audio's. Free format is not followed: no encoder sends it live.
var mpegFrames = heads{
	format: MP3, size: mp3.HeaderSize,
	head: func(b []byte) (head, bool) {
		h, err := mp3.ParseHeader(b)
		if err != nil || h.Bitrate == 0 || h.Size() < mp3.HeaderSize {
			return head{}, false
		}
		return head{
			size: h.Size(), ticks: int64(h.Samples()), rate: h.Rate, channels: h.Channels(),
			kind: uint32(h.Version)<<8 | uint32(h.Layer), warm: h.Warmup(),
		}, true
	},
	useful: func(b []byte) (needs, gives int, ok bool) {
		if frames.IsInfo(b) {
			return 0, 0, false
		}
		needs, gives, err := mp3.MainDataBegin(b)
		return needs, gives, err == nil
	},
}

// adtsFrames are AAC's (ISO/IEC 13818-7, 6.2). Its decoder remembers one frame, and one more where it
// makes up the upper half of the spectrum.
var adtsFrames = heads{
	format: ADTS, size: 7, lead: 2048,
	head: func(b []byte) (h head, ok bool) {
		if len(b) < 7 || b[0] != 0xff || b[1]&0xf6 != 0xf0 {
			return h, false
		}
		rate := b[2] >> 2 & 15
		if int(rate) >= len(adtsRates) {
			return h, false
		}
		h = head{
			size: int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5])>>5, ticks: 1024 * (int64(b[6]&3) + 1), rate: adtsRates[rate],
			channels: int(b[2]&1)<<2 | int(b[3])>>6, kind: uint32(b[1]&8) | uint32(b[2]>>6),
		}
		least := 7
		if b[1]&1 == 0 {
			least = 9 // a checksum
		}
		return h, h.size > least
	},
}

var adtsRates = [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// chain follows the frames of one such format.
type chain struct {
	heads
	in     *input
	locked bool
	last   head
	frame  []byte // the one before, while nothing is known of what follows it
	at     int64
}

func (c *chain) next() (unit, error) {
	u := unit{sure: true, start: true}
	for {
		b := c.in.peek(c.size)
		if len(b) < c.size {
			return unit{}, c.in.end()
		}
		h, ok := c.head(b)
		if ok && c.locked && h.like(c.last) {
			if h.channels != c.last.channels {
				u.run = c.run(h)
			}
		} else {
			if tag := tagSize(c.in); tag > 0 {
				if !c.in.skip(tag) {
					return unit{}, c.in.end()
				}
				c.frame = nil
				continue
			}
			lost, undo, found, err := c.sync()
			if err != nil {
				return unit{}, err
			}
			u.gap, u.undo = u.gap || lost, u.undo || undo
			if undo {
				c.at -= c.last.ticks
			}
			h = found
			if !c.locked || !h.like(c.last) || h.channels != c.last.channels {
				u.run = c.run(h)
			}
			c.locked = true
		}
		frame := c.in.whole(h.size)
		if frame == nil {
			return unit{}, c.in.end()
		}
		c.last = h
		if c.useful != nil {
			if u.needs, u.gives, ok = c.useful(frame); !ok {
				c.frame = nil
				if u.run != nil {
					c.locked = false // the frame behind it begins the run
					u.run = nil
				}
				continue
			}
		}
		c.frame = append(c.frame[:0], frame...)
		u.data, u.at, u.end = frame, c.at, c.at+h.ticks
		c.at = u.end
		return u, nil
	}
}

func (c *chain) run(h head) *run {
	return &run{format: c.format, rate: h.rate, lead: c.lead, warm: h.warm}
}

func (h head) like(o head) bool { return h.kind == o.kind && h.rate == o.rate }

// sync moves to where links headers follow one another. lost says that bytes before it belong to nothing,
// undo that the frame before ends in one of those found: it was not whole.
func (c *chain) sync() (lost, undo bool, h head, err error) {
	within := 0
	if len(c.frame) > 0 {
		c.in.back(c.frame[1:])
		within = len(c.frame) - 1
	}
	c.frame = c.frame[:0]
	for n := 0; n <= junk; {
		b := c.in.peek(c.size)
		if len(b) < c.size {
			return false, false, h, c.in.end()
		}
		i := 0
		for i < len(b)-c.size && b[i] != 0xff {
			i++
		}
		c.in.drop(i)
		if n += i; b[i] == 0xff {
			if h, ok := c.linked(c.in, 0); ok {
				return n != within, n < within, h, nil
			}
		}
		c.in.drop(1)
		n++
	}
	return false, false, h, fmt.Errorf("cut %s: %w: no frames within %d bytes", c.format, ErrDamaged, junk)
}

// linked tells whether links headers follow one another from byte i on, or as many as there are up to the
// stream's very end, and what the first says.
func (f *heads) linked(in *input, i int) (first head, ok bool) {
	for n := 0; n < links; n++ {
		b := in.peek(i + f.size)
		if len(b) == i && n == links-1 {
			return first, true
		}
		if len(b) < i+f.size {
			return first, false
		}
		h, ok := f.head(b[i:])
		if !ok || n > 0 && !h.like(first) {
			return first, false
		}
		if n == 0 {
			first = h
		}
		i += h.size
	}
	return first, true
}

// tagSize returns the length of a tag that comes next, 0 where there is none.
func tagSize(in *input) int64 {
	if b := in.peek(1); len(b) == 0 || b[0] != 'I' && b[0] != 'T' && b[0] != 'A' {
		return 0
	}
	return mp3.TagSize(in.peek(32))
}
