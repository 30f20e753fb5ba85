package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// TestWhoHasCompanyDialsNobody has a source put blocks off and name somebody: one
// who exchanges with many that have them dials nobody, and who has few does, or many
// that turn out to be of no use; and asks the source again when it was told to.
func TestWhoHasCompanyDialsNobody(t *testing.T) {
	for _, c := range []struct {
		name   string
		others int
		wants  int
		hold   bool
		give   bool
		silent bool
		dialed bool
	}{
		{"few", company - 2, 48, true, true, false, true},
		{"many", company, 48, true, true, false, false},
		{"many who give nothing", company, 48, true, false, false, true},
		{"many who have nothing", company, 1, false, false, false, true},
		{"many who say nothing", company, 1, false, false, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStage(t)
				blocks := make([]node.Block, c.wants)
				for i := range blocks {
					blocks[i] = leaf(i)
				}
				n, s := w.box("box", nil)
				named := w.stranger("named", quick(blocks...))
				source := w.stranger("source", func(st node.Stream, o order) {
					st.Write(appendLater(nil, o.number, 1000, []referral{{peer: named.ID(), addrs: named.Addrs()}}))
				})
				w.Link(n, source.Node)
				for i := range c.others {
					x := w.Node(fmt.Sprint("other", i))
					t.Cleanup(func() { x.Close() })
					x.Handle(BlocksProtocol, func(_ string, st node.Stream) {
						for {
							kind, body, err := frame(st)
							if err != nil {
								return
							}
							if base, digests, _ := parseAsk(body); kind == frameAsk && !c.silent {
								st.Write(appendHeld(nil, base, slices.Repeat([]bool{c.hold}, len(digests))))
							}
							if orders, _ := parseWants(body); kind == frameWant && c.give {
								for _, o := range orders {
									<-time.After(300 * time.Millisecond)
									quick(blocks...)(st, o)
								}
							}
						}
					})
					w.Link(n, x)
				}
				for _, b := range blocks {
					s.Ask(t.Context(), b.CID, node.Want{Class: node.Soon}, func([]byte, error) {})
				}
				<-time.After(900 * time.Millisecond)
				n1 := len(source.wants())
				if c.wants == 1 && n1 > 1 {
					t.Errorf("who is not alone has asked the source %d times before it was to", n1)
				}
				if n1 == 0 {
					t.Error("the source was not asked")
				}
				<-time.After(7 * time.Second) // those who are silent are left after ten
				if dialed := slices.Contains(n.Connected(), named.ID()); dialed != c.dialed {
					t.Errorf("the one that was named is dialled: %t", dialed)
				}
			})
		})
	}
}

// TestWhoCanBeDialledIsDialledFirst, of those who wait to be dialled: of it it is said that
// others have; and who is in company enough when they have answered dials no more.
func TestWhoCanBeDialledIsDialledFirst(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprint("dialled itself: ", open), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStage(t)
				_, s := w.box("box", func(c *Config) {
					c.Dialled = func() bool { return open }
					c.Meet = func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() }
				})
				s.mu.Lock()
				defer s.mu.Unlock()
				name := func(id string, dialled bool) {
					s.introduced(&peer{id: "giver"}, referral{peer: id, addrs: []string{id}, dialled: dialled}, nil, time.Now())
				}
				var want []string
				for i := range maxMeeting + 2 {
					name(fmt.Sprint("shut", i), false)
				}
				for i := range company + 1 {
					name(fmt.Sprint("open", i), true)
					if i < company && !open {
						want = append(want, fmt.Sprint("open", i))
					}
				}
				want = append(want, fmt.Sprint("shut", maxMeeting), fmt.Sprint("shut", maxMeeting+1))
				var named []string
				for _, r := range s.peers.named {
					named = append(named, r.peer)
				}
				if len(s.peers.meeting) != maxMeeting || !slices.Equal(named, want) {
					t.Errorf("beside %d that are being dialled %v wait, and not %v", len(s.peers.meeting), named, want)
				}
			})
		})
	}
}

