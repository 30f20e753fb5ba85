package ipns_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	boxo "github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"go.uber.org/goleak"

	"playnode/ipns"
	"playnode/node"
	"playnode/node/memory"
)

func TestMain(m *testing.M) {
	// A closed leveldb's pool drains for up to a second of its own.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

type store struct {
	mu  sync.Mutex
	m   map[string][]byte
	got int // calls of Get
}

func newStore() *store { return &store{m: map[string][]byte{}} }

func (s *store) Get(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got++
	return s.m[key], nil
}

func (s *store) Put(key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[key] = value
	return nil
}

var (
	start = time.Unix(1_800_000_000, 0)
	later = start.Add(30 * 24 * time.Hour)
	k, n  = key(1)
)

func clock() time.Time { return start }

func key(seed byte) (ed25519.PrivateKey, ipns.Name) {
	k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	n, err := ipns.NameOf(k.Public().(ed25519.PublicKey))
	if err != nil {
		panic(err)
	}
	return k, n
}

func value(s string) cid.Cid { return node.NewBlock(cid.DagCBOR, []byte{0x60 + byte(len(s))}).CID }

func sign(t testing.TB, seq uint64, v string, eol time.Time) ipns.Record {
	t.Helper()
	r, err := ipns.Sign(k, value(v), seq, eol)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func namer(t testing.TB, cfg ipns.Config) *ipns.Namer {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = newStore()
	}
	if cfg.Now == nil {
		cfg.Now = clock
	}
	n, err := ipns.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// TestStandardRecord has boxo validate what we sign and us read what it signs.
func TestStandardRecord(t *testing.T) {
	r, err := ipns.Sign(k, value("x"), 7, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := boxo.UnmarshalRecord(r.Raw)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := boxo.NameFromString(string(n))
	if err := boxo.ValidateWithName(theirs, name); err != nil {
		t.Fatalf("boxo refuses our record: %v", err)
	}
	if seq, _ := theirs.Sequence(); seq != 7 || !strings.HasPrefix(string(n), "k51") {
		t.Fatalf("sequence %d, name %s", seq, n)
	}
	if string(name.RoutingKey()) != n.RoutingKey() {
		t.Fatal("routing key differs from boxo's")
	}
	ck, _ := crypto.UnmarshalEd25519PrivateKey(k)
	for name, opts := range map[string][]boxo.Option{"V1 and V2": nil, "V2 alone": {boxo.WithV1Compatibility(false)}, "key inside": {boxo.WithPublicKey(true)}} {
		b, err := boxo.NewRecord(ck, path.FromCid(value("x")), 3, start, time.Minute, opts...)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := boxo.MarshalRecord(b)
		if got, err := ipns.Open(n, raw); err != nil || got.Seq != 3 || got.Value != value("x") || !got.EOL.Equal(start) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestHostileRecords(t *testing.T) {
	good := sign(t, 5, "x", later)
	other, _ := key(2)
	foreign, _ := ipns.Sign(other, value("x"), 5, later)
	ck, _ := crypto.UnmarshalEd25519PrivateKey(k)
	made := func(p string, ttl time.Duration) []byte {
		v, err := path.NewPath(p)
		if err != nil {
			t.Fatal(err)
		}
		b, err := boxo.NewRecord(ck, v, 5, later, ttl)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := boxo.MarshalRecord(b)
		return raw
	}
	cases := map[string][]byte{
		"empty": {}, "another key's": foreign.Raw, "oversized": append(slices.Clone(good.Raw), make([]byte, ipns.MaxRecord)...),
		"cut":           good.Raw[:len(good.Raw)-1],
		"a name inside": made("/ipns/"+string(n), time.Minute),
		"a path inside": made("/ipfs/"+value("x").String()+"/a", time.Minute),
	}
	for i := range good.Raw {
		flipped := slices.Clone(good.Raw)
		flipped[i] ^= 1
		if rec, err := ipns.Open(n, flipped); err == nil && (rec.Seq != good.Seq || rec.Value != good.Value || !rec.EOL.Equal(good.EOL)) {
			t.Errorf("bit %d flipped changes what the record says", i)
		}
	}
	for name, raw := range cases {
		m := namer(t, ipns.Config{})
		if _, _, err := m.Accept(n, raw); !errors.Is(err, ipns.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
		if _, err := m.Newest(n); !errors.Is(err, ipns.ErrNotFound) {
			t.Errorf("%s was kept", name)
		}
	}
	for _, bad := range []string{"", "k51", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "k51qzi5uqu5dju93vq20dxm7inlzo79ms2ah0hobjicfm2lgtkkck6yc7tp429x"} {
		if _, err := ipns.ParseName(bad); err == nil {
			t.Errorf("name %q was taken", bad)
		}
	}
}

// TestEndOfLifeByTheInjectedClock: what has ended is taken for want of better,
// never in place of what has not, and never below what was seen.
func TestEndOfLifeByTheInjectedClock(t *testing.T) {
	now := start
	s := newStore()
	m := namer(t, ipns.Config{Store: s, Now: func() time.Time { return now }})
	defer m.Watch(n, nil)()
	stale := sign(t, 2, "x", start.Add(-time.Second))
	if r, fresh, err := m.Accept(n, stale.Raw); err != nil || !fresh || !r.Ended(now) {
		t.Fatalf("an ended record, with nothing held: %v, %v", fresh, err)
	}
	if a := m.Alerts(); len(a) != 1 || a[0].Kind != ipns.Stale || a[0].Seq != 2 || !a[0].Since.Equal(stale.EOL) {
		t.Fatalf("alerts: %+v", a)
	}
	if _, _, err := m.Accept(n, sign(t, 1, "x", later).Raw); !errors.Is(err, ipns.ErrRollback) {
		t.Fatalf("a longer life for an older record: %v", err)
	}
	if r, fresh, err := m.Accept(n, sign(t, 3, "x", start.Add(-time.Minute)).Raw); err != nil || !fresh || r.Seq != 3 {
		t.Fatalf("a newer record that has ended too: %v, %v", fresh, err)
	}
	held := sign(t, 4, "x", start.Add(time.Hour)) // long past by the wall clock or far ahead: no matter
	if _, fresh, err := m.Accept(n, held.Raw); err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	if a := m.Alerts(); len(a) != 0 {
		t.Fatalf("alerts: %+v", a)
	}
	ended := sign(t, 9, "x", start.Add(-time.Second))
	if _, _, err := m.Accept(n, ended.Raw); !errors.Is(err, ipns.ErrExpired) {
		t.Fatalf("an ended record in place of one that has not: %v", err)
	}
	if r, err := m.Newest(n); err != nil || r.Seq != 4 {
		t.Fatalf("newest: %d, %v", r.Seq, err)
	}
	now = start.Add(2 * time.Hour)
	if _, fresh, err := m.Accept(n, held.Raw); err != nil || fresh {
		t.Fatalf("the same again after its end: %v, %v", fresh, err)
	}
	if r, err := m.Resolve(t.Context(), n); err != nil || r.Seq != 4 || !r.Ended(now) {
		t.Fatalf("Resolve of what has ended, with nobody to ask: %d, %v", r.Seq, err)
	}
	if _, fresh, err := m.Accept(n, ended.Raw); err != nil || !fresh {
		t.Fatalf("both have ended, and this one is newer: %v, %v", fresh, err)
	}
	m = namer(t, ipns.Config{Store: s, Now: func() time.Time { return now }})
	if _, _, err := m.Accept(n, held.Raw); !errors.Is(err, ipns.ErrRollback) {
		t.Fatalf("back, after a restart: %v", err)
	}
}

func TestNoWayBack(t *testing.T) {
	s := newStore()
	m := namer(t, ipns.Config{Store: s})
	records := []ipns.Record{sign(t, 1, "a", later), sign(t, 2, "b", later), sign(t, 3, "a", later.Add(-time.Hour))}
	for _, r := range records {
		if _, fresh, err := m.Accept(n, r.Raw); err != nil || !fresh {
			t.Fatal(fresh, err)
		}
	}
	for range 2 { // before and after a restart
		for _, r := range records[:2] {
			if _, _, err := m.Accept(n, r.Raw); !errors.Is(err, ipns.ErrRollback) {
				t.Fatalf("sequence %d again: %v", r.Seq, err)
			}
		}
		if _, _, err := m.Publish(t.Context(), k, value("c"), 3, later); !errors.Is(err, ipns.ErrRollback) {
			t.Fatalf("publishing a known sequence: %v", err)
		}
		if r, err := m.Newest(n); err != nil || r.Seq != 3 {
			t.Fatalf("newest %d, %v", r.Seq, err)
		}
		m = namer(t, ipns.Config{Store: s})
	}
	r, _, err := m.Publish(t.Context(), k, value("c"), 0, later)
	if err != nil || r.Seq != 4 {
		t.Fatalf("publish next: %d, %v", r.Seq, err)
	}
}

// TestTwoValuesForOneSequence: whatever the order, all agree, and say so.
func TestTwoValuesForOneSequence(t *testing.T) {
	a, b := sign(t, 5, "a", later), sign(t, 5, "bb", later)
	c := sign(t, 5, "a", later.Add(time.Second)) // a renewal: same value, longer
	win, lose := a, b
	if b.Compare(a) > 0 {
		win, lose = b, a
	}
	for _, order := range [][]ipns.Record{{a, b}, {b, a}} {
		m := namer(t, ipns.Config{})
		for _, r := range order {
			if _, _, err := m.Accept(n, r.Raw); err != nil {
				t.Fatal(err)
			}
		}
		if r, _ := m.Newest(n); !bytes.Equal(r.Raw, win.Raw) {
			t.Fatal("the order decides who wins")
		}
		if r, err := m.Conflict(n); err != nil || !bytes.Equal(r.Raw, lose.Raw) {
			t.Fatalf("evidence: %v", err)
		}
	}
	m := namer(t, ipns.Config{})
	m.Accept(n, a.Raw)
	if r, fresh, err := m.Accept(n, c.Raw); err != nil || !fresh || !r.EOL.Equal(c.EOL) {
		t.Fatalf("renewal: %v, %v", fresh, err)
	}
	if _, err := m.Conflict(n); !errors.Is(err, ipns.ErrNotFound) {
		t.Fatal("a renewal is no conflict")
	}
}

// liar is a router that answers with what it is told to.
type liar struct{ answers [][]byte }

func (l liar) Put(context.Context, ipns.Name, []byte, func(string)) error { return errors.New("no") }
func (l liar) Get(_ context.Context, _ ipns.Name, found func([]byte)) error {
	for _, a := range l.answers {
		found(a)
	}
	return nil
}

func TestLyingRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other, _ := key(2)
		foreign, _ := ipns.Sign(other, value("x"), 99, later)
		old, held, next := sign(t, 1, "old", later), sign(t, 2, "x", later), sign(t, 3, "new", later)
		ended := sign(t, 9, "x", start.Add(-1))
		cases := map[string]struct {
			answers [][]byte
			want    error
			seq     uint64
		}{
			"older":         {[][]byte{old.Raw}, ipns.ErrRollback, 2},
			"foreign":       {[][]byte{foreign.Raw}, ipns.ErrInvalid, 2},
			"oversized":     {[][]byte{make([]byte, 1<<20)}, ipns.ErrInvalid, 2},
			"ended":         {[][]byte{ended.Raw}, ipns.ErrExpired, 2},
			"nothing":       {nil, ipns.ErrNotFound, 2},
			"held":          {[][]byte{held.Raw}, nil, 2},
			"truth at last": {[][]byte{old.Raw, foreign.Raw, ended.Raw, next.Raw}, nil, 3},
		}
		for name, c := range cases {
			m := namer(t, ipns.Config{Routers: []ipns.Router{liar{c.answers}}})
			m.Accept(n, held.Raw)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			r, err := m.Ask(ctx, n)
			cancel()
			if c.want == nil && (err != nil || r.Seq != c.seq) || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%s: seq %d, %v", name, r.Seq, err)
			}
			if r, _ := m.Newest(n); r.Seq != c.seq {
				t.Errorf("%s: newest is %d", name, r.Seq)
			}
		}
	})
}

func TestDHT(t *testing.T) {
	w := memory.NewWorld()
	a, b := w.Node("a"), w.Node("b")
	defer a.Close()
	defer b.Close()
	pub := namer(t, ipns.Config{Routers: []ipns.Router{ipns.DHT(a)}})
	if _, holders, err := pub.Publish(t.Context(), k, value("x"), 0, later); err != nil || holders != 1 {
		t.Fatal(holders, err)
	}
	sub := namer(t, ipns.Config{Routers: []ipns.Router{ipns.DHT(b)}})
	if r, err := sub.Resolve(t.Context(), n); err != nil || r.Seq != 1 {
		t.Fatal(r.Seq, err)
	}
}

// TestExchange: whoever holds the newest record answers for it, its owner or
// not; a push is taken only for what is wanted.
func TestExchange(t *testing.T) {
	w := memory.NewWorld()
	nodes := map[string]*memory.Node{}
	namers := map[string]*ipns.Namer{}
	for _, name := range []string{"dj", "follower", "stranger", "late"} {
		nodes[name] = w.Node(name)
		defer nodes[name].Close()
		namers[name] = namer(t, ipns.Config{Peers: nodes[name]})
	}
	w.Link(nodes["dj"], nodes["follower"])
	w.Link(nodes["dj"], nodes["stranger"])
	defer namers["follower"].Watch(n, nil)()
	_, holders, err := namers["dj"].Publish(t.Context(), k, value("x"), 0, later)
	if err != nil || holders != 1 {
		t.Fatalf("%d holders, %v", holders, err)
	}
	if _, err := namers["stranger"].Newest(n); !errors.Is(err, ipns.ErrNotFound) {
		t.Fatal("a push was taken by one who does not want it")
	}
	nodes["dj"].Close()
	w.Link(nodes["late"], nodes["follower"])
	if r, err := namers["late"].Ask(t.Context(), n); err != nil || r.Seq != 1 {
		t.Fatalf("from a follower: %d, %v", r.Seq, err)
	}
	// Asking repairs those who are behind: late learns 2 elsewhere, asks, and
	// the follower has it.
	second := sign(t, 2, "yy", later)
	namers["late"].Accept(n, second.Raw)
	if r, err := namers["late"].Ask(t.Context(), n); err == nil && r.Seq != 2 {
		t.Fatalf("Ask after a lower answer: %d", r.Seq)
	}
	if r, _ := namers["follower"].Newest(n); r.Seq != 2 {
		t.Fatalf("the follower is still at %d", r.Seq)
	}
	// Pushing an old one is answered with the newer.
	third := sign(t, 3, "zzz", later)
	namers["follower"].Accept(n, third.Raw)
	if holders, err := namers["late"].Spread(t.Context(), n); err != nil || holders != 1 {
		t.Fatalf("%d holders, %v: who has taken a record counts, and is not told again", holders, err)
	}
	again := namer(t, ipns.Config{Peers: nodes["late"]})
	again.Accept(n, second.Raw)
	if holders, err := again.Spread(t.Context(), n); err != nil || holders != 0 {
		t.Fatalf("%d holders, %v", holders, err)
	}
	if r, _ := again.Newest(n); r.Seq != 3 {
		t.Fatalf("the pusher learnt nothing: %d", r.Seq)
	}
}

// TestRun: with Run, news travels along a chain of followers, at once when
// they are connected and else when they meet; records are re-put in time.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memory.NewWorld()
		ctx, stop := context.WithCancel(t.Context())
		var nodes []*memory.Node
		var namers []*ipns.Namer
		heard := make(chan uint64, 16)
		for i := range 4 {
			nodes = append(nodes, w.Node(string(rune('a'+i))))
			m := namer(t, ipns.Config{Peers: nodes[i], Routers: []ipns.Router{ipns.DHT(nodes[i])}})
			namers = append(namers, m)
			m.Watch(n, func(r ipns.Record) {
				if i == 3 {
					heard <- r.Seq
				}
			})
			go m.Run(ctx)
			if i > 0 && i < 3 {
				w.Link(nodes[i-1], nodes[i])
			}
		}
		namers[0].Publish(ctx, k, value("x"), 0, later)
		synctest.Wait()
		if r, err := namers[2].Newest(n); err != nil || r.Seq != 1 {
			t.Fatalf("two steps away: %d, %v", r.Seq, err)
		}
		w.Link(nodes[2], nodes[3])
		synctest.Wait()
		if seq := <-heard; seq != 1 {
			t.Fatalf("met with %d", seq)
		}
		nodes[0].PutValue(ctx, n.RoutingKey(), nil) // the DHT forgets
		<-time.After(13 * time.Hour)
		if raw, _ := nodes[0].GetValue(ctx, n.RoutingKey()); len(raw) == 0 {
			t.Fatal("nobody has put the record again")
		}
		stop()
		for _, n := range nodes {
			n.Close()
		}
	})
}

