package fetch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// TestASlowLineCarriesFewBlocks has eight ask over a line that takes ten
// seconds a block: it learns that, and carries no more at a time for it.
func TestASlowLineCarriesFewBlocks(t *testing.T) {
	now := time.Unix(1000, 0)
	g := newGiver(Config{Now: func() time.Time { return now }}, nil, nil)
	type given struct {
		c      *client
		number uint32
	}
	var clients []*client
	for i := range 8 {
		c := &client{peer: fmt.Sprint(i), kick: make(chan struct{}, 1), since: now, wrote: now}
		for k := range uint32(8) {
			c.orders = append(c.orders, order{number: k, class: node.Later})
		}
		clients = append(clients, c)
	}
	var line []given
	most := 0
	for second := range 300 {
		now = now.Add(time.Second)
		for _, c := range clients {
			g.mu.Lock()
			g.overdue(c, now)
			g.mu.Unlock()
			if _, o, any := g.compose(c, nil); any {
				line = append(line, given{c, o.number})
			}
		}
		if second >= 100 { // it is known by then
			most = max(most, len(line))
		}
		if second%10 == 9 {
			g.mu.Lock()
			g.arrived(line[0].c, []uint32{line[0].number}, now)
			g.mu.Unlock()
			line = line[1:]
		}
	}
	if most > 2*slowTurns {
		t.Errorf("%d blocks were under way at once", most)
	}
	for i, c := range clients {
		if len(c.orders) > 8-3 {
			t.Errorf("asker %d was given %d blocks", i, 8-len(c.orders))
		}
	}
}

// TestWhoIsLateAloneIsNotTheLine has some say late what they have, as often as
// they like: what a block takes is what it takes the others.
func TestWhoIsLateAloneIsNotTheLine(t *testing.T) {
	now := time.Unix(1000, 0)
	var line turns
	for range 20 {
		for _, honest := range []string{"a", "b", "c", "d"} {
			line.timed(honest, 100*time.Millisecond, now)
		}
		for _, late := range []string{"x", "y", "z"} {
			for range 50 {
				line.timed(late, 10*time.Second, now)
			}
		}
		if line.took > 200*time.Millisecond || line.most() > time.Second {
			t.Fatalf("a block is said to take %v, and a turn lasts %v", line.took, line.most())
		}
		now = now.Add(time.Second)
	}
	// The line itself becomes slow: all are late.
	for range 8 {
		for _, any := range []string{"a", "b", "c", "d"} {
			line.timed(any, 5*time.Second, now)
		}
	}
	if line.took < 2*time.Second {
		t.Errorf("the line is slow, and a block is said to take %v", line.took)
	}
	// Those who have gone are not counted for ever.
	line.timed("b", 100*time.Millisecond, now.Add(2*sampleTerm))
	if line.took > 5*time.Second || len(line.samples) != 1 {
		t.Errorf("%v, by %d peers", line.took, len(line.samples))
	}
	for i := range 4 * maxSamples {
		line.timed(fmt.Sprint(i), time.Second, now)
	}
	if len(line.samples) > maxSamples {
		t.Errorf("%d peers are remembered", len(line.samples))
	}
}

// TestWhoCannotBeDialledIsFedFirst: of two who wait for the same class, though
// not before one who waits for what is more urgent, and only once it has given.
func TestWhoCannotBeDialledIsFedFirst(t *testing.T) {
	g := newGiver(Config{Now: func() time.Time { return time.Unix(1000, 0) }}, nil, nil)
	g.turns.held = leastTurns
	clients := map[string]*client{}
	for _, x := range []struct {
		name  string
		class node.Class
		hello hello
	}{
		{"open", node.Later, hello{dialled: true}}, {"shut", node.Later, hello{}}, {"shut, it says", node.Later, hello{}}, {"open and soon", node.Soon, hello{dialled: true}}, {"open and next", node.Next, hello{dialled: true}},
	} {
		c := &client{peer: x.name, kick: make(chan struct{}, 1), orders: []order{{number: 1, class: x.class}}}
		g.hear(c, frameHello, appendHello(nil, x.hello)[4:])
		clients[x.name] = c
		g.ledger.guest(x.name).gives = 1
		if x.name == "shut, it says" {
			g.ledger.guest(x.name).gives = 0
		}
		g.compose(c, nil)
	}
	for _, want := range []string{"open and next", "shut", "open and soon", "open", "shut, it says"} {
		g.mu.Lock()
		g.turns.held--
		g.grant()
		g.mu.Unlock()
		for name, c := range clients {
			if (c.granted == 1) != (name == want) {
				t.Errorf("%s: %d turns, when %s was to be next", name, c.granted, want)
			}
			c.granted = 0
		}
	}
}

