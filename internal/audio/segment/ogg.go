package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"playnode/internal/audio/flac"
	"playnode/internal/audio/ogg"
	"playnode/internal/audio/opus"
	"playnode/internal/audio/tags"
)

const (
	maxOggHeaders = 16 << 20 // bytes of header packets, a cover among them
	packetHead    = 16       // bytes of a packet from which its length in samples is told
)

// oggStream is what the first packet of a logical stream says.
type oggStream struct {
	format Format
	rate   int
	lead   int64
	// ticks is how many samples a packet has that begins with head; exact says that it is not only the most
	// that it can have.
	ticks func(head []byte) int64
	exact bool
	// headers tells whether the packets are all of the headers.
	headers func(packets [][]byte) bool
	// comment is where tags lie in the second packet, empty the second packet without any.
	comment string
	empty   []byte
}

func openOgg(first []byte) (s oggStream, err error) {
	switch {
	case bytes.HasPrefix(first, []byte("OpusHead")) && len(first) >= 19:
		return oggStream{
			format: Opus, rate: opus.Rate, exact: true, comment: "OpusTags", empty: opus.Kind().Comment,
			lead:    opus.Rate * 80 / 1000, // RFC 7845, 4.6
			ticks:   func(head []byte) int64 { return int64(opus.Frames(head)) },
			headers: func(p [][]byte) bool { return len(p) == 2 },
		}, nil
	case bytes.HasPrefix(first, []byte("\x01vorbis")) && len(first) >= 30:
		rate, long := binary.LittleEndian.Uint32(first[12:]), int64(1)<<(first[28]>>4)
		if rate < 1 || rate > 768000 || long > 8192 {
			return s, fmt.Errorf("cut Vorbis: %w: %d Hz, blocks of %d", ErrUnknown, rate, long)
		}
		return oggStream{
			format: Vorbis, rate: int(rate), comment: "\x03vorbis", empty: []byte("\x03vorbis\x00\x00\x00\x00\x00\x00\x00\x00\x01"),
			lead:    long,
			ticks:   func([]byte) int64 { return long },
			headers: func(p [][]byte) bool { return len(p) == 3 },
		}, nil
	case bytes.HasPrefix(first, []byte("\x7fFLAC")) && len(first) == 17+flac.InfoSize:
		info, err := flac.ParseInfo(first[17:])
		if err != nil {
			return s, fmt.Errorf("cut FLAC in Ogg: %w: %w", ErrUnknown, err)
		}
		return oggStream{
			format: OggFLAC, rate: info.Rate, exact: true, comment: "\x84", empty: []byte("\x84\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00"),
			ticks: func(head []byte) int64 {
				f, ok := info.ParseFrame(head)
				if !ok {
					return 0
				}
				return int64(f.Block)
			},
			headers: func(p [][]byte) bool {
				if len(p) == 1 {
					return p[0][13]&0x80 != 0
				}
				return len(p[len(p)-1]) > 0 && p[len(p)-1][0]&0x80 != 0
			},
		}, nil
	}
	return s, fmt.Errorf("cut Ogg: %w: a logical stream %.8q is neither Opus, Vorbis nor FLAC", ErrUnknown, bytes.ToValidUTF8(first[:min(8, len(first))], nil))
}

// oggPages follows the logical streams of an Ogg stream (RFC 3533), one after the other.
type oggPages struct {
	in *input

	s       oggStream
	serial  uint32
	seq     uint32 // of the page before
	known   bool   // a stream is followed
	started bool   // and pos is where its last page ends
	pos     int64
	head    []byte // of the packet that goes on
	tried   int    // bytes of broken pages that were summed
}

func (o *oggPages) next() (unit, error) {
	var u unit
	for n := 0; n <= junk; {
		raw, p, lost, err := o.page()
		if err != nil {
			return unit{}, err
		}
		u.gap = u.gap || lost && (o.known || o.started)
		switch {
		case p.Begins:
			run, err := o.begin(raw, p)
			if err != nil {
				return unit{}, err
			}
			if run != nil {
				u.run = run
			}
		case !o.known || p.Serial != o.serial:
			n += len(raw)
			u.gap = u.gap || o.started
		default:
			if p.Seq != o.seq+1 {
				u.gap = true
			}
			o.seq = p.Seq
			o.place(&u, p)
			u.data = raw
			return u, nil
		}
	}
	return unit{}, fmt.Errorf("cut Ogg: %w: no page of the stream within %d bytes", ErrDamaged, junk)
}

