// Package vorbis keeps jfreymuth/vorbis, a Vorbis I decoder, in a cell of its own.
//
// What comes in: the packets of one stream, hostile. What goes out: float32 samples. The decoder in the cell is not trusted: its headers are checked before it sees them, so that
// it allocates no more than sound needs and ends every loop, and its panics are caught.
package vorbis

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jfreymuth/vorbis"

	"playnode/internal/audio/ogg"
)

const (
	maxChannels = 2 // the decoder misreads the headers of some surround
	maxRate     = 768000
	maxBlock    = 8192
	maxEntries  = 1 << 16 // of one codebook
	maxValues   = 1 << 21 // of all
)

// ErrHeader says that the headers are none of Vorbis that can be read; ErrPacket that a packet is none.
var (
	ErrHeader = errors.New("no readable Vorbis header")
	ErrPacket = errors.New("no readable Vorbis packet")
)

// Kind is how Vorbis lies in Ogg. A packet needs but the one before it, so a seek begins a page before.
func Kind() ogg.Kind {
	return ogg.Kind{
		Magic: "\x01vorbis", Headers: 3, Comment: []byte("\x03vorbis\x00\x00\x00\x00\x00\x00\x00\x00\x01"), Interval: 1 << 15,
		Open: func(h [][]byte) (ogg.Codec, error) { return Open(h) },
	}
}

// Decoder decodes the packets of one stream in their order. It must not be used by two goroutines at once.
type Decoder struct {
	d        vorbis.Decoder
	rate     int
	channels int
	buf      []float32
}

// Open makes a Decoder of the stream's three header packets.
func Open(headers [][]byte) (d *Decoder, err error) {
	defer func() {
		if p := recover(); p != nil {
			d, err = nil, fmt.Errorf("%w: %v", ErrHeader, p)
		}
	}()
	if len(headers) != 3 {
		return nil, ErrHeader
	}
	id, setup := headers[0], headers[2]
	if len(id) < 30 || string(id[:7]) != "\x01vorbis" || len(setup) < 8 || string(setup[:7]) != "\x05vorbis" {
		return nil, ErrHeader
	}
	rate, short, long := int64(binary.LittleEndian.Uint32(id[12:])), 1<<(id[28]&15), 1<<(id[28]>>4)
	if id[11] < 1 || id[11] > maxChannels || rate < 1 || rate > maxRate || short < 64 || short > long || long > maxBlock {
		return nil, fmt.Errorf("%w: %d channels at %d Hz, blocks of %d and %d; one and two channels are read", ErrHeader, id[11], rate, short, long)
	}
	if err := checkSetup(setup[7:]); err != nil {
		return nil, err
	}
	d = &Decoder{rate: int(rate), channels: int(id[11])}
	for _, h := range [][]byte{id, setup} {
		if err := d.d.ReadHeader(h); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrHeader, err)
		}
	}
	d.buf = make([]float32, d.d.BufferSize())
	return d, nil
}

// Rate and Channels are the stream's.
func (d *Decoder) Rate() int     { return d.rate }
func (d *Decoder) Channels() int { return d.channels }

// Reset forgets all earlier packets.
func (d *Decoder) Reset() { d.d.Clear() }

// Decode decodes one packet, as ogg.Codec says.
func (d *Decoder) Decode(packet []byte) (out []float32, err error) {
	if len(packet) == 0 {
		return nil, nil // nothing, as encoders may say
	}
	defer func() {
		if p := recover(); p != nil {
			d.d.Clear()
			out, err = nil, fmt.Errorf("%w: %v", ErrPacket, p)
		}
	}()
	out, err = d.d.DecodeInto(packet, d.buf)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPacket, err)
	}
	return out, nil
}
