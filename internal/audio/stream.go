package audio

import (
	"bytes"
	"fmt"

	"playnode/internal/audio/flac"
	"playnode/internal/audio/mp3"
	"playnode/internal/audio/ogg"
	"playnode/internal/audio/opus"
	"playnode/internal/audio/vorbis"
)

// OggFLAC is FLAC in Ogg, which only streams are.
const OggFLAC = "oggflac"

// maxStretch bounds what one stretch is decoded to, in samples: 43 s of stereo at 48 kHz. A hostile one claims more.
const maxStretch = 1 << 22

// Stream decodes a live stream as it comes, in stretches of whole frames or pages. It must not be used by two
// goroutines at once.
type Stream struct {
	d      streamer
	format Format
}

// streamer decodes one codec's stretches.
type streamer interface {
	// decode gives out samples, which are out's until it returns. Errors are its own, or out's.
	decode(media []byte, out func([]float32) error) error
	// layout is zero while it is not known.
	layout() Format
	reset()
}

// NewStream begins a stream of a codec: mp3 (of any layer; also mp2 and mp1), flac, oggflac, opus or vorbis, the last
// three in Ogg. head is what goes before the media; it and all media are hostile. The error wraps ErrUnsupported
// or ErrDamaged.
func NewStream(codec string, head []byte, opt Options) (s *Stream, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("begin stream of %.16q: %w: %v", codec, ErrDamaged, r)
		}
	}()
	s = new(Stream)
	switch codec {
	case MP3, MP2, MP1:
		s.d = &mpegStream{opt: opt}
	case FLAC:
		var m flac.Meta
		m, err = flac.ParseMeta(bytes.NewReader(head), int64(len(head)))
		s.d = flacStream{&flac.Stream{Info: m.Info}}
	case OggFLAC:
		var first []byte
		if p, ok := ogg.ParsePage(head[:min(len(head), max(0, ogg.PageSize(head)))]); ok {
			first = p.Body
		}
		s.d, err = newOggStream(head, flac.Kind(first))
	case Opus:
		s.d, err = newOggStream(head, opus.Kind())
	case Vorbis:
		s.d, err = newOggStream(head, vorbis.Kind())
	default:
		return nil, fmt.Errorf("begin stream of %.16q: %w", codec, ErrUnsupported)
	}
	if err != nil {
		return nil, fmt.Errorf("begin stream of %.16q: %w: %w", codec, ErrDamaged, err)
	}
	s.format = s.d.layout()
	return s, nil
}

// Format is what Decode gives; of MPEG it is zero until a frame was decoded, and then stays.
func (s *Stream) Format() Format { return s.format }

// Decode appends the samples of a stretch to dst, interleaved. What the encoder says to drop at the stream's beginning
// and at its end is dropped. An error wraps ErrDamaged, and says that some of the stretch could not be had, or not as
// it was: the stream goes on with the next.
func (s *Stream) Decode(media []byte, dst []float32) (out []float32, err error) {
	out = dst
	most := len(dst) + maxStretch
	defer func() {
		if r := recover(); r != nil {
			s.Reset()
			err = fmt.Errorf("decode stretch: %w: %v", ErrDamaged, r)
		}
	}()
	err = s.d.decode(media, func(b []float32) error {
		if len(out)+len(b) > most {
			return fmt.Errorf("a stretch of more than %d samples", maxStretch)
		}
		out = append(out, b...)
		return nil
	})
	s.format = s.d.layout()
	if err != nil {
		err = fmt.Errorf("decode stretch: %w: %w", ErrDamaged, err)
	}
	return out, err
}

// Reset says that the next stretch does not follow the one before, or that the first is not the stream's beginning.
// What leans on what is missing comes out silent: an mp3's bit reservoir, Opus's first 80 ms.
func (s *Stream) Reset() { s.d.reset() }

// mpegStream decodes MPEG frames.
type mpegStream struct {
	opt      Options
	eng      Engine
	first    mp3.Header
	buf, raw [2 * mp3.MaxSamples]float32
}

func (m *mpegStream) layout() Format {
	if m.eng == nil {
		return Format{}
	}
	return Format{m.first.Rate, m.first.Channels()}
}

func (m *mpegStream) reset() {
	if m.eng != nil {
		m.eng.Reset()
	}
}

func (m *mpegStream) decode(media []byte, out func([]float32) error) error {
	var bad error
	for len(media) >= mp3.HeaderSize {
		h, err := mp3.ParseHeader(media)
		size := h.Size()
		if err != nil || size < mp3.HeaderSize || size > len(media) || m.eng != nil && (h.Rate != m.first.Rate || h.Layer != m.first.Layer) {
			bad = fmt.Errorf("no frame of the stream where one should be")
			i := bytes.IndexByte(media[1:], 0xff)
			if i < 0 {
				return bad
			}
			media = media[1+i:]
			continue
		}
		if m.eng == nil {
			m.first = h
			if m.eng = OwnMP3(); h.Layer == 3 && m.opt.Engine != nil {
				m.eng = m.opt.Engine()
			}
		}
		n, err := m.eng.Decode(media[:size], m.raw[:]) // what could not be had is silent
		if err != nil {
			bad = err
		}
		clear(m.raw[n*h.Channels() : h.Samples()*h.Channels()])
		ch := m.first.Channels()
		whole := m.buf[:h.Samples()*ch]
		fit(whole, ch, m.raw[:], h.Channels())
		if err := out(whole); err != nil {
			return err
		}
		media = media[size:]
	}
	return bad
}

type flacStream struct{ s *flac.Stream }

func (f flacStream) layout() Format { return Format{f.s.Rate, f.s.Channels} }
func (flacStream) reset()           {}
func (f flacStream) decode(media []byte, out func([]float32) error) error {
	return f.s.Decode(media, out)
}

type oggStream struct{ s *ogg.Stream }

func newOggStream(head []byte, k ogg.Kind) (streamer, error) {
	s, err := ogg.NewStream(head, k)
	return oggStream{s}, err
}

func (o oggStream) layout() Format { return Format{o.s.Codec().Rate(), o.s.Codec().Channels()} }
func (o oggStream) reset()         { o.s.Reset() }
func (o oggStream) decode(media []byte, out func([]float32) error) error {
	return o.s.Decode(media, out)
}