// TestHostileStreams opens streams by hand.
func TestHostileStreams(t *testing.T) {
	w := memory.NewWorld()
	server, client := w.Node("server"), w.Node("client")
	defer server.Close()
	defer client.Close()
	w.Link(server, client)
	m := namer(t, ipns.Config{Peers: server})
	m.Accept(n, sign(t, 1, "x", later).Raw)
	question := func(op byte, name string, size uint32, record []byte) []byte {
		q := binary.BigEndian.AppendUint16([]byte{op}, uint16(len(name)))
		return append(binary.BigEndian.AppendUint32(append(q, name...), size), record...)
	}
	ask := func(q []byte) []byte {
		s, err := client.Open(t.Context(), server.ID(), ipns.Protocol)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.Write(q)
		s.CloseWrite()
		a, _ := io.ReadAll(s)
		return a
	}
	if a := ask(question(1, string(n), 0, nil)); len(a) < 100 || a[0] != 1 {
		t.Fatalf("an honest question got %d bytes", len(a))
	}
	for name, q := range map[string][]byte{
		"nothing": {}, "unknown op": question(9, string(n), 0, nil), "no name": question(1, "", 0, nil),
		"bad name": question(1, "k51", 0, nil), "long name": question(1, strings.Repeat("k", 200), 0, nil),
		"huge record": question(2, string(n), 1<<31, nil), "cut": question(2, string(n), 100, []byte{1}),
	} {
		if a := ask(q); len(a) != 0 {
			t.Errorf("%s: answered %x", name, a)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(sign(f, 1, "x", later).Raw)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := ipns.Open(n, raw)
		if err != nil {
			if !errors.Is(err, ipns.ErrInvalid) {
				t.Fatalf("error without a kind: %v", err)
			}
			return
		}
		// Nobody but the key's holder says anything new.
		if r.Seq != 1 || r.Value != value("x") || !r.EOL.Equal(later) {
			t.Fatalf("forged: %+v", r)
		}
	})
}

// TestWhatIsNotHeldIsSoughtOnce: each peer that comes asks and is asked, and the
// store is on the disk. What comes then is held.
func TestWhatIsNotHeldIsSoughtOnce(t *testing.T) {
	s := newStore()
	nm := namer(t, ipns.Config{Store: s, Now: clock})
	for range 3 {
		if _, err := nm.Newest(n); !errors.Is(err, ipns.ErrNotFound) {
			t.Fatalf("nothing is held: %v", err)
		}
		s.mu.Lock()
		got := s.got
		s.mu.Unlock()
		if got != 1 {
			t.Fatalf("the store was asked %d times", got)
		}
	}
	want := sign(t, 1, "a", later)
	if _, _, err := nm.Accept(n, want.Raw); err != nil {
		t.Fatal(err)
	}
	if got, err := nm.Newest(n); err != nil || !bytes.Equal(got.Raw, want.Raw) {
		t.Fatalf("what has come is not held: %v", err)
	}
}
