package fetch

import "time"

const (
	// recent is how many bytes of memory the latest blocks are kept in: what
	// several ask for at once. The rest is the system's to keep, if it has room.
	recent = 2 << 20
	// lingers is about how long they stay when none comes and none is asked for.
	lingers = 10 * time.Second
)

// loan is a block whose memory is to be given back when nobody uses it any more.
// Guarded by giver.mu.
type loan struct {
	data []byte
	free func() // nil: nobody waits for it
	uses int
}

// release ends one use. g.mu is held.
func (g *giver) release(l *loan) {
	if l.uses--; l.uses == 0 && l.free != nil {
		l.free()
	}
}

// latest are the blocks that are kept at hand. Guarded by giver.mu.
type latest struct {
	blocks map[Digest]*loan
	order  []Digest // oldest first
	bytes  int
	used   time.Time
	fading bool // a goroutine waits until nobody needs them
}

// remember keeps a block at hand. g.mu is held.
func (g *giver) remember(d Digest, x *loan) {
	l := &g.latest
	if l.blocks[d] != nil || len(x.data) == 0 {
		return
	}
	x.uses++
	l.blocks[d] = x
	l.order = append(l.order, d)
	for l.bytes += cap(x.data); l.bytes > recent; {
		d := l.order[0]
		old := l.blocks[d]
		l.order = l.order[1:]
		l.bytes -= cap(old.data)
		delete(l.blocks, d)
		g.release(old)
	}
	l.used = g.cfg.Now()
	if !l.fading {
		l.fading = true
		go g.fade()
	}
}

// atHand is a block that is kept at hand, and is used from now on; nil where it is
// not.
func (g *giver) atHand(d Digest) *loan {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.latest.blocks[d]
	if l != nil {
		l.uses++
		g.latest.used = g.cfg.Now()
	}
	return l
}

// fade lets what is at hand go when it has not been used for a while.
func (g *giver) fade() {
	for {
		select {
		case <-g.cfg.After(lingers):
		case <-g.down:
			return
		}
		g.mu.Lock()
		if g.cfg.Now().Sub(g.latest.used) >= lingers {
			for _, l := range g.latest.blocks {
				g.release(l)
			}
			g.latest = latest{blocks: map[Digest]*loan{}}
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
	}
}
