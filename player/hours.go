package player

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"playnode/node"
	"playnode/player/schedule"
)

const (
	// early is how long before a change of the schedule what comes is opened.
	early = time.Minute
	// jumped is how far back a clock goes before it is believed: how much is
	// mixed ahead varies by less, at 2 s of latency by up to 8.2 s.
	jumped = 10 * time.Second
	// reconsider is how often it is tried whether what goes first can be played,
	// while something else plays in its place; resting, after none of its tracks
	// could be.
	reconsider = 10 * time.Second
	resting    = time.Minute
	// changeFade is how long a change of the schedule takes where nobody says
	// how tracks are laid over each other, and how long it takes to be silent.
	changeFade = 3 * time.Second
)

var (
	// errGap says that the schedule wants silence.
	errGap = errors.New("nothing is scheduled now; see playnode schedule ls")

	errNoTrack = fmt.Errorf("no track of what is leased could be played: %w", node.ErrNotFound)
)

// hours is how a playback keeps to the schedule. It is Run's goroutine's.
type hours struct {
	book   func() *schedule.Schedule
	of     *schedule.Schedule // whose turn is; valid once looked
	turn   schedule.Turn
	looked bool
	on     *schedule.Cue        // that plays, or is to
	tried  time.Time            // when it was last tried whether what goes first can be played
	next   *upcoming            // what comes after turn, while that is near
	poor   map[string]time.Time // when none of a playlist's tracks could be played

	tuned  string // whose sets are heard
	untune func() // ends that
	wane   func() // and that of what played before, once no set of it sounds
}

// upcoming is what is opened before its turn; its program is nil where nothing
// need be.
type upcoming struct {
	*opening
	g     *program
	tries int
}

// look has turn be that of an instant, and tells whether it is another, or may
// be. A clock that was set is another instant.
func (h *hours) look(at time.Time) bool {
	s := h.book()
	if h.looked && s == h.of && !at.Before(h.turn.From.Add(-jumped)) && (h.turn.Until.IsZero() || at.Before(h.turn.Until)) {
		return false
	}
	h.of, h.turn, h.looked = s, s.At(at), true
	return true
}

// heardAt is when what is mixed next will be heard, by the player's clock.
func (b *Playback) heardAt() time.Time {
	now := b.p.cfg.Now()
	if t := b.sound.Load(); t != nil {
		now = now.Add(length(max(0, b.mix.sent-t.heard()), t.rate))
	}
	return now
}

// named is a request for one of the schedule's playlists.
func (b *Playback) named(playlist string) Request {
	req := b.req
	req.Name = playlist
	return req
}

// choose unlocks what is scheduled, and has it on. The error is errGap where
// there is nothing, else why what goes first cannot be played.
func (b *Playback) choose(ctx context.Context) (*program, error) {
	h := b.hours
	if b.req.Once && h.on != nil {
		return b.p.program(ctx, b.named(h.on.Playlist)) // one pass is of one
	}
	b.waned()
	h.look(b.heardAt())
	c, g, err := b.playable(ctx)
	b.putOn(ctx, c)
	return g, err
}

// playable unlocks the first of what is scheduled that can be: c is nil where
// there is an error, which is choose's.
func (b *Playback) playable(ctx context.Context) (c *schedule.Cue, g *program, err error) {
	h := b.hours
	h.tried = time.Now()
	var first error
	for i := range h.turn.Cues {
		c := &h.turn.Cues[i]
		if poor, ok := h.poor[c.Playlist]; ok && time.Since(poor) < resting {
			first = cmp.Or(first, fmt.Errorf("%q: %w", c.Playlist, errNoTrack))
			continue
		}
		g, err := b.p.program(ctx, b.named(c.Playlist))
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		if first != nil {
			b.p.fault("schedule", "", first)
		}
		return c, g, nil
	}
	if first == nil {
		first = errGap
	}
	return nil, nil, first
}

// putOn has one of what is scheduled be that which plays, or is to: its sets are
// heard from now on, and no others.
func (b *Playback) putOn(ctx context.Context, c *schedule.Cue) {
	h := b.hours
	h.on = c
	switch {
	case c != nil:
		b.tune(ctx, c.Playlist)
	case len(h.turn.Cues) > 0:
		b.tune(ctx, h.turn.First().Playlist) // it may have a set on air
	default:
		b.p.mend("schedule", "")
		b.untune()
	}
}

// standsIn has another playlist have the turn of that which was chosen, as no
// track of it could be played, for a while; it tells whether there is one.
func (b *Playback) standsIn() bool {
	h := b.hours
	if h == nil || b.req.Once || h.on == nil || len(h.turn.Cues) == 0 || *h.on == h.turn.Cues[len(h.turn.Cues)-1] {
		return false
	}
	h.poor[h.on.Playlist] = time.Now()
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	delete(b.p.places[b], h.on.Playlist) // where it was left it cannot go on
	return true
}

