// Package gomp3 keeps the stock Layer III decoder, hajimehoshi/go-mp3, in a cell of its own.
//
// What comes in: whole frames, one at a time, hostile. What goes out: float32 samples. The decoder in
// the cell is not trusted: it sees one frame at a time through a plain Reader, so that it can neither
// read a whole file nor run away; its panics are caught; a frame whose bit reservoir is missing
// reaches it silenced. It truncates to 16 bits, is wrong on mid/side stereo with short blocks, on
// intensity stereo and on padded MPEG-2 frames of some bit rates, and knows no MPEG-2.5 and no free
// format: audio/mp3 is better in all of this.
package gomp3

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	gomp3 "github.com/hajimehoshi/go-mp3"

	"playnode/internal/audio/mp3"
)

var (
	errReservoir = errors.New("gomp3: bit reservoir incomplete")
	errFrame     = errors.New("gomp3: frame refused")
)

// Decoder decodes the frames of one stream in their order. The zero value is ready. It must not be
// used by two goroutines at once.
type Decoder struct {
	d    *gomp3.Decoder
	feed feed
	have int // bytes of main data that the decoder could reach back to
	pcm  [4 * mp3.MaxSamples]byte
	mute []byte
}

// feed hands out one frame and then ends.
type feed struct{ b []byte }

func (f *feed) Read(b []byte) (int, error) {
	if len(f.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, f.b)
	f.b = f.b[n:]
	return n, nil
}

// Reset forgets all earlier frames.
func (d *Decoder) Reset() { d.d, d.have = nil, 0 }

// Decode decodes one whole frame into dst, as audio.Engine says.
func (d *Decoder) Decode(frame []byte, dst []float32) (int, error) {
	h, err := mp3.ParseHeader(frame)
	if err != nil {
		return 0, err
	}
	back, own, err := mp3.MainDataBegin(frame)
	if err != nil {
		return 0, err
	}
	n, ch := h.Samples(), h.Channels()
	if len(dst) < n*ch {
		return 0, mp3.ErrShort
	}
	dst = dst[:n*ch]
	clear(dst)
	if h.Version == mp3.MPEG25 || h.Bitrate == 0 {
		return n, errFrame
	}
	in := frame
	if back > d.have {
		in = d.silenced(frame, h, d.have)
		back = d.have
	}
	if err := d.run(in, n); err != nil {
		// Begin anew, with the frame's bytes in the reservoir of those that follow.
		d.Reset()
		if d.run(d.silenced(frame, h, 0), n) == nil {
			d.have = own
		} else {
			d.Reset()
		}
		return n, err
	}
	d.have = back + own
	if len(in) > 0 && &in[0] != &frame[0] {
		return n, errReservoir
	}
	for i := range n {
		for c := range ch {
			dst[i*ch+c] = float32(int16(binary.LittleEndian.Uint16(d.pcm[4*i+2*c:]))) / 32767
		}
	}
	return n, nil
}

// silenced is the frame with its side information zeroed but for how far back its main data begins.
func (d *Decoder) silenced(frame []byte, h mp3.Header, back int) []byte {
	d.mute = append(d.mute[:0], frame...)
	i, n := mp3.HeaderSize, 32
	if h.Protected {
		i += 2
	}
	switch {
	case h.Version == mp3.MPEG1 && h.Mode != mp3.Mono:
	case h.Version != mp3.MPEG1 && h.Mode == mp3.Mono:
		n = 9
	default:
		n = 17
	}
	clear(d.mute[i : i+n])
	if h.Version == mp3.MPEG1 {
		back = min(back, 511)
		d.mute[i], d.mute[i+1] = byte(back>>1), byte(back<<7)
	} else {
		d.mute[i] = byte(min(back, 255))
	}
	return d.mute
}

// run decodes one frame of n samples into d.pcm.
func (d *Decoder) run(frame []byte, n int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("gomp3: %v", p)
		}
	}()
	d.feed.b = frame
	if d.d == nil {
		if d.d, err = gomp3.NewDecoder(&d.feed); err != nil {
			return errFrame
		}
	}
	if _, err := io.ReadFull(d.d, d.pcm[:4*n]); err != nil {
		return errFrame
	}
	return nil
}
