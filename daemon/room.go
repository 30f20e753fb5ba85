package daemon

import (
	"context"
	"hash/maphash"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/manifests"
	"playnode/node"
)

// ahead is what counts as today.
const ahead = 24 * time.Hour

// sparing is how many times as long as it took to find nothing to let go is
// waited before it is looked for again, where there is room enough; lookAnyway
// is after how long it is looked for where nothing has come or gone.
const (
	sparing    = 100
	lookAnyway = time.Hour
	// soonAgain is after how long it is tried again where somebody was writing.
	soonAgain = 5 * time.Second
)

// keeps is how dear tracks are to this box. Safe for concurrent use.
type keeps struct {
	mu     sync.Mutex // guards tracks
	tracks map[cid.Cid]follow.Priority
}

func (k *keeps) of(track cid.Cid) follow.Priority {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p, ok := k.tracks[track]; ok {
		return p
	}
	return follow.Unleased
}

// appraise finds out anew how dear tracks are: what a lease unlocks, and of
// that what plays within a day, from the track that plays now on, which it gives.
func (d *Daemon) appraise(ctx context.Context, n *network) []*manifests.Entry {
	tracks := map[cid.Cid]follow.Priority{}
	leased := map[string]bool{}
	for _, l := range d.venue.Leases() {
		if d.held(l).State == "active" {
			leased[l.DJ.String()+"/"+l.Sel.String()] = true
		}
	}
	for _, s := range n.follow.Follows() {
		c, err := n.follow.Newest(s.Name)
		if err != nil {
			continue
		}
		for _, sel := range c.Selections {
			if !leased[c.DJ.String()+"/"+sel.ID.String()] {
				continue
			}
			for _, e := range sel.Entries {
				tracks[e.Track] = follow.Leased
			}
		}
	}
	playing := ""
	if track, _ := d.sound.now(); track != nil {
		playing = track.CID
	}
	soon := n.player.Ahead(ctx, playing, ahead)
	for _, e := range soon {
		tracks[e.Track] = follow.Today
	}
	n.keeps.mu.Lock()
	n.keeps.tracks = tracks
	n.keeps.mu.Unlock()
	return soon
}

// state is what is told at no cost of all that is held, and of what keeps it.
type state struct {
	used  int64
	own   cid.Cid // the DJ's head
	roots uint64  // a sum of pins and followed versions
}

// state is unknown where something is kept for a time alone, or as far as there
// is room.
func (d *Daemon) state(ctx context.Context, n *network, seed maphash.Seed) (s state, known bool) {
	if d.repo.Config.StoreLimit > 0 || n.carries() {
		return s, false
	}
	pins, err := n.node.Pins(ctx)
	if err != nil {
		return s, false
	}
	for _, p := range pins { // in no order
		s.roots += maphash.Comparable(seed, p)
	}
	for _, f := range n.follow.Follows() {
		s.roots += maphash.Comparable(seed, node.Pin{Name: f.Name.String(), Root: f.Envelope})
	}
	if s.own, _, err = n.publisher.Head(); err != nil {
		return s, false
	}
	s.used, err = n.node.Used(ctx)
	return s, err == nil
}

// keepRoom lets go of what nothing keeps, and of what the limit has no room
// for. While nothing comes or goes it looks once an hour.
func (d *Daemon) keepRoom(ctx context.Context, n *network) error {
	seed := maphash.MakeSeed()
	var calm state
	var looked time.Time // zero unless nothing was to be let go in the state of calm
	for {
		began := time.Now()
		now, known := d.state(ctx, n, seed)
		wait := time.Minute
		if !known || now != calm || began.Sub(looked) >= lookAnyway {
			freed, err := d.makeRoom(ctx, n)
			calm, looked = now, time.Time{}
			if freed.PutOff {
				wait = soonAgain
			}
			if known && err == nil && freed == (follow.Freed{}) {
				looked = time.Now()
				wait = max(wait, sparing*looked.Sub(began)) // all that is held was looked at
				debug.FreeOSMemory()                        // and noted; it is not looked at again for long
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// makeRoom looks once.
func (d *Daemon) makeRoom(ctx context.Context, n *network) (follow.Freed, error) {
	if d.repo.Config.StoreLimit > 0 {
		d.appraise(ctx, n)
	}
	freed, err := n.follow.Collect(ctx)
	if err != nil && ctx.Err() == nil {
		d.log.Error("free room", "err", err)
	}
	if freed.Blocks > 0 {
		d.log.Info("freed", "blocks", freed.Blocks, "bytes", freed.Bytes)
	}
	return freed, err
}