// waits tells whether there is something to wait for where nothing can be played
// now: what is next in a schedule.
func (b *Playback) waits(gap bool) bool {
	h := b.hours
	return h != nil && !b.req.Once && (gap || b.told.Load() && h.turn.First().Cause != schedule.Unscheduled)
}

// keepTime has what sounds be what is scheduled by when it is heard.
func (b *Playback) keepTime(ctx context.Context) {
	h := b.hours
	if h == nil || b.req.Once {
		return
	}
	b.waned()
	if b.last.g == nil && len(b.lined) == 0 {
		return // nothing was chosen yet
	}
	at := b.heardAt()
	turned := h.look(at)
	if !turned && (h.on == nil || *h.on == h.turn.First() || time.Since(h.tried) < reconsider) {
		b.getReady(ctx, at)
		return
	}
	was := h.on
	if was != nil && len(h.turn.Cues) > 0 && h.turn.First().Playlist == was.Playlist {
		h.on = &h.turn.Cues[0] // it goes on
		b.p.mend("schedule", "")
		b.drop(h.next)
		h.next = nil
		return
	}
	c, g, err := b.playable(ctx)
	stays := b.stays(was, c)
	if stays != nil {
		c = stays
	}
	b.putOn(ctx, c)
	switch {
	case stays != nil:
		if g != nil {
			g.close()
		}
		if !turned { // what comes next is as near as it was
			b.getReady(ctx, at)
			return
		}
	case err != nil:
		b.hush()
	default:
		b.change(ctx, g)
		return
	}
	b.drop(h.next)
	h.next = nil
}

// stays is the cue of what was on, where it goes on: in place of c, which was
// found playable, or of nothing. What stands in for something else is heard to
// its track's end, as anything whose lease lapses; admit asks whether another of
// its tracks begins.
func (b *Playback) stays(was, c *schedule.Cue) *schedule.Cue {
	if was == nil {
		return nil
	}
	cues := b.hours.turn.Cues
	rank := func(playlist string) int {
		return slices.IndexFunc(cues, func(c schedule.Cue) bool { return c.Playlist == playlist })
	}
	sounds := b.mix != nil && b.mix.cur != nil
	switch at := rank(was.Playlist); {
	case at < 0: // its time is over
	case c != nil && c.Playlist == was.Playlist, sounds && (c == nil || rank(c.Playlist) > at):
		return &cues[at]
	}
	return nil
}

// change has a program begin in place of what sounds.
func (b *Playback) change(ctx context.Context, g *program) {
	b.programs = append(b.programs, g)
	next := b.hours.next
	b.hours.next = nil
	if k, ok := b.sounding(g); ok { // it goes on, and what follows is the program's
		b.drop(next)
		b.leaveAll()
		b.last, b.aim = place{g, k}, goal{}
		b.teller.move(b.mix.cur.begin, b.last)
		b.remember(b.last, b.mix.cur.item)
		return
	}
	to := place{g, b.entrance(g)}
	if next != nil && next.g != nil && next.g.asked == g.asked && !b.p.stale(next.g) && !b.unwanted(next.place) {
		to = next.place
		b.lined = append(b.lined, next.opening) // jump finds it there
	} else {
		b.drop(next)
	}
	b.last = place{}
	if to.k >= to.g.total { // it has no track
		b.hush()
		return
	}
	b.jump(ctx, to, 0)
	b.leaving = b.mix != nil && b.mix.cur != nil
	b.changing = b.leaving
}

// sounding is the place in a program of the track that sounds, and is to be left
// for nothing; ok is false where it is not in it.
func (b *Playback) sounding(g *program) (k int, ok bool) {
	if b.leaving || b.mix == nil || b.mix.cur == nil || b.mix.in != nil || b.mix.out || b.mix.cur.item.entry == nil {
		return 0, false
	}
	k = g.find(b.mix.cur.item.entry.Track, 0)
	return k, k >= 0
}

// hush has what sounds fade out, and nothing follow.
func (b *Playback) hush() {
	b.leaveAll()
	b.last, b.aim, b.leaving, b.changing = place{}, goal{}, false, false
	if b.mix != nil && b.mix.cur != nil && !b.fadeAway(changeFade) {
		b.cutTo(false)
	}
}

// fadeAway has what sounds fade out within d, from where it is mixed on, and
// tells whether that can be: not in the middle of a crossfade.
func (b *Playback) fadeAway(d time.Duration) bool {
	cur := b.mix.cur
	n := min(b.frames(d), cur.end-b.mix.sent)
	if b.mix.in != nil || b.mix.owed != nil || n <= 0 {
		return false
	}
	if !b.mix.out {
		cur.cut = n < cur.end-b.mix.sent
		b.mix.hush(n)
	}
	b.leaving, b.changing = false, false
	return true
}

