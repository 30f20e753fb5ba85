package fetch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// TestWhatIsNearlyDueGoesFirst: of what one peer is asked for, what was asked for
// last, and is due first, comes in time; also if somebody else asks for it then,
// and is in no such hurry.
func TestWhatIsNearlyDueGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		far := []node.Block{large(1 << 20), large(1<<20 - 1)}
		due := large(32 << 10)
		from, _ := w.box("giver", func(c *Config) { c.Upload = 100_000 }, append(far, due)...)
		n, one := w.box("one", nil)
		w.Link(n, from)
		<-time.After(time.Second)
		for _, b := range far {
			one.Ask(t.Context(), b.CID, node.Want{Class: node.Next, Deadline: time.Now().Add(time.Minute)}, func([]byte, error) {})
		}
		<-time.After(time.Second)
		began := time.Now()
		time.AfterFunc(7*time.Second+time.Millisecond, func() {
			one.Ask(t.Context(), due.CID, node.Want{Class: node.Next, Deadline: began.Add(11 * time.Second)}, func([]byte, error) {})
		})
		must(t, one, due, node.Want{Class: node.Next, Deadline: began.Add(12 * time.Second)})
		if took := time.Since(began); took > 12*time.Second || took < 6*time.Second {
			t.Errorf("it came after %v", took)
		}
	})
}

// TestASlowWayIsHurriedSooner: over a way that takes longer for a block than the
// seconds in which others hurry, what is due comes in time, though what is due later
// was asked for before.
func TestASlowWayIsHurriedSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		all := []node.Block{large(128 << 10), large(128<<10 - 1), large(128<<10 - 2), large(128<<10 - 3), large(128<<10 - 4)}
		from, _ := w.box("giver", func(c *Config) { c.Upload = 25_000 }, all...)
		n, one := w.box("one", nil)
		w.Link(n, from)
		<-time.After(time.Second)
		must(t, one, all[0], node.Want{Class: node.Next}) // now it is known how quick it is
		began := time.Now()
		for i, b := range all[1:4] {
			one.Ask(t.Context(), b.CID, node.Want{Class: node.Next, Deadline: began.Add(time.Minute + time.Duration(i)*time.Second)}, func([]byte, error) {})
		}
		<-time.After(time.Second)
		must(t, one, all[4], node.Want{Class: node.Next, Deadline: began.Add(12 * time.Second)})
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("it came after %v", took)
		}
	})
}

// TestWhoIsHurriedLeavesTime: what p is asked for that is due no later comes before a
// block, and counts; what is due later does not.
func TestWhoIsHurriedLeavesTime(t *testing.T) {
	now, usual := time.Unix(1000, 0), 1e6
	p := &peer{lag: 500 * time.Millisecond, usual: &usual, asks: map[uint32]*ask{}}
	p.came.add(128<<10, 4*time.Second)
	due := func(number uint32, in time.Duration, came int64) *want {
		w := &want{number: number, Want: node.Want{Class: node.Next, Deadline: now.Add(in)}}
		p.remember(&ask{w: w, peer: p, sent: now, size: 128 << 10, came: came}, now)
		return w
	}
	second, first, third, far := due(1, 20*time.Second, 0), due(2, 10*time.Second, 64<<10), due(3, 30*time.Second, 0), due(4, time.Minute, 0)
	for w, want := range map[*want]time.Duration{
		first: soon, second: 2 * (500*time.Millisecond + 6*time.Second), third: mostLead, far: mostLead,
	} {
		if got := p.lead(w); got != want {
			t.Errorf("block %d: %v, and not %v", w.number, got, want)
		}
	}
	p.remember(&ask{w: &want{number: 5, Want: node.Want{Class: node.Now}}, peer: p, sent: now}, now)
	if got := p.lead(far); got != soon {
		t.Errorf("while a playhead waits: %v", got)
	}
	for _, a := range p.order[:4] {
		a.pressed = true
	}
	first.Deadline = now.Add(soon / 2)
	p.yield(now)
	if len(p.hurries) != 3 || p.hurries[0].number != second.number || p.hurries[0].class != node.Next || !p.asks[first.number].pressed || p.asks[third.number].pressed {
		t.Errorf("for a playhead %+v make way", p.hurries)
	}
}

// TestWhoHasGivenIsLikelier, where somebody is about to hear it.
func TestWhoHasGivenIsLikelier(t *testing.T) {
	given, unknown := &peer{hits: 1}, &peer{}
	heard, stored := &want{Want: node.Want{Class: node.Next, Deadline: time.Unix(1000, 0)}}, &want{Want: node.Want{Class: node.Next}}
	if !given.likelier(unknown, heard) || unknown.likelier(given, heard) || given.likelier(given, heard) || given.likelier(unknown, stored) {
		t.Error("who has given nothing is as likely")
	}
}

