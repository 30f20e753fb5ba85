package player

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"playnode/node"
)

const (
	// maxLined bounds how many decks are opened before their turn.
	maxLined = 8
	// hurryAfter is how long a loudspeaker may be silent, or somebody wait for
	// what they asked for, before whatever can be had first is played, in
	// place of what is late.
	hurryAfter = 500 * time.Millisecond
	// pressedAt is how little the ring may hold before what is late is left
	// for what is ready: so much that nobody hears of it.
	pressedAt = 250 * time.Millisecond
	// briefly is what any deck and any block is given, for the order's sake.
	briefly = 100 * time.Millisecond
	// nearBy is how long before the next track's turn it is made sure that
	// there is one.
	nearBy = 15 * time.Second
	// slowAfter is how long a deck may take to open before another is opened
	// beside it.
	slowAfter = time.Second
)

var (
	errLateTrack = fmt.Errorf("it was not here in time: %w", node.ErrNotFound)
	errLateBlock = fmt.Errorf("a block was not here in time: %w", node.ErrNotFound)
	errHoles     = fmt.Errorf("it is not whole here: %w", node.ErrNotFound)
)

// turn brings on the next track where none sounds.
func (b *Playback) turn(ctx context.Context) error {
	if b.req.Live == OnlySets {
		return b.listen(ctx)
	}
	// A file is never ahead of what was told.
	if t := b.sound.Load(); t != nil && len(b.lined) > 0 && b.teller.owes(b.ring.wrote.Load(), t.card) {
		return b.await(ctx, false)
	}
	o, err := b.pick(ctx, true)
	if err != nil {
		return err
	}
	if o == nil {
		return b.await(ctx, false)
	}
	return b.bring(ctx, o)
}

// pick is the deck that begins now, the first in line; nil while none is
// ready. What may not begin, or cannot, is told and out of the line. Where
// there is nothing at all, it waits if wait says so.
func (b *Playback) pick(ctx context.Context, wait bool) (*opening, error) {
	for {
		if len(b.lined) == 0 {
			pl, err := b.following(ctx, b.last, wait)
			if err != nil {
				return nil, err
			}
			in := time.Duration(0)
			if b.last.g == nil && b.req.From > 0 && !b.begun {
				pl, in = b.find(ctx, pl, b.req.From)
			}
			b.line(ctx, pl, in, 0)
		}
		b.passOver()
		o := b.lined[0]
		o.urge.hurry()
		switch {
		case (!o.ready() || o.err != nil) && b.impatient():
			if !b.hurry(ctx) {
				return nil, nil
			}
		case !o.ready():
			return nil, nil
		case o.err == nil && !b.leaving && b.spec.endless(b.paced()) && o.waits():
			return nil, nil
		case o.err == nil:
			if b.admit(o) {
				return o, nil
			}
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case b.mix != nil && !o.again && errors.Is(o.err, node.ErrNotFound):
			// It was asked for a track ago: it may have come since.
			o.again = true
			b.open(ctx, o)
			return nil, nil
		default:
			b.pop(o.err)
		}
	}
}

// bring has the first in line begin: behind what was, or in its place, where
// that is to be left.
func (b *Playback) bring(ctx context.Context, o *opening) error {
	v := o.voice()
	if b.mix == nil {
		if err := b.begin(ctx, v, o.pass); err != nil {
			return err
		}
	}
	if b.leaving {
		b.cutTo(o.in > 0)
	}
	if err := b.mix.join(v); err != nil {
		return err
	}
	b.sound.Load().idle.Store(false)
	if o.item.set != nil {
		b.airs(v)
	}
	b.take(o, v)
	return nil
}

// take is what follows when the first in line has become v.
func (b *Playback) take(o *opening, v *voice) {
	b.lined = b.lined[1:]
	switch {
	case b.aim.g == nil || b.aim.begun:
	case b.aim.place == o.place:
		b.aim.from, b.aim.begun = v.begin, true
	case o.item.set == nil: // it was given up
		b.aim = goal{}
	}
	b.last = o.place
	o.taken.Store(true)
	b.dried = b.sound.Load().dry.Load()
	b.starts(v, o.place)
	b.remember(o.place, o.item)
	b.prune(o.g)
}