// TestWhoCannotBeDialledMayBegin: one who cannot be dialled and has given nothing yet
// is fed as early as one who gives on what it is given, while there is such a one, as
// long as it owes nothing and has let no turn end: what nobody else gives, and no more
// than one block.
func TestWhoCannotBeDialledMayBegin(t *testing.T) {
	g := newGiver(Config{Now: func() time.Time { return time.Unix(1000, 0) }}, nil, nil)
	at := func(name string, h hello) *client {
		c := &client{peer: name, orders: []order{{number: 1, class: node.Later, digest: Digest{1}}}}
		g.hear(c, frameHello, appendHello(nil, h)[4:])
		g.clients[name] = c
		return c
	}
	open, shut := at("open", hello{dialled: true}), at("shut", hello{})
	sooner := func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.turns.waiting = []*client{open, shut}
		g.turns.held = leastTurns
		g.grant()
		return g.rank(shut) < g.rank(open)
	}
	if sooner() {
		t.Error("it is, though nobody who cannot be dialled is known to give")
	}
	at("friend", hello{})
	g.given("friend")
	if !sooner() {
		t.Error("it waits behind who can be dialled")
	}
	x := g.ledger.guest("shut")
	if x.owes = 1; sooner() {
		t.Error("it is, though nobody has seen what it was given")
	}
	x.owes = 0
	if g.ledger.gained(Digest{1}); sooner() {
		t.Error("it is given what others have as well")
	}
	g.ledger = newLedger()
	open, shut = at("open", hello{dialled: true}), at("shut", hello{})
	at("friend", hello{})
	g.given("friend")
	shut.flying = map[uint32]time.Time{2: time.Unix(990, 0)}
	g.turns.held = 1
	g.mu.Lock()
	g.overdue(shut, time.Unix(1000, 0))
	g.mu.Unlock()
	if sooner() {
		t.Error("it is, though it has let a turn end")
	}
}

// TestWhoHasGivenHereGivesOn: a peer is seen to give by what it gives here, and not by
// what it gives wrong.
func TestWhoHasGivenHereGivesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		ours, theirs := leaf(1), leaf(2)
		n, s := w.box("one", nil, ours)
		m, o := w.box("two", nil, theirs)
		liar := w.giver("liar", func(st node.Stream, orders []order) {
			for _, q := range orders {
				st.Write(append(appendHead(nil, frameBlock, 6), byte(q.number>>24), byte(q.number>>16), byte(q.number>>8), byte(q.number), 1, 2))
			}
		})
		w.Link(n, m)
		must(t, o, ours, node.Want{Class: node.Later})
		gives := func(id string) int {
			s.giver.mu.Lock()
			defer s.giver.mu.Unlock()
			return s.giver.ledger.guest(id).gives
		}
		if k := gives(m.ID()); k != 0 {
			t.Fatalf("it was seen to give %d blocks, and has given none", k)
		}
		gives(liar.ID())
		must(t, s, theirs, node.Want{Class: node.Later})
		if k := gives(m.ID()); k != 1 {
			t.Errorf("it was seen to give %d blocks, and has given one", k)
		}
		w.Link(n, liar)
		s.Ask(t.Context(), leaf(3).CID, node.Want{Class: node.Now}, func([]byte, error) {})
		<-time.After(time.Second)
		if k := gives(liar.ID()); k != 0 || len(s.Liars()) != 1 {
			t.Errorf("%d liars, seen to give %d blocks", len(s.Liars()), k)
		}
	})
}

// TestOneSlowWayHoldsUpNobodyForLong: how long a block takes somebody counts for the
// waits of the others while it is known of late, where it was given here last, and
// whatever it is no longer than a turn may last; and no wait is longer than any may be.
func TestOneSlowWayHoldsUpNobodyForLong(t *testing.T) {
	now := time.Unix(1000, 0)
	g := newGiver(Config{Now: func() time.Time { return now }}, nil, nil)
	g.turns.apart.timed("slow", time.Hour, now)
	d := Digest{1}
	takes := func(want time.Duration, when string) {
		t.Helper()
		if took := g.takes(d); took != want {
			t.Errorf("%s a block takes %v, and not %v", when, took, want)
		}
	}
	g.ledger.begin(d, "quick", now)
	g.ledger.gave(d, now)
	g.ledger.holds(d, "slow")
	takes(0, "when one who is slow says that it has it")
	g.ledger.begin(d, "slow", now)
	takes(longestTurn, "while it goes to who says that it took an hour")
	g.ledger.guest("slow").gives = 1
	wait, _, off := g.ledger.putOff(order{class: node.Later, digest: d}, "other", now, time.Hour, func(string) bool { return true })
	if !off || wait > longestHold {
		t.Errorf("another waits %v", wait)
	}
	now = now.Add(sampleTerm + time.Second)
	takes(0, "when that is long ago")
	now = now.Add(-time.Second)
	takes(longestTurn, "until then")
	g.ledger.undo(d, "slow")
	takes(0, "when it did not go")
}
