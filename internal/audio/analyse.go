package audio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"playnode/internal/audio/gomp3"
	"playnode/internal/audio/loudness"
	"playnode/internal/audio/ogg"
)

const (
	// Analyser and AnalyserVersion name what an Analysis was made by; a change that moves its numbers
	// raises the version.
	Analyser        = "playnode"
	AnalyserVersion = 1

	buckets = 1000
)

// Analysis is what only decoding tells.
type Analysis struct {
	// Loudness is BS.1770's integrated loudness in LUFS; -70 for silence. A mono track counts as the
	// one channel that it is: from two speakers it is 3 LU louder.
	Loudness float64
	// Range is EBU Tech 3342's loudness range in LU.
	Range float64
	// TruePeak is the highest peak between the samples in dBTP, at least -100.
	TruePeak float64
	// Waveform is 1000 buckets of three bytes: the least and the greatest sample as int8 in 1/127ths
	// of full scale, and the RMS as uint8 in 1/255ths.
	Waveform []byte
	// Problems are sentences for people, as Source's.
	Problems []string
}

// Analyse decodes the whole track once. Sound that cannot be decoded is a problem, not an error;
// errors are the file's and ctx's.
func (s *Source) Analyse(ctx context.Context, opt Options) (Analysis, error) {
	r, size := s.ReaderAt()
	return Analyse(ctx, r, size, s.Track, opt)
}

// Analyse is Source's, of what was sealed.
func Analyse(ctx context.Context, r io.ReaderAt, size int64, t Track, opt Options) (Analysis, error) {
	d, err := Open(r, size, t, opt)
	if err != nil {
		return Analysis{}, fmt.Errorf("analyse: %w", err)
	}
	defer d.Close()
	m, err := loudness.New(t.Rate, t.Channels)
	if err != nil {
		return Analysis{}, fmt.Errorf("analyse: %w", err)
	}
	w := wave{total: t.Samples, channels: t.Channels}
	var a Analysis
	buf := make([]float32, 4096*t.Channels)
	for {
		if err := ctx.Err(); err != nil {
			return Analysis{}, err
		}
		n, err := d.Read(buf)
		m.Write(buf[:n*t.Channels])
		w.write(buf[:n*t.Channels])
		if err == io.EOF {
			break
		}
		if errors.Is(err, ErrDamaged) {
			a.Problems = append(a.Problems, fmt.Sprintf("it cannot be decoded beyond sample %d of %d", w.pos, w.total))
			break
		}
		if err != nil {
			return Analysis{}, fmt.Errorf("analyse: %w", err)
		}
	}
	if g, ok := d.(*mpeg); ok && g.damaged > 0 {
		text := "%d frames cannot be decoded and are silent"
		if _, stock := g.eng.(*gomp3.Decoder); stock {
			text = "go-mp3 cannot decode %d frames and leaves them silent; with audio.mp3: exact they may be heard"
		}
		a.Problems = append(a.Problems, fmt.Sprintf(text, g.damaged))
	}
	if o, ok := d.(*stream); ok {
		if g, ok := o.d.(*ogg.Reader); ok && g.Damaged() > 0 {
			a.Problems = append(a.Problems, fmt.Sprintf("%d stretches cannot be decoded and are silent", g.Damaged()))
		}
	}
	a.Loudness, a.Range, a.TruePeak = m.Loudness(), m.Range(), m.TruePeak()
	a.Waveform = w.bytes()
	return a, nil
}

// wave gathers the buckets of a waveform.
type wave struct {
	total, pos int64
	channels   int
	low, high  [buckets]float32
	sum        [buckets]float64
	n          [buckets]int64
}

func (w *wave) write(src []float32) {
	for len(src) >= w.channels && w.pos < w.total {
		b := int(w.pos * buckets / w.total)
		end := ((int64(b)+1)*w.total + buckets - 1) / buckets // first frame of the next bucket
		n := int(min(end-w.pos, int64(len(src)/w.channels)))
		low, high, sum := span(src[:n*w.channels])
		w.low[b], w.high[b], w.sum[b] = min(w.low[b], low), max(w.high[b], high), w.sum[b]+sum
		w.n[b] += int64(n * w.channels)
		w.pos += int64(n)
		src = src[n*w.channels:]
	}
}

// span is the least and the greatest sample, at most and at least 0, and the sum of squares. Without a
// branch: of positive floats the greatest has the greatest bits, of negative ones the least has.
func span(src []float32) (low, high float32, sum float64) {
	l, h := uint32(1<<31), int32(0)
	var odd float64 // a sum waits for its own last sample, two do not for each other
	for len(src) >= 4 {
		v := (*[4]float32)(src)
		a, b, c, d := math.Float32bits(v[0]), math.Float32bits(v[1]), math.Float32bits(v[2]), math.Float32bits(v[3])
		l, h = max(l, max(a, b), max(c, d)), max(h, max(int32(a), int32(b)), max(int32(c), int32(d)))
		sum += float64(v[0]) * float64(v[0])
		odd += float64(v[1]) * float64(v[1])
		sum += float64(v[2]) * float64(v[2])
		odd += float64(v[3]) * float64(v[3])
		src = src[4:]
	}
	for _, v := range src {
		l, h = max(l, math.Float32bits(v)), max(h, int32(math.Float32bits(v)))
		sum += float64(v) * float64(v)
	}
	return math.Float32frombits(l), math.Float32frombits(uint32(h)), sum + odd
}

func (w *wave) bytes() []byte {
	out := make([]byte, 0, 3*buckets)
	for b := range buckets {
		rms := math.Sqrt(w.sum[b] / float64(max(1, w.n[b])))
		out = append(out, byte(int8(math.Round(float64(max(-1, w.low[b]))*127))), byte(int8(math.Round(float64(min(1, w.high[b]))*127))), byte(math.Round(min(1, rms)*255)))
	}
	return out
}
