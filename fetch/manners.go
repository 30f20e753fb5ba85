package fetch

import (
	"errors"
	"time"

	"playnode/node"
)

// Manners is how the line is left to others. Peers that Config.Near tells of
// are not on that line: they give and are given as ever.
type Manners struct {
	// Rest has nothing of class Later fetched. What comes sooner is little, and
	// the music needs it.
	Rest bool
	// Keep has nothing given, whatever the class: an asker's word is no proof
	// of how urgent it is.
	Keep bool
}

// restAgain is how often it is looked whether manners still hold.
const restAgain = time.Minute

var errKeeps = errors.New("the line is left to others now")

func (c *Config) manners() Manners {
	if c.Manners == nil {
		return Manners{}
	}
	return c.Manners()
}

// rests tells whether w is only taken from peers that are near. s.mu is held.
func (s *Scheduler) rests(w *want) bool { return w.Class >= node.Later && s.cfg.manners().Rest }

// keeps tells whether a peer is given nothing now.
func (g *giver) keeps(peer string) bool {
	return g.cfg.manners().Keep && (g.cfg.Near == nil || !g.cfg.Near(peer))
}
