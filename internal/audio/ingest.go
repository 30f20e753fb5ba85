package audio

import (
	"context"
	"io"

	"playnode/internal/audio/tags"
)

// Source is a DJ's file, understood: what to seal, and what to tell about it.
type Source struct {
	Track Track
	Tags  tags.Tags
	// Problems are sentences for people: what a venue would hear wrong. A Source with problems can
	// still be sealed.
	Problems []string
}

// Ingest finds out by content what the file is and prepares it for sealing. name is only used in
// errors. It reads headers and frame headers, a bounded piece at a time. A file that is no sound, or of
// no kind that can be played, gives ErrUnsupported or ErrDamaged.
func Ingest(ctx context.Context, r io.ReaderAt, size int64, name string) (*Source, error) {
	return nil, ErrUnsupported
}

// Sealable returns the bytes to seal and their number: mp3's audio frames, FLAC's stream information
// and frames, WAV's format and data; no tags, no pictures, no encoder's header frame. Each call
// returns a new reader from the start.
func (s *Source) Sealable() (io.Reader, int64) { return nil, 0 }

// ReaderAt returns the same bytes for reading anywhere. Safe for concurrent use if the file is.
func (s *Source) ReaderAt() (io.ReaderAt, int64) { return nil, 0 }

// Analysis is what only decoding tells.
type Analysis struct {
	// Loudness is BS.1770's integrated loudness in LUFS; -70 for silence.
	Loudness float64
	// Range is EBU Tech 3342's loudness range in LU.
	Range float64
	// TruePeak is the highest peak between the samples in dBTP, at least -150.
	TruePeak float64
	// Waveform is 1000 buckets of three bytes: the least and the greatest sample as int8 in 1/127ths
	// of full scale, and the RMS as uint8 in 1/255ths.
	Waveform []byte
	// Problems are sentences for people, as Source's.
	Problems []string
}

// Analyse decodes the whole track once.
func (s *Source) Analyse(ctx context.Context) (Analysis, error) { return Analysis{}, ErrUnsupported }
