package player

import (
	"context"
	"errors"
	"time"
)

const (
	// stayFor is how long a playback that stays waits before it asks again
	// whether there is something to play.
	stayFor = time.Second
)

var (
	errOver    = errors.New("the program is over")
	errStopped = errors.New("stopped")
	errObey    = errors.New("there is a command")
	errNone    = errors.New("there is nothing to play")
	errTuned   = errors.New("a set is on air")
)

// conduct plays one thing after the other until there is nothing more.
func (b *Playback) conduct(ctx context.Context) error {
	for {
		err := b.advance(ctx)
		if errors.Is(err, errOver) {
			if b.mix == nil {
				if b.ended == nil && !b.told.Load() && b.req.Live != OnlySets { // there was no track that could have been heard
					return errNoTrack
				}
				return b.ended
			}
			if err = b.finish(ctx); err == nil {
				return b.ended
			}
		}
		if errors.Is(err, errObey) {
			err = b.obey(ctx, b.cmd)
		}
		if err != nil && !errors.Is(err, errTuned) {
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
	b.keepTime(ctx)
	b.tuneIn()
	b.say()
	b.announce()
	if b.mix == nil || b.mix.cur == nil {
		return b.turn(ctx)
	}
	if b.leaving {
		o, err := b.pick(ctx, false)
		switch {
		case errors.Is(err, errNone), errors.Is(err, errOver): // there is nothing to leave it for
			b.leaving, b.changing = false, false
		case err != nil:
			return err
		case o == nil:
		default:
			n := b.overlap(o)
			switch {
			case n > 0 && (o.cue() || time.Since(b.left) > slowAfter):
				return b.lay(o, n)
			case n > 0: // it is brought to where it is heard first
			case b.changing && !o.waits() && b.fadeAway(fadeFor): // it begins behind that
			default:
				return b.bring(ctx, o)
			}
		}
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
	n, err := 0, errLate
	if free = min(free, b.leeway()); free > 0 {
		n, err = b.mix.read(b.buf[:free*Channels])
		b.ring.write(b.buf[:n*Channels], b.mix.plain)
	}
	if n > 0 {
		b.good, b.lateAt = true, time.Time{}
	}
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
	if b.late() {
		return nil
	}
	return b.await(ctx, false)
}

// await waits until something may go on: room in the ring, a late deck's
// block, a deck that was opened, a command.
func (b *Playback) await(ctx context.Context, room bool) error {
	var free <-chan struct{}
	var late, lateIn <-chan struct{}
	var told <-chan struct{}
	if b.mix != nil {
		told = b.teller.told
		if room {
			free = b.ring.room
		} else {
			if b.mix.cur != nil {
				late = b.mix.cur.came
			}
			if b.mix.in != nil {
				lateIn = b.mix.in.came
			}
		}
	}
	select {
	case <-free:
	case <-late:
	case <-lateIn:
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
	if b.mix.sent > b.mix.cur.begin && b.req.Live != OnlySets { // its own first sound comes first
		b.renew(ctx)
		b.lineUp(ctx)
	}
	if len(b.lined) > 0 {
		cur := b.mix.cur
		if cur.out-b.mix.sent <= b.frames(b.req.fade(cur.item, b.lined[0].item)+time.Second) {
			b.passOver()
		}
	}
	return b.crossing()
}

// forget lets all go that Run has opened.
func (b *Playback) forget() {
	b.leaveAll()
	if b.hours != nil {
		b.drop(b.hours.next)
	}
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
