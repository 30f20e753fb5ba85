package segment

import (
	"fmt"
	"io"

	"playnode/internal/audio/flac"
	"playnode/internal/audio/tags"
)

const maxFLACBlocks = 1024 // of metadata

// flacFrames follows the frames of native FLAC (RFC 9639). Only decoding tells where a frame ends, without
// waiting for the next.
type flacFrames struct {
	in    *input
	info  flac.Info
	known bool
	fixed bool
	block int64 // of all frames but the last, where they are numbered
	at    int64
	begun bool // at is known
	tried int  // bytes of broken frames that were decoded
}

func (f *flacFrames) next() (unit, error) {
	u := unit{start: true, sure: true}
	for n := 0; n <= junk && f.tried <= patience; {
		b := f.in.peek(4)
		if len(b) < 4 {
			return unit{}, f.in.end()
		}
		if flac.Is(b) {
			run, err := f.header()
			if err != nil {
				return unit{}, err
			}
			u.run = run
			continue
		}
		if size, h := f.frame(); size > 0 {
			u.data = f.in.whole(size)
			at := h.Number
			if h.Fixed {
				if !f.begun {
					f.block = int64(h.Block)
				}
				at *= f.block
			}
			u.gap = u.gap || f.begun && at != f.at
			u.at, u.end = at, at+int64(h.Block)
			f.at, f.begun, f.fixed = u.end, true, h.Fixed
			return u, nil
		} else if size < 0 {
			return unit{}, f.in.end()
		}
		f.in.drop(1)
		u.gap = true
		n++
	}
	return unit{}, fmt.Errorf("cut FLAC: %w: nothing but broken frames", ErrDamaged)
}

// frame returns the size of the whole frame that comes next: 0 where none does, -1 where the stream ends
// within it.
func (f *flacFrames) frame() (size int, h flac.Frame) {
	b := f.in.peek(2)
	if !f.known || len(b) < 2 || b[0] != 0xff || b[1]&0xfe != 0xf8 {
		return 0, h
	}
	// A header is longer than what follows the shortest one.
	var ok bool
	for n := 6; n <= flac.MaxFrameHeader && !ok; n++ {
		if b = f.in.peek(n); len(b) < n {
			return -1, h
		}
		h, ok = f.info.ParseFrame(b[:n])
	}
	if !ok || f.begun && h.Fixed != f.fixed || h.Number > 1<<36 {
		return 0, h
	}
	r := &ahead{in: f.in}
	switch err := f.info.ReadFrame(r); {
	case r.ended:
		return -1, h
	case err != nil:
		f.tried += r.n
		return 0, h
	}
	return r.n, h
}

// ahead reads what an input has next without taking it, up to a segment's worth.
type ahead struct {
	in    *input
	n     int
	ended bool
}

func (a *ahead) Read(b []byte) (int, error) {
	want := min(len(b), MaxMedia-a.n)
	if want <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	got := a.in.peek(a.n + want)
	if len(got) < a.n+want {
		a.ended = true
		return 0, io.ErrUnexpectedEOF
	}
	a.n += copy(b[:want], got[a.n:])
	return want, nil
}

// header reads "fLaC" and the metadata. What does not fit an init is left out of it, but for the stream
// information.
func (f *flacFrames) header() (*run, error) {
	b := f.in.whole(flac.HeaderSize)
	if b == nil {
		return nil, f.in.end()
	}
	if b[4]&0x7f != 0 || b[5] != 0 || b[6] != 0 || b[7] != flac.InfoSize {
		return nil, fmt.Errorf("cut FLAC: %w: no stream information", ErrDamaged)
	}
	info, err := flac.ParseInfo(b[8:])
	if err != nil {
		return nil, fmt.Errorf("cut FLAC: %w: %w", ErrUnknown, err)
	}
	f.info, f.known, f.begun, f.at = info, true, false, 0
	r := &run{format: FLAC, rate: info.Rate, init: append([]byte{}, b...)}
	short := append([]byte{}, b...)
	short[4] |= 0x80 // the last block of metadata
	for n, last := 0, b[4]&0x80 != 0; !last; n++ {
		h := f.in.whole(4)
		if h == nil {
			return nil, f.in.end()
		}
		if n == maxFLACBlocks {
			return nil, fmt.Errorf("cut FLAC: %w: more than %d blocks of metadata", ErrDamaged, maxFLACBlocks)
		}
		kind, size := h[0]&0x7f, int(h[1])<<16|int(h[2])<<8|int(h[3])
		last = h[0]&0x80 != 0
		if r.init != nil && len(r.init)+4+size > MaxInit {
			r.init = nil
		}
		if r.init != nil {
			r.init = append(r.init, h...)
		}
		body := f.in.whole(min(size, MaxInit)) // of a longer one, the beginning
		if body == nil && size > 0 {
			return nil, f.in.end()
		}
		if kind == 4 {
			r.title = title(tags.Vorbis(body))
		}
		if r.init != nil {
			r.init = append(r.init, body...)
		}
		if !f.in.skip(int64(max(0, size-MaxInit))) {
			return nil, f.in.end()
		}
	}
	if r.init == nil {
		r.init = short
	}
	return r, nil
}