// TestWhoClashesIsDialledAgain, soon and a few times: one whose answer was no good, and
// not one that does not answer, or has no address.
func TestWhoClashesIsDialledAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		takes time.Duration
		errs  []error // an address has one
		times int
	}{
		{"clashes", 100 * time.Millisecond, []error{errors.New("too short")}, 1 + clashes},
		{"does not answer", 5 * time.Second, []error{errors.New("no answer")}, 1},
		{"has no address", 0, []error{node.ErrNotFound}, 1},
		{"clashes, and is nowhere else", 0, []error{errors.New("too short"), node.ErrNotFound}, 2 * (1 + clashes)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStage(t)
				times := 0
				_, s := w.box("box", func(g *Config) {
					g.Meet = func(context.Context, string, string) error {
						times++
						<-time.After(c.takes)
						return c.errs[(times-1)%len(c.errs)]
					}
				})
				s.mu.Lock()
				s.introduced(&peer{id: "giver"}, referral{peer: "x", addrs: make([]string, len(c.errs))}, nil, time.Now())
				s.mu.Unlock()
				<-time.After(meeting)
				if s.mu.Lock(); times != c.times || len(s.peers.meeting) > 0 {
					t.Errorf("it was dialled %d times", times)
				}
				s.mu.Unlock()
			})
		})
	}
}

// TestWhoComesWhileItIsDialled is asked at once, though the dial that does not get
// through takes its time.
func TestWhoComesWhileItIsDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		b := leaf(1)
		n, s := w.box("box", func(c *Config) {
			c.Meet = func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() }
		})
		x, _ := w.box("x", nil, b)
		s.mu.Lock()
		s.introduced(&peer{id: "giver"}, referral{peer: x.ID(), addrs: x.Addrs()}, nil, time.Now())
		s.mu.Unlock()
		begin := time.Now()
		<-time.After(time.Second)
		w.Link(x, n)
		must(t, s, b, node.Want{Class: node.Later})
		if took := time.Since(begin); took >= meeting {
			t.Errorf("it gave after %v", took)
		}
	})
}

// TestWhoMayNotBeDialledIsLeftToDial: whoever tells that others have dialled some, and
// not this one, is not followed by one whom others have dialled, nor at first by the
// one with the greater id.
func TestWhoMayNotBeDialledIsLeftToDial(t *testing.T) {
	for _, c := range []struct {
		name         string
		id           string
		open, old    bool
		dialled      bool
		company      bool // while it is left to the other
		wants        bool
		atOnce, ever bool
	}{
		{"open", "z", true, false, false, false, true, false, false},
		{"open, and the other as well", "z", true, false, true, false, true, true, true},
		{"open, and nothing is told", "z", true, true, false, false, true, true, true},
		{"greater", "0", false, false, false, false, true, false, true},
		{"greater, in company", "0", false, false, false, true, true, false, false},
		{"greater, and wants nothing", "0", false, false, false, false, false, false, false},
		{"less", "z", false, false, false, false, true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStage(t)
				_, s := w.box("box", func(g *Config) {
					g.Dialled = func() bool { return c.open }
					g.Meet = func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() }
				})
				if c.wants {
					s.Ask(t.Context(), leaf(1).CID, node.Want{Class: node.Later}, func([]byte, error) {})
				}
				p := &peer{id: "giver", opens: !c.old}
				dials := func() bool {
					s.mu.Lock()
					defer s.mu.Unlock()
					_, yes := s.peers.meeting[c.id]
					return yes
				}
				s.mu.Lock()
				s.introduced(p, referral{peer: c.id, addrs: []string{c.id}, dialled: c.dialled}, nil, time.Now())
				s.mu.Unlock()
				if dials() != c.atOnce {
					t.Errorf("it is dialled at once: %t", dials())
				}
				if c.company {
					s.mu.Lock()
					s.list[0].has = 1
					for range company + 2 {
						s.peers.open = append(s.peers.open, &peer{bit: 1, asks: map[uint32]*ask{}, kick: make(chan struct{}, 1), hasty: make(chan struct{}, 1), heard: time.Now(), told: time.Now(), usual: &s.peers.rate})
					}
					s.mu.Unlock()
				}
				if <-time.After(knocking + time.Millisecond); dials() != c.ever {
					t.Errorf("it is dialled: %t", dials())
				}
				s.mu.Lock()
				if s.peers.open = nil; len(s.peers.awaited) > 0 {
					t.Error("it is awaited yet")
				}
				s.mu.Unlock()
			})
		})
	}
}

