package live

import (
	"slices"
	"time"

	"playnode/node"
)

const (
	// maxWords bounds what a neighbour may have unread beside segments, in
	// bytes; maxBehind the segments that wait for its turn: then the oldest go.
	maxWords, maxBehind = 256 << 10, 16
	// stale is when a segment is not sent any more: who lacks it pulls it, or
	// does without, and those after it are in time.
	stale = 3 * time.Second
	// burst is how much of the line's time may be made up for.
	burst = 50 * time.Millisecond
)

// link is our writing end of a stream. Guarded by Carrier.mu.
type link struct {
	peer   string
	stream node.Stream
	near   bool
	words  []byte // frames that go before segments
	parts  []part
	busy   bool // out is being written
	since  time.Time
	out    chan []byte // one slot
	gone   bool
	sent   int64
}

// part is a segment that waits for its turn.
type part struct {
	seq uint64
	due time.Time // the earlier goes first
	bin []byte    // the frame
}

// attach begins to write to a stream. c.mu is held.
func (c *Carrier) attach(peer string, s node.Stream) *link {
	l := &link{peer: peer, stream: s, near: c.cfg.Near(peer), out: make(chan []byte, 1)}
	c.links = append(c.links, l)
	c.spawn(func() { c.write(l) })
	return l
}

// detach ends the writing. The stream is the caller's. c.mu is held.
func (c *Carrier) detach(l *link) {
	if l.gone {
		return
	}
	l.gone = true
	close(l.out)
	c.links = slices.DeleteFunc(c.links, func(o *link) bool { return o == l })
	l.words, l.parts = nil, nil
	nudge(c.kick)
}

func (c *Carrier) write(l *link) {
	for b := range l.out {
		if _, err := l.stream.Write(b); err != nil {
			l.stream.Reset() // who reads tells
		}
		c.mu.Lock()
		l.busy = false
		c.mu.Unlock()
		nudge(c.kick)
	}
}

// say has a frame sent before all segments. c.mu is held.
func (c *Carrier) say(l *link, frame []byte) {
	if l.gone {
		return
	}
	if len(l.words)+len(frame) > maxWords {
		l.stream.Reset()
		return
	}
	l.words = append(l.words, frame...)
	nudge(c.kick)
}

// give has a segment sent in its turn. c.mu is held.
func (c *Carrier) give(l *link, p part) {
	if l.gone {
		return
	}
	if at := slices.IndexFunc(l.parts, func(o part) bool { return o.seq == p.seq }); at >= 0 {
		l.parts = slices.Delete(l.parts, at, at+1)
	}
	if len(l.parts) >= maxBehind {
		l.parts = slices.Delete(l.parts, 0, 1)
	}
	l.parts = append(l.parts, p)
	nudge(c.kick)
}

// pump has all neighbours written to, one after the other: words at once, and
// segments as fast as the line bears, those first that are due first. So a
// segment is whole at one neighbour, which passes it on, before the next one
// is sent any of it.
func (c *Carrier) pump() {
	for {
		c.mu.Lock()
		wait := c.turn(c.cfg.Now())
		c.mu.Unlock()
		var next <-chan time.Time
		if wait > 0 {
			next = c.cfg.After(wait)
		}
		select {
		case <-next:
		case <-c.kick:
		case <-c.down:
			return
		}
	}
}

// turn hands to writers what may go now, and tells when there is more. c.mu is
// held.
func (c *Carrier) turn(now time.Time) (wait time.Duration) {
	for _, l := range c.links {
		if !l.busy && len(l.words) > 0 {
			b := l.words
			l.words = nil
			c.send(l, b, now)
		}
	}
	for {
		var best *link
		at := 0
		held := false
		for _, l := range c.links {
			if l.busy || len(l.parts) == 0 {
				continue
			}
			if !l.near && c.line.After(now) {
				held = true
				continue
			}
			l.parts = slices.DeleteFunc(l.parts, func(p part) bool { return now.Sub(p.due) > stale })
			for i, p := range l.parts {
				if best == nil || p.due.Before(best.parts[at].due) {
					best, at = l, i
				}
			}
		}
		if best == nil {
			if held {
				return c.line.Sub(now)
			}
			return 0
		}
		b := best.parts[at].bin
		best.parts = slices.Delete(best.parts, at, at+1)
		c.send(best, b, now)
	}
}

// send hands b to a writer that is idle. c.mu is held.
func (c *Carrier) send(l *link, b []byte, now time.Time) {
	l.busy, l.since = true, now
	l.sent += int64(len(b))
	l.out <- b
	if l.near {
		return
	}
	c.cfg.Sent(len(b))
	if c.cfg.Upload > 0 {
		if least := now.Add(-burst); c.line.Before(least) {
			c.line = least
		}
		c.line = c.line.Add(time.Duration(float64(len(b)) / float64(c.cfg.Upload) * float64(time.Second)))
	}
}

// debt is how long the line is taken by what waits already. c.mu is held.
func (c *Carrier) debt(now time.Time) time.Duration {
	var n int
	for _, l := range c.links {
		if !l.near {
			for _, p := range l.parts {
				n += len(p.bin)
			}
		}
	}
	return max(0, c.line.Sub(now)) + time.Duration(float64(n)/c.upload()*float64(time.Second))
}