// place finds out when a page is heard.
func (o *oggPages) place(u *unit, p ogg.Page) {
	sum := int64(0)
	if !p.Continued {
		o.head = o.head[:0]
	}
	body := p.Body
	for _, l := range p.Lacing {
		o.head = append(o.head, body[:min(int(l), packetHead-len(o.head))]...)
		body = body[l:]
		if l < 255 {
			sum += o.s.ticks(o.head)
			o.head = o.head[:0]
		}
	}
	n := len(p.Lacing)
	u.start, u.sure = !p.Continued, n == 0 || p.Lacing[n-1] < 255
	switch {
	case p.Granule < 0:
		u.at, u.end = o.pos, o.pos
		return
	case !o.started && (o.s.exact || p.Granule <= sum):
		u.at = max(0, p.Granule-sum)
	case !o.started:
		u.at = p.Granule // where a Vorbis stream that is come into begins, only decoding tells
	case p.Granule >= o.pos && p.Granule <= o.pos+sum:
		u.at = o.pos
	default:
		u.at, u.gap = p.Granule, true
		if o.s.exact {
			u.at = max(0, p.Granule-sum)
		}
	}
	u.end, o.pos, o.started = p.Granule, p.Granule, true
}

// begin reads the header pages of the logical stream whose first page is raw. It returns nil where they are
// damaged: then the next stream is waited for.
func (o *oggPages) begin(raw []byte, p ogg.Page) (*run, error) {
	o.known, o.started, o.pos = false, false, 0
	var init []byte
	var packets [][]byte
	var part []byte
	size, seq := 0, p.Seq
	for n := 0; ; n++ {
		if n > 0 {
			var lost bool
			var err error
			if raw, p, lost, err = o.page(); err != nil {
				return nil, err
			}
			switch {
			case p.Begins && n == 1 && !lost:
				return nil, fmt.Errorf("cut Ogg: %w: streams side by side", ErrUnknown)
			case p.Begins: // a source that came back
				init, packets, part, size, n = nil, nil, nil, 0, 0
			case lost || p.Serial != o.serial || p.Seq != seq+1:
				return nil, nil
			}
		}
		o.serial, seq = p.Serial, p.Seq
		if size += len(raw); size > maxOggHeaders {
			return nil, fmt.Errorf("cut Ogg: %w: headers of more than %d bytes", ErrTooLong, maxOggHeaders)
		}
		init = append(init, raw...)
		body := p.Body
		for i, l := range p.Lacing {
			part = append(part, body[:l]...)
			body = body[l:]
			if l == 255 {
				continue
			}
			packets, part = append(packets, part), nil
			if len(packets) == 1 {
				var err error
				if o.s, err = openOgg(packets[0]); err != nil {
					return nil, err
				}
			}
			if !o.s.headers(packets) {
				continue
			}
			if i < len(p.Lacing)-1 {
				return nil, fmt.Errorf("cut Ogg: %w: sound in a page of headers", ErrDamaged)
			}
			o.known, o.seq = true, seq
			return o.run(init, packets, seq)
		}
	}
}

// run makes a run of header packets whose pages end with seq.
func (o *oggPages) run(init []byte, packets [][]byte, seq uint32) (*run, error) {
	r := &run{format: o.s.format, rate: o.s.rate, lead: o.s.lead, init: init}
	for _, p := range packets[1:] {
		if text, ok := bytes.CutPrefix(p, []byte(o.s.comment)); ok || o.s.format == OggFLAC && len(p) > 4 && p[0]&0x7f == 4 {
			if o.s.format == OggFLAC {
				text = p[4:]
			}
			r.title = title(tags.Vorbis(text))
			break
		}
	}
	if len(init) > MaxInit && len(packets) > 1 {
		short := append([][]byte{packets[0], o.s.empty}, packets[2:]...)
		if o.s.format == OggFLAC {
			first := bytes.Clone(packets[0])
			binary.BigEndian.PutUint16(first[7:], 1) // header packets behind it
			short = [][]byte{first, o.s.empty}
		}
		r.init = ogg.Headers(short, o.serial, seq+1)
	}
	if len(r.init) > MaxInit {
		return nil, fmt.Errorf("cut Ogg: %w: headers of %d bytes, of %d", ErrTooLong, len(r.init), MaxInit)
	}
	return r, nil
}

// title is what a listener is shown.
func title(t tags.Tags) string {
	if t.Artist != "" && t.Title != "" {
		return t.Artist + " - " + t.Title
	}
	return t.Artist + t.Title
}

// page reads the next whole page; lost says that bytes before it were none.
func (o *oggPages) page() (raw []byte, p ogg.Page, lost bool, err error) {
	for n := 0; n <= junk; {
		size, b := 5, o.in.peek(5)
		for size > 0 {
			if b = o.in.peek(size); len(b) < size {
				return nil, p, lost, o.in.end()
			}
			need := ogg.PageSize(b)
			if need <= size {
				size = need
				break
			}
			size = need
		}
		if size > 0 {
			if p, ok := ogg.ParsePage(b[:size]); ok {
				return o.in.whole(size), p, lost, nil
			}
			if o.tried += size; o.tried > patience {
				break
			}
		}
		i := 1
		if at := bytes.IndexByte(b[1:], 'O'); at >= 0 {
			i += at
		} else {
			i = len(b)
		}
		o.in.drop(i)
		lost, n = true, n+i
	}
	return nil, p, lost, fmt.Errorf("cut Ogg: %w: nothing but broken pages", ErrDamaged)
}