// crowded is a giver all of whose turns are taken, and one who waits for a turn.
func crowded(slow func(string) bool) (*giver, *client) {
	now := time.Unix(1000, 0)
	g := newGiver(Config{Now: func() time.Time { return now }, Slow: slow}, nil, nil)
	var last *client
	for i := range leastTurns + 1 {
		last = &client{peer: fmt.Sprint(i), kick: make(chan struct{}, 1), since: now, wrote: now, orders: []order{{number: 7, class: node.Next}, {number: 8, class: node.Next}}}
		g.compose(last, nil)
	}
	return g, last
}

// TestWhatIsHurriedNeedNotWait: who waits for a turn is given what has become urgent.
func TestWhatIsHurriedNeedNotWait(t *testing.T) {
	g, c := crowded(nil)
	if len(c.orders) != 2 || len(c.kick) != 0 {
		t.Fatalf("%d orders wait, poked: %d", len(c.orders), len(c.kick))
	}
	g.hurry(c, []order{{number: 8, class: node.Now}})
	if len(c.kick) != 1 {
		t.Error("its writer is not told")
	}
	if _, o, any := g.compose(c, nil); !any || o.number != 8 {
		t.Errorf("given: %v, %+v", any, o)
	}
}

// TestWhoIsFarTakesNobodysTurn: what goes over a way that is slow by itself goes
// beside the others' turns, and gives back one that it had.
func TestWhoIsFarTakesNobodysTurn(t *testing.T) {
	slow := map[string]bool{}
	g, c := crowded(func(peer string) bool { return slow[peer] })
	held := g.turns.held
	slow[c.peer] = true
	if _, o, any := g.compose(c, nil); !any || o.number != 7 || g.turns.held != held || len(g.turns.waiting) != 0 {
		t.Errorf("given: %v, %+v; %d of %d turns, %d wait", any, o, g.turns.held, held, len(g.turns.waiting))
	}
	slow[c.peer] = false
	g.compose(c, nil)
	g.mu.Lock()
	g.turns.held--
	g.grant()
	g.mu.Unlock()
	if c.granted != 1 || g.turns.held != held {
		t.Fatalf("%d granted, %d of %d turns", c.granted, g.turns.held, held)
	}
	slow[c.peer] = true
	if _, o, any := g.compose(c, nil); !any || o.number != 8 || c.granted != 0 || g.turns.held != held-1 {
		t.Errorf("given: %v, %+v; %d of %d turns, %d granted", any, o, g.turns.held, held, c.granted)
	}
}

// TestWhatGoesApartTakesItsOwnTime: a block is put off for others by how long blocks
// take the one to whom it went, and turns last no longer for that.
func TestWhatGoesApartTakesItsOwnTime(t *testing.T) {
	g, c := crowded(func(string) bool { return true })
	now := time.Unix(1000, 0)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.arrived(c, []uint32{7}, now.Add(4*time.Second))
	d := Digest{1}
	g.ledger.begin(d, "quick", now)
	if g.takes(d) != 0 || g.turns.took != 0 || g.takes(Digest{2}) != 0 {
		t.Errorf("a block takes %v, and a turn %v", g.takes(d), g.turns.took)
	}
	g.ledger.begin(d, c.peer, now)
	if g.takes(d) != 4*time.Second || g.turns.took != 0 || len(c.beside) > 0 {
		t.Errorf("a block takes %v, and a turn %v; %d are under way", g.takes(d), g.turns.took, len(c.beside))
	}
	g.turns.timed("quick", 5*time.Second, now)
	if g.takes(d) != 5*time.Second {
		t.Errorf("a block takes %v, less than turns do", g.takes(d))
	}
}

// TestWhatIsDueLaterTakesNoRoom: what is due next is asked of a peer that has been
// asked for as much as there is room for, and all of it due later.
func TestWhatIsDueLaterTakesNoRoom(t *testing.T) {
	now, usual := time.Unix(1000, 0), 1e6
	p := &peer{usual: &usual, asks: map[uint32]*ask{}}
	p.came.add(128<<10, 4*time.Second)
	due := func(number uint32, in time.Duration) *want {
		return &want{number: number, Want: node.Want{Class: node.Next, Deadline: now.Add(in)}}
	}
	for i := range uint32(6) {
		p.remember(&ask{w: due(i, time.Minute), peer: p, sent: now, size: 128 << 10}, now)
	}
	if p.room(due(10, 2*time.Minute), 128<<10, now) || !p.room(due(11, 10*time.Second), 128<<10, now) {
		t.Errorf("room for what is due later: %v; sooner: %v", p.room(due(10, 2*time.Minute), 128<<10, now), p.room(due(11, 10*time.Second), 128<<10, now))
	}
	for i := range uint32(maxWindow + 10) {
		p.remember(&ask{w: due(20+i, time.Minute), peer: p, sent: now}, now)
	}
	if p.room(due(100, 10*time.Second), 128<<10, now) {
		t.Error("there is no end to the room")
	}
}
