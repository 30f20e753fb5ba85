package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// place is one of a program's; the zero place is before all programs.
type place struct {
	g *program
	k int
}

// track is what is there.
func (pl place) track() cid.Cid {
	it, _ := pl.g.at(pl.k)
	return it.entry.Track
}

// opening is a deck that is opened before its turn.
type opening struct {
	place
	item   item
	pass   *pass
	in     time.Duration // how far into the track it begins
	cancel context.CancelFunc
	since  time.Time   // when it was lined up
	urge   *urge       // how soon it is wanted
	again  bool        // it is tried a second time
	by     *program    // of a later version, by which it is what comes next, too; nil: none was looked at
	short  atomic.Bool // too little of it is here
	thin   atomic.Bool // the rest comes more slowly than it sounds
	taken  atomic.Bool // it has begun

	done   chan struct{} // closed when what follows may be read
	deck   *deck
	first  *block // of the deck's, with sound in it
	gain   float32
	coming *Coming // what it is to others
	err    error

	become *voice // what it is, or will be, in the mix
	cued   bool   // that stands where it is heard first in a crossfade
}

func (o *opening) ready() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// usable tells whether it could begin now.
func (o *opening) usable() bool { return o.ready() && o.err == nil }

// waits tells whether it is better heard later: it would run out.
func (o *opening) waits() bool { return o.thin.Load() && time.Since(o.since) < thinFor }

// good tells whether it could begin now, and will not want for blocks.
func (o *opening) good() bool { return o.usable() && !o.short.Load() }

// line has the deck of a place opened, behind those that are; it is to begin in
// so much time.
func (b *Playback) line(ctx context.Context, pl place, in, lead time.Duration) {
	b.lined = append(b.lined, b.opening(ctx, pl, in, lead))
}

// opening has the deck of a place opened.
func (b *Playback) opening(ctx context.Context, pl place, in, lead time.Duration) *opening {
	o := &opening{place: pl, in: in, urge: within(b.p.cfg.Now(), lead)}
	o.item, o.pass = pl.g.at(pl.k)
	b.open(ctx, o)
	return o
}

func (b *Playback) open(ctx context.Context, o *opening) {
	ctx, o.cancel = context.WithCancel(ctx)
	o.since = time.Now()
	done := make(chan struct{})
	o.done = done
	b.wg.Go(func() {
		deck, first, err := b.levelledSound(ctx, o)
		o.deck, o.first, o.err = deck, first, err
		if err == nil {
			e := about(deck)
			o.coming = &Coming{e.CID, e.Title, e.Artist}
		}
		if err == nil && deck.file != nil && time.Since(o.since) >= measured { // a slow line, or nobody in a hurry
			i, _ := b.p.lacks(ctx, deck, 0)
			o.thin.Store(i >= 0 && new(pace).thin(o.since, deck.file, i))
		}
		close(done)
		poke(b.opened)
		if err == nil && o.in == 0 {
			b.watch(ctx, o, deck)
		}
	})
}

// levelledSound opens a deck, waits until it has sound, and sets how loud it is.
func (b *Playback) levelledSound(ctx context.Context, o *opening) (*deck, *block, error) {
	k := o.g.within(o.k)
	if o.pass.order != nil && !math.IsNaN(b.target) {
		class := node.Now
		if o.urge.lead(b.p.cfg.Now()) > 0 {
			class = node.Next
		}
		look, cancel := context.WithCancel(ctx)
		defer cancel()
		b.wg.Go(func() { b.p.around(look, o.pass, k, class) })
	}
	d, first, err := b.firstSound(ctx, o)
	if err == nil {
		o.gain = b.levelled(ctx, o.pass, k, d, o.since.Add(levelPatience))
	}
	return d, first, err
}

// firstSound opens a deck and waits until it has sound, and enough for whoever
// decodes the rest not to be held to the moment.
func (b *Playback) firstSound(ctx context.Context, o *opening) (*deck, *block, error) {
	open := func() (*deck, error) { return b.p.openDeck(ctx, o.item, o.pass.unlocked, o.in, o.urge) }
	if o.item.clip != nil {
		open = func() (*deck, error) { return b.p.openClip(ctx, o.item) }
	}
	d, err := open()
	if err != nil {
		return nil, nil, err
	}
	select {
	case first := <-d.full:
		if first.frames > 0 {
			own := d.cancel
			d.cancel = func() { own(); o.cancel() }
			d.lead(ctx)
			return d, first, nil
		}
		if err = first.err; errors.Is(err, io.EOF) {
			err = fmt.Errorf("track %s has no sound: %w", o.item.entry.Track, node.ErrNotFound)
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	d.close()
	return nil, nil, err
}

// voice is what was opened, for the mix.
func (o *opening) voice() *voice {
	if o.become == nil {
		o.become = newVoice(o.deck, o.gain)
		o.become.take(o.first)
	}
	return o.become
}

// cue brings what was opened to where it is heard first in a crossfade, as
// far as it is decoded, and tells whether it stands there.
func (o *opening) cue() bool {
	if !o.cued {
		v := o.voice()
		from, _ := o.item.bounds(o.deck.info, o.deck.from+o.deck.frames)
		o.cued = v.drop(from - o.deck.from)
	}
	return o.cued
}

// leave closes what was opened and is not played.
func (b *Playback) leave(o *opening) {
	o.cancel()
	b.wg.Go(func() {
		<-o.done
		if o.deck != nil {
			o.deck.close()
		}
	})
}

// leaveAll leaves all that is lined up.
func (b *Playback) leaveAll() {
	for _, o := range b.lined {
		b.leave(o)
	}
	b.lined = nil
}

// silence closes a voice's deck.
func (b *Playback) silence(v *voice) {
	if v != nil {
		v.cancel()
		b.wg.Go(v.close)
	}
}
