package audio

import (
	"fmt"
	"io"

	"playnode/internal/audio/aiff"
	"playnode/internal/audio/flac"
	"playnode/internal/audio/ogg"
	"playnode/internal/audio/opus"
	"playnode/internal/audio/vorbis"
	"playnode/internal/audio/wav"
)

// Open opens a track for decoding. r holds the size bytes that Sealable gave; they and t are hostile.
// Reads end when r returns an error, so a caller that wants to cancel makes r fail.
func Open(r io.ReaderAt, size int64, t Track, opt Options) (Decoder, error) {
	if t.Rate < 1 || t.Rate > wav.MaxRate || t.Channels < 1 || t.Channels > MaxChannels || t.Samples < 0 || t.Samples > 1<<48 || size < 0 {
		return nil, fmt.Errorf("open %.16q: %w: %d Hz, %d channels, %d samples in %d bytes", t.Codec, ErrDamaged, t.Rate, t.Channels, t.Samples, size)
	}
	switch t.Codec {
	case MP3, MP2, MP1:
		return openMPEG(r, size, t, opt)
	case Vorbis:
		return openOgg(r, size, t, vorbis.Kind())
	case Opus:
		return openOgg(r, size, t, opus.Kind())
	case AIFF:
		info, err := aiff.Parse(r, size)
		if err != nil {
			return nil, fmt.Errorf("open AIFF: %w: %w", ErrDamaged, err)
		}
		return openPCM(r, info.Info, t)
	case FLAC:
		d, err := flac.Open(r, size, t.Samples, t.Index)
		if err != nil {
			return nil, fmt.Errorf("open FLAC: %w: %w", ErrDamaged, err)
		}
		if i := d.Info(); i.Rate != t.Rate || i.Channels != t.Channels {
			return nil, fmt.Errorf("open FLAC: %w: %d Hz, %d channels, not %d and %d", ErrDamaged, i.Rate, i.Channels, t.Rate, t.Channels)
		}
		return &stream{t, d}, nil
	case WAV:
		info, err := wav.Parse(r, size)
		if err != nil {
			return nil, fmt.Errorf("open WAVE: %w: %w", ErrDamaged, err)
		}
		return openPCM(r, info, t)
	}
	return nil, fmt.Errorf("open %.16q: %w", t.Codec, ErrUnsupported)
}

func openPCM(r io.ReaderAt, i wav.Info, t Track) (Decoder, error) {
	if i.Rate != t.Rate || i.Channels != t.Channels || i.Frames != t.Samples {
		return nil, fmt.Errorf("open %s: %w: %d samples at %d Hz, %d channels, not %d at %d, %d", t.Codec, ErrDamaged, i.Frames, i.Rate, i.Channels, t.Samples, t.Rate, t.Channels)
	}
	return &stream{t, wav.NewReader(r, i)}, nil
}

func openOgg(r io.ReaderAt, size int64, t Track, k ogg.Kind) (Decoder, error) {
	if t.Delay < 0 || t.Delay > 1<<20 {
		return nil, fmt.Errorf("open %s: %w: delay %d", t.Codec, ErrDamaged, t.Delay)
	}
	d, err := ogg.Open(r, size, t.Samples, t.Delay, t.Index, k)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", t.Codec, damage(err))
	}
	if c := d.Codec(); c.Rate() != t.Rate || c.Channels() != t.Channels {
		return nil, fmt.Errorf("open %s: %w: %d Hz, %d channels, not %d and %d", t.Codec, ErrDamaged, c.Rate(), c.Channels(), t.Rate, t.Channels)
	}
	return &stream{t, d}, nil
}

// stream is all that is no mp3.
type stream struct {
	t Track
	d interface {
		Read(dst []float32) (int, error)
		SeekFrame(frame int64)
	}
}

func (s *stream) Format() Format { return Format{s.t.Rate, s.t.Channels} }
func (s *stream) Len() int64     { return s.t.Samples }
func (s *stream) Close() error   { s.d = ended{}; return nil }

func (s *stream) SeekFrame(frame int64) error {
	s.d.SeekFrame(frame)
	return nil
}

func (s *stream) Read(dst []float32) (int, error) {
	n, err := s.d.Read(dst)
	if err != nil && err != io.EOF {
		return n, damage(err)
	}
	return n, err
}

// ended is a decoder after its Close.
type ended struct{}

func (ended) Read([]float32) (int, error) { return 0, io.EOF }
func (ended) SeekFrame(int64)             {}
