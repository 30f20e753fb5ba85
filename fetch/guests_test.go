package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// TestWhoIsGivenToMeetsTheOthers has the first be one that cannot be dialled, and
// that can dial: it is told of the second, which then has the block from it.
func TestWhoIsGivenToMeetsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		b := leaf(1)
		source, from := w.box("source", nil, b)
		n1, s1 := w.box("one", nil)
		n2, s2 := w.box("two", func(c *Config) {
			c.Meet = func(context.Context, string, string) error { return errors.New("no way there") }
		})
		w.Link(n1, source)
		w.Link(n2, source)
		must(t, s1, b, node.Want{Class: node.Later})
		must(t, s2, b, node.Want{Class: node.Later})
		if d := from.Swarm(); d.Sent != int64(len(b.Data)) {
			t.Fatalf("source: %+v", d)
		}
	})
}

// TestWhoIsShutIsToldWhoIsOpen: one that has not been dialled hears of all that have been,
// also of one that says so later; one that has been does not.
func TestWhoIsShutIsToldWhoIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		giver, _ := w.box("giver", nil, leaf(1))
		come := func(name string, dialled bool) node.Stream {
			x, st := w.opened(name, giver)
			st.Write(appendHello(nil, hello{addrs: []string{"/memory/1/p2p/" + x.ID()}, dialled: dialled}))
			return st
		}
		shut, able := come("shut", false), come("able", true)
		for i := range 2 * maxReferred {
			come(fmt.Sprint("shut", i), false)
		}
		for i := range maxReferred - 2 {
			come(fmt.Sprint("open", i), true)
		}
		hears := func(from node.Stream) (named, open int) {
			from.SetDeadline(time.Now().Add(2 * naming))
			for {
				kind, body, err := frame(from)
				if err != nil {
					return 0, 0
				}
				if kind != frameLater {
					continue
				}
				_, _, refs, _ := parseLater(body)
				for _, r := range refs {
					if r.dialled {
						open++
					}
				}
				return len(refs), open
			}
		}
		for _, x := range []struct {
			who         string
			from        node.Stream
			named, open int
		}{
			{"shut", shut, maxReferred, maxReferred - 1}, // all that are open
			{"shut", shut, maxReferred, 0},
			{"shut", shut, maxReferred - 1, 0},
			{"shut", shut, maxReferred, -1}, // any, as all that come
			{"shut", shut, 0, 0},
			{"open", able, maxReferred, -1},
			{"open", able, 0, 0},
			{"late", shut, 1, 1},
		} {
			if x.who == "late" {
				late := come("late", false)
				<-time.After(time.Second)
				late.Write(appendNumbers(nil, frameCancel, []uint32{noBlock}))
			}
			if named, open := hears(x.from); named != x.named || open != x.open && x.open >= 0 {
				t.Errorf("%s: it was told of %d, %d of them open", x.who, named, open)
			}
		}
	})
}

// TestWhoHasBeenDialledSaysSo, once, where it is dialled after it has said hello.
func TestWhoHasBeenDialledSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		giver := w.Node("giver")
		t.Cleanup(func() { giver.Close() })
		var mu sync.Mutex // guards heard
		var heard []string
		giver.Handle(BlocksProtocol, func(_ string, st node.Stream) {
			for {
				kind, body, err := frame(st)
				if err != nil {
					return
				}
				mu.Lock()
				switch h, _ := parseHello(body, ""); kind {
				case frameHello:
					heard = append(heard, fmt.Sprint("hello, dialled: ", h.dialled))
				case frameCancel:
					numbers, _ := parseNumbers(body)
					heard = append(heard, fmt.Sprint("cancel ", numbers))
				}
				mu.Unlock()
			}
		})
		var dialled atomic.Bool
		n, s := w.box("box", func(c *Config) { c.Dialled = dialled.Load })
		w.Link(n, giver)
		for i := range 4 {
			dialled.Store(i >= 2)
			s.Ask(t.Context(), leaf(i).CID, node.Want{Class: node.Later}, func([]byte, error) {})
			<-time.After(100 * time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"hello, dialled: false", "cancel [0]"}; !slices.Equal(heard, want) {
			t.Errorf("the giver heard %q", heard)
		}
	})
}

