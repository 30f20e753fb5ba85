package fetch

import "time"

const (
	// recent is how many bytes of memory the latest blocks are kept in: what
	// several ask for at once. The rest is the system's to keep, if it has room.
	recent = 2 << 20
	// lingers is about how long they stay when none comes and none is asked for.
	lingers = 10 * time.Second
)

// latest are the blocks that are kept at hand. Guarded by giver.mu.
type latest struct {
	blocks map[Digest][]byte
	order  []Digest // oldest first
	bytes  int
	used   time.Time
	fading bool // a goroutine waits until nobody needs them
}

// remember keeps a block at hand. g.mu is held.
func (g *giver) remember(d Digest, data []byte) {
	l := &g.latest
	if l.blocks[d] != nil || len(data) == 0 {
		return
	}
	l.blocks[d] = data
	l.order = append(l.order, d)
	for l.bytes += cap(data); l.bytes > recent; {
		old := l.order[0]
		l.order = l.order[1:]
		l.bytes -= cap(l.blocks[old])
		delete(l.blocks, old)
	}
	l.used = g.cfg.Now()
	if !l.fading {
		l.fading = true
		go g.fade()
	}
}

// atHand is a block that is kept at hand.
func (g *giver) atHand(d Digest) ([]byte, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	data, ok := g.latest.blocks[d]
	if ok {
		g.latest.used = g.cfg.Now()
	}
	return data, ok
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
			g.latest = latest{blocks: map[Digest][]byte{}}
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
	}
}
