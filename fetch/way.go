package fetch

import (
	"time"

	"playnode/node"
)

// lingering is how long what nobody hears makes way yet when a playhead's block has
// come: what is heard next is asked for when that has been read, and would come
// behind all that was given meanwhile.
const lingering = 100 * time.Millisecond

// handing is a block that is being given.
type handing struct {
	class     node.Class
	cancelled bool
}

// clear has all else of c's make way for a block that is given for a playhead. g.mu
// is held.
func (g *giver) clear(c *client, number uint32) {
	c.head, c.clear = number, g.cfg.Now().Add(yielding)
}

// passed notes that the playhead's block with that number has come, or does not
// come; what made way goes on in a moment. g.mu is held.
func (g *giver) passed(c *client, number uint32) {
	if c.head == number {
		c.head, c.clear = 0, g.cfg.Now().Add(lingering)
		c.poke()
	}
}

// makesWay is for how long what nobody hears is not given to c. g.mu is held.
func (g *giver) makesWay(c *client) time.Duration {
	return max(0, c.clear.Sub(g.cfg.Now()))
}

// resume is when c's writer looks again for what made way; nil when nothing has.
func (g *giver) resume(c *client) <-chan time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if left := g.makesWay(c); left > 0 && len(c.orders) > 0 {
		return g.cfg.After(left)
	}
	return nil
}