// TestWhoIsNotDialledIsNotAwaited: one without an address, or that has just been tried.
func TestWhoIsNotDialledIsNotAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		_, s := w.box("box", nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		now := time.Now()
		s.peers.met["1"] = &acquaintance{until: now.Add(time.Minute)}
		for _, r := range []referral{{peer: "0"}, {peer: "1", addrs: []string{"1"}}} {
			if s.introduced(&peer{id: "giver", opens: true}, r, nil, now); s.reachable(r.peer) {
				t.Errorf("%s is taken for one that may be reached", r.peer)
			}
		}
	})
}

// TestABetterWordCounts: one that is awaited, or waits behind others, is dialled at once,
// or sooner, where another tells that it has been dialled.
func TestABetterWordCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		dials := map[string]int{}
		_, s := w.box("box", func(g *Config) {
			g.Meet = func(ctx context.Context, addr, _ string) error {
				dials[addr]++
				<-ctx.Done()
				return ctx.Err()
			}
		})
		s.Ask(t.Context(), leaf(1).CID, node.Want{Class: node.Later}, func([]byte, error) {})
		p := &peer{id: "giver", opens: true}
		name := func(id string, dialled bool) {
			s.mu.Lock()
			s.introduced(p, referral{peer: id, addrs: []string{id}, dialled: dialled}, nil, time.Now())
			s.mu.Unlock()
			synctest.Wait()
		}
		if name("0", false); dials["0"] != 0 {
			t.Fatal("it is not awaited")
		}
		if name("0", true); dials["0"] != 1 {
			t.Error("it is not dialled at once")
		}
		for i := range maxMeeting + 1 {
			name(fmt.Sprint("shut", i), false)
		}
		name(fmt.Sprint("shut", maxMeeting), true)
		s.mu.Lock()
		if n := s.peers.named; len(n) != 2 || n[0].peer != fmt.Sprint("shut", maxMeeting) || !n[0].dialled {
			t.Errorf("%v wait", n)
		}
		s.mu.Unlock()
		if <-time.After(knocking + time.Second); dials["0"] != 1 {
			t.Errorf("it was dialled %d times", dials["0"])
		}
	})
}

// TestWhoComesInTheQueueIsNotDialled, but asked.
func TestWhoComesInTheQueueIsNotDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		_, s := w.box("box", func(g *Config) {
			g.Meet = func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() }
		})
		s.mu.Lock()
		for i := range maxMeeting + 1 {
			s.introduced(&peer{id: "giver"}, referral{peer: fmt.Sprint(i), addrs: []string{"x"}}, nil, time.Now())
		}
		last := fmt.Sprint(maxMeeting)
		if len(s.peers.named) != 1 || !s.peers.met[last].busy {
			t.Fatalf("%v wait", s.peers.named)
		}
		s.mu.Unlock()
		s.met(last)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.peers.named) != 0 || s.peers.met[last].busy {
			t.Errorf("%v wait", s.peers.named)
		}
	})
}

// TestAnOldDialEndsForItself: one who came while it was dialled, went, and is dialled
// anew is not taken for one that cannot be when the old dial ends.
func TestAnOldDialEndsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		_, s := w.box("box", func(g *Config) {
			g.Meet = func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() }
		})
		dial := func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.introduced(&peer{id: "giver"}, referral{peer: "x", addrs: []string{"x"}}, nil, time.Now())
		}
		dial()
		<-time.After(meeting / 2)
		s.met("x")
		dial()
		for _, busy := range []bool{true, false} {
			<-time.After(meeting/2 + time.Second)
			s.mu.Lock()
			if a := s.peers.met["x"]; a.busy != busy || a.until.IsZero() != busy || (s.peers.meeting["x"] != nil) != busy {
				t.Errorf("it is being dialled: %t, and not %t", !busy, busy)
			}
			s.mu.Unlock()
		}
	})
}

// TestWhoIsSaidToBeOpenDoesNotKeepTheOthersWaiting, whoever says so of however many.
func TestWhoIsSaidToBeOpenDoesNotKeepTheOthersWaiting(t *testing.T) {
	ps := newPeers()
	for i := range 8 {
		ps.named = append(ps.named, referral{peer: fmt.Sprint("open", i), dialled: true})
	}
	ps.named = append(ps.named, referral{peer: "older"}, referral{peer: "shut"})
	var order []string
	for len(ps.named) > 0 {
		order = append(order, ps.next().peer)
	}
	if order[shutTurn-1] != "older" || order[2*shutTurn-1] != "shut" || order[9] != "open7" {
		t.Errorf("dialled in the order %v", order)
	}
}
