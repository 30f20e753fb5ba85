package fetch

import (
	"time"

	"playnode/node"
)

// mostLead bounds how long before it is due a block is hurried.
const mostLead = 20 * time.Second

// lead is how long before w is due p is to give it before all that is due later:
// five seconds, or, where that is more and no playhead waits for p, twice the time in
// which what it was asked for comes that is due no later, w included. s.mu is held.
func (p *peer) lead(w *want) time.Duration {
	var before int64
	for _, o := range p.order {
		if o.w.Class == node.Now {
			return soon
		}
		if o.w == w || !w.before(o.w) {
			before += max(0, o.size-o.came)
		}
	}
	takes := p.latency() + time.Duration(float64(before)/p.speed()*float64(time.Second))
	return min(max(soon, 2*takes), mostLead)
}

// press has those who are asked for w give it as for a playhead once it is nearly
// due, by how quickly they give: they know no deadlines, and it may stand there
// behind what is due later. s.mu is held.
func (s *Scheduler) press(w *want, now time.Time) {
	if w.Class == node.Now || w.Deadline.IsZero() {
		return
	}
	for _, a := range w.asks {
		if a.peer == nil || a.pressed || a.came > 0 && a.peer.left(a, now) < bear[node.Next] {
			continue
		}
		if at := w.Deadline.Add(-a.peer.lead(w)); at.After(now) {
			s.look(w, at)
			continue
		}
		a.pressed = true
		a.peer.hurries = append(a.peer.hurries, order{w.number, node.Now, false, w.digest})
		a.peer.poke(true)
	}
}

// yield has what was hurried at p, and is not due yet, make way for a playhead's block.
// s.mu is held.
func (p *peer) yield(now time.Time) {
	for _, o := range p.order {
		if o.pressed && o.w.Class != node.Now && !o.w.urgent(now) {
			o.pressed = false
			p.hurries = append(p.hurries, order{o.w.number, min(o.w.Class, node.Later), false, o.w.digest})
		}
	}
}
