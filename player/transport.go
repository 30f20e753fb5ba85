package player

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"playnode/internal/audio/pcm"
)

const (
	// feedFrames is how much is handed to a loudspeaker at once. A sink takes
	// it when it has room, so this is how long a cut may wait: 12 ms.
	feedFrames = 512
	// fadeFor is how long sound takes to come and go where it is cut.
	fadeFor = 25 * time.Millisecond
	// lowWater is how little a loudspeaker may have left before it gets
	// silence, where the mix is late.
	lowWater = 50 * time.Millisecond
	// promptly is how long a change of volume may wait for what the sink has
	// in advance; what is deeper is taken back.
	promptly = 250 * time.Millisecond
	// paceEvery is how often a loudspeaker's pace is looked at anew.
	paceEvery = 10 * time.Second
	// never is a place before all others.
	never = math.MinInt64 / 2
	// patient is how long the ring may be empty before there is silence,
	// whatever the sink says that it has left.
	patient = 10 * time.Millisecond
)

// transport feeds a sink from the ring, and is where volume, pause and cuts
// happen, so that they are heard as soon as the sink allows. One goroutine
// runs feed, which takes no lock, allocates nothing and writes no log; anyone
// may set the wishes and read the facts.
type transport struct {
	ring  *ring
	epoch time.Time
	rate  int
	card  bool // the sink is a loudspeaker: it wants sound without end
	deep  bool // it has more in advance than may be waited for

	// The wishes.
	volume atomic.Uint32 // a gain, as math.Float32bits
	paused atomic.Bool
	cutTo  atomic.Int64  // the place that is to be heard now; -1 for none
	soft   atomic.Bool   // it is in the middle of a track
	idle   atomic.Bool   // there is nothing to play: silence is no fault
	anew   atomic.Bool   // what the sink has not played is to be shaped anew
	wake   chan struct{} // holds one: a wish has changed

	// The facts.
	held      atomic.Bool  // the pause is heard
	sent      atomic.Int64 // frames that sinks have taken and not dropped
	silence   atomic.Int64 // frames of them that are no track's
	skipped   atomic.Int64 // frames of the ring that cuts have left out
	dry       atomic.Int64 // frames of silence since the ring ran dry
	underruns atomic.Int64
	first     atomic.Int64  // when sound was taken after the last cut, in ns since epoch
	sinking   atomic.Bool   // there is no sink just now
	passed    chan struct{} // holds one: a fact has changed

	// What follows is feed's.
	sink   Sink
	dither pcm.Dither
	block  []float32
	zero   []float32
	level  float32 // of the fade, 0 to 1
	rise   int64   // the place where it began to rise from 0, if it did
	steep  float32 // how much a hurried fade moves in a frame; 0 for none
	gain   float32 // of the volume
	begun  bool    // since the last cut sound has been taken
	since  int64   // frames of the ring sent after the last gap
	gap    int64   // frames in it
	late   *time.Timer
	waited bool          // for the ring, since it was last empty
	empty  time.Duration // when that was

	paceFrom time.Duration // when its pace was last looked at
	paceSent int64         // frames sent by then
	unpaced  bool          // it takes all at once, as a card that writes a file does
}

func newTransport(r *ring, rate int, card bool, volume float32) *transport {
	n := feedFrames
	if !card {
		n *= 8
	}
	t := &transport{
		ring: r, epoch: time.Now(), rate: rate, card: card, wake: make(chan struct{}, 1), passed: make(chan struct{}, 1),
		block: make([]float32, n*Channels), zero: make([]float32, feedFrames*Channels), level: 1, gain: volume,
		late: time.NewTimer(time.Hour), rise: never,
	}
	t.volume.Store(math.Float32bits(volume))
	t.cutTo.Store(-1)
	return t
}

// setVolume changes the gain, without a click.
func (t *transport) setVolume(gain float32) {
	t.volume.Store(math.Float32bits(gain))
	t.anew.Store(t.deep)
	poke(t.wake)
}

// setPaused pauses or goes on.
func (t *transport) setPaused(on bool) {
	t.paused.Store(on)
	poke(t.wake)
}

// cut makes place to the next that is heard; all before it is left out. soft
// says that it lies in the middle of a track.
func (t *transport) cut(to int64, soft bool) {
	t.soft.Store(soft)
	t.cutTo.Store(to)
	poke(t.wake)
}

// heard is the place that is heard now, as far as the sink can tell.
func (t *transport) heard() int64 { return t.ring.floor.Load() }

func (t *transport) frames(d time.Duration) int64 { return int64(d.Seconds() * float64(t.rate)) }

