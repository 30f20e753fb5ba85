// Package aiff reads AIFF and uncompressed AIFF-C.
//
// What comes in: a file's bytes, hostile. What goes out: the format and place of the sound in wav's
// terms, so that wav.Reader decodes it, the places of its tags, and a header to seal before the sound.
// The only thing trusted is the size of the file: no length in it is believed beyond that, and nothing
// is allocated by one. After Apple's "Audio Interchange File Format" 1.3 and its AIFF-C draft.
package aiff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"playnode/internal/audio/pcm"
	"playnode/internal/audio/wav"
)

const (
	maxChunks = 256
	maxCommon = 256 // bytes of a COMM chunk: its name of a compression is short
)

// ErrFormat says that the bytes are no AIFF file that can be read.
var ErrFormat = errors.New("no readable AIFF")

// Info is what an AIFF header says.
type Info struct {
	wav.Info
	form   string // AIFF or AIFC
	common []byte // the COMM chunk
}

// Is tells whether a file that begins with head (12 bytes or more) claims to be AIFF.
func Is(head []byte) bool {
	return len(head) >= 12 && string(head[:4]) == "FORM" && (string(head[8:12]) == "AIFF" || string(head[8:12]) == "AIFC")
}

// Parse reads the header of a file of size bytes. Its Tags are "ID3 ", NAME, AUTH and "ANNO" chunks.
// Errors wrap ErrFormat or are the reader's.
func Parse(r io.ReaderAt, size int64) (Info, error) {
	var i Info
	var head [12]byte
	if err := readAt(r, head[:], 0, size); err != nil {
		return i, err
	}
	if !Is(head[:]) {
		return i, fmt.Errorf("%w: no FORM AIFF header", ErrFormat)
	}
	i.form = string(head[8:])
	frames, sound := int64(-1), false
	for off, n := int64(12), 0; off+8 <= size && n < maxChunks; n++ {
		var h [16]byte
		if err := readAt(r, h[:8], off, size); err != nil {
			return i, err
		}
		claimed := int64(binary.BigEndian.Uint32(h[4:]))
		c := wav.Chunk{ID: string(h[:4]), Off: off + 8, Size: min(claimed, size-off-8)}
		switch c.ID {
		case "COMM":
			if frames >= 0 {
				break
			}
			i.common = make([]byte, min(c.Size, maxCommon))
			if err := readAt(r, i.common, c.Off, size); err != nil {
				return i, err
			}
			var err error
			if frames, err = i.format(); err != nil {
				return i, err
			}
		case "SSND":
			if sound || c.Size < 8 {
				break
			}
			if err := readAt(r, h[8:16], c.Off, size); err != nil {
				return i, err
			}
			skip := 8 + int64(binary.BigEndian.Uint32(h[8:]))
			if skip > c.Size {
				return i, fmt.Errorf("%w: sound begins outside of its chunk", ErrFormat)
			}
			sound = true
			i.Data, i.Cut = wav.Chunk{ID: c.ID, Off: c.Off + skip, Size: c.Size - skip}, c.Size < claimed
		case "ID3 ", "NAME", "AUTH":
			if len(i.Tags) < 8 {
				i.Tags = append(i.Tags, c)
			}
		}
		off = c.Off + claimed + claimed&1
	}
	if frames < 0 || !sound {
		return i, fmt.Errorf("%w: no COMM or no SSND chunk", ErrFormat)
	}
	fb := int64(i.Channels * i.Layout.Bytes())
	i.Frames = i.Data.Size / fb
	if frames < i.Frames {
		i.Frames = frames
	} else if frames > i.Frames {
		i.Cut = true
	}
	i.Data.Size = i.Frames * fb
	return i, nil
}

// format reads COMM and returns the frames that it counts.
func (i *Info) format() (int64, error) {
	b := i.common
	if len(b) < 18 || i.form == "AIFC" && len(b) < 22 {
		return 0, fmt.Errorf("%w: COMM chunk of %d bytes", ErrFormat, len(b))
	}
	be := binary.BigEndian
	channels, frames, bits := int(be.Uint16(b)), int64(be.Uint32(b[2:])), int(be.Uint16(b[6:]))
	rate := extended(b[8:18])
	if channels < 1 || channels > wav.MaxChannels || !(rate >= 1 && rate <= wav.MaxRate) || bits < 1 || bits > 64 {
		return 0, fmt.Errorf("%w: %d channels at %g Hz, %d bits", ErrFormat, channels, rate, bits)
	}
	kind := "NONE"
	if i.form == "AIFC" {
		kind = string(b[18:22])
	}
	ints := [2][4]pcm.Layout{{pcm.I8, pcm.I16B, pcm.I24B, pcm.I32B}, {pcm.I8, pcm.I16, pcm.I24, pcm.I32}}
	switch kind {
	case "NONE", "twos", "in24", "in32":
		if bits > 32 {
			return 0, fmt.Errorf("%w: %d bits", ErrFormat, bits)
		}
		i.Layout = ints[0][(bits-1)/8]
	case "sowt", "42ni", "23ni":
		if bits > 32 {
			return 0, fmt.Errorf("%w: %d bits", ErrFormat, bits)
		}
		i.Layout = ints[1][(bits-1)/8]
	case "raw ":
		i.Layout = pcm.U8
	case "fl32", "FL32":
		i.Layout = pcm.F32B
	case "fl64", "FL64":
		i.Layout = pcm.F64B
	default:
		return 0, fmt.Errorf("%w: compression %q", ErrFormat, kind)
	}
	i.Rate, i.Channels = int(math.Round(rate)), channels
	return frames, nil
}

// extended reads an 80-bit IEEE number.
func extended(b []byte) float64 {
	exp := int(binary.BigEndian.Uint16(b)) // a sign makes it too large
	if exp == 0x7fff {
		return math.Inf(1)
	}
	return math.Ldexp(float64(binary.BigEndian.Uint64(b[2:])), exp-16383-63)
}

// Header returns what to seal before the sound: the file's format, and no tags. After an odd number of
// bytes of sound a zero is to follow.
func (i Info) Header() []byte {
	common := append([]byte{}, i.common...)
	binary.BigEndian.PutUint32(common[2:], uint32(i.Frames))
	if len(common)%2 == 1 {
		common = append(common, 0)
	}
	var b []byte
	chunk := func(id string, size int) { b = binary.BigEndian.AppendUint32(append(b, id...), uint32(size)) }
	if i.form == "AIFC" {
		chunk("FVER", 4)
		b = append(b, 0xa2, 0x80, 0x51, 0x40)
	}
	chunk("COMM", len(common))
	b = append(b, common...)
	chunk("SSND", int(i.Data.Size)+8)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	all := int64(len(b)) + 4 + i.Data.Size + i.Data.Size&1
	return append(append(binary.BigEndian.AppendUint32([]byte("FORM"), uint32(all)), i.form...), b...)
}

// readAt fills b; what lies beyond size is a cut header.
func readAt(r io.ReaderAt, b []byte, off, size int64) error {
	if off+int64(len(b)) > size {
		return fmt.Errorf("%w: cut at byte %d", ErrFormat, size)
	}
	if n, err := r.ReadAt(b, off); n < len(b) {
		return fmt.Errorf("read AIFF header at %d: %w", off, err)
	}
	return nil
}
