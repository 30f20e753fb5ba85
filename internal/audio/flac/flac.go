// Package flac reads FLAC (RFC 9639): where its frames lie, and the samples in them.
//
// What comes in: a file's bytes and an index, hostile. What goes out: the stream information, the
// place of the frames and of the tags, an index by which any sample is found, and float32 samples,
// exact for up to 24 bits. What is trusted: the size of the file. Every frame's checksum is verified
// before its samples are handed out. The subframe decoder is mewkiz/flac, whose panics are caught.
package flac

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"playnode/internal/audio/frames"
)

const (
	// HeaderSize is the length of the header that is sealed before the frames: "fLaC" and STREAMINFO.
	HeaderSize = 4 + 4 + InfoSize

	// InfoSize is the length of STREAMINFO.
	InfoSize = 34
	// MaxFrameHeader is the longest header of a frame in bytes.
	MaxFrameHeader = maxHeader

	maxBlocks = 1024 // of metadata
)

// ErrFormat says that the bytes are no FLAC that can be read; ErrDamaged that a frame is broken.
var (
	ErrFormat  = errors.New("no readable FLAC")
	ErrDamaged = errors.New("damaged FLAC frame")
)

// Info is STREAMINFO.
type Info struct {
	Rate, Channels, Bits int
	// Samples is the number of sample frames, or 0 where the encoder did not know.
	Samples            int64
	MinBlock, MaxBlock int
	raw                [InfoSize]byte
}

// Block is a place in the file.
type Block struct{ Off, Size int64 }

// Meta is what stands before the frames.
type Meta struct {
	Info
	// Audio is where the first frame begins.
	Audio int64
	// Start is where "fLaC" stands: behind ID3v2, which some writers put there.
	Start int64
}

// Is tells whether a file begins like FLAC.
func Is(head []byte) bool { return len(head) >= 4 && string(head[:4]) == "fLaC" }

// ParseMeta reads the metadata of a file of size bytes. Errors wrap ErrFormat or are the reader's.
func ParseMeta(r io.ReaderAt, size int64) (Meta, error) {
	var m Meta
	var b [HeaderSize]byte
	if err := readAt(r, b[:10], 0, size); err != nil {
		return m, err
	}
	if n := frames.ID3v2Size(b[:10]); n > 0 {
		m.Start = n
	}
	if err := readAt(r, b[:], m.Start, size); err != nil {
		return m, err
	}
	if !Is(b[:]) || b[4]&0x7f != 0 || b[5] != 0 || b[6] != 0 || b[7] != InfoSize {
		return m, fmt.Errorf("%w: no stream information", ErrFormat)
	}
	var err error
	if m.Info, err = ParseInfo(b[8:]); err != nil {
		return m, err
	}
	last, off := b[4]&0x80 != 0, m.Start+HeaderSize
	for n := 0; !last; n++ {
		if n == maxBlocks {
			return m, fmt.Errorf("%w: more than %d blocks of metadata", ErrFormat, maxBlocks)
		}
		var h [4]byte
		if err := readAt(r, h[:], off, size); err != nil {
			return m, err
		}
		last = h[0]&0x80 != 0
		off += 4 + int64(binary.BigEndian.Uint32(h[:])&0xffffff)
	}
	if off > size {
		return m, fmt.Errorf("%w: cut in its metadata", ErrFormat)
	}
	m.Audio = off
	return m, nil
}

// ParseInfo reads STREAMINFO. The error wraps ErrFormat.
func ParseInfo(b []byte) (i Info, err error) {
	if len(b) != InfoSize {
		return i, fmt.Errorf("%w: stream information of %d bytes", ErrFormat, len(b))
	}
	copy(i.raw[:], b)
	return i, i.parse()
}

func (i *Info) parse() error {
	b := i.raw[:]
	i.MinBlock, i.MaxBlock = int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[2:]))
	v := binary.BigEndian.Uint64(b[10:])
	i.Rate, i.Channels, i.Bits = int(v>>44), int(v>>41&7)+1, int(v>>36&31)+1
	i.Samples = int64(v & (1<<36 - 1))
	if i.Rate == 0 || i.Bits < 4 || i.Bits > 24 || i.MaxBlock < 16 {
		return fmt.Errorf("%w: %d Hz, %d bits, blocks of %d", ErrFormat, i.Rate, i.Bits, i.MaxBlock)
	}
	return nil
}

