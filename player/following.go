package player

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"playnode/lease"
)

// renewEvery is how often it is looked whether what is to come is still what comes
// next.
const renewEvery = time.Second

// following is the place that is played after pl. Where there is none now, it
// waits, if the playback stays and wait says so; else that is errNone.
func (b *Playback) following(ctx context.Context, pl place, wait bool) (place, error) {
	g, k := pl.g, pl.k+1
	if g != nil && b.p.stale(g) {
		fresh, err := b.program(ctx)
		if err == nil {
			if k = fresh.behind(pl); fresh.asked != g.asked {
				k = b.entrance(fresh)
			}
			b.programs = append(b.programs, fresh)
			g = fresh
		}
	}
	if g == nil {
		k = 0
	}
	for tried := false; ; tried = true {
		for ; g != nil && k < g.total; k++ {
			if pl := (place{g, k}); !b.unwanted(pl) {
				return pl, nil
			}
		}
		if g != nil {
			if b.req.Once {
				return place{}, errOver
			}
			if b.changing { // what sounds goes on
				b.standsIn()
				return place{}, b.nothing(ctx, errNoTrack, false)
			}
			if tried || !b.good && (b.mix == nil || b.mix.cur == nil) {
				if !b.standsIn() {
					if err := b.nothing(ctx, errNoTrack, wait); err != nil {
						return place{}, err
					}
				}
			}
		}
		if wait && (b.mix == nil || b.mix.cur == nil && b.mix.in == nil) { // nothing begins that would
			b.prune(pl.g)
		}
		fresh, err := b.load(ctx, wait)
		if err != nil {
			return place{}, err
		}
		if g, k, b.good = fresh, 0, false; pl.g == nil || pl.g.asked != g.asked {
			k = b.entrance(g)
		}
	}
}

// renew leaves what was lined up by the order of an earlier version, where that
// which is newest now has something else come next, and time to open it. What
// sounds goes on.
func (b *Playback) renew(ctx context.Context) {
	if len(b.lined) == 0 || b.leaving || b.last.g == nil || b.aim.g != nil && !b.aim.begun || time.Since(b.renewed) < renewEvery {
		return
	}
	b.renewed = time.Now()
	o, cur := b.lined[0], b.mix.cur
	if o.item.set != nil || !b.p.stale(cmp.Or(o.by, o.g)) {
		return
	}
	if cur.item.set == nil && cur.out-b.mix.sent <= b.frames(b.req.fade(cur.item, o.item)+slowAfter) {
		return
	}
	fresh, err := b.anew(ctx, b.last.g)
	if err != nil {
		return // who asks whether it may begin is told
	}
	b.programs = append(b.programs, fresh)
	pl, ok := b.comes(fresh)
	if it := o.item.entry.Track; ok && pl.track() == it {
		o.by = fresh
	} else {
		b.leaveAll()
		if ok {
			b.line(ctx, pl, 0, b.lead())
		}
	}
	b.prune(b.last.g)
}

// anew is a program as it is now; which one it is, where the schedule says that,
// is not asked anew.
func (b *Playback) anew(ctx context.Context, g *program) (*program, error) {
	if b.hours != nil {
		return b.p.program(ctx, b.named(g.asked))
	}
	return b.program(ctx)
}

// comes is the place in a program that comes next, by what it says itself.
func (b *Playback) comes(g *program) (place, bool) {
	from := g.behind(b.last)
	for i := range g.total {
		if from+i == g.total && b.req.Once {
			break
		}
		if pl := (place{g, (from + i) % g.total}); !b.unwanted(pl) {
			return pl, true
		}
	}
	return place{}, false
}

// load unlocks what was asked for.
func (b *Playback) load(ctx context.Context, wait bool) (*program, error) {
	for {
		g, err := b.program(ctx)
		if err == nil {
			if b.programs = append(b.programs, g); b.entrance(g) < g.total {
				b.p.mend("lease", "")
			}
			return g, nil
		}
		if wait && b.told.Load() && lapsed(err) && b.ended == nil {
			b.ended = err
			b.tell(b.lapse(Event{Err: err}))
		}
		if err := b.nothing(ctx, err, wait); err != nil {
			return nil, err
		}
	}
}

// nothing ends a playback that has nothing to play, or lets it wait a little.
func (b *Playback) nothing(ctx context.Context, err error, wait bool) error {
	if !wait {
		return fmt.Errorf("%w: %w", errNone, err)
	}
	gap := errors.Is(err, errGap)
	if !b.req.Stay && !b.waits(gap) || ctx.Err() != nil {
		return err
	}
	if !gap {
		b.p.fault("lease", "", err)
	}
	if t := b.sound.Load(); t != nil {
		t.idle.Store(true)
	}
	pause := stayFor
	if b.hours != nil && !b.hours.turn.Until.IsZero() {
		pause = min(pause, max(briefly, b.hours.turn.Until.Sub(b.heardAt())))
	}
	return b.rest(ctx, pause)
}

// lapsed tells whether the terms are why nothing more sounds.
func lapsed(err error) bool {
	return errors.Is(err, lease.ErrLapsed) || errors.Is(err, lease.ErrNoLease) || errors.Is(err, lease.ErrRevoked) || errors.Is(err, lease.ErrNotYet)
}

func (b *Playback) lapse(e Event) mark {
	e.Kind = Lapsed
	m := mark{event: e}
	if b.mix != nil {
		m.at = b.mix.sent
	}
	return m
}

// admit asks anew whether a track may begin: a lease that has lapsed since
// starts nothing. A box that cannot ask, its disk being full, goes on with
// what was unlocked for as long as that said.
func (b *Playback) admit(o *opening) bool {
	if o.item.clip != nil || o.item.set != nil {
		return true
	}
	u, err := b.p.cfg.Leases.Unlock(o.pass.sel.Manifest)
	if err == nil {
		u.Close()
		return true
	}
	if now, had := b.p.cfg.Now().Unix(), o.pass.unlocked; !lapsed(err) && now < had.Until && now < had.Period {
		b.p.fault("lease", "", err)
		return true
	}
	o.pass.ended = true
	err = b.p.terms(o.pass.dj, o.pass.sel, err)
	b.p.fault("lease", "", err)
	if b.ended == nil {
		b.ended = err
		b.tell(b.lapse(Event{Name: o.item.name.String(), Playlist: o.item.label, Err: err}))
	}
	b.lined = slices.DeleteFunc(b.lined, func(x *opening) bool {
		if x.pass.ended {
			b.leave(x)
		}
		return x.pass.ended
	})
	return false
}

// find is the place that is so far behind pl, by the tracks' exact lengths
// where they are held, and how far into it.
func (b *Playback) find(ctx context.Context, pl place, from time.Duration) (place, time.Duration) {
	for {
		it, ps := pl.g.at(pl.k)
		lasts := time.Duration(it.entry.Sec) * time.Second
		if it.clip != nil {
			// as long as its entry says
		} else if info, err := b.p.info(ctx, it, ps.unlocked, within(b.p.cfg.Now(), 0)); err == nil {
			lasts = length(info.Samples, info.Rate)
		}
		next := place{pl.g, pl.k + 1}
		for next.k < next.g.total && b.unwanted(next) {
			next.k++
		}
		if from < lasts || next.k == next.g.total {
			return pl, max(0, min(from, lasts))
		}
		from -= lasts
		pl = next
	}
}

func length(frames int64, rate int) time.Duration {
	return time.Duration(float64(frames) / float64(rate) * float64(time.Second))
}
