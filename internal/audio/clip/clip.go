// Package clip makes previews: a stretch of a track, faded in and out and
// encoded anew.
//
// What comes in: a Decoder, and where to cut. What goes out: an Ogg or FLAC
// file of the stretch, with no tag and no byte of the track's. What is
// trusted: nothing of the decoder's sound but its format.
package clip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"playnode/internal/audio"
	"playnode/internal/audio/flac"
	"playnode/internal/audio/pcm"
	"playnode/internal/audio/resample"
	"playnode/internal/audio/transcode"
)

const (
	// Longest is the longest clip.
	Longest = 30 * time.Second
	// MaxBytes is the largest: what Longest of flacRate comes to when nothing
	// of it can be compressed.
	MaxBytes = 4 << 20

	opusRate = 48_000
	opusBits = 96_000
	// flacRate is that of FLAC at the most, with the bandwidth of FM.
	flacRate = 32_000

	fadeIn, fadeOut = 500 * time.Millisecond, 2 * time.Second
	chunk           = 4096
)

// Clip is an encoded stretch.
type Clip struct {
	Data  []byte
	Codec string // audio.Opus or audio.FLAC
	// Format and Frames are of the encoded sound.
	Format audio.Format
	Frames int64
	// Why says why it is FLAC, where Opus could not be had.
	Why error
}

// Loudest is the frame at which the loudest so many frames of a track of
// samples frames begin, by its waveform (see audio.Analysis); without one, a
// third of the way in, past any introduction. So many frames follow it, if
// the track has them.
func Loudest(waveform []byte, samples, frames int64) int64 {
	last := max(0, samples-frames)
	n := int64(len(waveform) / 3)
	if n == 0 || samples <= 0 || last == 0 {
		return min(samples/3, last)
	}
	wide := max(1, min(n, int64(math.Ceil(float64(frames)*float64(n)/float64(samples)))))
	power := func(i int64) int64 { v := int64(waveform[3*i+2]); return v * v }
	var sum, best int64
	at := int64(-1)
	for i := range n {
		sum += power(i)
		if i >= wide {
			sum -= power(i - wide)
		}
		if first := i - wide + 1; first >= 0 && (at < 0 || sum > best) {
			best, at = sum, first
		}
	}
	return min(last, at*samples/n)
}

// Make encodes the frames of d that follow from, or as many as there are. It
// is Opus where an ffmpeg with libopus is installed, else FLAC. d is read, and
// left open.
func Make(ctx context.Context, d audio.Decoder, from, frames int64) (Clip, error) {
	c, err := encode(ctx, d, from, frames)
	if err != nil {
		return Clip{}, fmt.Errorf("make clip: %w", err)
	}
	return c, nil
}

func encode(ctx context.Context, d audio.Decoder, from, frames int64) (Clip, error) {
	if rate := d.Format().Rate; frames > int64(Longest/time.Second)*int64(rate) {
		frames = int64(Longest/time.Second) * int64(rate)
	}
	samples, channels, err := cut(ctx, d, from, frames, opusRate)
	if err != nil {
		return Clip{}, err
	}
	data, why := transcode.Opus(ctx, samples, channels, opusBits, MaxBytes)
	if ctx.Err() != nil {
		return Clip{}, ctx.Err()
	}
	if why != nil {
		rate := min(d.Format().Rate, flacRate)
		if samples, channels, err = cut(ctx, d, from, frames, rate); err != nil {
			return Clip{}, err
		}
		if data, err = flac.Encode(samples, rate, channels); err != nil {
			return Clip{}, err
		}
	}
	// As of any file, no tag is kept: not even the encoder's.
	src, err := audio.Ingest(ctx, bytes.NewReader(data), int64(len(data)), "clip")
	if err != nil {
		return Clip{}, err
	}
	defer src.Close()
	r, size := src.Sealable()
	if size > MaxBytes {
		return Clip{}, fmt.Errorf("it has %d bytes", size)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return Clip{}, err
	}
	t := src.Track
	return Clip{Data: plain, Codec: t.Codec, Format: audio.Format{Rate: t.Rate, Channels: t.Channels}, Frames: t.Samples, Why: why}, nil
}

// cut reads a stretch at another rate, of at most two channels, and fades it.
func cut(ctx context.Context, d audio.Decoder, from, frames int64, rate int) ([]float32, int, error) {
	f := d.Format()
	if err := d.SeekFrame(from); err != nil {
		return nil, 0, err
	}
	channels := min(f.Channels, 2)
	rs, err := resample.New(f.Rate, rate, channels)
	if err != nil {
		return nil, 0, err
	}
	in := make([]float32, chunk*f.Channels)
	narrow := make([]float32, chunk*channels)
	wide := make([]float32, chunk*channels)
	var out []float32
	for frames > 0 {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		n, err := d.Read(in[:int(min(frames, chunk))*f.Channels])
		frames -= int64(n)
		src := in[:n*f.Channels]
		if f.Channels > 2 {
			src = narrow[:n*channels]
			pcm.Stereo(src, in[:n*f.Channels], f.Channels)
		}
		for len(src) > 0 {
			wrote, took := rs.Process(wide, src)
			out = append(out, wide[:wrote*channels]...)
			src = src[took*channels:]
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, 0, err
		}
	}
	for n := rs.Flush(wide); n > 0; n = rs.Flush(wide) {
		out = append(out, wide[:n*channels]...)
	}
	if len(out) == 0 {
		return nil, 0, errors.New("there is no sound in it")
	}
	fade(out, channels, rate)
	return out, channels, nil
}

// fade brings the sound in and out along a raised cosine; a short one loses
// no more than a quarter on each side.
func fade(s []float32, channels, rate int) {
	frames := len(s) / channels
	shape := func(length time.Duration, place func(i int) int) {
		n := min(int(length.Seconds()*float64(rate)), frames/4)
		for i := range n {
			g := float32(0.5 - 0.5*math.Cos(math.Pi*float64(i)/float64(n)))
			at := place(i) * channels
			for c := range channels {
				s[at+c] *= g
			}
		}
	}
	shape(fadeIn, func(i int) int { return i })
	shape(fadeOut, func(i int) int { return frames - 1 - i })
}
