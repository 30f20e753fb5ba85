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
	// measured is how long a line is looked at before it is judged.
	measured = time.Second
	// thinFor is how long a loudspeaker waits for a track that comes more slowly
	// than it sounds, so that it will not run out.
	thinFor = time.Minute
	// caution is the share of a line's rate so far that is counted on for the next
	// leaf: on a line that loses packets one takes far longer than another.
	caution = 2. / 3
	// unread is how much of what has come of a track cannot be heard yet, at the
	// most, in bytes: a chunk of its cipher that is not whole, and its header.
	unread = 68 << 10
)

// lacks is the first leaf of a deck's track, from leaf i on, that is not on
// this box, and when it is needed after the track's beginning; -1 where all is
// here. A store that cannot say has it.
func (p *Player) lacks(ctx context.Context, d *deck, i int) (int, time.Duration) {
	if p.cfg.Held == nil || d.file == nil {
		return -1, 0
	}
	for ; i < len(d.file.tree.Leaves); i++ {
		if has, err := p.cfg.Held.Has(ctx, d.file.tree.Leaves[i].CID); err == nil && !has {
			return i, d.file.until(i, 0)
		}
	}
	return -1, 0
}

// ask fetches a block that will be heard in so much time, and says whether it
// came before nothing of it had come for as long as patience lasts.
func (p *Player) ask(ctx context.Context, c cid.Cid, in time.Duration) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for p.patient(ctx, c) {
		}
		cancel()
	}()
	_, err := p.cfg.Fetch.Get(ctx, c, node.Want{Class: node.Next, Deadline: p.cfg.Now().Add(in)})
	return err == nil
}

// patient waits for as long as patience lasts, and tells whether a block has
// been coming.
func (p *Player) patient(ctx context.Context, c cid.Cid) bool {
	select {
	case <-time.After(p.cfg.Patience):
		return p.cfg.Coming != nil && p.cfg.Coming(c)
	case <-ctx.Done():
		return false
	}
}

// watch keeps o.short and o.thin true while it is in line, and asks for the
// blocks that are not here, one after the other. A track is short while one of
// its first is not here, unless all come in time as they have come so far, or while
// there is any that cannot be had.
func (b *Playback) watch(ctx context.Context, o *opening, d *deck) {
	failed, i := false, 0
	var line pace
	for !o.taken.Load() && ctx.Err() == nil {
		var in time.Duration
		i, in = b.p.lacks(ctx, d, i)
		b.judge(o, d, &line, i, in, failed)
		if i < 0 {
			return
		}
		came := make(chan bool, 1)
		go func() { came <- b.p.ask(ctx, d.file.tree.Leaves[i].CID, o.urge.lead(b.p.cfg.Now())+in) }()
		for waiting := true; waiting; {
			select {
			case ok := <-came:
				failed, waiting = !ok, false
			case <-time.After(recheck): // what does not come makes the line slower
				b.judge(o, d, &line, i, in, failed)
			}
		}
		if !failed {
			i++
			continue
		}
		select {
		case <-time.After(recheck):
		case <-ctx.Done():
		}
	}
}

// judge sets o.short and o.thin, leaf i being the first that is not here and due so
// long after its beginning; none is where i is below 0.
func (b *Playback) judge(o *opening, d *deck, line *pace, i int, in time.Duration, failed bool) {
	thin := i >= 0 && line.thin(o.since, d.file, i)
	short := i >= 0 && (failed || in < sure && (thin || !line.known(d.file, i)))
	same := o.short.Swap(short) == short
	if o.thin.Swap(thin) != thin || !same {
		poke(b.opened)
	}
}

// pace is how quickly a track comes that is not here.
type pace struct {
	since time.Time
	from  int64 // how much of it was here then
}

// thin tells whether the rest of a track, from leaf i on, comes so slowly that
// its sound may run out, were it to begin now: before the next leaf is there, or
// before the last. lined is since when it is asked for.
func (l *pace) thin(lined time.Time, f *file, i int) bool {
	at := f.tree.Leaves[i].At
	if l.since.IsZero() {
		if l.since = lined; time.Since(lined) < measured {
			l.since, l.from = time.Now(), at // the beginning was here
		}
	}
	if !l.known(f, i) {
		return false
	}
	took := time.Since(l.since)
	rate := float64(at-l.from) / took.Seconds()
	next := f.tree.Size
	if i+1 < len(f.tree.Leaves) {
		next = f.tree.Leaves[i+1].At
	}
	return float64(next-at)/(caution*rate) > float64(max(0, at-unread))/f.pace || float64(f.tree.Size-at)/rate > float64(f.tree.Size)/f.pace
}

// known tells whether it has come for long enough to say, up to leaf i.
func (l *pace) known(f *file, i int) bool {
	return !l.since.IsZero() && f.tree.Leaves[i].At > l.from && time.Since(l.since) >= measured
}
