package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
)

const (
	defaultLatency = 200 * time.Millisecond
	// mixAhead is how much is mixed beyond what a sink takes in advance.
	mixAhead = 400 * time.Millisecond
)

// Playback is one Request that plays, and can be told what to do meanwhile.
// Its methods are safe for concurrent use.
//
// Three goroutines carry the sound. Run's own decides what comes next and
// mixes it into the ring; it waits for decks and leases, never for a listener.
// A second feeds the sink from the ring and waits for nothing else. A third
// tells what is heard. A fourth opens sinks where one has died.
type Playback struct {
	p       *Player
	req     Request
	program func(context.Context) (*program, error) // what is asked for, as it is now
	spec    sinkSpec
	target  float64 // LUFS; NaN for off

	cmds    chan command
	done    chan struct{} // closed when Run has ended
	epoch   time.Time
	asked   atomic.Int64 // when it was last told where to begin, in ns since epoch
	volume  atomic.Int64 // percent
	paused  atomic.Bool
	sound   atomic.Pointer[transport] // nil until there is something to play
	sinkNow atomic.Pointer[string]
	next    atomic.Pointer[Coming] // the first in line, once it is ready

	teller *teller
	ran    atomic.Bool
	told   atomic.Bool // something was told that Done must follow

	// What follows is Run's goroutine's.
	ring     *ring
	mix      *mix
	out      *outlet
	fed      chan error // the feeder's end
	buf      []float32
	opened   chan struct{} // holds one: an opening is done
	wg       sync.WaitGroup
	tick     *time.Ticker
	cmd      command    // that errObey speaks of
	lined    []*opening // what comes next, in order
	last     place      // the one begun last
	aim      goal       // of a command that is not yet heard
	leaving  bool       // what sounds is left as soon as the first in line is ready
	changing bool       // by the schedule: that is laid over it
	left     time.Time  // when that was asked for
	renewed  time.Time  // when renew looked last
	lateAt   time.Time  // since when what sounds has no more to be mixed; zero while it has
	programs []*program // whose keys are in use
	outgo    *voice     // is faded out
	ended    error      // why a part of the program may not be played any more
	dried    int64      // of the transport's dry frames, those before the last track was brought on
	good     bool       // something of the program has sounded
	joined   bool       // the track before ended whole, so that a join follows
	begun    bool       // the first sample was handed out
	result   Played
	air      *airwaves // nil where no sets are heard
	hours    *hours    // nil where the schedule has no say
	dial     func(Request) ([]onAir, error)
}

// Open makes a Playback of a Request. emit gets what happens, from one
// goroutine at a time; one that does not return delays further events, and a
// file, but not a loudspeaker.
func (p *Player) Open(req Request, emit func(Event)) (*Playback, error) {
	spec, err := parseSink(req.Sink)
	if err != nil {
		return nil, fmt.Errorf("play: %w", err)
	}
	target, err := parseLoudness(req.Loudness)
	if err != nil {
		return nil, fmt.Errorf("play: %w", err)
	}
	if req.Latency <= 0 {
		req.Latency = defaultLatency
	}
	if req.Ceiling <= 0 || req.Ceiling > 100 {
		req.Ceiling = 100
	}
	b := &Playback{
		p: p, req: req, spec: spec, target: target, epoch: time.Now(),
		cmds: make(chan command), done: make(chan struct{}), opened: make(chan struct{}, 1),
		teller: newTeller(emit), buf: make([]float32, blockFrames*Channels),
	}
	v := req.Ceiling
	if req.Volume != nil {
		v = max(0, min(v, *req.Volume))
	}
	b.volume.Store(int64(v))
	if req.Live == OnlySets && p.cfg.Sets == nil {
		return nil, fmt.Errorf("listen: %w", ErrNoSets)
	}
	if p.cfg.Sets != nil && (req.Live == OnlySets || req.Live == HearSets && !req.Once) {
		b.air = &airwaves{wake: b.opened}
	}
	b.program = func(ctx context.Context) (*program, error) { return p.program(ctx, req) }
	if req.Name == "" && req.Live != OnlySets && p.cfg.Schedule != nil {
		b.hours = &hours{book: p.cfg.Schedule, poor: map[string]time.Time{}}
		b.program = b.choose
	}
	b.dial = p.dial
	return b, nil
}

