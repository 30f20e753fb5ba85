package player

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"playnode/follow"
	"playnode/internal/seal"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
)

const (
	// lookAgain is how often it is looked for playlists that are new.
	lookAgain = 10 * time.Second
	// offAirAfter is how long it takes to find out that nothing is on air.
	offAirAfter = 10 * time.Second
	// saidEvery is how often it is said how a set is heard.
	saidEvery = 10 * time.Second
)

// broadcast is one set that a playback hears, or could.
type broadcast struct {
	*reception
	name  ipns.Name
	label string
	gone  <-chan struct{} // closed when it is not wanted any more

	// What follows is guarded by airwaves.mu.
	dumb error // why no deck can hear it
	pass bool  // somebody has left it
}

// airwaves is what a playback hears of sets. At most one has a deck.
type airwaves struct {
	wake chan struct{} // holds one, and is the playback's

	mu    sync.Mutex // guards what follows
	owner *broadcast // has a deck, until that is closed
	offer *opening   // is ready to begin
	deck  *live      // the newest
	of    *broadcast // whose deck is
	begin int64      // the place where deck began; -1 before
	found bool       // a set was on air
	err   error      // why nothing will come any more
	over  bool       // the set that was listened to is

	// What follows is Run's goroutine's.
	said   time.Time // when it was last said how it is heard
	text   string
	missed int64
}

// onAir is a place on the dial.
type onAir struct {
	name  ipns.Name
	label string
	sel   manifests.SelID
	sets  Sets
	keys  Tuner
}

// OpenGuest makes a Playback of the one set that sets brings, which a key of its
// own opens: no lease is needed, or looked at, and nothing but that set is
// heard. Run's error wraps lease.ErrRefused where the key is another's.
func (p *Player) OpenGuest(req Request, name ipns.Name, sets Sets, keys Tuner, emit func(Event)) (*Playback, error) {
	req.Live = OnlySets
	b, err := p.Open(req, emit)
	if err != nil {
		return nil, err
	}
	b.dial = func(Request) ([]onAir, error) { return []onAir{{name: name, sets: sets, keys: keys}}, nil }
	return b, nil
}

// dial lists the playlists asked for that have a lease here. The error says
// why there is none.
func (p *Player) dial(req Request) (out []onAir, err error) {
	names, label, err := p.selections(req)
	if err != nil {
		return nil, err
	}
	leases := p.cfg.Leases.Leases()
	var first error
	note := func(err error) { first = cmp.Or(first, err) }
	for _, n := range names {
		c, err := p.cfg.Catalogues.Newest(n)
		if err != nil {
			note(err)
			continue
		}
		found := false
		for i := range c.Selections {
			s := &c.Selections[i]
			if label != "" && s.Label != label {
				continue
			}
			found = true
			if slices.ContainsFunc(leases, func(l lease.Lease) bool { return l.DJ == s.Manifest.DJ && l.Sel == s.ID }) {
				out = append(out, onAir{n, s.Label, s.ID, p.cfg.Sets, p.cfg.Leases})
			} else {
				note(p.terms(s.Manifest.DJ, s, lease.ErrNoLease))
			}
		}
		if !found {
			note(fmt.Errorf("%s has no playlist %q: %w", n, label, follow.ErrNotFound))
		}
	}
	if len(out) == 0 {
		return nil, first
	}
	return out, nil
}

