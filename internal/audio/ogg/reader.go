package ogg

import (
	"context"
	"fmt"
	"io"
	"sort"

	"playnode/internal/audio/frames"
)

// Codec makes samples of the packets of one stream, in their order.
type Codec interface {
	// Rate and Channels are those of what Decode returns.
	Rate() int
	Channels() int
	// Decode returns a packet's interleaved samples, valid until the next call; none where the packet
	// only prepares for the next one. It never panics. After an error what the packet should have been
	// is returned as silence, where its length is known.
	Decode(packet []byte) ([]float32, error)
	// Reset forgets all earlier packets.
	Reset()
}

// maxHave bounds the samples of one page, in floats: one hostile page can claim more.
const maxHave = 1 << 22

// Reader decodes one stream. It must not be used by two goroutines at once.
type Reader struct {
	pages
	unpacker
	serial  uint32
	entries []entry
	start   int64 // offset of the first page of sound
	anew    bool  // linear decoding begins anew at every entry
	g0      int64
	delay   int64
	samples int64

	next    int    // entry at which to begin anew
	seq     uint32 // of the page before
	known   bool   // seq and at are
	least   int64  // granule position that the first page after a jump must have
	at      int64  // granule position reached
	pos     int64  // next sample frame to hand out
	from    int64  // sample frame that silence, and then have, begin with
	silence int64
	have    []float32
}

// unpacker decodes the packets of pages.
type unpacker struct {
	codec   Codec
	part    []byte // of a packet that goes on
	skip    bool   // the packet that goes on is not whole
	room    []float32
	damaged int // gaps, and packets that were heard as silence
}

// Open reads the headers of what was sealed, which are k's. Errors wrap ErrFormat, or are the reader's
// or the codec's.
func Open(r io.ReaderAt, size, samples int64, delay int, index []byte, k Kind) (*Reader, error) {
	d := &Reader{pages: pages{w: frames.NewWindow(r, size, window), size: size, buf: MaxPage}, samples: samples, delay: int64(delay), anew: k.Lead > 0}
	_, headers, serial, _, err := d.headers([]Kind{k})
	if err != nil {
		return nil, err
	}
	if d.codec, err = k.Open(headers); err != nil {
		return nil, err
	}
	d.serial, d.start = serial, d.off
	if d.g0, d.entries, err = parseIndex(index, d.start); err != nil {
		return nil, err
	}
	d.SeekFrame(0)
	return d, nil
}

// Codec is the stream's.
func (r *Reader) Codec() Codec { return r.codec }

// Damaged counts the gaps and packets that were heard as silence.
func (r *Reader) Damaged() int { return r.damaged }

// SeekFrame makes a sample frame the next one read.
func (r *Reader) SeekFrame(pos int64) {
	r.pos = max(0, min(pos, r.samples))
	i := sort.Search(len(r.entries), func(i int) bool { return r.entries[i].from > r.pos+r.g0 })
	r.jump(i)
}

// jump goes to where decoding for the sound before entry next begins.
func (r *Reader) jump(next int) {
	r.next = next
	r.part, r.skip, r.have, r.silence = r.part[:0], true, nil, 0
	r.codec.Reset()
	if next == 0 {
		r.off, r.known, r.least = r.start, true, -1
		r.at = r.g0 - r.delay
		return
	}
	e := r.entries[next-1]
	r.off, r.known, r.least = e.off, false, e.granule
}

// Read decodes as audio.Decoder's Read does.
func (r *Reader) Read(dst []float32) (int, error) {
	ch, done := r.codec.Channels(), 0
	for (done+1)*ch <= len(dst) && r.pos < r.samples {
		if r.silence == 0 && len(r.have) == 0 {
			if r.anew && r.next < len(r.entries) && r.at >= r.entries[r.next].from && r.pos+r.g0 >= r.entries[r.next].from {
				r.jump(r.next + 1)
			}
			if err := r.page(); err != nil {
				return done, err
			}
			continue
		}
		skip := r.pos - r.from
		if r.silence > 0 {
			n := min(r.silence, max(skip, 0))
			if skip <= 0 {
				n = min(r.silence, int64(len(dst)/ch-done), r.samples-r.pos)
				clear(dst[done*ch : (done+int(n))*ch])
				r.pos, done = r.pos+n, done+int(n)
			}
			r.silence, r.from = r.silence-n, r.from+n
			continue
		}
		if skip > 0 {
			n := min(skip, int64(len(r.have)/ch))
			r.have, r.from = r.have[n*int64(ch):], r.from+n
			continue
		}
		n := int(min(int64(len(dst)/ch-done), int64(len(r.have)/ch), r.samples-r.pos))
		sound(dst[done*ch:], r.have[:n*ch])
		r.have = r.have[n*ch:]
		r.from, r.pos, done = r.from+int64(n), r.pos+int64(n), done+n
	}
	if done == 0 && len(dst) >= ch {
		return 0, io.EOF
	}
	return done, nil
}

