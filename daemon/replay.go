package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"playnode/ipns"
	"playnode/lease"
	"playnode/live"
	"playnode/manifests"
	"playnode/node"
	"playnode/player"
)

// guest is what a link leads to, as this box's player hears it: a set that is on
// air, or an excerpt; see player.Sets. It opens what comes, too; see
// player.Tuner. Safe for concurrent use.
type guest struct {
	n    *network
	link manifests.OpenLink
	// card is the DJ's, where she is not followed; else nil.
	card func(context.Context) (*manifests.Card, error)

	mu      sync.Mutex     // guards what follows
	stretch *lease.Stretch // what is heard, if it is that
	refused error          // why it is not
}

// Tune opens a record by the link's key.
func (g *guest) Tune(l *manifests.Live) (*lease.Tuned, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stretch != nil {
		return g.stretch.Tune(l)
	}
	return lease.SetKeyOf(g.link).Tune(l)
}

// OnAir waits for something of the set to come, and not for it to be told of:
// of two sets of a DJ who is not followed the newest alone is. Meanwhile it looks
// for an excerpt under the link's id: where there is one the set is over, also if
// somebody still gives its end.
func (g *guest) OnAir(ctx context.Context, _ ipns.Name, _ manifests.SelID) (player.Set, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	set := live.Set{DJ: g.link.DJ, Live: g.link.ID}
	h := &hearing{g.n.air, set, g.n.air.carrier.Hear(set, 0)}
	type word struct {
		item player.LiveItem
		err  error
	}
	first, found := make(chan word, 1), make(chan *lease.Stretch, 1)
	go func() {
		item, err := h.Next(waiting)
		first <- word{item, err}
	}()
	go func() { g.seek(waiting, found) }()
	var x *word
	var patience <-chan time.Time
	looked := false // for an excerpt: what comes of the set is not kept waiting for one any more
	for {
		select {
		case w := <-first:
			if x = &w; w.err == nil && !looked {
				t := time.NewTimer(glance)
				defer t.Stop()
				patience = t.C
			}
		case s := <-found:
			if s != nil {
				cancel()
				if x == nil {
					<-first
				}
				h.Close()
				if err := g.n.begins(ctx, s); err != nil {
					return nil, err
				}
				g.mu.Lock()
				defer g.mu.Unlock()
				g.stretch = s
				return &replay{n: g.n, stretch: s}, nil
			}
			looked = true
		case <-patience:
			looked = true
		}
		switch {
		case x == nil || !looked:
		case x.err != nil:
			return nil, errors.Join(x.err, h.Close())
		default:
			return &joined{h, &x.item}, nil
		}
	}
}

// seek looks for the excerpt that the link leads to until there is one: the
// version that has it may be on its way. It says nil after each look in vain.
func (g *guest) seek(ctx context.Context, found chan<- *lease.Stretch) {
	for {
		s, err := g.find(ctx)
		if err != nil && ctx.Err() == nil {
			g.n.air.d.log.Info("look for an excerpt", "err", err)
		}
		select {
		case found <- s:
		case <-ctx.Done():
			return
		}
		if s != nil {
			return
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return
		}
	}
}

// begins waits until one of an excerpt's first segments is here: where nobody has
// them it is as good as not there. It ends with ctx.
func (n *network) begins(ctx context.Context, s *lease.Stretch) error {
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	here := make(chan struct{}, beginning)
	for i := range min(beginning, s.Len()) {
		go func() {
			for asking.Err() == nil {
				if _, err := n.fetch.Get(asking, s.Head(i).Seg, node.Want{Class: node.Now}); err == nil {
					here <- struct{}{}
					return
				}
				select {
				case <-time.After(lookAgain):
				case <-asking.Done():
				}
			}
		}()
	}
	select {
	case <-here:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// find opens the excerpt that the link leads to; nil where there is none.
func (g *guest) find(ctx context.Context) (*lease.Stretch, error) {
	block, ok := g.n.excerpt(g.n.air.d.keys.DJ(), live.Set{DJ: g.link.DJ, Live: g.link.ID})
	if !ok && g.card != nil {
		card, err := g.card(ctx)
		if err != nil {
			return nil, err
		}
		block, ok = excerptOf(card, g.link.ID)
	}
	if !ok {
		return nil, nil
	}
	sealed, err := g.n.fetch.Get(ctx, block, node.Want{Class: node.Now})
	if err != nil {
		return nil, fmt.Errorf("fetch an excerpt: %w", err)
	}
	s, err := lease.ExcerptKeyOf(g.link).Stretch(sealed)
	if err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.refused = err
	}
	return s, err
}

// why is the error of a playback of what the link leads to.
func (g *guest) why(err error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused != nil && errors.Is(err, player.ErrOffAir) {
		return g.refused
	}
	return err
}

// joined is a hearing of which the first item is here.
type joined struct {
	*hearing
	first *player.LiveItem
}

func (j *joined) Next(ctx context.Context) (player.LiveItem, error) {
	if it := j.first; it != nil {
		j.first = nil
		return *it, nil
	}
	return j.hearing.Next(ctx)
}

// glance is how long it is looked for an excerpt when something of a set has come:
// sound waits for two segments of it as long.
const glance = 300 * time.Millisecond

// lookAgain is how long it is until it is looked again for an excerpt that is not
// there, as a page does; beginning is how many segments are the first.
const (
	lookAgain = time.Second
	beginning = 8
)

// pieceWithin is how long a segment of an excerpt is waited for before it is
// missing.
const pieceWithin = 6 * time.Second

// replay is an excerpt as a player hears it.
type replay struct {
	n       *network
	stretch *lease.Stretch
	next    int
	told    bool // the record that next is under
}

func (r *replay) Next(ctx context.Context) (player.LiveItem, error) {
	if r.next == r.stretch.Len() {
		return player.LiveItem{}, io.EOF
	}
	if l := r.stretch.Record(r.next); l != nil && !r.told {
		r.told = true
		return player.LiveItem{Record: l}, nil
	}
	h := r.stretch.Head(r.next)
	r.next, r.told = r.next+1, false
	in, cancel := context.WithTimeout(ctx, pieceWithin)
	defer cancel()
	sealed, err := r.n.fetch.Get(in, h.Seg, node.Want{Class: node.Now, Deadline: r.n.air.d.now().Add(pieceWithin)})
	switch {
	case ctx.Err() != nil:
		return player.LiveItem{}, ctx.Err()
	case err != nil:
		return player.LiveItem{Missing: 1}, nil
	}
	return player.LiveItem{Head: h, Sealed: sealed}, nil
}

// Recorded is true: a pause misses nothing of it.
func (r *replay) Recorded() bool { return true }

func (r *replay) Close() error { return nil }