// hearSets looks for sets of what is asked for until ctx ends.
func (b *Playback) hearSets(ctx context.Context, req Request) {
	heard := map[manifests.SelID]bool{}
	since := time.Now()
	for {
		on, err := b.dial(req)
		for _, o := range on {
			if !heard[o.sel] {
				heard[o.sel] = true
				b.wg.Go(func() { seal.Erasing(func() { b.hear(ctx, o) }) })
			}
		}
		again := lookAgain
		if len(heard) == 0 {
			again = stayFor
		}
		if b.req.Live == OnlySets {
			b.air.missing(err, len(heard) == 0 && !b.req.Wait, !b.req.Wait && time.Since(since) >= offAirAfter)
		}
		t := time.NewTimer(again)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// missing ends what only hears sets, where there can be none: for want of a
// lease at once, of a name or a playlist unless it waits.
func (a *airwaves) missing(err error, none, late bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.err != nil || a.found:
	case err != nil && (lapsed(err) || none):
		a.err = err
	case late:
		a.err = ErrOffAir
	}
	poke(a.wake)
}

// hear hears one set of a playlist after the other.
func (b *Playback) hear(ctx context.Context, o onAir) {
	var past *broadcast
	for ctx.Err() == nil {
		set, err := o.sets.OnAir(ctx, o.name, o.sel)
		if err == nil {
			x := &broadcast{reception: newReception(o.keys, b.p.cfg.Now), name: o.name, label: o.label, gone: ctx.Done()}
			x.recorded = set.Recorded()
			b.air.mu.Lock()
			b.air.found = true
			b.air.mu.Unlock()
			err = x.run(ctx, set, func() {
				if past != nil && past.set() == x.set() { // the same set again
					b.air.mu.Lock()
					x.pass = x.pass || past.pass || past.ended()
					b.air.mu.Unlock()
				}
				b.offer(ctx, x)
			})
			set.Close()
			past = x
			b.drain(ctx, x, err)
		}
		if ctx.Err() == nil && !errors.Is(err, io.EOF) {
			b.p.cfg.Log.Info("on air", "name", o.name, "playlist", o.label, "err", err)
		}
		t := time.NewTimer(stayFor)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// drain waits until what came of a set was heard.
func (b *Playback) drain(ctx context.Context, x *broadcast, err error) {
	defer x.close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && b.offer(ctx, x) {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if b.req.Live == OnlySets && errors.Is(err, io.EOF) {
		b.air.mu.Lock()
		b.air.over = true
		b.air.mu.Unlock()
		poke(b.air.wake)
	}
}

// offer opens a deck at a set, if there is enough of it and no other set has
// one. It tells whether there is, or may be, more to hear of what has come.
func (b *Playback) offer(ctx context.Context, x *broadcast) bool {
	a := b.air
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case x.dumb != nil || x.pass:
		return false
	case a.owner == x:
		return true
	case a.owner != nil:
		return x.waits()
	case !x.begin():
		err := x.silenced()
		if err != nil && b.req.Live == OnlySets && a.err == nil {
			a.err = err
			poke(a.wake)
		}
		return false
	}
	a.owner = x
	b.wg.Go(func() { b.openSet(ctx, x) })
	return true
}

// openSet opens a deck at a set, and offers it.
func (b *Playback) openSet(ctx context.Context, x *broadcast) {
	a := b.air
	ctx, cancel := context.WithCancel(ctx)
	fail := func(err error) {
		cancel()
		x.leave()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.owner, x.dumb = nil, fmt.Errorf("set %s of %q: %w", x.set(), x.label, err)
		b.p.fault("set", "", x.dumb)
		if b.req.Live == OnlySets && a.err == nil {
			a.err = x.dumb
		}
		poke(a.wake)
	}
	dec, err := newLive(ctx, x.reception, b.p.cfg.Audio)
	if err != nil {
		fail(err)
		return
	}
	dec.ahead = func(given int64) (time.Duration, bool) { return a.ahead(b.sound.Load(), dec, given) }
	own := cancel
	cancel = sync.OnceFunc(func() {
		own()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.owner, a.offer = nil, nil
		poke(a.wake)
	})
	set := &manifests.Info{Codec: dec.init.Codec, Rate: dec.rate, Channels: Channels, Title: x.first()}
	d := startDeck(ctx, cancel, item{name: x.name, label: x.label, set: x}, set, dec, 0)
	var first *block
	select {
	case first = <-d.full:
	case <-ctx.Done():
	}
	if first == nil || first.frames == 0 {
		d.close()
		return
	}
	o := &opening{item: d.item, cancel: cancel, since: time.Now(), urge: within(b.p.cfg.Now(), 0), done: make(chan struct{}), deck: d, first: first, gain: 1}
	close(o.done)
	a.mu.Lock()
	a.offer, a.deck, a.of, a.begin = o, dec, x, -1
	a.mu.Unlock()
	poke(a.wake)
}

// ahead is how much of what a deck has given is still to be heard on a
// loudspeaker.
func (a *airwaves) ahead(t *transport, d *live, given int64) (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t == nil || !t.card || a.deck != d || a.begin < 0 {
		return 0, false
	}
	return length(given-a.frame(t), d.rate), true
}

// frame is the deck's that is heard now; at most 0 before the first. mu is held.
func (a *airwaves) frame(t *transport) int64 {
	return (t.heard() - a.begin) * int64(a.deck.rate) / int64(t.rate)
}

// offers tells whether a set is ready to begin.
func (a *airwaves) offers() bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.offer != nil
}

// tuneIn has a set that is offered be the next, in place of what sounds.
func (b *Playback) tuneIn() {
	a := b.air
	if a == nil || b.leaving || b.mix != nil && b.mix.cur != nil && b.mix.cur.item.set != nil {
		return
	}
	a.mu.Lock()
	o := a.offer
	a.offer = nil
	a.mu.Unlock()
	if o == nil {
		return
	}
	select {
	case <-o.item.set.gone:
		b.leave(o)
		return
	default:
	}
	o.place = b.last
	b.lined = slices.Insert(b.lined, 0, o)
	if b.mix != nil && b.mix.cur != nil {
		b.leaving, b.left = true, time.Now()
	}
}

// listen is turn where nothing but sets is heard.
func (b *Playback) listen(ctx context.Context) error {
	a := b.air
	if len(b.lined) > 0 {
		return b.bring(ctx, b.lined[0])
	}
	a.mu.Lock()
	err, over := a.err, a.over && a.owner == nil
	a.mu.Unlock()
	if err != nil && b.ended == nil {
		b.ended = err
		if b.told.Load() && lapsed(err) {
			b.tell(b.lapse(Event{Err: err}))
		}
	}
	if b.ended != nil || over {
		return errOver
	}
	if t := b.sound.Load(); t != nil {
		t.idle.Store(true)
	}
	return b.await(ctx, false)
}

// airs notes where a set begins.
func (b *Playback) airs(v *voice) {
	a := b.air
	a.mu.Lock()
	a.begin = v.begin
	a.mu.Unlock()
	a.said, a.text, a.missed = time.Time{}, "", 0
}

// signOff tells why a set is heard no more, at place at.
func (b *Playback) signOff(v *voice, at int64) {
	e := about(v.deck)
	e.Kind = EndTrack
	b.joined = errors.Is(v.over, io.EOF)
	if !b.joined && !errors.Is(v.over, context.Canceled) {
		e.Cut, e.Err = true, v.over
	}
	b.tell(mark{at: at, event: e, begun: v.begin})
	if lapsed(v.over) {
		b.p.fault("lease", "", v.over)
		if b.req.Live == OnlySets && b.ended == nil {
			b.ended = v.over
			b.tell(b.lapse(Event{Name: e.Name, Playlist: e.Playlist, Set: e.Set, Err: v.over}))
		}
	}
}

// passSet leaves the set that is heard for good.
func (a *airwaves) passSet() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.owner != nil {
		a.owner.pass = true
	}
}

// resume leaves out what has come of a set during a pause, but for what it has
// in advance.
func (a *airwaves) resume(t *transport) {
	if a == nil || t == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.owner != nil && a.owner == a.of && a.begin >= 0 {
		a.owner.resume(length(a.deck.ends()-a.frame(t), a.deck.rate))
	}
}

// Reception is how a set is heard.
type Reception struct {
	// Set is its id, Text what is on.
	Set, Text string
	// Lag is how long ago what is heard was played; by the DJ's clock and this
	// box's. Recorded says that it is over, and Lag nothing.
	Lag      time.Duration
	Recorded bool
	// Buffer is how much of it is here and not heard yet, Target how much is
	// waited for before it is heard.
	Buffer, Target time.Duration
	// Missing counts the segments that were not here in time.
	Missing int64
}

// reception is how the set is heard that is; ok is false where none is.
func (b *Playback) reception() (out Reception, ok bool) {
	t, a := b.sound.Load(), b.air
	if t == nil || a == nil {
		return out, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.deck == nil || a.begin < 0 || t.heard() <= a.begin {
		return out, false
	}
	at := a.frame(t)
	played, text, ok := a.deck.at(at)
	if !ok {
		return out, false
	}
	held, target, missed := a.of.stands()
	out = Reception{Set: a.of.set().String(), Text: text, Lag: b.p.cfg.Now().Sub(played), Recorded: a.of.recorded, Target: target, Missing: missed}
	out.Buffer = held + length(a.deck.ends()-at, a.deck.rate)
	return out, true
}

// say tells how a set is heard: first, where something else is on or missing,
// and now and then.
func (b *Playback) say() {
	a := b.air
	r, ok := b.reception()
	if !ok || r.Text == a.text && r.Missing == a.missed && !a.said.IsZero() && time.Since(a.said) < saidEvery {
		return
	}
	a.said, a.text, a.missed = time.Now(), r.Text, r.Missing
	a.mu.Lock()
	e := Event{Kind: OnAir, Name: a.of.name.String(), Playlist: a.of.label, Set: r.Set, Title: r.Text, Reception: &r}
	a.mu.Unlock()
	b.tell(mark{at: b.sound.Load().heard(), event: e})
}
