package flac

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/mewkiz/flac/frame"

	"playnode/internal/audio/frames"
)

// Reader decodes the frames of a file. It must not be used by two goroutines at once.
type Reader struct {
	m       Meta
	entries []entry
	samples int64
	in      source

	off   int64 // of the next frame
	at    int64 // its first sample frame
	pos   int64 // next sample frame to hand out
	frame *frame.Frame
	have  int // sample frames left in it
}

// NewReader returns a Reader of the frames that a scan found. A malformed index is treated as none:
// use Open where it is hostile.
func NewReader(r io.ReaderAt, size int64, m Meta, s Scan) *Reader {
	e, err := parseIndex(s.Index, size, s.Samples)
	if err != nil {
		e = []entry{{}}
	}
	return &Reader{m: m, entries: e, samples: s.Samples, off: m.Audio, in: source{w: frames.NewWindow(r, size, 64<<10)}}
}

// Open reads the metadata of what was sealed and checks the index against it.
func Open(r io.ReaderAt, size, samples int64, index []byte) (*Reader, error) {
	m, err := ParseMeta(r, size)
	if err != nil {
		return nil, err
	}
	if _, err := parseIndex(index, size, samples); err != nil {
		return nil, err
	}
	return NewReader(r, size, m, Scan{Samples: samples, Index: index}), nil
}

// Info is the stream information.
func (r *Reader) Info() Info { return r.m.Info }

// source reads forwards, and keeps the reader's own error apart from the end of the file.
type source struct {
	w   *frames.Window
	off int64
	err error
}

func (s *source) Read(b []byte) (int, error) {
	got, err := s.w.Peek(s.off, len(b))
	n := copy(b, got)
	s.off += int64(n)
	if n > 0 || len(b) == 0 {
		return n, nil
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.err = err
		return 0, err
	}
	return 0, io.EOF
}

// SeekFrame makes a sample frame the next one read.
func (r *Reader) SeekFrame(pos int64) {
	r.pos = max(0, min(pos, r.samples))
	if at := r.at - int64(r.have); r.frame != nil && r.have > 0 && r.pos >= at && r.pos < r.at {
		r.have = int(r.at - r.pos)
		return
	}
	i := sort.Search(len(r.entries), func(i int) bool { return r.entries[i].at > r.pos }) - 1
	if r.at <= r.pos && r.at >= r.entries[i].at {
		r.have = 0 // the next frame is nearer than the entry
		return
	}
	r.off, r.at, r.have = r.m.Audio+r.entries[i].off, r.entries[i].at, 0
}

// Read decodes as audio.Decoder's Read does.
func (r *Reader) Read(dst []float32) (int, error) {
	ch, done := r.m.Channels, 0
	for (done+1)*ch <= len(dst) && r.pos < r.samples {
		if r.have == 0 {
			if err := r.decode(); err != nil && !r.skip(err) {
				return done, err
			}
		}
		if skip := r.pos - (r.at - int64(r.have)); skip > 0 {
			r.have -= int(min(skip, int64(r.have)))
			continue
		}
		n := int(min(int64(len(dst)/ch-done), int64(r.have), r.samples-r.pos))
		r.copy(dst[done*ch:], n)
		r.have -= n
		r.pos += int64(n)
		done += n
	}
	if done == 0 && len(dst) >= ch {
		return 0, io.EOF
	}
	return done, nil
}

// copy writes n sample frames of the present frame.
func (r *Reader) copy(dst []float32, n int) {
	if r.frame == nil {
		clear(dst[:n*r.m.Channels])
		return
	}
	r.m.samples(dst, r.frame, int(r.frame.BlockSize)-r.have, n)
}

// samples writes n sample frames of f from one on.
func (i Info) samples(dst []float32, f *frame.Frame, from, n int) {
	scale := 1 / float32(int64(1)<<(i.Bits-1))
	for c, sub := range f.Subframes {
		for k, v := range sub.Samples[from : from+n] {
			dst[k*i.Channels+c] = float32(v) * scale
		}
	}
}

// skip makes what a damaged frame leaves silent, up to the next frame that the index knows.
func (r *Reader) skip(err error) bool {
	if !errors.Is(err, ErrDamaged) {
		return false
	}
	for _, e := range r.entries {
		if e.at > r.at && r.m.Audio+e.off > r.off && e.at-r.at < 1<<30 {
			r.frame, r.have = nil, int(e.at-r.at)
			r.off, r.at = r.m.Audio+e.off, e.at
			return true
		}
	}
	return false
}

// decode decodes the frame at off. After an error it can be tried again.
func (r *Reader) decode() error {
	r.have = 0
	r.in.off, r.in.err = r.off, nil
	f, err := r.m.Info.decode(&r.in)
	if err != nil && r.in.err != nil {
		return fmt.Errorf("decode FLAC sample %d: %w", r.at, r.in.err)
	}
	if err != nil {
		return fmt.Errorf("decode FLAC sample %d: %w", r.at, err)
	}
	r.frame, r.have = f, int(f.BlockSize)
	r.off = r.in.off
	r.at += int64(r.have)
	return nil
}

// ReadFrame reads one frame whole, decoding it to find its end, and checks its checksum. It takes no byte more
// from r. The error wraps ErrDamaged; whether it was r's, r knows.
func (i Info) ReadFrame(r io.Reader) error {
	_, err := i.decode(r)
	return err
}

// decode decodes one frame of this stream. The error wraps ErrDamaged.
func (i Info) decode(r io.Reader) (f *frame.Frame, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	fail := func(err error) (*frame.Frame, error) { return nil, fmt.Errorf("%w: %v", ErrDamaged, err) }
	if f, err = frame.New(r); err != nil {
		return fail(err)
	}
	if f.BitsPerSample == 0 {
		f.BitsPerSample = uint8(i.Bits)
	}
	if f.BlockSize == 0 || f.Channels.Count() != i.Channels || int(f.BitsPerSample) != i.Bits {
		return fail(errors.New("frame of another format"))
	}
	if err := f.Parse(); err != nil {
		return fail(err)
	}
	for _, s := range f.Subframes {
		if len(s.Samples) != int(f.BlockSize) {
			return fail(errors.New("samples missing"))
		}
	}
	return f, nil
}
