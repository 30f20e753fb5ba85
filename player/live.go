package player

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"playnode/internal/audio"
	"playnode/internal/audio/pcm"
	"playnode/internal/audio/resample"
	"playnode/manifests"
)

const (
	// endless is how long a set is, in frames, before it has ended.
	endless = 1 << 40
	// givenUp is how long after the last sound of a set it is waited for.
	givenUp = 850 * time.Millisecond
	// beforeDry is how much sound is left when a set is faded out for want of
	// more: what a loudspeaker may want at once, and the fade.
	beforeDry = lowWater + 2*fadeFor
	// filler is how much silence is given at once for what is missing, before
	// it is known how much that is.
	filler = 50 * time.Millisecond
	// longestGap bounds how much silence stands in for what is missing.
	longestGap = mostTarget
	// longestLead bounds how much of a set is left out where it is come into
	// and its decoder warms up.
	longestLead = 200 * time.Millisecond
	// maxPassages bounds what is remembered of where in it which segment is.
	maxPassages = 128
)

// live is a set as a deck decodes it: in stereo, at the rate that it begins
// with. Read waits for what is still to come. What is missing is silence of its
// length, faded out and in.
type live struct {
	ctx  context.Context
	r    *reception
	opt  audio.Options
	rate int
	// ahead is how much of what Read has given is not heard yet, and whether
	// it is heard at all.
	ahead func(given int64) (time.Duration, bool)

	stream *audio.Stream
	init   *manifests.MediaInit
	rs     *resample.Resampler // nil where the stream has that rate
	end    int64               // ticks of the set before the next stretch, if it follows
	began  bool                // something was decoded
	dry    bool                // the ring is: there is no sound before the next
	rise   int                 // frames of a fade in that are still to come; -1: it has not begun
	tail   []float32           // decoded, and kept back: it is faded out if nothing follows
	have   []float32           // to be given
	pcm    []float32
	filled int64 // ticks of silence given for what is missing before the next
	made   int64 // frames decoded, the tail among them
	given  atomic.Int64
	over   error

	mu       sync.Mutex // guards passages
	passages []passage
}

// passage is where a segment lies in what a deck decodes.
type passage struct {
	from, to int64 // frames
	utc      int64 // when the last came in, in Unix milliseconds
	text     string
}

// newLive begins at what a reception has, whose deck it is. It ends with ctx.
func newLive(ctx context.Context, r *reception, opt audio.Options) (*live, error) {
	d := &live{ctx: ctx, r: r, opt: opt}
	r.mu.Lock()
	x := r.queue[0]
	r.mu.Unlock()
	if err := d.turn(x.init); err != nil {
		return nil, err
	}
	d.rate = x.init.Rate
	return d, nil
}

func (d *live) Format() audio.Format  { return audio.Format{Rate: d.rate, Channels: Channels} }
func (d *live) Len() int64            { return endless }
func (d *live) SeekFrame(int64) error { return errors.New("a set is heard as it comes") }
func (d *live) Close() error          { d.r.leave(); return nil }

// Read waits until there is something to give. Its error is io.EOF after the
// set's last sample, a lease's, or errAway.
func (d *live) Read(dst []float32) (int, error) {
	for len(d.have) == 0 {
		if d.over != nil {
			return 0, d.over
		}
		if err := d.more(); err != nil {
			return 0, err
		}
	}
	n := copy(dst, d.have)
	d.have = d.have[n:]
	d.given.Add(int64(n / Channels))
	return n / Channels, nil
}

// more decodes the next stretch into have, or ends it.
func (d *live) more() error {
	d.have = d.have[:0]
	var left time.Time // when it is given up; zero while there is sound
	for {
		x, ok, over := d.r.pull(d.dry)
		switch {
		case ok:
			return d.play(&x)
		case errors.Is(over, io.EOF):
			d.have, d.tail, d.over = append(d.have, d.tail...), d.tail[:0], io.EOF
			return nil
		case over != nil:
			d.leave(over)
			return nil
		}
		wait := time.Hour
		if !left.IsZero() {
			wait = time.Until(left)
			if wait <= 0 {
				d.over = errAway
				return nil
			}
		} else if ahead, sounds := d.ahead(d.given.Load()); sounds {
			if wait = ahead - beforeDry; wait <= 0 {
				if !d.dry && d.r.lacking() > length(d.filled, d.init.Rate) {
					d.fill()
					return nil
				}
				if !d.dry {
					d.dry = true
					d.r.dried()
				}
				if d.fall(); len(d.have) > 0 {
					return nil
				}
				left = time.Now().Add(givenUp)
				continue
			}
			wait = max(wait, 5*time.Millisecond)
		}
		t := time.NewTimer(wait)
		select {
		case <-d.r.came:
		case <-t.C:
		case <-d.ctx.Done():
			t.Stop()
			return d.ctx.Err()
		}
		t.Stop()
	}
}

// leave ends it, faded out.
func (d *live) leave(err error) {
	d.fall()
	d.over = err
}

// fill gives a little silence in place of what is missing.
func (d *live) fill() {
	d.fall()
	n := int64(filler.Seconds() * float64(d.rate))
	d.have = append(d.have, make([]float32, n*Channels)...)
	d.filled += n * int64(d.init.Rate) / int64(d.rate)
	d.count(n)
}

// count has frames that are of no segment.
func (d *live) count(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made += n
}

// fall fades out what was kept back.
func (d *live) fall() {
	n := len(d.tail) / Channels
	for i := range n {
		g := 1 - float32(i+1)/float32(n)
		d.tail[i*Channels] *= g
		d.tail[i*Channels+1] *= g
	}
	d.have, d.tail = append(d.have, d.tail...), d.tail[:0]
	d.rise = -1
}

