package live

import (
	"cmp"
	"slices"
	"time"
)

// rescues is how many segments a second the line bears for those who lack them.
func (cr *carry) rescues() float64 {
	far, _, _ := cr.fed()
	return max(.05, borne*cr.c.upload()/cr.rate()-float64(far)) / cr.pace().Seconds()
}

// carries tells whether the child has children of its own.
func (ch *child) carries() bool { return ch.spare.free < ch.spare.slots || ch.spare.below > 0 }

// weight is how much the child is worth near the root.
func (ch *child) weight() int {
	if ch.flags&flagDialable == 0 || len(ch.addrs) == 0 {
		return 0
	}
	return int(ch.spare.slots)
}

// slots is how many children the line bears that are not near: those offered,
// and those that it bears for a while.
func (cr *carry) slots() (offer, most int) {
	offer = min(int(offered*cr.c.upload()/cr.rate()), maxChildren-8)
	hush := cr.c.cfg.Hush()
	if hush {
		offer = 0
	}
	if cr.root {
		offer = max(offer, 1) // or nobody hears
	}
	if offer == 0 || hush {
		return offer, offer
	}
	return offer, max(offer, int(borne*cr.c.upload()/cr.rate()))
}

// fed counts the children, near ones apart, and those asked to go.
func (cr *carry) fed() (far, near, leaving int) {
	for _, ch := range cr.children {
		switch {
		case ch.mode != full:
		case ch.near:
			near++
		default:
			far++
			if !ch.leaving.IsZero() {
				leaving++
			}
		}
	}
	return far, near, leaving
}

// spare is what this box could still give.
func (cr *carry) spare() spare {
	offer, _ := cr.slots()
	far, _, leaving := cr.fed()
	s := spare{slots: uint16(offer), free: uint16(max(0, offer-far+leaving))}
	below := 0
	for _, ch := range cr.children {
		if ch.mode == full && ch.weight() > 0 {
			below += int(ch.spare.free) + int(ch.spare.below)
		}
	}
	s.below = uint16(min(below, 1<<16-1))
	return s
}

func (cr *carry) standbys() (n int) {
	for _, ch := range cr.children {
		if ch.mode == heads {
			n++
		}
	}
	return n
}

// watchable is how many may be given heads alone.
func (cr *carry) watchable() int {
	n := min(max(2, int(watching*cr.c.upload()*cr.pace().Seconds()/headSize)), maxStandby)
	if cr.root {
		n /= 2 // all ask it, first or last
	}
	return n
}

// passed is how many of a peer's addresses are told to others.
const passed = 2

// refer is whom a child may ask: those below with room first.
func (cr *carry) refer(ch *child) (out []referral) {
	var kids []*child
	for _, o := range cr.children {
		if o != ch && o.mode == full && o.leaving.IsZero() && o.weight() > 0 {
			kids = append(kids, o)
		}
	}
	cr.c.rand.Shuffle(len(kids), func(i, j int) { kids[i], kids[j] = kids[j], kids[i] })
	slices.SortStableFunc(kids, func(a, b *child) int {
		return cmp.Or(cmp.Compare(b.spare.free, a.spare.free), cmp.Compare(b.spare.below, a.spare.below))
	})
	depth := len(cr.path())
	if p := cr.parent; p != nil && p.st.free > 0 && p.peer != ch.peer && len(p.st.addrs) > 0 {
		out = append(out, referral{p.peer, depth - 2, p.st.free, p.st.addrs[:min(len(p.st.addrs), passed)]})
	}
	for i, o := range kids[:min(len(kids), maxReferred-1)] {
		out = append(out, referral{o.peer, depth, o.spare.free, o.addrs[:min(len(o.addrs), passed)]})
		if i == 0 && o.spare.free > 0 {
			o.spare.free-- // as it will be; it says so itself
		} else if i == 0 && o.spare.below > 0 {
			o.spare.below--
		}
	}
	return out
}

// tell says to a child what it is given and where we stand.
func (cr *carry) tell(ch *child, now time.Time) {
	s := state{mode: ch.mode, free: cr.spare().free, edge: cr.edge, first: ch.first, path: cr.path()}
	if cr.rooted() {
		s.flags |= flagRooted
	}
	if !ch.leaving.IsZero() {
		s.flags |= flagLeave
	}
	if ch.saidAt.IsZero() {
		s.addrs = cr.c.cfg.Peers.Addrs()
	}
	ch.said, ch.saidAt = s, now
	cr.c.say(ch.link, s.frame())
}

// welcome tells those who were refused that there is room now, here or at who is
// given: as many as there is room for, each once until it asks again, and not over
// and over where it is refused all the same.
func (cr *carry) welcome(s spare, now time.Time) {
	room := int(s.free) + int(s.below)
	for _, ch := range cr.children {
		if room <= 0 {
			return
		}
		if !ch.waits || now.Sub(ch.welcome) < again {
			continue
		}
		ch.waits, ch.welcome = false, now
		room--
		cr.tell(ch, now)
		cr.c.say(ch.link, referFrame(cr.refer(ch)))
	}
}

// offers tells neighbours where we stand, where that has changed, and has
// children go where there are too many.
func (cr *carry) offers(now time.Time) {
	s, hush := cr.spare(), cr.c.cfg.Hush()
	far, _, leaving := cr.fed()
	_, most := cr.slots()
	cr.welcome(s, now) // first: who is told twice takes the second for a refusal
	for _, ch := range cr.children {
		for seq, at := range ch.pulls {
			if now.Sub(at) > owing {
				delete(ch.pulls, seq)
				cr.c.say(ch.link, seqsFrame(frameNot, seq))
			}
		}
		parted := !ch.leaving.IsZero() && now.Sub(ch.leaving) > parting
		switch {
		case hush && !ch.near && (ch.mode == heads || parted && far > most):
			if ch.mode == full {
				far, leaving = far-1, leaving-1
			}
			ch.rest()
			ch.mode = nothing
			cr.tell(ch, now)
			cr.c.say(ch.link, referFrame(cr.refer(ch)))
		case parted:
			ch.leaving = time.Time{} // it found nobody
			leaving--
		}
		moved := !slices.Equal(ch.said.path, cr.path()) || (ch.said.flags&flagRooted != 0) != cr.rooted() || (ch.said.flags&flagLeave != 0) == ch.leaving.IsZero()
		rooted := cr.rooted() && ch.said.flags&flagRooted == 0 // who has asked whether may ask for everything now
		if rooted || ch.mode != nothing && (moved || now.Sub(ch.saidAt) >= told && s.free != ch.said.free) {
			cr.tell(ch, now)
		}
	}
	if p := cr.parent; p != nil && s != cr.offer && now.Sub(cr.offerAt) >= told/2 {
		cr.offer, cr.offerAt = s, now
		cr.c.say(p.link, frame(frameSpare, s.append(nil)))
	}
	if far-leaving > most && now.Sub(cr.parted) > settling {
		var weakest *child
		for _, o := range cr.children {
			if o.mode == full && !o.near && o.leaving.IsZero() && (weakest == nil || o.weight() < weakest.weight()) {
				weakest = o
			}
		}
		if weakest != nil && (hush || len(cr.refer(weakest)) > 0) {
			cr.dismiss(weakest, now)
		}
	}
}