// feed plays until the ring ends and all was heard, or ctx ends. An error is
// the sink's, where none can take its place.
func (t *transport) feed(ctx context.Context, o *outlet) error {
	defer t.late.Stop()
	for ctx.Err() == nil {
		done, err := t.step(ctx, o)
		if err != nil {
			err = t.lose(ctx, o, err)
		}
		if done || err != nil {
			return err
		}
	}
	return ctx.Err()
}

// step does the next thing; done says that all was heard.
func (t *transport) step(ctx context.Context, o *outlet) (done bool, err error) {
	select {
	case s := <-o.ready: // a better one
		if err := t.swap(o, s); err != nil {
			return false, err
		}
	default:
	}
	if to := t.cutTo.Load(); to >= 0 {
		return false, t.jump(to)
	}
	if paused := t.paused.Load(); paused != t.held.Load() {
		if paused {
			return false, t.pause()
		}
		return false, t.resume()
	}
	if t.held.Load() && !t.ring.ended() {
		return false, t.hold(ctx)
	}
	if t.anew.Swap(false) && t.begun {
		t.back()
	}
	n, plain := t.ring.take(t.block)
	if n == 0 {
		return t.starve(ctx)
	}
	t.waited = false
	if !t.begun {
		t.begun = true
		t.first.Store(int64(time.Since(t.epoch)))
	}
	t.dry.Store(0)
	moved := t.shape(t.block[:n*Channels], 1)
	if err := t.put(t.block[:n*Channels], plain && !moved); err != nil {
		return false, err
	}
	t.sent.Add(int64(n))
	t.since += int64(n)
	t.note()
	return false, nil
}

// note says what is heard by now.
func (t *transport) note() {
	if now := time.Since(t.epoch); now-t.paceFrom > paceEvery || t.paceSent > t.sent.Load() {
		t.paceFrom, t.paceSent = now, t.sent.Load()
	} else if t.sent.Load()-t.paceSent > 2*t.frames(now-t.paceFrom)+t.ring.mask/2+int64(t.rate)/4 {
		t.unpaced = true // it has taken more than any has in advance
	}
	t.ring.raise(max(t.place(int64(t.sink.Delay())), t.ring.read.Load()-(t.ring.mask+1)/2))
	poke(t.passed)
}

// place is where the ring was so many frames before the end of what was sent.
func (t *transport) place(before int64) int64 {
	read := t.ring.read.Load()
	switch {
	case before <= t.since:
	case before <= t.since+t.gap:
		before = t.since
	default:
		before -= t.gap
	}
	return max(read-before, t.ring.floor.Load())
}

// quiet sends n frames of silence, which are at most feedFrames.
func (t *transport) quiet(n int) error {
	if err := t.sink.Write(t.zero[:n*Channels]); err != nil {
		return err
	}
	t.space(int64(n))
	t.note()
	return nil
}

// space counts frames sent that are none of the ring's.
func (t *transport) space(n int64) {
	if t.since > 0 {
		t.since, t.gap = 0, 0
	}
	t.gap += n
	t.sent.Add(n)
	t.silence.Add(n)
}

// back has the sink drop what it has not played, and goes back in the ring to
// what is heard.
func (t *transport) back() {
	n := int64(t.sink.Flush())
	was := t.ring.read.Load()
	t.ring.seek(t.place(n))
	real := was - t.ring.read.Load()
	t.sent.Add(-n)
	t.silence.Add(-(n - real))
	t.since, t.gap = 0, 0
	// What is heard may have been on its way up.
	t.level = max(0, min(t.level, float32(t.ring.read.Load()-t.rise)*t.ramp()))
}

// leave fades out what is heard, and says how many frames that took.
func (t *transport) leave() (int64, error) {
	t.back()
	if n := float32(t.ring.held()); n > 0 && n*t.ramp() < t.level {
		t.steep = t.level / n // there is less than a whole fade
		defer func() { t.steep = 0 }()
	}
	var sum int64
	for t.level > 0 {
		n, _ := t.ring.take(t.block[:feedFrames/2*Channels])
		if n == 0 {
			break
		}
		t.shape(t.block[:n*Channels], 0)
		if err := t.put(t.block[:n*Channels], false); err != nil {
			return sum, err
		}
		sum += int64(n)
	}
	t.level = 0
	return sum, nil
}

// pause fades out; what was faded is heard again when it goes on.
func (t *transport) pause() error {
	var n int64
	if t.begun {
		var err error
		if n, err = t.leave(); err != nil {
			return err
		}
		t.ring.seek(t.ring.read.Load() - n)
	}
	t.space(n)
	t.held.Store(true)
	poke(t.passed)
	return nil
}

func (t *transport) resume() error {
	n := int64(t.sink.Flush()) // silence
	t.sent.Add(-n)
	t.silence.Add(-n)
	t.since, t.gap = 0, 0
	t.rise = t.ring.read.Load()
	t.held.Store(false)
	poke(t.passed)
	return nil
}