// paced tells whether a sink without a pace of its own keeps the clock's.
func (b *Playback) paced() bool { return b.req.Paced || !b.req.Once }

// Run plays until the end of the pass (Once), Stop, the lapse of the last
// lease asked for, or the end of ctx. Done is told last, unless nothing was
// unlocked: then the sink was never opened. The error wraps lease's where the
// terms ended it, after the track that was playing. Run is called once.
func (b *Playback) Run(ctx context.Context) (Played, error) {
	if b.ran.Swap(true) {
		return Played{}, errors.New("play: it has run")
	}
	defer close(b.done)
	b.tick = time.NewTicker(50 * time.Millisecond)
	defer b.tick.Stop()
	err := b.run(ctx)
	if errors.Is(err, errStopped) {
		err = nil
	}
	if t := b.sound.Load(); t != nil {
		b.result.Samples = t.sent.Load()
	}
	if b.told.Load() {
		e := Event{Kind: Done, At: b.result.Samples, Played: b.result, Err: err}
		if b.mix != nil {
			e.Rate = b.mix.rate
		}
		b.teller.emit(e)
	}
	if err != nil {
		return b.result, fmt.Errorf("play: %w", err)
	}
	return b.result, nil
}

// run conducts, and then sees everything that it has started to its end.
func (b *Playback) run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		b.forget()
		b.wg.Wait()
	}()
	if b.hours != nil && !b.req.Once { // it begins at the beginning, whatever was heard before or is elsewhere
		b.p.mu.Lock()
		b.p.places[b] = map[string]cid.Cid{}
		b.p.mu.Unlock()
		defer func() {
			b.p.mu.Lock()
			delete(b.p.places, b)
			b.p.mu.Unlock()
		}()
	}
	if b.air != nil && b.hours == nil {
		b.wg.Go(func() { b.hearSets(inner, b.req) })
	}
	err := b.conduct(inner)
	if b.mix == nil {
		return err
	}
	for errors.Is(err, errStopped) || err != nil && ctx.Err() == nil && !b.over() { // what was mixed before is heard
		ferr := b.finish(inner)
		if errors.Is(ferr, errObey) {
			b.cmd.done <- goal{}
			continue
		}
		if errors.Is(err, errStopped) {
			err = ferr
		}
		break
	}
	cancel()
	b.wg.Wait()
	t := b.sound.Load()
	if t.sink != nil {
		if cerr := t.sink.Close(); err == nil && !b.out.again {
			err = cerr
		}
	}
	b.out.close()
	return err
}

// over tells whether the feeder has ended.
func (b *Playback) over() bool { return len(b.fed) > 0 }

