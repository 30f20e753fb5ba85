package player

import (
	"context"
	"errors"
	"slices"
	"time"
)

// ErrStopped says that a playback has ended, and can be told nothing.
var ErrStopped = errors.New("nothing is playing")

// settleFor bounds how long a command waits to see itself heard.
const settleFor = 250 * time.Millisecond

// verb is what a command asks for.
type verb int

const (
	next verb = iota
	prev
	seek
	stop
	sift
)

// command is for the goroutine that decides what comes next.
type command struct {
	verb verb
	to   time.Duration // seek
	done chan goal     // takes one: what will be heard next; the zero goal for nothing
}

// goal is what a command has heard: a place of the program, from a place of
// the ring on.
type goal struct {
	place
	from  int64
	begun bool // it is in the mix, and begins at from
}

// met tells whether it is heard, or what follows it.
func (g goal) met(t *teller) bool {
	m, ok := t.now()
	return ok && m.at >= g.from && (g.begun || m.place == g.place)
}

// State is what a loudspeaker does: what it plays, and where in it, by its
// own account.
type State struct {
	// State is "starting", "playing", "paused", "silent" (it waits for
	// something to play), "sinkless" (it waits for a sink) or "stopped".
	State          string
	Name, Playlist string
	CID            string
	Title, Artist  string
	// At is how much of the track was heard, Length how long it is.
	At, Length time.Duration
	// Volume and Ceiling are percents.
	Volume, Ceiling int
	Sink            string
	Rate            int
	// Delay is how much sound the sink has in advance.
	Delay     time.Duration
	Underruns int64
	// Start is how long it took from when it was last told where to begin
	// (Open, Next, Prev, Seek) until the sink had the first sample of that.
	Start time.Duration
	// Live is how a set is heard; nil while none is.
	Live *Reception
	// Next is what is heard after it; nil while that is not known, and where it
	// is a set.
	Next *Coming
}

// Coming is a track that is opened for its turn.
type Coming struct{ CID, Title, Artist string }

// State is how it stands.
func (b *Playback) State() State {
	s := State{State: "starting", Volume: int(b.volume.Load()), Ceiling: b.req.Ceiling, Sink: b.spec.String()}
	if name := b.sinkNow.Load(); name != nil {
		s.Sink = *name
	}
	if b.paused.Load() {
		s.State = "paused"
	}
	t := b.sound.Load()
	if t != nil {
		s.Rate, s.Underruns = t.rate, t.underruns.Load()
		s.Start = max(0, time.Duration(t.first.Load()-b.asked.Load()))
		s.Delay = length(t.ring.read.Load()-t.heard(), t.rate)
		switch {
		case t.held.Load():
			s.State = "paused"
		case t.sinking.Load():
			s.State = "sinkless"
		case t.dry.Load() > 0 || t.idle.Load():
			s.State = "silent"
		default:
			s.State = "playing"
		}
		if m, ok := b.teller.now(); ok {
			s.Name, s.Playlist, s.CID, s.Title, s.Artist = m.event.Name, m.event.Playlist, m.event.CID, m.event.Title, m.event.Artist
			s.Length = length(m.info.Samples, m.info.Rate)
			s.At = length(t.heard()-m.at+m.from, t.rate)
			if m.event.Set == "" {
				s.At = max(0, min(s.Length, s.At))
			}
		}
		if r, ok := b.reception(); ok {
			s.Live, s.Title = &r, r.Text
		}
		var mixed bool
		if s.Next, mixed = b.teller.next(); !mixed {
			s.Next = b.next.Load()
		}
	}
	select {
	case <-b.done:
		s.State, s.Next = "stopped", nil
	default:
	}
	return s
}

// Next leaves the track that is heard for the one after it. The answer comes
// when that is heard, or a quarter of a second later.
func (b *Playback) Next(ctx context.Context) (State, error) { return b.order(ctx, command{verb: next}) }

// Prev goes to the track before the one that is heard.
func (b *Playback) Prev(ctx context.Context) (State, error) { return b.order(ctx, command{verb: prev}) }

// Seek goes on at a time of the track that is heard.
func (b *Playback) Seek(ctx context.Context, at time.Duration) (State, error) {
	return b.order(ctx, command{verb: seek, to: at})
}

// Stop fades out and ends the playback.
func (b *Playback) Stop(ctx context.Context) (State, error) { return b.order(ctx, command{verb: stop}) }

// Unwanted leaves the track that is heard if it may not be played here, and
// forgets such as were to come.
func (b *Playback) Unwanted(ctx context.Context) (State, error) {
	return b.order(ctx, command{verb: sift})
}

// Pause fades out and holds the place.
func (b *Playback) Pause(ctx context.Context) (State, error) { return b.setPaused(ctx, true) }

// Resume goes on where Pause was heard.
func (b *Playback) Resume(ctx context.Context) (State, error) { return b.setPaused(ctx, false) }

func (b *Playback) setPaused(ctx context.Context, on bool) (State, error) {
	b.paused.Store(on)
	if !on {
		b.air.resume(b.sound.Load())
	}
	if t := b.sound.Load(); t != nil {
		t.setPaused(on)
		b.settle(ctx, func() bool { return t.held.Load() == on })
	}
	return b.answer()
}

// SetVolume is in percent, and goes no higher than the ceiling.
func (b *Playback) SetVolume(percent int) (State, error) {
	v := max(0, min(percent, b.req.Ceiling))
	b.volume.Store(int64(v))
	if t := b.sound.Load(); t != nil {
		t.setVolume(volumeGain(v))
	}
	return b.answer()
}