// Header returns the bytes to seal before the frames: "fLaC" and the stream information alone, with
// samples as the number of sample frames, and no MD5 if that is not the one the encoder gave.
func (i Info) Header(samples int64) []byte {
	b := append([]byte("fLaC\x80\x00\x00\x22"), i.raw[:]...)
	if samples != i.Samples {
		v := binary.BigEndian.Uint64(b[18:])
		binary.BigEndian.PutUint64(b[18:], v&^(1<<36-1)|uint64(samples)&(1<<36-1))
		clear(b[26:])
	}
	return b
}

func readAt(r io.ReaderAt, b []byte, off, size int64) error {
	if off+int64(len(b)) > size {
		return fmt.Errorf("%w: cut at byte %d", ErrFormat, size)
	}
	if n, err := r.ReadAt(b, off); n < len(b) {
		return fmt.Errorf("read FLAC at %d: %w", off, err)
	}
	return nil
}

// header is a frame's.
type header struct {
	size   int  // bytes, with its CRC-8
	fixed  bool // blocks of one size, numbered
	number uint64
	block  int
}

// Frame is what a frame's header says.
type Frame struct {
	// Block is how many sample frames it holds.
	Block int
	// Fixed says that Number counts frames, all of one size but for the last; else it counts sample frames.
	Fixed  bool
	Number int64
}

// ParseFrame reads the header of a frame of this stream (RFC 9639, 9.1) and says whether it is one.
func (i Info) ParseFrame(b []byte) (Frame, bool) {
	h, ok := i.parseHeader(b)
	return Frame{h.block, h.fixed, int64(h.number)}, ok
}

// parseHeader reads a frame header (RFC 9639, 9.1) and says whether it is one, of this stream.
func (i Info) parseHeader(b []byte) (h header, ok bool) {
	if len(b) < 6 || b[0] != 0xff || b[1]&0xfe != 0xf8 || b[3]&1 != 0 {
		return h, false
	}
	h.fixed = b[1]&1 == 0
	blockCode, rateCode, chanCode, bitsCode := b[2]>>4, b[2]&15, b[3]>>4, b[3]>>1&7
	switch {
	case chanCode > 10, chanCode < 8 && int(chanCode)+1 != i.Channels, chanCode >= 8 && i.Channels != 2:
		return h, false
	case blockCode == 0, rateCode == 15, bitsCode == 3, bitsCode == 7:
		return h, false
	}
	if bits := [8]int{0, 8, 12, 0, 16, 20, 24, 0}[bitsCode]; bits != 0 && bits != i.Bits {
		return h, false
	}
	// The coded number: like UTF-8, up to seven bytes.
	n, first := 0, b[4]
	for m := byte(0x80); first&m != 0; m >>= 1 {
		n++
	}
	if n == 1 || n == 8 || len(b) < 4+max(1, n) {
		return h, false
	}
	at := 5
	if n == 0 {
		h.number = uint64(first)
	} else {
		h.number = uint64(first) & (1<<(7-n) - 1)
		for ; at < 4+n; at++ {
			if b[at]&0xc0 != 0x80 {
				return h, false
			}
			h.number = h.number<<6 | uint64(b[at]&0x3f)
		}
	}
	extra, rate := 0, 0 // bytes of a block size and a rate that have no code
	if blockCode == 6 || blockCode == 7 {
		extra = int(blockCode) - 5
	}
	if rateCode >= 12 {
		rate = min(2, int(rateCode)-11)
	}
	if len(b) < at+extra+rate+1 {
		return h, false
	}
	switch {
	case blockCode == 1:
		h.block = 192
	case blockCode <= 5:
		h.block = 144 << blockCode
	case blockCode == 6:
		h.block = int(b[at]) + 1
	case blockCode == 7:
		h.block = int(binary.BigEndian.Uint16(b[at:])) + 1
	default:
		h.block = 1 << blockCode
	}
	at += extra + rate
	if crc8(b[:at]) != b[at] || h.block > 65535 {
		return h, false
	}
	h.size = at + 1
	return h, true
}

func crc8(b []byte) (crc byte) {
	for _, v := range b {
		crc ^= v
		for range 8 {
			if crc&0x80 != 0 {
				crc = crc<<1 ^ 7
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// crcTable is CRC-16's, polynomial 0x8005, most significant bit first.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x8005
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()
