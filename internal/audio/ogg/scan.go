package ogg

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"playnode/internal/audio/frames"
)

// Kind is how a codec lies in Ogg.
type Kind struct {
	// Magic begins the stream's first packet.
	Magic string
	// Headers is how many packets come before the sound; the second is the comment.
	Headers int
	// Comment is a comment packet that says nothing.
	Comment []byte
	// Preskip, where not nil, reads from the first packet how many samples are dropped at the start.
	Preskip func(first []byte) int
	// Warm is how many sample frames a decoder that begins within a stream takes until its sound can be given.
	Warm int
	// Interval is the least distance between the index's entries in samples. Lead is how many samples
	// before an entry's sound decoding begins; where it is not 0, linear decoding begins anew at every
	// entry as well, so that a seek hears the same.
	Interval, Lead int64
	// Rough, where not nil, tells by its first byte whether a packet is of a mode that the codec decodes
	// to other samples than the reference does.
	Rough func(first byte) bool
	// Open makes a codec of the header packets.
	Open func(headers [][]byte) (Codec, error)
}

// Scan is what a walk over the pages found.
type Scan struct {
	// Headers are the header packets, the file's own comment among them.
	Headers [][]byte
	// Header is what to seal before the pages of sound, which lie at Audio to End of the file.
	Header     []byte
	Audio, End int64
	// Samples is how many sample frames are heard, Delay how many are dropped before them.
	Samples int64
	Delay   int
	// Index is the encoded index, its offsets relative to the first page of sound.
	Index []byte
	// Packets counts those of sound, Rough those of a mode whose samples are not the reference's.
	Packets, Rough int
	// Damaged counts gaps between pages; Cut says that the last page is missing; More that another
	// stream follows.
	Damaged   int
	Cut, More bool
}

// Is tells whether a file begins like Ogg.
func Is(head []byte) bool { return len(head) >= 4 && string(head[:4]) == "OggS" }

// pages walks over the pages of a file.
type pages struct {
	w     *frames.Window
	size  int64
	off   int64 // of the next page
	tried int64
	buf   int
}

// next returns the next page of any stream and where it begins; hole says that bytes before it were no
// page. At the end size is 0. An error is the reader's, or says that patience is over; the call can be
// made again.
func (s *pages) next() (p page, at int64, hole bool, err error) {
	for s.off < s.size {
		b, err := s.w.Peek(s.off, s.buf)
		if err != nil && len(b) < int(min(int64(s.buf), s.size-s.off)) {
			return p, 0, hole, err
		}
		i := bytes.Index(b, []byte("OggS"))
		if i < 0 {
			s.off += int64(max(1, len(b)-3))
			hole = hole || s.off < s.size
			continue
		}
		if i > 0 {
			s.off += int64(i)
			hole = true
			continue
		}
		p, size, tried := parse(b)
		if size > 0 {
			at = s.off
			s.off += int64(size)
			return p, at, hole, nil
		}
		if s.tried += int64(tried); s.tried > patience {
			return p, 0, hole, fmt.Errorf("%w: nothing but broken pages", ErrDamaged)
		}
		s.off += 4
		hole = true
	}
	return page{}, s.size, hole, nil
}

