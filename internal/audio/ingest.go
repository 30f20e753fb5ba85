package audio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"playnode/internal/audio/aiff"
	"playnode/internal/audio/flac"
	"playnode/internal/audio/frames"
	"playnode/internal/audio/mp3"
	"playnode/internal/audio/mp4"
	"playnode/internal/audio/ogg"
	"playnode/internal/audio/opus"
	"playnode/internal/audio/tags"
	"playnode/internal/audio/vorbis"
	"playnode/internal/audio/wav"
)

// Source is a DJ's file, understood: what to seal, and what to tell about it.
type Source struct {
	Track Track
	Tags  tags.Tags
	// Problems are sentences for people: what a venue would hear wrong. A Source with problems can
	// still be sealed.
	Problems []string

	sealed sealed
	temp   io.Closer
}

// Close removes what Ingest may have had to write to disk: sound that was transcoded. The Source and
// its readers are of no use after it.
func (s *Source) Close() error {
	if s.temp == nil {
		return nil
	}
	return s.temp.Close()
}

// Named tells whether a file name promises audio: such files in a folder are tried, others passed over.
func Named(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".mp3", ".mp2", ".mp1", ".mpa", ".flac", ".wav", ".wave", ".rf64", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".m4a", ".m4b", ".mp4", ".aac":
		return true
	}
	return false
}

// Ingest finds out by content what the file is and prepares it for sealing. name is only used in
// errors. It reads tags, headers and frame headers, a bounded piece at a time; AAC and Apple Lossless it
// has ffmpeg transcode to FLAC in a temporary file. A file that is no sound, or of no kind that can be
// played, gives ErrUnsupported or ErrDamaged. The Source must be closed.
func Ingest(ctx context.Context, r io.ReaderAt, size int64, name string) (*Source, error) {
	s, err := ingest(ctx, r, size)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Base(name), err)
	}
	s.Problems = append(s.Problems, s.Tags.Problems...)
	return s, nil
}

// Describe reads what a file says about itself, without transcoding what Ingest would.
func Describe(ctx context.Context, r io.ReaderAt, size int64, name string) (tags.Tags, error) {
	head := make([]byte, min(size, 12))
	if n, err := r.ReadAt(head, 0); n < len(head) {
		return tags.Tags{}, fmt.Errorf("read %s: %w", filepath.Base(name), err)
	}
	if mp4.Is(head) {
		info, err := mp4.Parse(r, size)
		if err != nil {
			return tags.Tags{}, fmt.Errorf("read %s: %w", filepath.Base(name), damage(err))
		}
		return tags.MP4(r, info.Items)
	}
	if isADTS(head) {
		return tags.Tags{}, nil
	}
	s, err := Ingest(ctx, r, size, name)
	if err != nil {
		return tags.Tags{}, err
	}
	return s.Tags, s.Close()
}

func ingest(ctx context.Context, r io.ReaderAt, size int64) (*Source, error) {
	head := make([]byte, min(size, 12))
	if n, err := r.ReadAt(head, 0); n < len(head) {
		return nil, err
	}
	at := frames.ID3v2Size(head)
	var magic [4]byte
	if at+4 <= size {
		if n, err := r.ReadAt(magic[:], at); n < 4 {
			return nil, err
		}
	}
	switch {
	case len(head) == 0:
		return nil, fmt.Errorf("%w: the file is empty", ErrUnsupported)
	case wav.Is(head):
		return ingestWAV(r, size)
	case flac.Is(head), flac.Is(magic[:]):
		return ingestFLAC(ctx, r, size)
	}
	switch {
	case ogg.Is(head), ogg.Is(magic[:]):
		return ingestOgg(ctx, r, at, size)
	case aiff.Is(head):
		return ingestAIFF(r, size)
	case mp4.Is(head):
		return ingestMP4(ctx, r, size)
	case isADTS(head), at > 0 && isADTS(magic[:]):
		return ingestADTS(ctx, r, size)
	case head4(head, 0) == "\x1aE\xdf\xa3":
		return nil, fmt.Errorf("%w: Matroska is not read", ErrUnsupported)
	}
	return ingestMP3(ctx, r, size)
}

func head4(b []byte, i int) string {
	if len(b) < i+4 {
		return ""
	}
	return string(b[i : i+4])
}

