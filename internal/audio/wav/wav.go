// Package wav reads and writes RIFF and RF64 WAVE.
//
// What comes in: a file's bytes, hostile, and float32 samples to write. What goes out: the format and
// place of the sound, the places of its tag chunks, samples, and files with a canonical header. The
// only thing trusted is the size of the file: no length in it is believed beyond that, and nothing is
// allocated by one. After Microsoft's "Multiple Channel Audio Data and WAVE Files", EBU Tech 3306.
package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"playnode/internal/audio/pcm"
)

const (
	// MaxChannels is the most channels accepted.
	MaxChannels = 8
	// MaxRate is the highest sample rate accepted, in Hz.
	MaxRate = 768000

	maxChunks = 256 // looked at before the data chunk's and the tags' search ends
)

// ErrFormat says that the bytes are no WAVE file that can be read.
var ErrFormat = errors.New("no readable WAVE")

// Chunk is a place in the file.
type Chunk struct {
	ID   string
	Off  int64
	Size int64 // never reaches beyond the file
}

// Info is what a WAVE header says.
type Info struct {
	Rate, Channels int
	Layout         pcm.Layout
	// Mask is the extensible format's channel mask, or 0.
	Mask uint32
	// Data is the sound, whole frames only.
	Data Chunk
	// Frames is how many sample frames Data holds.
	Frames int64
	// Tags are the "LIST" and "id3 " chunks.
	Tags []Chunk
	// Cut says that the file ends before the length it gives; Streamed that it gives none.
	Cut, Streamed bool
}

func (i Info) frameBytes() int { return i.Channels * i.Layout.Bytes() }

// Is tells whether a file that begins with head (12 bytes or more) claims to be WAVE.
func Is(head []byte) bool {
	if len(head) < 12 || string(head[8:12]) != "WAVE" {
		return false
	}
	switch string(head[:4]) {
	case "RIFF", "RF64", "BW64":
		return true
	}
	return false
}

// Parse reads the header of a file of size bytes. Errors wrap ErrFormat or are the reader's.
func Parse(r io.ReaderAt, size int64) (Info, error) {
	var head [12]byte
	if err := readAt(r, head[:], 0, size); err != nil {
		return Info{}, err
	}
	if !Is(head[:]) {
		return Info{}, fmt.Errorf("%w: no RIFF WAVE header", ErrFormat)
	}
	var (
		info    Info
		long    int64 = -1 // ds64's size of data
		format  bool
		hasData bool
	)
	for off, n := int64(12), 0; off+8 <= size && n < maxChunks; n++ {
		var h [8]byte
		if err := readAt(r, h[:], off, size); err != nil {
			return Info{}, err
		}
		c := Chunk{ID: string(h[:4]), Off: off + 8, Size: int64(binary.LittleEndian.Uint32(h[4:]))}
		claimed := c.Size
		if c.ID == "data" {
			if claimed == 0xffffffff && long >= 0 {
				claimed = long
			}
			// Writers into a pipe leave all ones or nothing.
			if claimed == 0xffffffff || claimed == 0 && !hasData {
				info.Streamed = size-c.Off > 0
				claimed = size - c.Off
			}
		}
		c.Size = min(claimed, size-c.Off)
		switch c.ID {
		case "ds64":
			var b [16]byte
			if c.Size >= 24 {
				if err := readAt(r, b[:], c.Off, size); err != nil {
					return Info{}, err
				}
				if v := binary.LittleEndian.Uint64(b[8:]); v <= 1<<62 {
					long = int64(v)
				}
			}
		case "fmt ":
			if format {
				break
			}
			if err := info.format(r, c, size); err != nil {
				return Info{}, err
			}
			format = true
		case "data":
			if hasData {
				break
			}
			hasData = true
			info.Data, info.Cut = c, c.Size < claimed
		case "LIST", "id3 ", "ID3 ":
			if len(info.Tags) < 8 {
				info.Tags = append(info.Tags, c)
			}
		}
		if claimed > size { // the next offset would lie outside, or overflow
			break
		}
		off = c.Off + claimed + claimed&1
	}
	if !format || !hasData {
		return Info{}, fmt.Errorf("%w: no fmt or no data chunk", ErrFormat)
	}
	info.Frames = info.Data.Size / int64(info.frameBytes())
	info.Data.Size = info.Frames * int64(info.frameBytes())
	return info, nil
}

