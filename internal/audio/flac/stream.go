package flac

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"playnode/internal/audio/ogg"
)

// mostLost bounds how often in a stretch a frame is looked for that does not decode.
const mostLost = 64

// Stream decodes frames as they come. It must not be used by two goroutines at once.
type Stream struct {
	Info
	buf []float32
}

// Decode gives out the samples of media's frames, in their order; they are out's until it returns. It ends with
// an error of out's, or with one that wraps ErrDamaged.
func (s *Stream) Decode(media []byte, out func([]float32) error) error {
	lost := 0
	for len(media) > 0 && lost < mostLost {
		r := bytes.NewReader(media)
		f, err := s.decode(r)
		if err == nil {
			n := int(f.BlockSize)
			s.buf = append(s.buf[:0], make([]float32, n*s.Channels)...)
			s.samples(s.buf, f, 0, n)
			if err := out(s.buf); err != nil {
				return err
			}
			media = media[len(media)-r.Len():]
			continue
		}
		lost++
		i := 1
		for ; i+1 < len(media); i++ {
			if _, ok := s.parseHeader(media[i:min(len(media), i+maxHeader)]); ok {
				break
			}
		}
		media = media[min(len(media), max(i, 2)):]
	}
	if lost > 0 {
		return fmt.Errorf("%w: %d of a stretch", ErrDamaged, lost)
	}
	return nil
}

// Kind is how FLAC lies in Ogg; head is the stream's first packet, or more.
func Kind(head []byte) ogg.Kind {
	k := ogg.Kind{Magic: "\x7fFLAC", Headers: 1, Open: open}
	if len(head) >= 9 {
		k.Headers += int(binary.BigEndian.Uint16(head[7:]))
	}
	return k
}

// open reads the header packets of FLAC in Ogg (RFC 9639, 10.1).
func open(headers [][]byte) (ogg.Codec, error) {
	first := headers[0]
	if len(first) != 17+InfoSize || !Is(first[9:]) {
		return nil, fmt.Errorf("%w: no stream information", ErrFormat)
	}
	i, err := ParseInfo(first[17:])
	if err != nil {
		return nil, err
	}
	return &packets{s: Stream{Info: i}}, nil
}

// packets is FLAC in Ogg: each packet is a frame.
type packets struct {
	s   Stream
	out []float32
}

func (p *packets) Rate() int     { return p.s.Info.Rate }
func (p *packets) Channels() int { return p.s.Info.Channels }
func (p *packets) Reset()        {}

// Decode decodes one packet, as ogg.Codec says.
func (p *packets) Decode(packet []byte) ([]float32, error) {
	p.out = p.out[:0]
	err := p.s.Decode(packet, func(b []float32) error {
		if len(p.out) == 0 {
			p.out = append(p.out, b...)
		}
		return nil
	})
	return p.out, err
}
