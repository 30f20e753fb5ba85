package meet_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"playnode/meet"
	"playnode/node"
	"playnode/node/embedded"
)

func TestMain(m *testing.M) {
	// A closed leveldb's pool drains for up to a second of its own.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

// limit is how long anything may take on a slow machine.
const limit = 25 * time.Second

// clock is what a Meeting goes by in a test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Unix(1_800_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// shelf is a Store in memory.
type shelf struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (s *shelf) Get(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows[key], nil
}

func (s *shelf) Put(key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[key] = value
	return nil
}

// peer is a node; it may follow names.
type peer struct {
	*embedded.Node
	t    *testing.T
	cfg  embedded.Config
	stop func()
	*meet.Meeting
	told chan string // who arrives
}

// newPeer has a node on loopback that keeps the peers at addrs.
func newPeer(t *testing.T, addrs ...string) *peer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, cfg: embedded.Config{
		Dir: t.TempDir(), Identity: key, Network: embedded.None, Peers: addrs,
		Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Small: []string{meet.Protocol},
	}}
	p.open()
	return p
}

func (p *peer) open() {
	p.t.Helper()
	n, err := embedded.New(p.t.Context(), p.cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Node = n
	p.stop = func() { n.Close() }
	p.t.Cleanup(func() { p.stop() })
	p.told = make(chan string, 256)
	n.OnConnect(func(id string) { p.told <- id })
}

// follow begins to follow names.
func (p *peer) follow(change func(*meet.Config), names ...string) {
	p.t.Helper()
	cfg := meet.Config{
		Streams: p.Node, Peers: p.Node, Records: p.Node, Company: p.Node, Reach: p.Node,
		Names: func() []string { return names }, Now: time.Now,
	}
	if change != nil {
		change(&cfg)
	}
	m, err := meet.New(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Meeting = m
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		p.Close()
	})
}

// meets waits until p is connected with all of others.
func (p *peer) meets(others ...*peer) {
	p.t.Helper()
	ends := time.After(limit)
	for {
		all := p.Connected()
		if !slices.ContainsFunc(others, func(o *peer) bool { return o != p && !slices.Contains(all, o.ID()) }) {
			return
		}
		select {
		case <-p.told:
		case <-ends:
			p.t.Fatalf("met only %d of %d", len(all), len(others))
		}
	}
}

// until waits for what no event tells of.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ends := time.After(limit)
	for !is() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ends:
			t.Fatalf("never: %s", what)
		}
	}
}

const name = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8"

// TestAllMeet: venues that know the DJ's address alone are all connected; the
// DJ leaves, and one who knows one venue meets the rest.
func TestAllMeet(t *testing.T) {
	dj := newPeer(t)
	dj.follow(nil, name)
	var venues []*peer
	for range 5 {
		v := newPeer(t, dj.Addrs()[0])
		v.follow(nil, name)
		venues = append(venues, v)
	}
	for _, v := range venues {
		v.meets(append(venues, dj)...)
	}
	until(t, "all are neighbours", func() bool {
		for _, v := range venues {
			if len(v.Neighbours(name)) != 5 || !v.Near(dj.ID()) {
				return false
			}
		}
		return true
	})
	dj.stop()
	late := newPeer(t, venues[2].Addrs()[0])
	late.follow(nil, name)
	late.meets(venues...)
}

// TestRestart: a box whose only given peer has gone finds those whom it had
// met.
func TestRestart(t *testing.T) {
	dj := newPeer(t)
	dj.follow(nil, name)
	a, b := newPeer(t, dj.Addrs()[0]), newPeer(t, dj.Addrs()[0])
	kept := &shelf{rows: map[string][]byte{}}
	keep := func(c *meet.Config) { c.Store = kept }
	a.follow(nil, name)
	b.follow(keep, name)
	b.meets(a, dj)
	until(t, "they are neighbours", func() bool { return len(b.Neighbours(name)) == 2 })
	b.stop()
	dj.stop()
	b.open()
	b.follow(keep, name)
	b.meets(a)
}

// ledger counts what costs a box that meets many at once: records that it
// verifies, and its writes.
type ledger struct {
	node.Records
	shelf
	learnt map[string]int
	puts   int
	moves  int // each has all records verified anew
}

func (l *ledger) OnChange(f func()) {
	l.Records.OnChange(func() {
		l.mu.Lock()
		l.moves++
		l.mu.Unlock()
		f()
	})
}

func (l *ledger) Learn(raw []byte) (node.Record, error) {
	l.mu.Lock()
	l.learnt[string(raw)]++
	l.mu.Unlock()
	return l.Records.Learn(raw)
}

func (l *ledger) Put(key string, value []byte) error {
	l.mu.Lock()
	l.puts++
	l.mu.Unlock()
	return l.shelf.Put(key, value)
}

