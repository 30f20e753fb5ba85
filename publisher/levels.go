package publisher

import (
	"math"
	"time"

	"playnode/internal/audio"
	r128 "playnode/internal/audio/loudness"
	"playnode/manifests"
)

const (
	// fullScale is what counts as the most that a sample can be, clipped how
	// many such in a row are clipping: one or two are a peak that just fits.
	fullScale = 0.9999
	clipped   = 3
	// quietest is below what a sample is silence, as -60 dBFS.
	quietest = 0.001
)

// Levels is how loud a set comes in.
type Levels struct {
	// Peak is the highest sample of the last segment, in dBFS, -100 for none.
	Peak float64
	// LUFS is the loudness of the last 3 s, -70 for less.
	LUFS float64
	// Clipped counts the places so far where the sound is cut off at full
	// scale, Silent is since when, in sound, there is none.
	Clipped int64
	Silent  time.Duration
}

// levels meters what comes in, where it can be decoded. Used by one goroutine.
type levels struct {
	opt    audio.Options
	stream *audio.Stream
	format audio.Format
	meter  *r128.Meter
	pcm    []float32
	run    [8]int // samples of each channel at full scale, in a row
	now    Levels
}

// begin has the next media be a stream's first; nil where nobody here can
// decode it.
func (l *levels) begin(init *manifests.MediaInit) {
	l.stream, _ = audio.NewStream(init.Codec, init.Head, l.opt)
	l.meter = nil
}

// take measures a stretch, and returns nil where it has no sound to measure.
func (l *levels) take(media []byte) *Levels {
	if l.stream == nil || len(media) == 0 {
		return nil
	}
	l.pcm, _ = l.stream.Decode(media, l.pcm[:0])
	f := l.stream.Format()
	if f.Rate == 0 || f.Channels < 1 || f.Channels > len(l.run) {
		return nil
	}
	if l.meter == nil || f != l.format {
		var err error
		if l.meter, err = r128.New(f.Rate, f.Channels); err != nil {
			return nil
		}
		l.format, l.run = f, [8]int{}
	}
	l.meter.Write(l.pcm)
	var peak float32
	for i, v := range l.pcm {
		v = max(v, -v)
		peak = max(peak, v)
		c := i % f.Channels
		if v < fullScale {
			l.run[c] = 0
		} else if l.run[c]++; l.run[c] == clipped {
			l.now.Clipped++
		}
	}
	l.now.Peak, l.now.LUFS = -100, l.meter.ShortTerm()
	if peak > 0 {
		l.now.Peak = max(-100, 20*math.Log10(float64(peak)))
	}
	if peak >= quietest {
		l.now.Silent = 0
	} else {
		l.now.Silent += time.Duration(len(l.pcm)/f.Channels) * time.Second / time.Duration(f.Rate)
	}
	out := l.now
	return &out
}