// headers reads the header packets of the first stream whose kind is known.
func (s *pages) headers(kinds []Kind) (k Kind, packets [][]byte, serial, seq uint32, err error) {
	found := false
	var part []byte
	foreign := ""
	for n := 0; ; n++ {
		p, _, hole, err := s.next()
		if err != nil {
			return k, nil, 0, 0, err
		}
		if hole || p.lacing == nil && p.body == nil || n > 1<<16 {
			break
		}
		if !found {
			if p.flags&begins == 0 {
				break
			}
			for _, c := range kinds {
				if bytes.HasPrefix(p.body, []byte(c.Magic)) {
					k, serial, found = c, p.serial, true
				}
			}
			if !found {
				foreign = string(bytes.ToValidUTF8(p.body[:min(8, len(p.body))], nil))
				continue
			}
		} else if p.serial != serial {
			continue
		}
		seq = p.seq
		body := p.body
		for _, l := range p.lacing {
			part = append(part, body[:l]...)
			body = body[l:]
			if len(part) > maxComment {
				return k, nil, 0, 0, fmt.Errorf("%w: a header of more than %d bytes", ErrFormat, maxComment)
			}
			if l < 255 {
				packets = append(packets, part)
				part = nil
			}
		}
		if len(packets) >= k.Headers {
			if len(packets) > k.Headers || part != nil {
				break // sound begins on a page of its own
			}
			return k, packets, serial, seq, nil
		}
	}
	if !found && foreign != "" {
		return k, nil, 0, 0, fmt.Errorf("%w: its stream %.8q is neither Vorbis nor Opus", ErrFormat, foreign)
	}
	return k, nil, 0, 0, fmt.Errorf("%w: no whole headers", ErrFormat)
}

// ScanPages walks over a file whose first page begins at start. Errors wrap ErrFormat or ErrDamaged, or
// are the reader's, ctx's or the codec's.
func ScanPages(ctx context.Context, r io.ReaderAt, start, size int64, kinds []Kind) (Kind, *Scan, error) {
	s := pages{w: frames.NewWindow(r, size, window), size: size, off: start, buf: MaxPage}
	head, err := s.w.Peek(start, MaxPage)
	if err != nil && len(head) == 0 {
		return Kind{}, nil, err
	}
	k, packets, serial, last, err := s.headers(kinds)
	if err != nil {
		return k, nil, err
	}
	codec, err := k.Open(packets)
	if err != nil {
		return k, nil, err
	}
	x := &Scan{Headers: packets, Audio: s.off, Cut: true}
	x.Header = Headers(append([][]byte{packets[0], k.Comment}, packets[2:]...), serial, last+1)

	// The first page that ends a packet tells where the sound begins.
	first := &Reader{pages: pages{w: s.w, size: size, off: s.off, buf: MaxPage}, serial: serial, unpacker: unpacker{codec: codec}, samples: 1 << 48, next: 0}
	n, granule, eos, err := first.firstPage(ctx)
	if err != nil {
		return k, nil, err
	}
	base, preskip := granule-n, 0
	if k.Preskip != nil {
		preskip = k.Preskip(packets[0])
	}
	if base < 0 && !eos && k.Preskip == nil {
		x.Delay = int(-base) // what its encoder wants dropped
	}
	x.Delay += preskip
	g0 := max(0, base) + int64(preskip)

	index := indexer{every: k.Interval, lead: k.Lead, audio: x.Audio, g0: g0, last: g0}
	top := int64(-1)
	for n := 0; ; n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return k, nil, ctx.Err()
		}
		p, at, hole, err := s.next()
		if err != nil {
			return k, nil, err
		}
		if p.lacing == nil && at == size {
			break
		}
		if p.flags&begins != 0 {
			x.More = true
			if p.serial == serial || !x.Cut {
				break
			}
		}
		if p.serial != serial {
			continue
		}
		if hole || p.seq != last+1 {
			x.Damaged++
		}
		last = p.seq
		x.End = s.off
		p.firsts(func(b byte) {
			x.Packets++
			if k.Rough != nil && k.Rough(b) {
				x.Rough++
			}
		})
		if _, whole := p.packets(); p.granule >= 0 {
			index.add(at, p.granule, whole)
			top = max(top, p.granule)
		}
		if p.flags&ends != 0 {
			x.Cut = false
			x.More = x.More || s.off < size
			break
		}
	}
	if x.Samples = top - g0; x.Samples <= 0 {
		return k, nil, fmt.Errorf("%w: no sound", ErrFormat)
	}
	x.Index = index.bytes()
	return k, x, nil
}

// seal renews a page's checksum.
func seal(b []byte) []byte {
	c := sum(b)
	b[22], b[23], b[24], b[25] = byte(c), byte(c>>8), byte(c>>16), byte(c>>24)
	return b
}