// entrance is where a program begins: behind the track of it that was begun
// last, where that is known, else with its first; its length where it has none.
func (b *Playback) entrance(g *program) int {
	first := 0
	b.p.mu.Lock()
	last, ok := b.p.places[b][g.asked]
	b.p.mu.Unlock()
	if ok && b.hours != nil && !b.req.Once {
		first = g.find(last, 0) + 1
	}
	for i := range g.total {
		if k := (first + i) % g.total; !b.unwanted(place{g, k}) {
			return k
		}
	}
	return g.total
}

// remember notes that a track of a program has begun: that what goes first can
// be played is known no sooner.
func (b *Playback) remember(pl place, it item) {
	h := b.hours
	if h == nil || b.req.Once || it.entry == nil {
		return
	}
	if h.on != nil && *h.on == h.turn.First() && pl.g.asked == h.on.Playlist {
		b.p.mend("schedule", "")
	}
	b.p.mu.Lock()
	defer b.p.mu.Unlock()
	b.p.places[b][pl.g.asked] = it.entry.Track
}

// getReady opens what comes next, when its turn is near.
func (b *Playback) getReady(ctx context.Context, at time.Time) {
	h := b.hours
	until := h.turn.Until
	if until.IsZero() || until.Sub(at) > early || b.mix == nil || b.mix.cur == nil {
		return
	}
	switch n := h.next; {
	case n == nil:
		n = &upcoming{}
		h.next = n
		for _, c := range h.of.At(until).Cues {
			g, err := b.p.program(ctx, b.named(c.Playlist))
			if err != nil {
				continue
			}
			b.programs = append(b.programs, g)
			if k := b.entrance(g); h.on != nil && c.Playlist != h.on.Playlist && k < g.total {
				n.g = g
				n.opening = b.opening(ctx, place{g, k}, 0, until.Sub(at))
			}
			return
		}
	case n.opening != nil && n.ready() && !n.good() && n.tries < maxLined: // what is whole goes before it
		for k := n.k + 1; k < n.g.total; k++ {
			if pl := (place{n.g, k}); !b.unwanted(pl) {
				b.leave(n.opening)
				n.opening = b.opening(ctx, pl, 0, until.Sub(at))
				n.tries++
				return
			}
		}
		n.tries = maxLined
	}
}

// drop leaves what was opened before its turn.
func (b *Playback) drop(n *upcoming) {
	if n != nil && n.opening != nil {
		b.leave(n.opening)
	}
}

// change is how long b is laid over a where the schedule changes.
func (r *Request) change(a, b item) time.Duration {
	if !r.Mixed {
		return r.Crossfade
	}
	if d := r.fade(a, b); d > 0 {
		return d
	}
	return changeFade
}

// overlap is how much of what sounds, in frames, the first in line is laid over
// at a change of the schedule; 0 for not at all.
func (b *Playback) overlap(o *opening) int64 {
	if !b.changing || b.mix.in != nil || b.mix.owed != nil || b.mix.out || o.item.set != nil {
		return 0
	}
	cur := b.mix.cur
	n := min(b.frames(b.req.change(cur.item, o.item)), cur.end-b.mix.sent, o.deck.frames*int64(b.mix.rate)/int64(o.deck.format.Rate)/2)
	if n < b.frames(shortest) {
		return 0
	}
	return n
}

// lay has the first in line begin over the last n frames of what sounds.
func (b *Playback) lay(o *opening, n int64) error {
	v, cur := o.voice(), b.mix.cur
	cur.cut = n < cur.end-b.mix.sent
	b.outgo, b.joined, b.leaving, b.changing = cur, false, false, false
	if err := b.mix.cross(v, n); err != nil {
		return err
	}
	b.take(o, v)
	return nil
}

// tune has the sets of a playlist heard, and no others any more.
func (b *Playback) tune(ctx context.Context, playlist string) {
	h := b.hours
	if b.air == nil || h.untune != nil && h.tuned == playlist {
		return
	}
	b.untune()
	ctx, h.untune = context.WithCancel(ctx)
	h.tuned = playlist
	req := b.named(playlist)
	b.wg.Go(func() { b.hearSets(ctx, req) })
}

// untune ends the hearing of sets; one that sounds is faded out first.
func (b *Playback) untune() {
	h := b.hours
	if b.air == nil || h.untune == nil {
		return
	}
	b.air.passSet()
	end, before := h.untune, h.wane
	h.untune, h.wane = nil, func() {
		end()
		if before != nil {
			before()
		}
	}
}

// waned ends the hearing of sets that were to end, once none of them sounds.
func (b *Playback) waned() {
	if h := b.hours; h.wane != nil && !b.hearsSet() {
		h.wane()
		h.wane = nil
	}
}

// hearsSet tells whether a set sounds, or is in line.
func (b *Playback) hearsSet() bool {
	for _, o := range b.lined {
		if o.item.set != nil {
			return true
		}
	}
	if b.mix == nil {
		return false
	}
	for _, v := range []*voice{b.mix.cur, b.mix.in, b.outgo} {
		if v != nil && v.item.set != nil {
			return true
		}
	}
	return false
}