// hold waits out a pause.
func (t *transport) hold(ctx context.Context) error {
	if t.card {
		return t.quiet(feedFrames)
	}
	select {
	case <-t.wake:
	case <-ctx.Done():
	}
	return nil
}

// jump leaves what is heard, and goes on at to.
func (t *transport) jump(to int64) error {
	if t.begun && !t.held.Load() {
		n, err := t.leave()
		if err != nil {
			return err
		}
		t.sent.Add(n)
		t.since, t.gap = 0, n
	}
	t.land(to)
	return nil
}

// land goes on at to.
func (t *transport) land(to int64) {
	t.skipped.Add(to - t.ring.read.Load())
	t.ring.seek(to)
	t.ring.raise(to)
	t.level, t.rise, t.begun = 1, never, false
	if t.soft.Load() {
		t.level, t.rise = 0, to
	}
	t.cutTo.CompareAndSwap(to, -1)
	poke(t.passed)
}

// starve is what happens while the ring is empty.
func (t *transport) starve(ctx context.Context) (done bool, err error) {
	if t.ring.ended() {
		err := t.sink.Drain(ctx)
		t.ring.raise(t.ring.read.Load())
		poke(t.passed)
		if t.card {
			err = nil // there is nothing left that another sink could play
		}
		return true, err
	}
	wait := time.Hour
	if t.card && t.ring.wrote.Load() > 0 {
		left := time.Duration(t.sink.Delay()) * time.Second / time.Duration(t.rate)
		now := time.Since(t.epoch)
		if !t.waited {
			t.waited, t.empty = true, now
		}
		switch wait = max(left-lowWater, t.empty+patient-now); {
		case t.unpaced:
			wait = time.Hour
		case wait > 0:
			wait = min(wait, patient) // so that it is known what is heard meanwhile
		default:
			t.waited = false
			if t.dry.Load() == 0 && t.begun && !t.idle.Load() {
				t.underruns.Add(1)
			}
			t.dry.Add(feedFrames)
			return false, t.quiet(feedFrames)
		}
	}
	t.late.Reset(wait)
	select {
	case <-t.ring.more:
	case <-t.wake:
	case <-t.late.C:
	case <-ctx.Done():
	}
	t.note()
	return false, nil
}

// put hands samples to the sink. Where it rounds what is not plain any more,
// that gets dither: here, behind all that changes a sample, so that it is of
// full height at any volume, and no sample has it twice.
func (t *transport) put(b []float32, plain bool) error {
	if r, ok := t.sink.(rounding); ok && !plain && r.Rounds() {
		t.dither.Add(b)
	}
	return t.sink.Write(b)
}

// shape brings the fade nearer to goal and the gain to the volume, and tells
// whether that changed a sample: not at full level and volume.
func (t *transport) shape(b []float32, goal float32) bool {
	want := math.Float32frombits(t.volume.Load())
	if t.level == 1 && goal == 1 && t.gain == 1 && want == 1 {
		return false
	}
	step := max(t.ramp(), t.steep)
	for i := 0; i+1 < len(b); i += Channels {
		t.level = toward(t.level, goal, step)
		t.gain = toward(t.gain, want, step)
		g := t.level * t.gain
		b[i] *= g
		b[i+1] *= g
	}
	return true
}

// ramp is how much a fade moves in a frame.
func (t *transport) ramp() float32 { return float32(1 / (fadeFor.Seconds() * float64(t.rate))) }

func toward(x, goal, step float32) float32 {
	switch {
	case x < goal-step:
		return x + step
	case x > goal+step:
		return x - step
	}
	return goal
}

// swap moves to another sink, at the place that is heard.
func (t *transport) swap(o *outlet, s Sink) error {
	t.back()
	o.spent <- t.sink
	t.sink = s
	return nil
}

// lose waits for another sink, where the one that there was has failed. The
// place that was heard is kept.
func (t *transport) lose(ctx context.Context, o *outlet, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !o.again {
		return err
	}
	read, floor := t.ring.read.Load(), t.ring.floor.Load()
	t.ring.seek(floor)
	t.sent.Add(floor - read)
	t.since, t.gap = 0, 0
	t.sinking.Store(true)
	poke(t.passed)
	o.lost <- lostSink{t.sink, err}
	for {
		select {
		case t.sink = <-o.ready:
			t.sinking.Store(false)
			poke(t.passed)
			return nil
		case <-t.wake:
		case <-ctx.Done():
			t.sink = nil
			return ctx.Err()
		}
		if to := t.cutTo.Load(); to >= 0 {
			t.land(to)
		}
		t.held.Store(t.paused.Load())
		poke(t.passed)
		if t.ring.ended() { // stopped: nothing is owed
			t.sink = nil
			return errNoSink
		}
	}
}
