package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
)

// ahead is what counts as today.
const ahead = 24 * time.Hour

// sparing is how many times as long as it took to find nothing to let go is
// waited before it is looked for again, where there is room enough.
const sparing = 100

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
// that what plays within a day, from the track that plays now on.
func (d *Daemon) appraise(ctx context.Context, n *network) {
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
	for _, c := range n.player.Ahead(ctx, playing, ahead) {
		tracks[c] = follow.Today
	}
	n.keeps.mu.Lock()
	n.keeps.tracks = tracks
	n.keeps.mu.Unlock()
}

// keepRoom lets go of what nothing keeps, and of what the limit has no room
// for.
func (d *Daemon) keepRoom(ctx context.Context, n *network) error {
	for {
		began := time.Now()
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
		wait := time.Minute
		if err == nil && d.repo.Config.StoreLimit == 0 && freed.Blocks == 0 {
			wait = max(wait, sparing*time.Since(began)) // all that is held was looked at
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}
