package follow

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
	"playnode/node"
)

// Bring has tracks of followed names whole here, in their order, before what lies
// between the ends of all other tracks. The error wraps ErrFull where there is no
// room for some of it, ErrNotFound where it could not be had, or is ctx's; what
// has come stays.
func (f *Follower) Bring(ctx context.Context, tracks []*manifests.Entry) error {
	w := &walk{f: f, get: f.cfg.Fetch.Get, tails: node.Soon, report: func(Progress) {}, known: map[cid.Cid]bool{}}
	f.mu.Lock()
	f.walks[w] = true
	f.mu.Unlock()
	defer f.endWalk(w)
	entries := make([]manifests.Entry, len(tracks))
	for i, e := range tracks {
		entries[i] = *e
	}
	err := w.leaves(ctx, nil, entries, false)
	if n := w.lacking.Load(); err == nil && n > 0 {
		err = fmt.Errorf("%d blocks are left out: %w", n, ErrFull)
	}
	if err != nil {
		return fmt.Errorf("bring %d tracks: %w", len(tracks), kindOf(err))
	}
	return nil
}