// turn begins to decode what begins otherwise.
func (d *live) turn(init *manifests.MediaInit) (err error) {
	d.init = init
	d.stream, err = audio.NewStream(init.Codec, init.Head, d.opt)
	return err
}

// play decodes a stretch.
func (d *live) play(x *stretch) error {
	if err := d.r.may(x); err != nil {
		d.leave(err)
		return nil
	}
	brk := x.brk
	if !d.began && !(x.seq == 0 && brk == whole) || d.dry {
		brk = cutOut
	}
	silence := int64(0)
	if same := x.init == d.init || x.init.Equal(d.init); !same {
		if err := d.turn(x.init); err != nil {
			d.leave(err)
			return nil
		}
		if n := len(d.tail); brk == whole {
			d.tail = d.flush(d.tail)
			d.count(int64(len(d.tail)-n) / Channels)
		}
		d.rs = nil
		if brk == broken {
			brk = cutOut // the clock of what was before says nothing here
		}
	} else if brk != whole {
		d.stream.Reset()
		if brk == broken {
			silence = max(0, x.At-d.end-d.filled)
		}
	}
	d.filled = 0
	if silence > int64(longestGap/time.Second)*int64(x.init.Rate) {
		silence, brk = 0, cutOut
	}
	if brk != whole {
		d.fall()
		if !d.began {
			d.have = d.have[:0]
		}
	}
	d.end = x.At + x.Len
	d.pcm, _ = d.stream.Decode(x.Media, d.pcm[:0]) // what could not be had is silent, or short
	sound, err := d.stereo(x, brk, silence)
	if err != nil {
		d.leave(err)
		return nil
	}
	if d.rise != 0 {
		sound = d.lift(sound, brk == cutOut && silence == 0)
	}
	d.note(x, int64(len(sound)/Channels))
	d.began, d.dry = true, false
	d.have = append(append(d.have, d.tail...), sound...)
	keep := min(len(d.have), Channels*int(fadeFor.Seconds()*float64(d.rate)))
	if x.final {
		keep = 0
	}
	d.tail = append(d.tail[:0], d.have[len(d.have)-keep:]...)
	d.have = d.have[:len(d.have)-keep]
	return nil
}

// stereo is what was decoded, behind so much silence (ticks), in two channels
// and at the deck's rate. What is missing at its beginning is silent, too.
func (d *live) stereo(x *stretch, brk gap, silence int64) ([]float32, error) {
	f := d.stream.Format()
	if f.Rate == 0 { // nothing was decoded
		f = audio.Format{Rate: x.init.Rate, Channels: Channels}
	}
	n := len(d.pcm) / f.Channels
	quiet := int(silence * int64(f.Rate) / int64(x.init.Rate))
	if want := x.Len * int64(f.Rate) / int64(x.init.Rate); brk != whole {
		if n > int(want) { // where a stream ends, its last page alone does not tell
			n = int(want)
		}
		quiet += int(want) - n
	}
	sound := make([]float32, (quiet+n)*Channels)
	pcm.Stereo(sound[quiet*Channels:], d.pcm[:n*f.Channels], f.Channels)
	if d.rs == nil && f.Rate != d.rate {
		var err error
		if d.rs, err = resample.New(f.Rate, d.rate, Channels); err != nil {
			return nil, err
		}
	}
	if d.rs == nil {
		return sound, nil
	}
	out := make([]float32, 0, (len(sound)/f.Rate+1)*d.rate)
	buf := make([]float32, blockFrames*Channels)
	for {
		wrote, took := d.rs.Process(buf, sound)
		if wrote == 0 && took == 0 {
			break
		}
		out, sound = append(out, buf[:wrote*Channels]...), sound[took*Channels:]
	}
	if x.final {
		out = d.flush(out)
	}
	return out, nil
}

// flush appends what the resampler owes.
func (d *live) flush(to []float32) []float32 {
	if d.rs == nil {
		return to
	}
	var buf [256 * Channels]float32
	for {
		n := d.rs.Flush(buf[:])
		if n == 0 {
			d.rs = nil
			return to
		}
		to = append(to, buf[:n*Channels]...)
	}
}

// lift fades in from the first sample that sounds. Where nothing was before it,
// what is silent until then is left out.
func (d *live) lift(sound []float32, trim bool) []float32 {
	fade := int(fadeFor.Seconds() * float64(d.rate))
	i := 0
	if d.rise < 0 {
		for i < len(sound) && sound[i] == 0 {
			i++
		}
		i /= Channels
		if i*Channels < len(sound) {
			d.rise = fade
		}
		if trim {
			k := min(i, int(longestLead.Seconds()*float64(d.rate)))
			sound, i = sound[k*Channels:], i-k
		}
	}
	for ; d.rise > 0 && i < len(sound)/Channels; i++ {
		g := 1 - float32(d.rise)/float32(fade)
		sound[i*Channels] *= g
		sound[i*Channels+1] *= g
		d.rise--
	}
	return sound
}

// note remembers where a segment lies.
func (d *live) note(x *stretch, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := passage{from: d.made, to: d.made + n, utc: x.UTC, text: x.Text}
	if d.made += n; len(d.passages) == maxPassages {
		d.passages = append(d.passages[:0], d.passages[1:]...)
	}
	d.passages = append(d.passages, p)
}

// ends is how much was decoded, in frames.
func (d *live) ends() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.made
}

// at tells of a frame when it was played by the DJ, and what was on.
func (d *live) at(frame int64) (played time.Time, text string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range slices.Backward(d.passages) {
		if frame >= p.from && frame < d.made {
			return time.UnixMilli(p.utc).Add(-length(p.to-frame, d.rate)), p.text, true
		}
	}
	return played, "", false
}
