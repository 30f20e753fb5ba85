package player

import (
	"context"
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

// get gets a block that is heard in so much time after the track's beginning. It
// waits for patience longer than that.
func (u *urge) get(ctx context.Context, from node.Getter, now func() time.Time, c cid.Cid, class node.Class, in, patience time.Duration) ([]byte, error) {
	lead := u.lead(now())
	ctx, cancel := context.WithTimeout(ctx, lead+in+patience)
	defer cancel()
	w := node.Want{Class: class, Deadline: now().Add(lead + in)}
	if lead > 0 {
		w.Class = max(class, node.Next)
		go func() {
			select {
			case <-u.waited:
			case <-ctx.Done():
				return
			}
			soon, done := context.WithTimeout(ctx, in+patience)
			defer done()
			if _, err := from.Get(soon, c, node.Want{Class: class, Deadline: now().Add(in)}); err != nil {
				cancel()
			}
		}()
	}
	return from.Get(ctx, c, w)
}
