package fetch

import (
	"time"

	"playnode/node"
)

// press has those who are asked for w give it as for a playhead once it is nearly
// due: they know no deadlines, and it may stand there behind what is due later.
// s.mu is held.
func (s *Scheduler) press(w *want, now time.Time) {
	if w.Class == node.Now || w.Deadline.IsZero() {
		return
	}
	if at := w.Deadline.Add(-soon); at.After(now) {
		s.look(w, at)
		return
	}
	for _, a := range w.asks {
		if a.peer == nil || a.pressed || a.came > 0 {
			continue
		}
		a.pressed = true
		a.peer.hurries = append(a.peer.hurries, order{w.number, node.Now, false, w.digest})
		a.peer.poke(true)
	}
}