// finish lets all that was mixed be heard, unless there is a command first.
func (b *Playback) finish(ctx context.Context) error {
	for {
		if n := b.mix.finish(b.buf[:min(len(b.buf), b.ring.free()*Channels)]); n > 0 {
			b.ring.write(b.buf[:n*Channels], false)
		} else if b.mix.over() {
			b.ring.end()
		}
		b.say()
		select {
		case <-b.ring.room:
		case <-b.tick.C:
		case err := <-b.fed:
			b.fed <- err
			if errors.Is(err, errNoSink) {
				err = nil
			}
			return err
		case b.cmd = <-b.cmds:
			b.ring.last.Store(-1)
			return errObey
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// begin opens the sink, when the first track is ready to be heard, and starts
// what carries the sound to it.
func (b *Playback) begin(ctx context.Context, v *voice, ps *pass) error {
	rate := v.format.Rate
	if b.req.Rate != 0 {
		rate = b.req.Rate
	}
	want := sinkWant{rate: rate, latency: b.req.Latency, paced: b.paced(), expect: -1}
	if b.req.Once && ps != nil {
		want.expect = 0
		for _, it := range ps.items {
			want.expect += int64(it.entry.Sec+1) * int64(rate)
		}
	}
	b.out = newOutlet(b.spec, want, b.p.open)
	b.out.fault = func(err error) {
		b.p.fault("sink", "", err)
		b.tell(mark{at: b.sound.Load().heard(), event: Event{Kind: Failed, Err: fmt.Errorf("sink: %w", err)}})
	}
	b.out.mended = func(spec sinkSpec, standIn bool) {
		b.p.cfg.Log.Info("the sink is back", "sink", spec.String())
		if !standIn {
			b.p.mend("sink", "")
		}
		b.sinkIs(spec)
	}
	sink, err := b.openFirst(ctx)
	if err != nil {
		return err
	}
	b.sinkIs(b.spec)
	rate = sink.Rate()
	latency := int(b.req.Latency.Seconds() * float64(rate))
	b.ring = newRing(2*latency + int(mixAhead.Seconds()*float64(rate)))
	b.mix = newMix(rate)
	t := newTransport(b.ring, rate, b.spec.endless(want.paced), volumeGain(int(b.volume.Load())))
	t.epoch, t.sink, t.deep = b.epoch, sink, b.req.Latency > promptly
	t.setPaused(b.paused.Load())
	b.fed = make(chan error, 1)
	b.sound.Store(t)
	b.wg.Go(func() { b.out.keep(ctx) })
	heard, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.wg.Go(func() { b.teller.run(heard, t, rate) })
	b.wg.Go(func() {
		b.fed <- t.feed(ctx, b.out)
		stop()
	})
	return nil
}

func (b *Playback) sinkIs(spec sinkSpec) {
	s := spec.String()
	b.sinkNow.Store(&s)
}

// openFirst opens the sink, again and again where the playback is to stay.
func (b *Playback) openFirst(ctx context.Context) (Sink, error) {
	for {
		s, err := b.out.first(ctx)
		if err == nil {
			b.p.mend("sink", "")
			return s, nil
		}
		if !b.req.Stay || ctx.Err() != nil {
			return nil, err
		}
		b.p.fault("sink", "", err)
		if err := b.rest(ctx, reopenAfter); err != nil {
			return nil, err
		}
	}
}

// rest waits, unless something is to be done.
func (b *Playback) rest(ctx context.Context, d time.Duration) error {
	if b.air.offers() {
		return errTuned
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case b.cmd = <-b.cmds:
		return errObey
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell has m told: in its time, or now where nothing sounds yet.
func (b *Playback) tell(m mark) {
	b.told.Store(true)
	if b.sound.Load() == nil {
		b.teller.emit(m.event)
		return
	}
	b.teller.add(m)
}

// fail tells that a track could not be played, or not whole.
func (b *Playback) fail(it item, err error) {
	b.result.Skipped++
	b.joined = false
	track := it.cid()
	b.p.fault("track", track, err)
	m := mark{event: Event{Kind: Failed, Name: it.name.String(), Playlist: it.label, CID: track, Err: err}}
	if b.mix != nil {
		m.at = b.mix.sent
	}
	b.tell(m)
}

// ends tells that a voice has had its last sample, at place at.
func (b *Playback) ends(v *voice, at int64) {
	if v.item.set != nil {
		b.signOff(v, at)
		return
	}
	if damaged(v.over) {
		b.fail(v.item, v.over)
		return
	}
	b.joined = !v.cut
	e := about(v.deck)
	e.Kind, e.Cut = EndTrack, v.cut
	b.tell(mark{at: at, event: e, begun: v.begin})
	b.p.mend("track", e.CID)
}

func about(d *deck) Event {
	e := Event{Name: d.item.name.String(), Playlist: d.item.label, CID: d.item.cid(), Title: d.info.Title, Artist: d.info.Artist}
	if s := d.item.set; s != nil {
		e.Set = s.set().String()
	}
	return e
}

// starts tells that a voice begins.
func (b *Playback) starts(v *voice, at place) {
	e := about(v.deck)
	if !b.begun {
		b.begun = true
		e.Kind = Started
		b.tell(mark{at: v.begin, event: e})
	}
	if b.joined {
		b.result.Joins++
	}
	e.Kind = NewTrack
	from := v.from * int64(b.mix.rate) / int64(v.format.Rate)
	b.tell(mark{at: v.begin, event: e, place: at, from: from, info: v.info})
}

// damaged tells whether err is the track's own fault, or its blocks', and so
// no reason to stop.
func damaged(err error) bool {
	return err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled)
}
