package player

import (
	"context"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

const (
	// sure is how much of a track from its beginning on must be here for it
	// to begin as if it were whole: the rest has that long to come.
	sure = 30 * time.Second
	// recheck is how often a track in line is looked at that is not.
	recheck = time.Second
)

// lacks is the first leaf of a deck's track, from leaf i on, that is not on
// this box, and when it is heard after the track's beginning; -1 where all is
// here. A store that cannot say has it.
func (p *Player) lacks(ctx context.Context, d *deck, i int) (int, time.Duration) {
	if p.cfg.Held == nil || d.file == nil {
		return -1, 0
	}
	for ; i < len(d.file.tree.Leaves); i++ {
		l := &d.file.tree.Leaves[i]
		if has, err := p.cfg.Held.Has(ctx, l.CID); err == nil && !has {
			return i, time.Duration(float64(l.At) / d.file.pace * float64(time.Second))
		}
	}
	return -1, 0
}

// ask fetches a block that will be heard in so much time, and says whether it
// came before patience had an end.
func (p *Player) ask(ctx context.Context, c cid.Cid, in time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Patience)
	defer cancel()
	_, err := p.cfg.Fetch.Get(ctx, c, node.Want{Class: node.Next, Deadline: p.cfg.Now().Add(in)})
	return err == nil
}

// watch keeps o.short true while it is in line, and asks for the blocks that
// are not here, one after the other. A track is short while one of its first
// is not here, or any that cannot be had.
func (b *Playback) watch(ctx context.Context, o *opening, d *deck) {
	failed, i := false, 0
	for !o.taken.Load() && ctx.Err() == nil {
		var in time.Duration
		i, in = b.p.lacks(ctx, d, i)
		if short := i >= 0 && (failed || in < sure); o.short.Swap(short) != short {
			poke(b.opened)
		}
		if i < 0 {
			return
		}
		if failed = !b.p.ask(ctx, d.file.tree.Leaves[i].CID, o.urge.lead(b.p.cfg.Now())+in); !failed {
			i++
			continue
		}
		select {
		case <-time.After(recheck):
		case <-ctx.Done():
		}
	}
}
