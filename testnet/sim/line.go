package sim

import "time"

// piece is how much of one stream leaves at a time, in bytes on the line.
const piece = 32 << 10

// parcel is bytes, and what they weigh on the line.
type parcel struct {
	data   []byte
	weight int64
}

// cut takes at most so much weight off the front, and at least a byte.
func (p *parcel) cut(most int64) parcel {
	if p.weight <= most {
		front := *p
		*p = parcel{}
		return front
	}
	n := max(1, int(int64(len(p.data))*most/p.weight))
	return p.take(n)
}

// take takes n bytes off the front.
func (p *parcel) take(n int) parcel {
	front := parcel{p.data[:n:n], p.weight * int64(n) / int64(len(p.data))}
	if n == len(p.data) {
		front.weight = p.weight
	}
	p.data, p.weight = p.data[n:], p.weight-front.weight
	return front
}

// uplink is who waits to send. Streams that were idle go before those that
// have had a turn, as a fair queue in a router does: what is short is not
// kept behind what is long.
type uplink struct {
	busy         bool
	fresh, later []*pipe
}

// send has p wait for its turn if it has something to send and may. World.mu
// is held.
func (n *Node) send(p *pipe) {
	if p.waits || len(p.pending) == 0 || p.room <= 0 {
		return
	}
	p.waits = true
	if p.turns == 0 {
		n.up.fresh = append(n.up.fresh, p)
	} else {
		n.up.later = append(n.up.later, p)
	}
	n.turn()
}

// turn sends the next piece, unless one is being sent. World.mu is held.
func (n *Node) turn() {
	for !n.up.busy {
		var p *pipe
		switch {
		case len(n.up.fresh) > 0:
			p, n.up.fresh = n.up.fresh[0], n.up.fresh[1:]
		case len(n.up.later) > 0:
			p, n.up.later = n.up.later[0], n.up.later[1:]
		default:
			return
		}
		p.waits = false
		out := p.next()
		if len(out.data) == 0 {
			continue
		}
		n.carried.Sent += out.weight
		n.up.busy = n.Up > 0
		took := lasts(out.weight, n.Up)
		p.flying = append(p.flying, out) // before the next turn, which may come at once
		time.AfterFunc(took+n.Delay+p.to.Delay, func() { p.arrive(out.weight) })
		if !n.up.busy {
			p.turned(n)
			continue
		}
		time.AfterFunc(took, func() {
			n.world.mu.Lock()
			defer n.world.mu.Unlock()
			n.up.busy = false
			p.turned(n)
			n.turn()
		})
	}
}

// turned ends p's turn. World.mu is held.
func (p *pipe) turned(n *Node) {
	p.turns++
	if len(p.pending) == 0 {
		p.turns = 0
	}
	n.send(p)
}

// lasts is how long a line of a rate takes for so many bytes.
func lasts(bytes, rate int64) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
}

// arrive is at the far end of the way, where the downlink takes in what
// arrives in order.
func (p *pipe) arrive(weight int64) {
	w := p.to.world
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if p.to.downFree.Before(now) {
		p.to.downFree = now
	}
	p.to.downFree = p.to.downFree.Add(lasts(weight, p.to.Down))
	if wait := p.to.downFree.Sub(now); wait > 0 {
		time.AfterFunc(wait, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			p.deliver()
		})
		return
	}
	p.deliver()
}

// deliver hands the stream's oldest piece to its reader. World.mu is held.
func (p *pipe) deliver() {
	out := p.flying[0]
	p.flying = p.flying[1:]
	p.to.carried.Received += out.weight
	if p.err == nil && !p.deaf {
		p.unread = append(p.unread, out)
	} else {
		p.credit(out.weight)
	}
	p.wake()
}
