package live_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"playnode/live"
	"playnode/live/livetest"
	"playnode/manifests"
	"playnode/node"
)

// Who sends what no honest neighbour sends is dropped at the first, and not
// asked again; what it sent is given to nobody.
func TestLiarsAreDroppedAtTheFirst(t *testing.T) {
	for name, lie := range map[string]func(s *stage) []byte{
		"a forged head": func(s *stage) []byte {
			h, seg := s.dj.Next(time.Now(), size, false)
			return cat(signedOf(20, s.dj.Forge(manifests.TypeLiveHead, h.Payload.Data)), segmentOf(0, seg))
		},
		"a forged record": func(s *stage) []byte {
			s.dj.Next(time.Now(), size, false)
			return signedOf(19, s.dj.Forge(manifests.TypeLive, s.dj.Turn(time.Now()).Payload.Data))
		},
		"another DJ's record": func(s *stage) []byte { return signedOf(19, livetest.New(2, time.Now()).Record()) },
		"another DJ's head": func(s *stage) []byte {
			h, _ := livetest.New(2, time.Now()).Next(time.Now(), size, false)
			return signedOf(20, h)
		},
		"other bytes": func(s *stage) []byte {
			h := s.dj.Head(0, s.dj.Noise(size), time.Now(), false)
			return cat(signedOf(20, h), segmentOf(0, s.dj.Noise(size)))
		},
		"a head for a record": func(s *stage) []byte { return signedOf(19, s.dj.Head(0, s.dj.Noise(1), time.Now(), false)) },
		"a giant frame":       func(s *stage) []byte { return []byte{21, 255, 255, 255} },
		"a giant head":        func(s *stage) []byte { return frame(20, make([]byte, 2000)) },
		"an unknown frame":    func(s *stage) []byte { return frame(99, nil) },
		"an asker's frame":    func(s *stage) []byte { return frame(3, u64(1)) },
		"half a state":        func(s *stage) []byte { return frame(17, make([]byte, 9)) },
		"a long path":         func(s *stage) []byte { return frame(17, cat(make([]byte, 20), []byte{17}, make([]byte, 17*8+1))) },
		"a mode":              func(s *stage) []byte { return stateOf(3) },
		"five referrals":      func(s *stage) []byte { return frame(18, []byte{5}) },
		"a torn referral":     func(s *stage) []byte { return frame(18, []byte{1, 4, 'a'}) },
		"a number and a half": func(s *stage) []byte { return frame(22, make([]byte, 12)) },
		"a head without end":  func(s *stage) []byte { return frame(20, []byte{9, 9, 1}) },
		"no number":           func(s *stage) []byte { return frame(21, []byte{1}) },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(t *testing.T, s *stage) {
				record := s.dj.Record()
				bytes := lie(s)
				x := s.stranger("x", func(st node.Stream) { st.Write(cat(stateOf(2), signedOf(19, record), bytes)) })
				b := s.box("b", nil)
				s.Link(x.Node, b.Node)
				b.hear(s)
				<-time.After(30 * time.Second)
				if n := x.times(); n != 1 {
					t.Errorf("it was asked %d times", n)
				}
				if st := b.feed.Stats(); st.Parent != "" {
					t.Errorf("it is kept: %+v", st)
				}
				if seqs, missing := b.heard(t); len(seqs) > 0 || missing > 0 {
					t.Errorf("heard %v, missed %d", seqs, missing)
				}
			})
		})
	}
}