// damage tells what is wrong with bytes from what failed in reading them.
func damage(err error) error {
	for _, bad := range []error{
		wav.ErrFormat, aiff.ErrFormat, flac.ErrFormat, flac.ErrDamaged, frames.ErrRuined, mp4.ErrFormat,
		ogg.ErrFormat, ogg.ErrDamaged, vorbis.ErrHeader, opus.ErrHeader,
	} {
		if errors.Is(err, bad) {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return err
}

func ingestMP3(ctx context.Context, r io.ReaderAt, size int64) (*Source, error) {
	f, err := frames.Scan(ctx, r, size)
	if errors.Is(err, frames.ErrNone) {
		return nil, fmt.Errorf("%w: neither mp3, FLAC, WAV, AIFF, Ogg nor M4A", ErrUnsupported)
	}
	if err != nil {
		return nil, damage(err)
	}
	s := &Source{Track: Track{Codec: layers[f.Header.Layer], Rate: f.Header.Rate, Channels: 1, SamplesPerFrame: f.Header.Samples(), Index: f.Index}}
	if f.Stereo {
		s.Track.Channels = 2
	}
	if s.Tags, err = tags.MP3(r, size); err != nil {
		return nil, err
	}
	s.trim(f)
	s.describe(f)
	s.sealed.file = r
	for _, g := range f.Segments {
		s.sealed.add(part{off: g.Off, size: g.Size})
	}
	return s, nil
}

// layers are the codecs of MPEG's layers.
var layers = [4]string{1: MP1, 2: MP2, 3: MP3}

// decoderDelay is by how many samples every Layer III decoder is late.
const decoderDelay = mp3.Delay

// trim sets delay, padding and samples from what the encoder declared: the LAME tag, else iTunes'
// comment, else nothing is trimmed, as mpg123 and ffmpeg do.
func (s *Source) trim(f *frames.File) {
	t := &s.Track
	all := f.Frames * int64(t.SamplesPerFrame)
	cut := false
	if f.Info != nil && f.Info.Frames > 0 && f.Info.Frames != f.Frames {
		cut = true
		if f.Info.Frames > f.Frames {
			s.problem("the file is cut: %d of %d frames are there", f.Frames, f.Info.Frames)
		} else {
			s.problem("the file has %d frames where its header counts %d: two files in one?", f.Frames, f.Info.Frames)
		}
	}
	delay, padding, ok := 0, 0, false
	if f.Info != nil && f.Info.Gapless {
		delay, padding, ok = f.Info.Delay, f.Info.Padding, true
	} else if delay, padding, ok = smpb(s.Tags.Gapless, all); !ok {
		s.problem("it declares no gapless data: silence is heard where it joins another track")
	}
	if ok {
		t.Delay = delay + decoderDelay
		if !cut {
			t.Padding = max(0, padding-decoderDelay)
		}
		if int64(t.Delay+t.Padding) >= all {
			s.problem("its gapless data contradict its length and are ignored")
			t.Delay, t.Padding = 0, 0
		}
	}
	t.Samples = all - int64(t.Delay) - int64(t.Padding)
}

// smpb reads " 00000000 00000210 000009D0 000000000001C93C ...": delay, padding, samples.
func smpb(text string, all int64) (delay, padding int, ok bool) {
	var zero, samples int64
	if n, err := fmt.Sscanf(text, "%x %x %x %x", &zero, &delay, &padding, &samples); err != nil || n < 4 {
		return 0, 0, false
	}
	if delay < 0 || delay > 1<<16 || padding < 0 || padding > 1<<16 || int64(delay)+int64(padding)+samples != all {
		return 0, 0, false
	}
	return delay, padding, true
}

// describe names what is odd about the frames.
func (s *Source) describe(f *frames.File) {
	if f.Skipped > 0 {
		s.problem("%d bytes between its frames are no audio: it is damaged, or joined from pieces", f.Skipped)
	}
	if f.Cut > 0 && (f.Info == nil || f.Info.Frames <= f.Frames) {
		s.problem("its last frame is cut and is left out")
	}
	if f.Stereo && f.Mono {
		s.problem("it changes between mono and stereo; it plays as stereo")
	}
}

func (s *Source) problem(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

// Sealable returns the bytes to seal and their number: mp3's audio frames, FLAC's stream information
// and frames, WAV's and AIFF's format and data, Ogg's headers and pages; no tags, no pictures, no
// encoder's header frame. Each call
// returns a new reader from the start.
func (s *Source) Sealable() (io.Reader, int64) {
	return io.NewSectionReader(&s.sealed, 0, s.sealed.size), s.sealed.size
}

// ReaderAt returns the same bytes for reading anywhere. Safe for concurrent use if the file is.
func (s *Source) ReaderAt() (io.ReaderAt, int64) { return &s.sealed, s.sealed.size }
