package audio

import (
	"context"
	"errors"
	"fmt"
	"io"

	"playnode/internal/audio/aiff"
	"playnode/internal/audio/flac"
	"playnode/internal/audio/mp4"
	"playnode/internal/audio/ogg"
	"playnode/internal/audio/opus"
	"playnode/internal/audio/tags"
	"playnode/internal/audio/transcode"
	"playnode/internal/audio/vorbis"
	"playnode/internal/audio/wav"
)

func ingestWAV(r io.ReaderAt, size int64) (*Source, error) {
	info, err := wav.Parse(r, size)
	if err != nil {
		return nil, damage(err)
	}
	if info.Frames == 0 {
		return nil, fmt.Errorf("%w: WAVE without sound", ErrDamaged)
	}
	s := &Source{Track: Track{Codec: WAV, Rate: info.Rate, Channels: info.Channels, Samples: info.Frames}}
	if info.Cut {
		s.problem("the file is cut: it ends before its header says")
	}
	if s.Tags, err = tags.WAV(r, info.Tags); err != nil {
		return nil, err
	}
	s.sealed.file = r
	s.sealed.add(part{data: wav.Header(info, info.Data.Size)})
	s.sealed.add(part{off: info.Data.Off, size: info.Data.Size})
	if info.Data.Size%2 == 1 {
		s.sealed.add(part{data: []byte{0}})
	}
	return s, nil
}

func ingestFLAC(ctx context.Context, r io.ReaderAt, size int64) (*Source, error) {
	m, err := flac.ParseMeta(r, size)
	if err != nil {
		return nil, damage(err)
	}
	scan, err := flac.ScanFrames(ctx, r, size, m)
	if err != nil {
		return nil, damage(err)
	}
	s := &Source{Track: Track{Codec: FLAC, Rate: m.Rate, Channels: m.Channels, Samples: scan.Samples, Index: scan.Index}}
	if m.Samples > scan.Samples {
		s.problem("the file is cut: %d of %d samples are there", scan.Samples, m.Samples)
	}
	if scan.Damaged > 0 {
		s.problem("%d frames are damaged", scan.Damaged)
	}
	if s.Tags, err = tags.FLAC(r, m); err != nil {
		return nil, err
	}
	s.sealed.file = r
	s.sealed.add(part{data: m.Header(scan.Samples)})
	s.sealed.add(part{off: m.Audio, size: scan.End - m.Audio})
	return s, nil
}

func ingestAIFF(r io.ReaderAt, size int64) (*Source, error) {
	info, err := aiff.Parse(r, size)
	if err != nil {
		return nil, damage(err)
	}
	if info.Frames == 0 {
		return nil, fmt.Errorf("%w: AIFF without sound", ErrDamaged)
	}
	s := &Source{Track: Track{Codec: AIFF, Rate: info.Rate, Channels: info.Channels, Samples: info.Frames}}
	if info.Cut {
		s.problem("the file is cut: it ends before its header says")
	}
	if s.Tags, err = tags.AIFF(r, info.Tags); err != nil {
		return nil, err
	}
	s.sealed.file = r
	s.sealed.add(part{data: info.Header()})
	s.sealed.add(part{off: info.Data.Off, size: info.Data.Size})
	if info.Data.Size%2 == 1 {
		s.sealed.add(part{data: []byte{0}})
	}
	return s, nil
}

func ingestOgg(ctx context.Context, r io.ReaderAt, start, size int64) (*Source, error) {
	k, scan, err := ogg.ScanPages(ctx, r, start, size, []ogg.Kind{vorbis.Kind(), opus.Kind()})
	if err != nil {
		return nil, damage(err)
	}
	codec, err := k.Open(scan.Headers)
	if err != nil {
		return nil, damage(err)
	}
	name, magic := Vorbis, 7
	if k.Magic == opus.Kind().Magic {
		name, magic = Opus, 8
	}
	s := &Source{Track: Track{Codec: name, Rate: codec.Rate(), Channels: codec.Channels(), Samples: scan.Samples, Delay: scan.Delay, Index: scan.Index}}
	if scan.Cut {
		s.problem("its last page is missing: the file is cut")
	}
	if scan.More {
		s.problem("it holds more than one stream; only the first is played")
	}
	if scan.Damaged > 0 {
		s.problem("pages are missing in %d places, which are silent", scan.Damaged)
	}
	if scan.Rough > 0 {
		s.problem("%d %% of it is in a mode of Opus for speech and low bit rates, which is not exact here: it sounds as it should, but not to the sample", max(1, 100*scan.Rough/scan.Packets))
	}
	if c := scan.Headers[1]; len(c) > magic {
		s.Tags = tags.Vorbis(c[magic:])
	}
	s.sealed.file = r
	s.sealed.add(part{data: scan.Header})
	s.sealed.add(part{off: scan.Audio, size: scan.End - scan.Audio})
	return s, nil
}

func ingestMP4(ctx context.Context, r io.ReaderAt, size int64) (*Source, error) {
	info, err := mp4.Parse(r, size)
	if err != nil {
		return nil, damage(err)
	}
	if info.Format == "drms" || info.Format == "enca" {
		return nil, fmt.Errorf("%w: its sound is locked by a copy protection", ErrUnsupported)
	}
	what, lossless := "AAC", false
	switch info.Format {
	case "alac":
		what, lossless = "Apple Lossless", true
	case "fLaC":
		what, lossless = "FLAC in MPEG-4", true
	case "Opus":
		what = "Opus in MPEG-4"
	case "ac-3", "ec-3":
		what = "AC-3"
	}
	t, err := tags.MP4(r, info.Items)
	if err != nil {
		return nil, err
	}
	return ingestOther(ctx, r, size, "mov", what, lossless, info.Samples, t)
}

// isADTS tells whether a file begins with a frame of AAC (ISO/IEC 13818-7, 6.2): mp3's sync word with
// the layer 0, which no MPEG frame has.
func isADTS(b []byte) bool {
	return len(b) >= 4 && b[0] == 0xff && b[1]&0xf6 == 0xf0 && b[2]>>2&15 < 13
}

func ingestADTS(ctx context.Context, r io.ReaderAt, size int64) (*Source, error) {
	t, err := tags.MP3(r, size) // ID3 is what there is
	if err != nil {
		return nil, err
	}
	return ingestOther(ctx, r, size, "aac", "AAC", false, 0, t)
}

// ingestOther takes in as FLAC what ffmpeg reads.
func ingestOther(ctx context.Context, r io.ReaderAt, size int64, demuxer, what string, lossless bool, samples int64, t tags.Tags) (*Source, error) {
	f, err := transcode.FLAC(ctx, r, size, demuxer, lossless, samples)
	if errors.Is(err, transcode.ErrMissing) {
		return nil, fmt.Errorf("%w: %s is read by ffmpeg, which is not installed; install it, or convert the file to FLAC", ErrUnsupported, what)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	s, err := ingestFLAC(ctx, f, f.Size)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.temp, s.Tags = f, t
	s.problem("it is %s, which ffmpeg transcodes to FLAC: that is what is sealed and heard", what)
	return s, nil
}