// Who gives nothing of use, in whatever way, does not keep a box from hearing
// the others, and is not listened to without end.
func TestTheUselessAreLeft(t *testing.T) {
	flood := func(st node.Stream, b []byte) {
		for range 100_000 {
			if _, err := st.Write(b); err != nil {
				return
			}
		}
		panic("it listens without end")
	}
	for name, say := range map[string]func(s *stage) func(st node.Stream){
		"nothing":       func(s *stage) func(node.Stream) { return func(node.Stream) {} },
		"that it gives": func(s *stage) func(node.Stream) { return func(st node.Stream) { st.Write(stateOf(2)) } },
		"that it does not carry": func(s *stage) func(node.Stream) {
			return func(st node.Stream) { st.Write(frame(17, cat([]byte{0, 4}, make([]byte, 20)))) }
		},
		"states": func(s *stage) func(node.Stream) {
			return func(st node.Stream) { flood(st, stateOf(2)) }
		},
		"a record, ever again": func(s *stage) func(node.Stream) {
			return func(st node.Stream) { flood(st, signedOf(19, s.dj.Record())) }
		},
		"a head, ever again": func(s *stage) func(node.Stream) {
			h := s.dj.Head(0, s.dj.Noise(1), time.Now(), false)
			return func(st node.Stream) {
				st.Write(cat(stateOf(2), signedOf(19, s.dj.Record())))
				flood(st, signedOf(20, h))
			}
		},
		"a segment, ever again": func(s *stage) func(node.Stream) {
			seg := s.dj.Noise(100)
			h := s.dj.Head(0, seg, time.Now(), false)
			return func(st node.Stream) {
				st.Write(cat(stateOf(2), signedOf(19, s.dj.Record()), signedOf(20, h)))
				flood(st, segmentOf(0, seg))
			}
		},
		"segments without heads": func(s *stage) func(node.Stream) {
			seg := s.dj.Noise(100)
			return func(st node.Stream) {
				st.Write(stateOf(2))
				flood(st, segmentOf(7, seg))
			}
		},
		"peers that are not": func(s *stage) func(node.Stream) {
			return func(st node.Stream) {
				st.Write(stateOf(1))
				for i := range 200 {
					id := fmt.Sprintf("12D3Koo%d", i)
					addr := "/memory/1/p2p/" + id
					st.Write(frame(18, cat([]byte{1, byte(len(id))}, []byte(id), []byte{0}, u16(9), []byte{1, byte(len(addr))}, []byte(addr))))
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(t *testing.T, s *stage) {
				x := s.stranger("x", say(s))
				b, dj := s.box("b", nil), s.box("dj", nil)
				s.Link(x.Node, b.Node)
				b.hear(s)
				<-time.After(10 * time.Second)
				s.Link(dj.Node, b.Node)
				air := dj.air(s)
				s.plays(air, 12, false)
				seqs, _ := b.heard(t)
				if len(seqs) < 8 || seqs[len(seqs)-1] != 11 {
					t.Errorf("heard %v: %+v", seqs, b.feed.Stats())
				}
				if n := x.times(); n < 1 || n > 12 {
					t.Errorf("it was asked %d times", n)
				}
			})
		})
	}
}

// A parent that gives heads alone, and one that has fallen silent, are left for
// another before anything is missed.
func TestAParentThatFails(t *testing.T) {
	for name, segments := range map[string]bool{"heads alone": false, "nothing more": true} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(t *testing.T, s *stage) {
				type pair struct {
					h   manifests.Signed
					seg manifests.Block
				}
				var mu sync.Mutex
				var all []pair
				x := s.stranger("x", func(st node.Stream) {
					st.Write(cat(stateOf(2), signedOf(19, s.dj.Record())))
					for i := 0; ; {
						<-time.After(50 * time.Millisecond)
						mu.Lock()
						ready := all[i:]
						mu.Unlock()
						for _, p := range ready {
							if i < 5 || !segments {
								st.Write(signedOf(20, p.h))
							}
							if i < 5 {
								if _, err := st.Write(segmentOf(uint64(i), p.seg)); err != nil {
									return
								}
							}
							i++
						}
						if i > 40 {
							return
						}
					}
				})
				dj, b := s.box("dj", nil), s.box("b", nil)
				air := dj.air(s)
				play := func(n int) {
					for range n {
						h, seg := s.dj.Next(time.Now(), size, false)
						if err := air.Announce(h, seg); err != nil {
							t.Fatal(err)
						}
						mu.Lock()
						all = append(all, pair{h, seg})
						mu.Unlock()
						<-time.After(time.Second)
					}
				}
				s.Link(x.Node, b.Node)
				b.hear(s)
				play(2)
				s.Link(dj.Node, b.Node)
				play(40)
				seqs, missing := b.heard(t)
				// Who is silent is left before a segment is late.
				if st := b.feed.Stats(); missing > 0 || segments && st.Pulled > 0 || seqs[len(seqs)-1] != 41 || st.Parent != dj.ID() {
					t.Errorf("heard %v, %d missing: %+v", seqs, missing, st)
				}
			})
		})
	}
}

