package audio

import (
	"fmt"
	"io"

	"playnode/internal/audio/flac"
	"playnode/internal/audio/wav"
)

// Open opens a track for decoding. r holds the size bytes that Sealable gave; they and t are hostile.
// Reads end when r returns an error, so a caller that wants to cancel makes r fail.
func Open(r io.ReaderAt, size int64, t Track, opt Options) (Decoder, error) {
	if t.Rate < 1 || t.Rate > wav.MaxRate || t.Channels < 1 || t.Channels > MaxChannels || t.Samples < 0 || t.Samples > 1<<48 || size < 0 {
		return nil, fmt.Errorf("open %.16q: %w: %d Hz, %d channels, %d samples in %d bytes", t.Codec, ErrDamaged, t.Rate, t.Channels, t.Samples, size)
	}
	switch t.Codec {
	case MP3:
		return openMPEG(r, size, t, opt)
	case FLAC:
		d, err := flac.Open(r, size, t.Samples, t.Index)
		if err != nil {
			return nil, fmt.Errorf("open FLAC: %w: %w", ErrDamaged, err)
		}
		if i := d.Info(); i.Rate != t.Rate || i.Channels != t.Channels {
			return nil, fmt.Errorf("open FLAC: %w: %d Hz, %d channels, not %d and %d", ErrDamaged, i.Rate, i.Channels, t.Rate, t.Channels)
		}
		return &lossless{t, d}, nil
	case WAV:
		info, err := wav.Parse(r, size)
		if err != nil {
			return nil, fmt.Errorf("open WAVE: %w: %w", ErrDamaged, err)
		}
		if info.Rate != t.Rate || info.Channels != t.Channels || info.Frames != t.Samples {
			return nil, fmt.Errorf("open WAVE: %w: %d samples at %d Hz, %d channels, not %d at %d, %d", ErrDamaged, info.Frames, info.Rate, info.Channels, t.Samples, t.Rate, t.Channels)
		}
		return &lossless{t, wav.NewReader(r, info)}, nil
	}
	return nil, fmt.Errorf("open %.16q: %w", t.Codec, ErrUnsupported)
}

// lossless is FLAC or WAVE.
type lossless struct {
	t Track
	d interface {
		Read(dst []float32) (int, error)
		SeekFrame(frame int64)
	}
}

func (l *lossless) Format() Format { return Format{l.t.Rate, l.t.Channels} }
func (l *lossless) Len() int64     { return l.t.Samples }
func (l *lossless) Close() error   { l.d = ended{}; return nil }

func (l *lossless) SeekFrame(frame int64) error {
	l.d.SeekFrame(frame)
	return nil
}

func (l *lossless) Read(dst []float32) (int, error) {
	n, err := l.d.Read(dst)
	if err != nil && err != io.EOF {
		return n, damage(err)
	}
	return n, err
}

// ended is a decoder after its Close.
type ended struct{}

func (ended) Read([]float32) (int, error) { return 0, io.EOF }
func (ended) SeekFrame(int64)             {}