func (b *Playback) answer() (State, error) {
	s := b.State()
	if s.State == "stopped" {
		return s, ErrStopped
	}
	return s, nil
}

// order hands a command over and waits until it is heard.
func (b *Playback) order(ctx context.Context, c command) (State, error) {
	c.done = make(chan goal, 1)
	if c.verb != stop && c.verb != sift {
		b.asked.Store(int64(time.Since(b.epoch)))
	}
	select {
	case b.cmds <- c:
	case <-b.done:
		return b.State(), ErrStopped
	case <-ctx.Done():
		return b.State(), ctx.Err()
	}
	var to goal
	select {
	case to = <-c.done:
	case <-b.done:
	case <-ctx.Done():
		return b.State(), ctx.Err()
	}
	if c.verb == stop {
		b.settle(ctx, func() bool { return false })
		return b.State(), nil
	}
	b.settle(ctx, func() bool { return to.g == nil || to.met(b.teller) || b.paused.Load() })
	return b.State(), nil
}

// settle waits for ok, but not for long.
func (b *Playback) settle(ctx context.Context, ok func() bool) {
	late := time.NewTimer(settleFor)
	defer late.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-late.C:
			return
		case <-b.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// present is the place that is heard, or will be when a command that was
// obeyed before is.
func (b *Playback) present() (place, bool) {
	if b.aim.g != nil {
		if !b.aim.met(b.teller) {
			return b.aim.place, true
		}
		b.aim = goal{}
	}
	m, ok := b.teller.now()
	return m.place, ok
}

// obey does what it is told.
func (b *Playback) obey(ctx context.Context, c command) error {
	to, err := b.where(ctx, &c)
	var heard goal
	if err == nil && to.g != nil {
		b.jump(ctx, to, c.to)
		heard = b.aim
	}
	if err != nil {
		b.leaveAll()
		if b.sound.Load() != nil {
			b.cutTo(false)
		}
	}
	c.done <- heard
	switch {
	case errors.Is(err, errOver): // nothing comes after the last
		return errStopped
	case errors.Is(err, errNone):
		return nil
	}
	return err
}

// where is where a command leads; the zero place for nowhere else.
func (b *Playback) where(ctx context.Context, c *command) (place, error) {
	at, ok := b.present()
	if c.verb == stop {
		return place{}, errStopped
	}
	if !ok {
		if len(b.lined) == 0 || c.verb != next {
			return place{}, nil
		}
		at = b.lined[0].place
	}
	if m, _ := b.teller.now(); m.event.Set != "" && b.aim.g == nil {
		return b.fromSet(ctx, c, at)
	}
	switch c.verb {
	case sift:
		b.sift()
		if !b.unwanted(at) {
			return place{}, nil
		}
		return b.following(ctx, at, false)
	case prev:
		for k := at.k - 1; k >= 0; k-- {
			if pl := (place{at.g, k}); !b.unwanted(pl) {
				return pl, nil
			}
		}
		return at, nil
	case seek:
		m, _ := b.teller.now()
		if m.place != at || m.info.Samples == 0 || c.to < length(m.info.Samples, m.info.Rate) {
			return at, nil
		}
		c.to = 0 // there is nothing behind its end but the next
	}
	return b.following(ctx, at, false)
}

// fromSet is where a command leads while a set is heard, at being the place of
// the track that it was put in front of: away from the set for good.
func (b *Playback) fromSet(ctx context.Context, c *command, at place) (place, error) {
	switch {
	case c.verb == next && b.req.Live == OnlySets:
		return place{}, errStopped
	case c.verb == next:
		to, err := b.following(ctx, at, false)
		if err == nil {
			b.air.passSet()
		}
		return to, err
	case c.verb == prev && at.g != nil:
		b.air.passSet()
		return at, nil
	case c.verb == sift:
		b.sift()
	}
	return place{}, nil
}

// sift leaves what is in line and may not be played.
func (b *Playback) sift() {
	b.lined = slices.DeleteFunc(b.lined, func(o *opening) bool {
		if o.item.set == nil && b.unwanted(o.place) {
			b.leave(o)
			return true
		}
		return false
	})
}

// unwanted tells whether a place is passed over.
func (b *Playback) unwanted(pl place) bool {
	it, ps := pl.g.at(pl.k)
	return ps.ended || b.p.cfg.Blocked != nil && b.p.cfg.Blocked(it.entry.Track)
}

// jump has a place heard next, whatever was to come. What sounds goes on until
// that is ready.
func (b *Playback) jump(ctx context.Context, to place, in time.Duration) {
	b.aim = goal{place: to}
	if b.mix != nil {
		b.aim.from = b.mix.sent
	}
	i := slices.IndexFunc(b.lined, func(o *opening) bool { return o.place == to && o.in == in && (!o.ready() || o.err == nil) })
	var keep *opening
	if i >= 0 {
		keep = b.lined[i]
		b.lined = slices.Delete(b.lined, i, i+1)
	}
	b.leaveAll()
	if keep != nil {
		keep.urge.hurry()
		b.lined = []*opening{keep}
	} else {
		b.line(ctx, to, in, 0)
	}
	b.leaving, b.left, b.changing = b.sound.Load() != nil, time.Now(), false
}

// cutTo leaves out all that was mixed and is not yet heard.
func (b *Playback) cutTo(soft bool) {
	b.silence(b.mix.cur)
	b.silence(b.mix.in)
	b.mix.cut()
	b.outgo, b.joined, b.leaving, b.changing = nil, false, false, false
	b.teller.cut(b.mix.sent)
	b.sound.Load().cut(b.mix.sent, soft)
}