// Segments come in any order, and are given in theirs; what is far from the set
// in time is not taken, and of two with one number the first is kept.
func TestOrderAndNumbers(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		var reports atomic.Int64
		var words []byte
		var segs []manifests.Block
		for i := range 4 {
			h, seg := s.dj.Next(time.Now(), size, false)
			segs = append(segs, seg)
			if i == 3 {
				words = append(words, signedOf(20, s.dj.Head(1_000_000, seg, time.Now(), false))...)
				words = append(words, signedOf(20, s.dj.Head(2, s.dj.Noise(1), time.Now(), false))...) // another 2
			}
			words = append(words, signedOf(20, h)...)
		}
		x := s.stranger("x", func(st node.Stream) {
			st.Write(cat(stateOf(2), signedOf(19, s.dj.Record()), words, segmentOf(0, segs[0]), segmentOf(3, segs[3]), segmentOf(2, segs[2]), segmentOf(1, segs[1])))
		})
		b := s.box("b", func(c *live.Config) {
			c.Report = func(kept, other manifests.Signed) {
				if bytes.Equal(kept.Payload.Data, other.Payload.Data) {
					t.Error("one is reported as two")
				}
				reports.Add(1)
			}
		})
		s.Link(x.Node, b.Node)
		b.hear(s)
		<-time.After(2 * time.Second)
		b.hears(t, 0, 3)
		if st := b.feed.Stats(); st.Edge != 4 || st.Forks != 1 || reports.Load() != 1 {
			t.Errorf("%d reports, %+v", reports.Load(), st)
		}
	})
}

// A DJ who has lost a number and seals it again under another head is heard on,
// but for that one by those who have the first; and nobody is a liar for it.
func TestALostNumber(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		first := s.dj.Head(0, s.dj.Noise(1), time.Now(), false)
		x := s.stranger("x", func(st node.Stream) { st.Write(cat(stateOf(1), signedOf(19, s.dj.Record()), signedOf(20, first))) })
		dj, b, c := s.box("dj", nil), s.box("b", nil), s.box("c", nil)
		s.Link(x.Node, b.Node)
		b.hear(s)
		<-time.After(time.Second)
		air := dj.air(s)
		s.Link(dj.Node, b.Node)
		s.Link(b.Node, c.Node)
		c.hear(s)
		s.plays(air, 10, true)
		<-time.After(5 * time.Second)
		b.hears(t, 1, 9)
		c.hears(t, 1, 9)
		if st := b.feed.Stats(); st.Forks == 0 || st.Parent != dj.ID() {
			t.Errorf("%+v", st)
		}
	})
}

// A segment that is pulled twice of one neighbour, as the first was on its way,
// comes twice, and nobody is to blame.
func TestPullsCross(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		h0, seg0 := s.dj.Next(time.Now(), size, false)
		h1, seg1 := s.dj.Next(time.Now(), size, false)
		h2, seg2 := s.dj.Next(time.Now(), size, false)
		var pulls atomic.Int64
		x := s.stranger("x", func(st node.Stream) { // no parent, but it has what is pulled
			st.Write(cat(stateOf(1), signedOf(19, s.dj.Record()), signedOf(20, h0), signedOf(20, h1)))
			for {
				kind, body, err := readFrame(st)
				if err != nil {
					return
				}
				if kind == 3 && bytes.Equal(body, u64(1)) {
					pulls.Add(1)
					time.AfterFunc(1300*time.Millisecond, func() { st.Write(segmentOf(1, seg1)) })
				}
			}
		})
		y := s.stranger("y", func(st node.Stream) {
			st.Write(stateOf(0))
			for {
				kind, body, err := readFrame(st)
				if err != nil {
					return
				}
				if kind == 2 && body[0] == 2 {
					break
				}
			}
			st.Write(cat(stateOf(2), signedOf(19, s.dj.Record()), signedOf(20, h0), segmentOf(0, seg0), signedOf(20, h1)))
			<-time.After(8 * time.Second)
			st.Write(cat(signedOf(20, h2), segmentOf(2, seg2)))
		})
		b := s.box("b", nil)
		s.Link(x.Node, b.Node)
		s.Link(y.Node, b.Node)
		b.hear(s)
		<-time.After(20 * time.Second)
		if st := b.feed.Stats(); st.Twice == 0 || pulls.Load() < 2 || x.times() > 2 {
			t.Errorf("pulled %d times, asked %d times: %+v", pulls.Load(), x.times(), st)
		}
	})
}

