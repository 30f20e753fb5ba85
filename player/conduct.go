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
	// hurryAfter is how long a loudspeaker may be silent before whatever can
	// be had first is played, in place of what is late.
	hurryAfter = 500 * time.Millisecond
	// stayFor is how long a playback that stays waits before it asks again
	// whether there is something to play.
	stayFor = time.Second
)

var (
	errOver    = errors.New("the program is over")
	errStopped = errors.New("stopped")
	errObey    = errors.New("there is a command")
	errNone    = errors.New("there is nothing to play")
)

// conduct plays one thing after the other until there is nothing more.
func (b *Playback) conduct(ctx context.Context) error {
	for {
		err := b.advance(ctx)
		if errors.Is(err, errOver) {
			if b.mix == nil {
				return b.ended
			}
			if err = b.finish(ctx); err == nil {
				return b.ended
			}
		}
		if errors.Is(err, errObey) {
			err = b.obey(ctx, b.cmd)
		}
		if err != nil {
			return err
		}
	}
}

// advance does the next thing: brings on the next track, mixes a little, or
// waits for what it takes.
func (b *Playback) advance(ctx context.Context) error {
	select {
	case b.cmd = <-b.cmds:
		return errObey
	case <-ctx.Done():
		return ctx.Err()
	default:
	}
	if b.mix == nil || b.mix.cur == nil {
		return b.turn(ctx)
	}
	if err := b.look(ctx); err != nil {
		return err
	}
	if b.hold() {
		return b.await(ctx, false)
	}
	free := min(b.ring.free(), len(b.buf)/Channels, b.untilFade())
	if free < min(256, b.untilFade()) {
		return b.await(ctx, true)
	}
	cur := b.mix.cur
	n, err := b.mix.read(b.buf[:free*Channels])
	b.ring.write(b.buf[:n*Channels], b.mix.plain)
	b.good = b.good || n > 0
	switch {
	case err == nil:
		return nil
	case err == errCrossed:
		b.outgo = nil
		b.ends(cur, b.mix.sent)
		b.silence(cur)
		return nil
	case err != errLate:
		b.ends(cur, cur.line.at(cur.line.took))
		b.silence(cur)
		return nil
	case n > 0:
		return nil
	}
	if b.dry() > hurryAfter { // its next block does not come
		for _, v := range []*voice{b.mix.cur, b.mix.in} {
			if v != nil && len(v.full) == 0 && v.off == v.have && v.over == nil {
				v.cancel()
				v.over = fmt.Errorf("a block was not here in time: %w", node.ErrNotFound)
			}
		}
		return nil
	}
	return b.await(ctx, false)
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

// await waits until something may go on: room in the ring, a late deck's
// block, a deck that was opened, a command.
func (b *Playback) await(ctx context.Context, room bool) error {
	var free <-chan struct{}
	var late, lateIn <-chan *block
	var told <-chan struct{}
	if b.mix != nil {
		told = b.teller.told
		if room {
			free = b.ring.room
		} else {
			if v := b.mix.cur; v != nil && v.off == v.have && v.over == nil {
				late = v.full
			}
			if v := b.mix.in; v != nil && v.off == v.have && v.over == nil {
				lateIn = v.full
			}
		}
	}
	select {
	case <-free:
	case x := <-late:
		b.mix.cur.take(x)
	case x := <-lateIn:
		b.mix.in.take(x)
	case <-b.opened:
	case <-told:
	case <-b.tick.C:
	case err := <-b.fed:
		b.fed <- err // for others
		if err == nil {
			err = errStopped
		}
		return err
	case b.cmd = <-b.cmds:
		return errObey
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// look opens what comes next while something sounds, and begins a crossfade
// when it is time.
func (b *Playback) look(ctx context.Context) error {
	bad := 0
	for _, o := range b.lined {
		if o.ready() && o.err != nil {
			bad++
		}
	}
	if bad == len(b.lined) && bad < maxLined { // so that a good one is ready in its turn
		from := b.last
		if bad > 0 {
			from = b.lined[bad-1].place
		}
		if pl, err := b.following(ctx, from, false); err == nil {
			b.line(ctx, pl, 0)
		}
	}
	return b.crossing()
}

// turn brings on the next track where none sounds.
func (b *Playback) turn(ctx context.Context) error {
	if len(b.lined) == 0 {
		pl, err := b.following(ctx, b.last, true)
		if err != nil {
			return err
		}
		in := time.Duration(0)
		if b.last.g == nil && b.req.From > 0 {
			pl, in = b.find(ctx, pl, b.req.From)
		}
		b.line(ctx, pl, in)
	}
	// A file is never ahead of what was told.
	if t := b.sound.Load(); t != nil && b.teller.owes(b.ring.wrote.Load(), t.card) {
		return b.await(ctx, false)
	}
	o := b.lined[0]
	if b.dry() > hurryAfter && (!o.ready() || o.err != nil) {
		return b.hurry(ctx)
	}
	if !o.ready() {
		return b.await(ctx, false)
	}
	if o.err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if b.mix != nil && !o.again && errors.Is(o.err, node.ErrNotFound) {
			// It was asked for a track ago: it may have come since.
			o.again = true
			b.open(ctx, o)
			return nil
		}
		b.pop(o.err)
		return nil
	}
	if !b.admit(o) {
		return nil
	}
	v := o.voice()
	if b.mix == nil {
		if err := b.begin(ctx, v, o.pass); err != nil {
			return err
		}
	}
	if err := b.mix.join(v); err != nil {
		return err
	}
	b.sound.Load().idle.Store(false)
	b.take(o, v)
	return nil
}

// pop gives up what is first in line.
func (b *Playback) pop(err error) {
	o := b.lined[0]
	b.lined = b.lined[1:]
	b.last = o.place
	b.leave(o)
	b.fail(o.item, err)
}

// take is what follows when the first in line has become v.
func (b *Playback) take(o *opening, v *voice) {
	b.lined = b.lined[1:]
	b.last = o.place
	b.dried = b.sound.Load().dry.Load()
	b.starts(v, o.place)
	// Programs that nothing refers to any more forget their keys.
	b.programs = slices.DeleteFunc(b.programs, func(g *program) bool {
		old := g != o.g && !slices.ContainsFunc(b.lined, func(x *opening) bool { return x.g == g })
		if old {
			g.close()
		}
		return old
	})
}

// hurry plays whatever can be had first: the loudspeaker is silent.
func (b *Playback) hurry(ctx context.Context) error {
	for i, o := range b.lined {
		if !o.ready() || o.err != nil {
			continue
		}
		for range i {
			err := b.lined[0].err
			if !b.lined[0].ready() || err == nil {
				err = fmt.Errorf("it was not here in time: %w", node.ErrNotFound)
			}
			b.pop(err)
		}
		return nil
	}
	if n := len(b.lined); n < maxLined {
		if pl, err := b.following(ctx, b.lined[n-1].place, false); err == nil {
			b.line(ctx, pl, 0) // and gets a moment, for the order's sake
			return b.await(ctx, false)
		}
	}
	for len(b.lined) > 0 && b.lined[0].ready() && b.lined[0].err != nil {
		b.pop(b.lined[0].err)
	}
	return b.await(ctx, false)
}

// forget lets all go that Run has opened.
func (b *Playback) forget() {
	b.leaveAll()
	if b.mix != nil {
		b.silence(b.mix.cur)
		b.silence(b.mix.in)
	}
	b.silence(b.outgo)
	for _, g := range b.programs {
		defer g.close()
	}
	b.wg.Wait()
}