// TestMeetingManyIsCheap: all tell of all, and each record is verified once; who
// was met is written once for all of them, and again at the end.
func TestMeetingManyIsCheap(t *testing.T) {
	dj := newPeer(t)
	dj.follow(nil, name)
	var others []*peer
	for range 4 {
		v := newPeer(t, dj.Addrs()[0])
		v.follow(nil, name)
		others = append(others, v)
	}
	others[3].meets(others...)
	c := newClock()
	l := &ledger{shelf: shelf{rows: map[string][]byte{}}, learnt: map[string]int{}}
	late := newPeer(t, dj.Addrs()[0], others[0].Addrs()[0], others[1].Addrs()[0])
	l.Records = late.Node
	late.follow(func(cfg *meet.Config) { cfg.Now, cfg.Records, cfg.Store = c.now, l, l }, name)
	late.meets(append(others, dj)...)
	until(t, "they are neighbours", func() bool { return len(late.Neighbours(name)) == 5 })
	until(t, "who was met first is written", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.puts > 0
	})
	l.mu.Lock()
	if l.puts > 1 {
		t.Errorf("%d writes", l.puts)
	}
	l.mu.Unlock()
	late.stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.learnt) < 5 || l.puts == 0 || l.rows[name] == nil {
		t.Errorf("%d records, %d writes, and %d bytes kept", len(l.learnt), l.puts, len(l.rows[name]))
	}
	for _, n := range l.learnt {
		if n > 1+l.moves {
			t.Errorf("a record was verified %d times, and there were %d moves", n, l.moves)
		}
	}
}

// TestOneNameIsNotAnother: peers are introduced for a name that both follow,
// and for no other, and only while they were heard of within an hour.
func TestOneNameIsNotAnother(t *testing.T) {
	c := newClock()
	by := func(cfg *meet.Config) { cfg.Now = c.now }
	hub := newPeer(t)
	hub.follow(by, "one", "two")
	first := newPeer(t, hub.Addrs()[0])
	first.follow(by, "one")
	second := newPeer(t, hub.Addrs()[0])
	second.follow(by, "two", "three")
	stranger := newPeer(t, hub.Addrs()[0])
	stranger.follow(by, "three")
	until(t, "the hub knows both", func() bool { return len(hub.Neighbours("one")) == 1 && len(hub.Neighbours("two")) == 1 })
	third := newPeer(t, hub.Addrs()[0])
	third.follow(by, "one")
	third.meets(first, hub)
	until(t, "all have asked", func() bool { return len(first.Neighbours("one")) == 2 })
	for _, p := range []*peer{first, second, stranger, third} {
		for _, o := range []*peer{second, stranger} {
			if p != o && slices.Contains(p.Connected(), o.ID()) {
				t.Errorf("%s was introduced to %s, with no name in common that the hub knows", p.ID(), o.ID())
			}
		}
	}
	first.stop()
	third.stop()
	c.forward(2 * time.Hour)
	fourth := newPeer(t, hub.Addrs()[0])
	fourth.follow(by, "one")
	until(t, "the hub has met it", func() bool { return len(fourth.Neighbours("one")) == 1 })
	if got := ask(t, fourth, hub, question(t, fourth, hub, "one")); len(got.records) != 0 {
		t.Errorf("%d were introduced that nobody has heard of for two hours", len(got.records))
	}
}

// TestDegree: in a crowd nobody dials more than are wanted.
func TestDegree(t *testing.T) {
	hub := newPeer(t)
	hub.follow(nil, name)
	var crowd []*peer
	for range 9 {
		p := newPeer(t, hub.Addrs()[0])
		p.follow(func(c *meet.Config) { c.Degree = 3 }, name)
		crowd = append(crowd, p)
	}
	links := 0
	until(t, "all have neighbours", func() bool {
		links = 0
		for _, p := range crowd {
			n := len(p.Neighbours(name))
			if n < 3 {
				return false
			}
			links += n
		}
		return true
	})
	// Each dials the hub and two; what is above that has dialled it.
	if most := 9 * (3 + 3); links > most {
		t.Errorf("%d neighbours in all, more than %d", links, most)
	}
}

func over(p *peer) string {
	for _, a := range p.Addrs() {
		if strings.Contains(a, "/tcp/") {
			return a
		}
	}
	panic(fmt.Sprint("no address: ", p.Addrs()))
}

var _ node.Records = (*embedded.Node)(nil)

// TestWhoIsHereMayFollowToo: a newcomer dials nobody while those whom it knows may
// be about to follow as well, and does once they have not.
func TestWhoIsHereMayFollowToo(t *testing.T) {
	hub := newPeer(t)
	hub.follow(nil, name)
	other := newPeer(t, hub.Addrs()[0])
	other.follow(nil, name)
	until(t, "the hub knows the other", func() bool { return len(hub.Neighbours(name)) == 1 })
	here := []string{hub.Addrs()[0]}
	for range 2 {
		here = append(here, newPeer(t).Addrs()[0])
	}
	p := newPeer(t, here...)
	until(t, "all are connected", func() bool { return len(p.Connected()) == len(here) })
	at := newClock()
	d := &dials{Records: p.Node}
	var rounds atomic.Int32
	p.follow(func(c *meet.Config) {
		c.Degree, c.Now, c.Records = 3, at.now, d
		names := c.Names
		c.Names = func() []string { rounds.Add(1); return names() }
	}, name)
	until(t, "the hub is met", func() bool { return len(p.Neighbours(name)) == 1 })
	for range 3 { // those that know what the hub has told
		n := rounds.Load()
		p.Look()
		until(t, "a round", func() bool { return rounds.Load() > n })
	}
	if n := d.all.Load(); n > 0 {
		t.Fatalf("a newcomer has dialled %d times", n)
	}
	at.forward(3 * time.Second)
	p.Look()
	p.meets(other)
}
