package fetch

import (
	"maps"
	"slices"
	"time"
)

const (
	// maxClients bounds the streams that are given to at once. When another
	// comes one goes that has been here for clientTerm, or that other is told
	// who else is.
	maxClients = 96
	clientTerm = 30 * time.Second
	// naming is how often one who has what nobody else has hears who else is
	// here.
	naming = 5 * time.Second
	// maxGuests bounds the peers that are remembered.
	maxGuests = 1024
)

// guest is a peer that has asked here.
type guest struct {
	addrs   []string
	dialled bool // by others, it says
	late    bool // a turn of its has ended before its block had come
	owes    int  // blocks given to it that nobody else has been seen to have
	gives   int  // those that somebody has, and what it has given here
}

// guest is what is known of a peer, from now on.
func (l *ledger) guest(peer string) *guest {
	x := l.guests[peer]
	if x == nil {
		for other := range l.guests { // any
			if len(l.guests) < maxGuests {
				break
			}
			delete(l.guests, other)
		}
		x = &guest{}
		l.guests[peer] = x
	}
	return x
}

// proven tells whether x gives on what it is given, as far as is known.
func (x *guest) proven() bool { return x != nil && x.gives > 0 && x.owes <= maxOwed+x.gives/2 }

// given notes that peer has given a block here: it gives on what it is given, also
// what is given to it by others.
func (g *giver) given(peer string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if x := g.ledger.guests[peer]; x != nil {
		x.gives++
	}
}

// admit gives a stream its place; a peer's new one goes before its old. Else it
// returns what is to be said to it.
func (g *giver) admit(c *client, now time.Time) (away []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.down:
		return []byte{}
	default:
	}
	if old := g.clients[c.peer]; old != nil {
		old.stream.Reset()
	} else if len(g.clients) >= maxClients {
		last, wait := g.outstays(now)
		if last == nil {
			refs := g.others(c.peer)
			if len(refs) == 0 { // they have just come, too
				wait = min(wait, 2*time.Second)
			}
			return appendLater(nil, 0, uint32(wait.Milliseconds()), refs)
		}
		last.stream.Reset()
		delete(g.clients, last.peer)
	}
	g.clients[c.peer] = c
	if !g.ringing {
		g.ringing = true
		go g.ring()
	}
	return nil
}

// outstays is who goes when another comes: of those who have been here for
// long and are given nothing now one who wants nothing, else the oldest. nil
// says that there is none yet, and for how long. g.mu is held.
func (g *giver) outstays(now time.Time) (last *client, wait time.Duration) {
	wait = clientTerm
	for _, c := range g.clients {
		if left := clientTerm - now.Sub(c.since); left > 0 || len(c.flying) > 0 {
			wait = min(wait, max(left, time.Second))
			continue
		}
		if last == nil || len(c.orders) == 0 && len(last.orders) > 0 ||
			(len(c.orders) == 0) == (len(last.orders) == 0) && c.since.Before(last.since) {
			last = c
		}
	}
	return last, wait
}

// refer is how others are told of x, which is peer.
func (x *guest) refer(peer string) referral {
	return referral{peer: peer, addrs: x.addrs, dialled: x.dialled}
}

// others are some of those who are given to beside peer. g.mu is held.
func (g *giver) others(peer string) (refs []referral) {
	for p := range g.clients {
		if x := g.ledger.guests[p]; p != peer && x != nil && len(x.addrs) > 0 {
			refs = append(refs, x.refer(p))
		}
		if len(refs) == maxReferred {
			break
		}
	}
	return refs
}

// unmet are some of those who are given to beside c, of whom it was not told, if it
// cannot be dialled: those first that can, and others until it knows company enough.
// g.mu is held.
func (g *giver) unmet(c *client) (refs []referral) {
	if x := g.ledger.guests[c.peer]; x == nil || x.dialled {
		return nil
	}
	if len(c.told) >= 2*company {
		maps.DeleteFunc(c.told, func(p string, _ bool) bool { return g.clients[p] == nil })
		if len(c.told) >= 2*company {
			return nil
		}
	}
	for p := range g.clients {
		x := g.ledger.guests[p]
		if p != c.peer && x != nil && len(x.addrs) > 0 && (x.dialled || len(c.told) < company) {
			if open, told := c.told[p]; told && (open || !x.dialled) {
				continue
			}
			refs = append(refs, x.refer(p))
		}
	}
	slices.SortStableFunc(refs, openFirst)
	refs = refs[:min(len(refs), maxReferred)]
	for _, r := range refs {
		if c.told == nil {
			c.told = map[string]bool{}
		}
		c.told[r.peer] = r.dialled
	}
	return refs
}

// introduce tells c who else is here when it has just come, when nobody else is
// seen to have what it was given, as they may not reach it, and when it reaches
// nobody; and, where it cannot be dialled, again and again: only those that can be
// are able to give it what they have, and one of those may not have been yet. g.mu is
// held.
func (g *giver) introduce(c *client, now time.Time) {
	x := g.ledger.guests[c.peer]
	if x == nil {
		return
	}
	refs := g.unmet(c)
	if len(refs) == 0 && (x.owes > 0 || c.alone || c.named.IsZero()) && now.Sub(c.named) >= naming {
		if refs = g.others(c.peer); len(refs) > 0 {
			c.alone, c.named = false, now
		}
	}
	if len(refs) > 0 {
		c.small = appendLater(c.small, 0, 0, refs)
		g.lazily(c)
	}
}

// near tells whether a peer is there to be named. g.mu is held.
func (g *giver) near(peer string) bool {
	if g.ledger.guests[peer] == nil {
		return false
	}
	if now := g.cfg.Now(); g.connected == nil || now.Sub(g.looked) >= time.Second {
		g.connected, g.looked = map[string]bool{}, now
		for _, p := range g.cfg.Peers.Connected() {
			g.connected[p] = true
		}
	}
	return g.clients[peer] != nil || g.connected[peer]
}