func (i *Info) format(r io.ReaderAt, c Chunk, size int64) error {
	if c.Size < 16 {
		return fmt.Errorf("%w: fmt chunk of %d bytes", ErrFormat, c.Size)
	}
	var b [40]byte
	if err := readAt(r, b[:min(40, c.Size)], c.Off, size); err != nil {
		return err
	}
	le := binary.LittleEndian
	tag, channels, rate, align, bits := le.Uint16(b[:]), int(le.Uint16(b[2:])), le.Uint32(b[4:]), int(le.Uint16(b[12:])), le.Uint16(b[14:])
	if channels < 1 || channels > MaxChannels || rate < 1 || rate > MaxRate {
		return fmt.Errorf("%w: %d channels at %d Hz", ErrFormat, channels, rate)
	}
	if tag == 0xfffe && c.Size >= 40 {
		i.Mask = le.Uint32(b[20:])
		tag = le.Uint16(b[24:]) // the sub-format's first two bytes are the plain tag
	}
	switch {
	case tag == 1 && align == channels && bits <= 8:
		i.Layout = pcm.U8
	case tag == 1 && align == 2*channels:
		i.Layout = pcm.I16
	case tag == 1 && align == 3*channels:
		i.Layout = pcm.I24
	case tag == 1 && align == 4*channels:
		i.Layout = pcm.I32
	case tag == 3 && align == 4*channels:
		i.Layout = pcm.F32
	case tag == 3 && align == 8*channels:
		i.Layout = pcm.F64
	default:
		return fmt.Errorf("%w: format tag %d, %d bits in %d bytes a frame of %d channels", ErrFormat, tag, bits, align, channels)
	}
	i.Rate, i.Channels = int(rate), channels
	return nil
}

// readAt fills b; what lies beyond size is a cut header.
func readAt(r io.ReaderAt, b []byte, off, size int64) error {
	if off+int64(len(b)) > size {
		return fmt.Errorf("%w: cut at byte %d", ErrFormat, size)
	}
	if n, err := r.ReadAt(b, off); n < len(b) {
		return fmt.Errorf("read WAVE header at %d: %w", off, err)
	}
	return nil
}

// Reader decodes the sound of a file. It must not be used by two goroutines at once.
type Reader struct {
	r    io.ReaderAt
	info Info
	pos  int64
	buf  []byte
}

// NewReader returns a Reader of the sound that info describes.
func NewReader(r io.ReaderAt, info Info) *Reader {
	return &Reader{r: r, info: info, buf: make([]byte, 4096*info.frameBytes())}
}

// Read decodes as audio.Decoder's Read does.
func (r *Reader) Read(dst []float32) (int, error) {
	fb, ch := r.info.frameBytes(), r.info.Channels
	done := 0
	for done*ch < len(dst) {
		n := int(min(int64(len(dst)/ch-done), int64(len(r.buf)/fb), r.info.Frames-r.pos))
		if n == 0 {
			if done == 0 {
				return 0, io.EOF
			}
			break
		}
		b := r.buf[:n*fb]
		if got, err := r.r.ReadAt(b, r.info.Data.Off+r.pos*int64(fb)); got < len(b) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			n = got / fb
			pcm.Float(dst[done*ch:(done+n)*ch], b, r.info.Layout)
			r.pos += int64(n)
			return done + n, fmt.Errorf("read WAVE frame %d: %w", r.pos, err)
		}
		pcm.Float(dst[done*ch:(done+n)*ch], b, r.info.Layout)
		done += n
		r.pos += int64(n)
	}
	return done, nil
}

// SeekFrame makes frame the next one read; it is kept within the file.
func (r *Reader) SeekFrame(frame int64) { r.pos = max(0, min(frame, r.info.Frames)) }