// Askers that break a rule find the stream reset, and others are served.
func TestHostileAskers(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj := s.box("dj", nil)
		air := dj.air(s)
		s.plays(air, 3, false)
		hi := helloOf(s.dj.Set(), 0, 1, 0, 0)
		var pulls, modes []byte
		for i := range 60 {
			pulls = append(pulls, frame(3, u64(uint64(i)))...)
			modes = append(modes, frame(2, cat([]byte{byte(i % 2), 1}, u64(0)))...)
		}
		for name, say := range map[string][]byte{
			"no hello":          frame(2, cat([]byte{2, 1}, u64(0))),
			"half a hello":      frame(1, hi[4:40]),
			"an unknown frame":  frame(99, nil),
			"a giver's frame":   cat(hi, stateOf(2)),
			"a giant hello":     {1, 255, 255, 255},
			"a second hello":    cat(hi, hi),
			"a mode":            helloOf(s.dj.Set(), 3, 1, 0, 0),
			"flags":             helloOf(s.dj.Set(), 0, 9, 0, 0),
			"a mode later":      cat(hi, frame(2, cat([]byte{3, 1}, u64(0)))),
			"seventeen pulls":   cat(hi, frame(3, make([]byte, 8*17))),
			"no pull":           cat(hi, frame(3, nil)),
			"a flood of pulls":  cat(hi, pulls),
			"a flood of modes":  cat(hi, modes),
			"half a spare":      cat(hi, frame(4, make([]byte, 5))),
			"a long address":    frame(1, cat(hi[4:len(hi)-1], []byte{1, 200}, make([]byte, 200))),
			"too many":          frame(1, cat(hi[4:len(hi)-1], []byte{5}, bytes.Repeat([]byte{1, 'a'}, 5))),
			"bytes after it":    frame(1, cat(hi[4:], []byte{1})),
			"nothing, for long": nil,
		} {
			x := s.Node(name)
			s.Link(x, dj.Node)
			st, err := x.Open(t.Context(), dj.ID(), live.Protocol)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			st.Write(say)
			if _, err := io.Copy(io.Discard, st); err == nil || time.Since(began) > 11*time.Second {
				t.Errorf("%s: the stream ended with %v after %s", name, err, time.Since(began))
			}
			x.Close()
		}
		// One that opens without end has a few.
		x := s.Node("x")
		defer x.Close()
		s.Link(x, dj.Node)
		served := 0
		for range 300 {
			st, err := x.Open(t.Context(), dj.ID(), live.Protocol)
			if err != nil {
				t.Fatal(err)
			}
			st.Write(hi)
			if kind, _, err := readFrame(st); err == nil && kind == 17 {
				served++
			}
		}
		if served < 10 || served > 30 {
			t.Errorf("%d of 300 streams were served", served)
		}
		good := s.box("good", nil)
		s.Link(good.Node, dj.Node)
		good.hear(s)
		s.plays(air, 3, false)
		good.hears(t, 2, 5)
	})
}

// A box is told of addresses that are of the peer they are said to be of, and
// no others; and what it did not ask for is not carried to it.
func TestReferrals(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		dj := s.box("dj", nil)
		air := dj.air(s)
		s.plays(air, 3, false)
		say := func(name string, hello func(id string) []byte) (string, node.Stream) {
			x := s.Node(name)
			t.Cleanup(func() { x.Close() })
			s.Link(x, dj.Node)
			st, err := x.Open(t.Context(), dj.ID(), live.Protocol)
			if err != nil {
				t.Fatal(err)
			}
			st.Write(hello(x.ID()))
			return x.ID(), st
		}
		a, child := say("a", func(id string) []byte {
			return helloOf(s.dj.Set(), 2, 1, 5, 5, "/memory/1/p2p/"+dj.ID(), "/memory/1/p2p/"+id)
		})
		var kinds []byte
		child.SetDeadline(time.Now().Add(time.Second))
		for range 6 {
			kind, _, err := readFrame(child)
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, kind)
		}
		if !slices.Equal(kinds, []byte{17, 19, 20, 20, 21, 21}) {
			t.Errorf("a child is given %v", kinds)
		}
		_, asker := say("b", func(string) []byte { return helloOf(s.dj.Set(), 0, 1, 5, 5) })
		readFrame(asker)
		kind, body, err := readFrame(asker)
		if err != nil || kind != 18 || strings.Count(string(body), "/p2p/") != 1 || !strings.Contains(string(body), "/memory/1/p2p/"+a) {
			t.Errorf("%d %q %v", kind, body, err)
		}
		_, watcher := say("c", func(string) []byte { return helloOf(s.dj.Set(), 1, 1, 0, 0) })
		<-time.After(100 * time.Millisecond)
		s.plays(air, 2, false)
		watcher.SetDeadline(time.Now().Add(time.Second))
		kinds = nil
		for {
			kind, _, err := readFrame(watcher)
			if err != nil {
				break
			}
			if kind != 17 {
				kinds = append(kinds, kind)
			}
		}
		if !slices.Equal(kinds, []byte{19, 20, 20, 20}) {
			t.Errorf("who asked for heads is given %v", kinds)
		}
	})
}