// TestWhoKeepsItToItselfComesAfter: a peer that has blocks which nobody else is
// seen to have waits for the others, and what it was given goes to another soon;
// one whose blocks go on does not.
func TestWhoKeepsItToItselfComesAfter(t *testing.T) {
	now := time.Unix(1000, 0)
	g := newGiver(Config{Now: func() time.Time { return now }}, nil, nil)
	l, there := &g.ledger, func(string) bool { return true }
	give := func(d byte, peer string) {
		l.begin(Digest{d}, peer, now)
		l.gave(Digest{d}, now)
	}
	wait := func(d byte) time.Duration {
		wait, _, _ := l.putOff(order{class: node.Later, digest: Digest{d}}, "asker", now, 0, there)
		return wait
	}
	for d := range byte(2 * maxOwed) {
		give(d, "hoarder")
		give(100+d, "friend")
		l.holds(Digest{100 + d}, "friend") // as it says itself
		l.holds(Digest{100 + d}, "third")
	}
	hoarder, friend := &client{peer: "hoarder"}, &client{peer: "friend"}
	for _, c := range []*client{hoarder, friend} {
		c.orders = []order{{class: node.Later}}
		g.turns.waiting = append(g.turns.waiting, c)
	}
	if g.rank(hoarder) < g.rank(friend)+2 {
		t.Errorf("the hoarder has rank %d, the friend %d", g.rank(hoarder), g.rank(friend))
	}
	give(50, "friend")
	if h, f := wait(0), wait(50); h != unproven || f != hold[node.Later] {
		t.Errorf("others wait %v for what the hoarder has, and %v for what the friend has", h, f)
	}
	if give(51, "third"); wait(51) != unproven {
		t.Errorf("others wait %v for what one has that was given nothing before", wait(51))
	}
	l.holds(Digest{0}, "somebody")
	if x := l.guests["hoarder"]; x.owes != 2*maxOwed-2 || x.gives != 1 {
		t.Errorf("what has gone on is not seen: %+v", x)
	}
	give(60, "idler")
	give(60, "friend")
	l.holds(Digest{60}, "somebody")
	if x := l.guests["idler"]; x.owes != 1 || x.gives != 0 {
		t.Errorf("what another has given on is put down to who was given it before: %+v", x)
	}
}

// TestOneMoreThanThereIsRoomFor is told who is here; when one has been here for
// long that one goes.
func TestOneMoreThanThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		giver, s := w.box("giver", nil, leaf(1))
		for i := range maxClients {
			x, st := w.opened(fmt.Sprint("guest", i), giver)
			st.Write(appendHello(nil, hello{addrs: []string{"/memory/1/p2p/" + x.ID()}}))
		}
		<-time.After(time.Second)
		_, st := w.asker("late", giver)
		kind, body, err := frame(st)
		if err != nil || kind != frameLater {
			t.Fatalf("heard %d, %v", kind, err)
		}
		number, wait, refs, err := parseLater(body)
		if err != nil || number != 0 || len(refs) != maxReferred || wait < 28_000 || wait > 29_100 {
			t.Errorf("was told %d, %d ms, %d peers, %v", number, wait, len(refs), err)
		}
		if d := s.Swarm(); d.Given != maxClients {
			t.Errorf("%d are given to", d.Given)
		}
		<-time.After(clientTerm)
		w.asker("later", giver)
		<-time.After(time.Second)
		s.giver.mu.Lock()
		defer s.giver.mu.Unlock()
		if len(s.giver.clients) != maxClients {
			t.Errorf("%d are given to", len(s.giver.clients))
		}
	})
}

// TestWhoIsShutIsToldAnew of those who have come since, once those have gone of whom it
// was told; and of one that says now one thing and now the other no more than twice.
func TestWhoIsShutIsToldAnew(t *testing.T) {
	g := newGiver(Config{Now: func() time.Time { return time.Unix(1000, 0) }}, nil, nil)
	come := func(peer string, dialled bool) *client {
		c := &client{peer: peer}
		g.clients[peer] = c
		*g.ledger.guest(peer) = guest{addrs: []string{peer}, dialled: dialled}
		return c
	}
	shut := come("shut", false)
	told := func() (n int) {
		for refs := g.unmet(shut); len(refs) > 0; refs = g.unmet(shut) {
			n += len(refs)
		}
		return n
	}
	for i := range 2 * company {
		come(fmt.Sprint("open", i), true)
	}
	if n := told(); n != 2*company {
		t.Fatalf("it was told of %d", n)
	}
	come("late", true)
	if n := told(); n != 0 {
		t.Errorf("it was told of %d more", n)
	}
	delete(g.clients, "open0")
	if n := told(); n != 1 {
		t.Errorf("it was told of %d when one had gone", n)
	}
	clear(g.clients)
	flips := come("flips", false)
	for i, want := range []int{1, 1, 0, 0, 0} {
		g.ledger.guest(flips.peer).dialled = i%2 == 1
		if n := told(); n != want {
			t.Errorf("it was told of it %d times, and not %d", n, want)
		}
	}
}
