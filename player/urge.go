package player

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// urge is how soon a track's blocks are wanted. One that waits in line does not
// want them before those of the track that plays; when somebody waits for it,
// all that it has asked for is asked for anew, as urgent as it is by then. Safe
// for concurrent use.
type urge struct {
	begins time.Time     // when it is to begin, by the player's clock
	waited chan struct{} // closed when somebody waits for it
	once   sync.Once
}

// within is one of a track that is to begin in so much time; at once where that
// is none.
func within(now time.Time, lead time.Duration) *urge {
	u := &urge{begins: now.Add(lead), waited: make(chan struct{})}
	if lead <= 0 {
		u.hurry()
	}
	return u
}

// hurry says that somebody waits for the track.
func (u *urge) hurry() { u.once.Do(func() { close(u.waited) }) }

// lead is how long it is until the track begins.
func (u *urge) lead(now time.Time) time.Duration {
	select {
	case <-u.waited:
		return 0
	default:
		return max(0, u.begins.Sub(now))
	}
}

// lead is how long it is until what is lined up next is heard, if all before it is.
// What stands by in case that is not here in time has its blocks come after those:
// on a line that is slow anyway both would come too late.
func (b *Playback) lead() time.Duration {
	t := b.sound.Load()
	if t == nil || !t.card || b.leaving && len(b.lined) == 0 {
		return 0
	}
	lead := time.Duration(0)
	switch cur := b.mix.cur; {
	case b.leaving || cur == nil || !b.lateAt.IsZero() && time.Since(b.lateAt) > briefly: // it may be left at any time
	case cur.item.set != nil: // it may end at any time
		lead = nearBy
	default:
		lead = max(0, length(cur.end-b.mix.sent, t.rate))
	}
	for _, o := range b.lined {
		if o.item.entry != nil {
			lead += time.Duration(o.item.entry.Sec) * time.Second
		}
	}
	return lead
}

// get gets a block that is heard in so much time after the track's beginning.
// Where nothing of it comes for the player's patience beyond that, the error
// wraps node.ErrNotFound.
func (u *urge) get(ctx context.Context, p *Player, c cid.Cid, class node.Class, in time.Duration) ([]byte, error) {
	lead := u.lead(p.cfg.Now())
	until, cancel := context.WithCancel(ctx)
	defer cancel()
	w := node.Want{Class: class, Deadline: p.cfg.Now().Add(lead + in)}
	if lead > 0 {
		w.Class = max(class, node.Next)
	}
	go func() {
		late := time.NewTimer(lead + in + p.cfg.Patience)
		defer late.Stop()
		waited := u.waited
		if lead == 0 {
			waited = nil
		}
		for {
			select {
			case <-late.C:
				if p.cfg.Coming == nil || !p.cfg.Coming(c) {
					cancel()
					return
				}
				late.Reset(p.cfg.Patience)
			case <-waited:
				waited = nil
				late.Reset(in + p.cfg.Patience)
				go p.cfg.Fetch.Get(until, c, node.Want{Class: class, Deadline: p.cfg.Now().Add(in)}) // the one that runs goes at its pace
			case <-until.Done():
				return
			}
		}
	}()
	data, err := p.cfg.Fetch.Get(until, c, w)
	if err != nil && ctx.Err() == nil && until.Err() != nil {
		err = fmt.Errorf("no block within %s: %w", p.cfg.Patience+in, node.ErrNotFound)
	}
	return data, err
}