// sound copies samples, and silence for what is no number or no sound.
func sound(dst, src []float32) {
	for i, v := range src {
		if !(v >= -256 && v <= 256) {
			v = 0
		}
		dst[i] = v
	}
}

// page decodes the next page of the stream.
func (r *Reader) page() error {
	p, _, hole, err := r.pages.next()
	if err != nil {
		return fmt.Errorf("decode Ogg sample %d: %w", r.pos, err)
	}
	if p.lacing == nil && p.body == nil {
		return fmt.Errorf("decode Ogg sample %d: %w: it ends", r.pos, ErrDamaged)
	}
	if p.serial != r.serial {
		return nil
	}
	jumped := !r.known
	if hole || r.seq+1 != p.seq && !jumped && r.at > r.g0-r.delay {
		r.hole()
	}
	r.seq = p.seq
	out, err := r.decode(p)
	if err != nil {
		return fmt.Errorf("decode Ogg sample %d: %w", r.pos, err)
	}
	if p.granule < 0 {
		return nil
	}
	if jumped {
		if p.granule < r.least {
			return fmt.Errorf("decode Ogg sample %d: %w: the index leads astray", r.pos, ErrDamaged)
		}
		r.known, r.at = true, p.granule
		return nil
	}
	n, want := int64(len(out)/r.codec.Channels()), p.granule-r.at
	if want < 0 {
		return nil // it says that it lies before what was heard
	}
	if n > want {
		if p.flags&ends != 0 || p.granule >= r.g0+r.samples {
			out = out[:want*int64(r.codec.Channels())]
		} else {
			out = out[(n-want)*int64(r.codec.Channels()):]
		}
		n = want
	}
	r.from, r.silence, r.have = r.at-r.g0, want-n, out
	r.at = p.granule
	return nil
}

// hole says that pages are missing.
func (r *unpacker) hole() {
	r.part, r.skip = r.part[:0], true
	r.codec.Reset()
	r.damaged++
}

// decode decodes the packets that end in the page. The samples are valid until the next call.
func (r *unpacker) decode(p page) ([]float32, error) {
	out, body := r.room[:0], p.body
	if p.flags&continued == 0 {
		r.part, r.skip = r.part[:0], false
	}
	for i := 0; i < len(p.lacing); {
		n, whole := 0, false
		for i < len(p.lacing) && !whole {
			n += int(p.lacing[i])
			whole = p.lacing[i] < 255
			i++
		}
		packet := body[:n]
		body = body[n:]
		if !r.skip && (len(r.part) > 0 || !whole) {
			if r.part = append(r.part, packet...); len(r.part) > maxPacket {
				r.part, r.skip = r.part[:0], true
			}
			packet = r.part
		}
		if !whole {
			break
		}
		if !r.skip {
			s, err := r.codec.Decode(packet)
			if err != nil {
				r.damaged++
			}
			if len(out)+len(s) > maxHave {
				return nil, fmt.Errorf("%w: a page of %d samples", ErrDamaged, len(out)+len(s))
			}
			out = append(out, s...)
		}
		r.part, r.skip = r.part[:0], false
	}
	r.room = out
	return out, nil
}

// firstPage decodes up to the first page that says where it is, and counts its samples.
func (r *Reader) firstPage(ctx context.Context) (n, granule int64, eos bool, err error) {
	for {
		if ctx.Err() != nil {
			return 0, 0, false, ctx.Err()
		}
		p, _, _, err := r.pages.next()
		if err != nil {
			return 0, 0, false, err
		}
		if p.lacing == nil && p.body == nil {
			return 0, 0, false, fmt.Errorf("%w: no sound", ErrFormat)
		}
		if p.serial != r.serial {
			continue
		}
		out, err := r.decode(p)
		if err != nil {
			return 0, 0, false, err
		}
		n += int64(len(out) / r.codec.Channels())
		if packets, _ := p.packets(); packets > 0 && p.granule >= 0 {
			return n, p.granule, p.flags&ends != 0, nil
		}
	}
}
