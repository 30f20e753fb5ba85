package wav

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"playnode/internal/audio/pcm"
)

// maxRIFF is the most that a RIFF chunk's 32 bits count.
const maxRIFF = 1<<32 - 1

// Header returns a WAVE header for dataSize bytes of sound in the format of info, and nothing else:
// plain PCM for up to two channels of at most 16 bits, extensible otherwise, RF64 where 32 bits do
// not hold the sizes. The data chunk's padding byte, if dataSize is odd, is the caller's.
func Header(info Info, dataSize int64) []byte {
	return header(info, dataSize, info.Channels <= 2 && (info.Layout == pcm.U8 || info.Layout == pcm.I16))
}

func header(info Info, dataSize int64, plain bool) []byte {
	le := binary.LittleEndian
	fb := info.frameBytes()
	bits := 8 * info.Layout.Bytes()
	tag := uint16(1)
	if info.Layout == pcm.F32 || info.Layout == pcm.F64 {
		tag = 3
	}
	format := make([]byte, 0, 40)
	if plain {
		format = le.AppendUint16(format, tag)
	} else {
		format = le.AppendUint16(format, 0xfffe)
	}
	format = le.AppendUint16(format, uint16(info.Channels))
	format = le.AppendUint32(format, uint32(info.Rate))
	format = le.AppendUint32(format, uint32(info.Rate*fb))
	format = le.AppendUint16(format, uint16(fb))
	format = le.AppendUint16(format, uint16(bits))
	if !plain {
		format = le.AppendUint16(format, 22)
		format = le.AppendUint16(format, uint16(bits))
		format = le.AppendUint32(format, info.Mask)
		format = le.AppendUint16(format, tag)
		format = append(format, "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"...)
	}
	body := 4 + 8 + int64(len(format)) + 8 + dataSize + dataSize&1
	var h []byte
	if body <= maxRIFF {
		h = append(h, "RIFF"...)
		h = le.AppendUint32(h, uint32(body))
		h = append(h, "WAVE"...)
	} else {
		body += ds64Size
		h = append(h, "RF64\xff\xff\xff\xffWAVE"...)
		h = appendDS64(h, body, dataSize, dataSize/int64(fb))
	}
	h = append(h, "fmt "...)
	h = le.AppendUint32(h, uint32(len(format)))
	h = append(h, format...)
	h = append(h, "data"...)
	return le.AppendUint32(h, uint32(min(dataSize, maxRIFF)))
}

// ds64Size is the whole chunk's, header included.
const ds64Size = 36

func appendDS64(h []byte, riff, data, frames int64) []byte {
	le := binary.LittleEndian
	h = append(h, "ds64"...)
	h = le.AppendUint32(h, ds64Size-8)
	h = le.AppendUint64(h, uint64(riff))
	h = le.AppendUint64(h, uint64(data))
	h = le.AppendUint64(h, uint64(frames))
	return le.AppendUint32(h, 0)
}

// Writer writes a file of signed 16-bit samples: RIFF format 1 and the canonical header of 44 bytes;
// RF64 where the sound outgrows it. It must not be used by two goroutines at once.
type Writer struct {
	w        io.WriteSeeker
	rate     int
	channels int
	junk     bool // ds64's place is kept
	size     int64
	buf      []byte
}

// NewWriter begins a file at w's present place, which must be its start. expect is how many frames
// will be written, or negative when nobody knows: then, and where they come to more than 4 GiB, a
// "JUNK" chunk keeps the place of RF64's sizes. Writing more than expected only fails beyond 4 GiB.
func NewWriter(w io.WriteSeeker, rate, channels int, expect int64) (*Writer, error) {
	if rate < 1 || rate > MaxRate || channels < 1 || channels > MaxChannels {
		return nil, fmt.Errorf("write WAVE of %d channels at %d Hz: out of range", channels, rate)
	}
	x := &Writer{w: w, rate: rate, channels: channels, buf: make([]byte, 8192*channels)}
	x.junk = expect < 0 || expect > (maxRIFF-1024)/int64(2*channels)
	if _, err := w.Write(x.header()); err != nil {
		return nil, fmt.Errorf("write WAVE header: %w", err)
	}
	return x, nil
}

func (w *Writer) header() []byte {
	h := header(Info{Rate: w.rate, Channels: w.channels, Layout: pcm.I16}, min(w.size, maxRIFF-1024), true)
	le := binary.LittleEndian
	if !w.junk {
		le.PutUint32(h[4:], uint32(w.size+int64(len(h))-8))
		le.PutUint32(h[len(h)-4:], uint32(w.size))
		return h
	}
	riff := w.size + int64(len(h)) + ds64Size - 8
	out := append([]byte{}, h[:12]...)
	if riff > maxRIFF {
		copy(out, "RF64\xff\xff\xff\xff")
		out = appendDS64(out, riff, w.size, w.size/int64(2*w.channels))
		le.PutUint32(h[len(h)-4:], maxRIFF)
	} else {
		le.PutUint32(out[4:], uint32(riff))
		out = append(out, "JUNK"...)
		out = le.AppendUint32(out, ds64Size-8)
		out = append(out, make([]byte, ds64Size-8)...)
		le.PutUint32(h[len(h)-4:], uint32(w.size))
	}
	return append(out, h[12:]...)
}

var errTooLong = errors.New("more than 4 GiB of sound where less was announced")

// Write appends interleaved samples, rounded to the nearest; len(src) must be a multiple of the channels.
func (w *Writer) Write(src []float32) error {
	for len(src) > 0 {
		n := min(len(src), len(w.buf)/2)
		b := w.buf[:2*n]
		if !w.junk && w.size+int64(len(b))+44 > maxRIFF {
			return errTooLong
		}
		pcm.S16(b, src[:n])
		m, err := w.w.Write(b)
		w.size += int64(m)
		if err != nil {
			return fmt.Errorf("write WAVE: %w", err)
		}
		src = src[n:]
	}
	return nil
}

// Close writes the sizes. It does not close the file.
func (w *Writer) Close() error {
	if _, err := w.w.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("seek to WAVE header: %w", err)
	}
	if _, err := w.w.Write(w.header()); err != nil {
		return fmt.Errorf("write WAVE header: %w", err)
	}
	if _, err := w.w.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("seek to WAVE end: %w", err)
	}
	return nil
}
