package manifests

import (
	"bytes"
	"encoding/binary"

	"github.com/multiformats/go-varint"
)

// MaxSegment is the largest plaintext of a live segment, in bytes, so that it
// is at most 1 MiB when sealed.
const MaxSegment = MaxBlock - 1024 - 4

// Segment is the plaintext of one segment of a live set.
type Segment struct {
	// Init is how the media begins from here on; nil where it goes on as
	// before. The first segment under each record has one, so that who joins
	// late need not ask for more than that.
	Init *MediaInit
	// At is how many ticks of the set come before it, Len how many it has.
	At, Len int64
	// UTC is when its last byte came in, in Unix milliseconds, by the DJ's clock.
	UTC int64
	// Open tells whether a listener can begin here.
	Open bool
	// Text is what is on, where the source says something new; "" else.
	Text  string
	Media []byte
}

// MediaInit is what must be known before media is read.
type MediaInit struct {
	Codec string // as Info has it; a container's name for what is carried unread
	Rate  int    // ticks a second: samples of sound
	Head  []byte // what goes before the media: the container's or codec's header
}

// Equal tells whether media begins alike by both.
func (m *MediaInit) Equal(o *MediaInit) bool {
	return m.Codec == o.Codec && m.Rate == o.Rate && bytes.Equal(m.Head, o.Head)
}

func (s *Segment) code(c *coder) {
	c.fields(7, func() {
		c.key("at")
		number(c, &s.At, MaxInt)
		c.key("len")
		number(c, &s.Len, MaxInt)
		c.key("utc")
		number(c, &s.UTC, MaxInt)
		c.key("init")
		if c.present(s.Init != nil) {
			if c.reading {
				s.Init = new(MediaInit)
			}
			c.tuple(3)
			c.text(&s.Init.Codec, 1, 32)
			number(c, &s.Init.Rate, 1<<30)
			c.bytes(&s.Init.Head, 0, MaxSegment)
		}
		c.key("open")
		c.flag(&s.Open)
		c.key("text")
		c.text(&s.Text, 0, 512)
		c.key("media")
		c.bytes(&s.Media, 0, MaxSegment)
	})
}

func (s *Segment) check() error {
	switch {
	case Clean(s.Text, len(s.Text)) != s.Text:
		return invalid("segment with the text %.60q, which is not clean", s.Text)
	case s.Init != nil && (Clean(s.Init.Codec, len(s.Init.Codec)) != s.Init.Codec || s.Init.Rate < 1):
		return invalid("segment of codec %.40q at %d ticks a second", s.Init.Codec, s.Init.Rate)
	}
	return nil
}

// Encode is the segment's canonical plaintext.
func (s *Segment) Encode() ([]byte, error) { return encode(s, MaxSegment) }

// DecodeSegment reads a segment's plaintext.
func DecodeSegment(plain []byte) (*Segment, error) { return decoded[Segment](plain, MaxSegment) }

// Recorded says how a track that is a recorded set opens: its leaves are the
// set's segments, in their order from First on, and each opens as it did live.
type Recorded struct {
	Live  LiveID
	First uint64 // the first segment's number
	Spans []Span // ascending; the first begins at or before First
	// Closed tells whether its last segment is the set's final one; a set whose
	// DJ went off without a word has none.
	Closed bool
	// Sizes has for each segment its sealed bytes and its bytes of media, as
	// uvarints: see AppendSize and EachSize.
	Sizes []byte
}

// Span is a stretch of segments under one live key.
type Span struct {
	From     uint64 // the first segment
	Gen, Cur uint64
	LK       [32]byte
}

func (r *Recorded) code(c *coder) {
	c.tuple(5)
	c.fixed(r.Live[:])
	number(c, &r.First, MaxInt)
	c.flag(&r.Closed)
	list(c, &r.Spans, 1, 4096, func(s *Span) {
		c.tuple(4)
		number(c, &s.From, MaxInt)
		number(c, &s.Gen, MaxInt)
		number(c, &s.Cur, MaxInt)
		c.fixed(s.LK[:])
	})
	c.bytes(&r.Sizes, 2, MaxInfo)
}

func (r *Recorded) check() error {
	for i, s := range r.Spans {
		if i == 0 && s.From > r.First || i > 0 && s.From <= max(r.First, r.Spans[i-1].From) {
			return invalid("recorded set whose span %d begins at segment %d", i, s.From)
		}
	}
	return r.EachSize(func(sealed, media int) error { return nil })
}

// AppendSize adds one segment's sizes, in bytes.
func (r *Recorded) AppendSize(sealed, media int) {
	r.Sizes = binary.AppendUvarint(binary.AppendUvarint(r.Sizes, uint64(sealed)), uint64(media))
}

// EachSize calls f with the sizes of each segment, until f fails.
func (r *Recorded) EachSize(f func(sealed, media int) error) error {
	for b := r.Sizes; len(b) > 0; {
		var n [2]uint64
		for i := range n {
			v, k, err := varint.FromUvarint(b) // the shortest form alone
			if err != nil || v > MaxBlock {
				return invalid("recorded set's sizes")
			}
			n[i], b = v, b[k:]
		}
		if n[1] > n[0] {
			return invalid("recorded set's segment of %d bytes has %d of media", n[0], n[1])
		}
		if err := f(int(n[0]), int(n[1])); err != nil {
			return err
		}
	}
	return nil
}

// SpanOf is the span that segment seq is in.
func (r *Recorded) SpanOf(seq uint64) Span {
	s := r.Spans[0]
	for _, t := range r.Spans[1:] {
		if t.From > seq {
			break
		}
		s = t
	}
	return s
}