// prune has programs forget their keys that nothing refers to any more but one
// that is kept.
func (b *Playback) prune(keep *program) {
	b.programs = slices.DeleteFunc(b.programs, func(g *program) bool {
		next := b.hours != nil && b.hours.next != nil && b.hours.next.g == g
		old := g != keep && !next && !slices.ContainsFunc(b.lined, func(x *opening) bool { return x.g == g })
		if old {
			g.close()
		}
		return old
	})
}

// pop gives up what is first in line.
func (b *Playback) pop(err error) {
	o := b.lined[0]
	b.lined = b.lined[1:]
	b.last = o.place
	if b.aim.place == o.place {
		b.aim = goal{}
	}
	b.leave(o)
	b.fail(o.item, err)
}

// passOver drops from the head of the line what is not whole here, where
// something behind it is: a loudspeaker plays what is on the box. What
// somebody has asked for begins all the same, and so does what a file waits
// for.
func (b *Playback) passOver() {
	t := b.sound.Load()
	if t == nil || !t.card || b.leaving {
		return
	}
	for len(b.lined) > 0 && b.lined[0].usable() && b.lined[0].short.Load() {
		if !slices.ContainsFunc(b.lined, (*opening).good) {
			return
		}
		b.pop(errHoles)
	}
}

// lineUp opens the next deck, and, when its turn is near, others beside it as
// long as none in line promises to be ready in time.
func (b *Playback) lineUp(ctx context.Context) {
	t := b.sound.Load()
	live := b.mix.cur.item.set != nil // it may end at any time
	near := live || b.mix.cur.end-b.mix.sent < t.frames(nearBy) || !b.lateAt.IsZero() || b.pressed()
	if len(b.lined) >= maxLined || len(b.lined) > 0 && !near || slices.ContainsFunc(b.lined, func(o *opening) bool {
		switch {
		case !t.card:
			return !o.ready() || o.err == nil
		case o.ready():
			return o.good()
		}
		return (b.lateAt.IsZero() || !b.pressed()) && time.Since(o.since) < slowAfter // what has just begun is pressed, and not late
	}) {
		return
	}
	from := b.last
	if n := len(b.lined); n > 0 {
		from = b.lined[n-1].place
	}
	if pl, err := b.following(ctx, from, false); err == nil {
		b.line(ctx, pl, 0, b.lead())
	}
}

// announce has it known what comes next.
func (b *Playback) announce() {
	var next *Coming
	if len(b.lined) > 0 && b.lined[0].usable() && b.lined[0].item.set == nil {
		next = b.lined[0].coming
	}
	if b.next.Load() != next {
		b.next.Store(next)
	}
}

// hurry has whatever can be had first be the first in line, and says whether
// there is anything.
func (b *Playback) hurry(ctx context.Context) bool {
	for i, o := range b.lined {
		if !o.ready() && time.Since(o.since) < briefly {
			return false
		}
		if !o.usable() {
			continue
		}
		for range i {
			err := errLateTrack
			if x := b.lined[0]; x.ready() && x.err != nil {
				err = x.err
			}
			b.pop(err)
		}
		return true
	}
	if n := len(b.lined); n < maxLined {
		if pl, err := b.following(ctx, b.lined[n-1].place, false); err == nil {
			b.line(ctx, pl, 0, b.lead())
			return false
		}
	}
	for len(b.lined) > 0 && b.lined[0].ready() && b.lined[0].err != nil {
		b.pop(b.lined[0].err)
	}
	return false
}

// impatient tells whether what is late is waited for no longer.
func (b *Playback) impatient() bool {
	return b.dry() > hurryAfter || b.pressed() || b.leaving && time.Since(b.left) > hurryAfter
}

// pressed tells whether a loudspeaker has little left before it is silent.
func (b *Playback) pressed() bool {
	t := b.sound.Load()
	return t != nil && t.card && !t.held.Load() && !t.sinking.Load() && int64(b.ring.held()) < t.frames(pressedAt)
}

// dry is how long a loudspeaker has been silent for want of sound, since the
// last track was brought on.
func (b *Playback) dry() time.Duration {
	t := b.sound.Load()
	if t == nil || !t.card {
		return 0
	}
	dry := t.dry.Load()
	if dry < b.dried {
		b.dried = 0
	}
	return length(dry-b.dried, t.rate)
}
