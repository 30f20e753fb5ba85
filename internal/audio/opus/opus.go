// Package opus keeps pion/opus, an Opus decoder (RFC 6716), in a cell of its own.
//
// What comes in: the packets of one Ogg stream (RFC 7845) of one or two channels, hostile. What goes
// out: float32 samples at 48 kHz, with the header's output gain. The decoder in the cell is not trusted:
// a packet's length is judged before it sees it, and its panics are caught.
package opus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/pion/opus"

	"playnode/internal/audio/ogg"
)

// Rate is that of every Opus stream, in Hz.
const Rate = 48000

const (
	maxFrames = 5760      // 120 ms, the longest packet
	maxPacket = 48 * 1277 // bytes
)

// ErrHeader says that the header is none of Opus that can be read; ErrPacket that a packet is none.
var (
	ErrHeader = errors.New("no readable Opus header")
	ErrPacket = errors.New("no readable Opus packet")
)

// Kind is how Opus lies in Ogg. Its decoder remembers for long, if ever more faintly: so every stretch of
// ten seconds is decoded from a second before it on, whether it is sought or come to.
func Kind() ogg.Kind {
	return ogg.Kind{
		Magic: "OpusHead", Headers: 2, Comment: []byte("OpusTags\x00\x00\x00\x00\x00\x00\x00\x00"), Interval: 10 * Rate, Lead: Rate,
		Warm:    Rate * 80 / 1000, // RFC 7845, 4.6
		Preskip: func(h []byte) int { return int(binary.LittleEndian.Uint16(h[10:])) },
		Rough:   rough,
		Open:    func(h [][]byte) (ogg.Codec, error) { return Open(h) },
	}
}

// Decoder decodes the packets of one stream in their order. It must not be used by two goroutines at once.
type Decoder struct {
	d        opus.Decoder
	channels int
	gain     float32
	buf      [2 * maxFrames]float32
}

// Open makes a Decoder of the stream's header packets.
func Open(headers [][]byte) (*Decoder, error) {
	if len(headers) != 2 || len(headers[0]) < 19 || string(headers[0][:8]) != "OpusHead" || headers[0][8]&0xf0 != 0 {
		return nil, ErrHeader
	}
	h := headers[0]
	if h[18] != 0 || h[9] < 1 || h[9] > 2 {
		return nil, fmt.Errorf("%w: %d channels of mapping family %d; one and two are read", ErrHeader, h[9], h[18])
	}
	d := &Decoder{channels: int(h[9]), gain: 1}
	if g := int16(binary.LittleEndian.Uint16(h[16:])); g != 0 {
		d.gain = float32(math.Pow(10, float64(g)/(20*256)))
	}
	var err error
	if d.d, err = opus.NewDecoderWithOutput(Rate, d.channels); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	return d, nil
}

// Rate and Channels are those of what comes out.
func (d *Decoder) Rate() int     { return Rate }
func (d *Decoder) Channels() int { return d.channels }

// Reset forgets all earlier packets.
func (d *Decoder) Reset() {
	if d.d.Init(Rate, d.channels) != nil {
		panic("opus: a decoder that was made cannot be made again")
	}
}

// Decode decodes one packet, as ogg.Codec says.
func (d *Decoder) Decode(packet []byte) (out []float32, err error) {
	n := Frames(packet)
	if n == 0 || len(packet) > maxPacket {
		return nil, fmt.Errorf("%w: %d bytes", ErrPacket, len(packet))
	}
	silent := d.buf[:n*d.channels]
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrPacket, p)
		}
		if err != nil {
			clear(silent)
			out = silent
			d.Reset()
		}
	}()
	got, err := d.d.DecodeToFloat32(packet, d.buf[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPacket, err)
	}
	if got != n {
		return nil, fmt.Errorf("%w: %d samples, not %d", ErrPacket, got, n)
	}
	if d.gain != 1 {
		for i := range silent {
			silent[i] *= d.gain
		}
	}
	return silent, nil
}

// rough tells a packet of SILK or of both layers (RFC 6716, 3.1): for speech and low rates. Of CELT's the decoder
// makes what libopus does, to the rounding; of these what sounds the same and differs by hundreds of LSB.
func rough(first byte) bool { return first>>3 < 16 }

// Frames is how many sample frames a packet holds (RFC 6716, 3.1 and 3.2), 0 where it is none.
func Frames(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	size, config := 0, b[0]>>3
	switch {
	case config < 12:
		size = [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16:
		size = [2]int{480, 960}[config&1]
	default:
		size = 120 << (config & 3)
	}
	n := 1
	switch b[0] & 3 {
	case 1, 2:
		n = 2
	case 3:
		if len(b) < 2 {
			return 0
		}
		n = int(b[1] & 63)
	}
	if n*size > maxFrames {
		return 0
	}
	return n * size
}
