package ipns_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"playnode/ipns"
	"playnode/node"
	"playnode/node/memory"
)

// remote is a delegated routing server that holds one record, whatever it is.
type remote struct{ raw []byte }

func (r remote) Record(context.Context, string) ([]byte, error)  { return r.raw, nil }
func (r remote) PutRecord(context.Context, string, []byte) error { return errors.New("no") }

// way brings raw to a Namer that watches n and holds seed, if any, and gives
// the Namer back once it has had every chance to take it. The far side is
// written by hand: it says what no Namer would.
type way func(t *testing.T, seed, raw []byte) *ipns.Namer

// pair is a Namer on one node and the node of a stranger beside it.
func pair(t *testing.T, seed []byte, cfg func(*memory.Node) ipns.Config, strange func(*memory.Node)) (*ipns.Namer, *memory.Node) {
	t.Helper()
	w := memory.NewWorld()
	a, b := w.Node("a"), w.Node("b")
	t.Cleanup(func() { a.Close(); b.Close() })
	if strange != nil {
		strange(b)
	}
	m := namer(t, cfg(a))
	if seed != nil {
		if _, _, err := m.Accept(n, seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(m.Watch(n, nil))
	w.Link(a, b)
	return m, b
}

func ask(t *testing.T, m *ipns.Namer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m.Ask(ctx, n)
}

func prefixed(size int, parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		switch size {
		case 2:
			out = binary.BigEndian.AppendUint16(out, uint16(len(p)))
		case 4:
			out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		default:
			out = binary.AppendUvarint(out, uint64(len(p)))
		}
		out = append(out, p...)
	}
	return out
}

var ways = map[string]way{
	"the DHT": func(t *testing.T, seed, raw []byte) *ipns.Namer {
		m, b := pair(t, seed, func(a *memory.Node) ipns.Config { return ipns.Config{Routers: []ipns.Router{ipns.DHT(a)}} }, nil)
		b.PutValue(t.Context(), n.RoutingKey(), raw)
		ask(t, m)
		return m
	},
	"a gateway": func(t *testing.T, seed, raw []byte) *ipns.Namer {
		m, _ := pair(t, seed, func(*memory.Node) ipns.Config {
			return ipns.Config{Routers: []ipns.Router{ipns.Source(remote{raw}.Record)}}
		}, nil)
		ask(t, m)
		return m
	},
	"delegated routing": func(t *testing.T, seed, raw []byte) *ipns.Namer {
		m, _ := pair(t, seed, func(*memory.Node) ipns.Config {
			return ipns.Config{Routers: []ipns.Router{ipns.Delegated("x", remote{raw})}}
		}, nil)
		ask(t, m)
		return m
	},
	"its topic": func(t *testing.T, seed, raw []byte) *ipns.Namer {
		m, b := pair(t, seed, func(a *memory.Node) ipns.Config { return ipns.Config{Topics: a} }, nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- m.Run(ctx) }()
		synctest.Wait()
		b.Publish(ctx, n.Topic(), raw)
		synctest.Wait()
		stop()
		<-ended
		return m
	},
	"an answer": func(t *testing.T, seed, raw []byte) *ipns.Namer {
		m, _ := pair(t, seed, func(a *memory.Node) ipns.Config { return ipns.Config{Peers: a} }, func(b *memory.Node) {
			b.Handle(ipns.Protocol, func(_ string, s node.Stream) {
				io.ReadAll(s)
				s.Write(append([]byte{1}, prefixed(4, raw)...))
				s.Close()
			})
		})
		ask(t, m)
		return m
	},
	"a push": func(t *testing.T, seed, raw []byte) *ipns.Namer {
		m, b := pair(t, seed, func(a *memory.Node) ipns.Config { return ipns.Config{Peers: a} }, nil)
		s, err := b.Open(t.Context(), b.Connected()[0], ipns.Protocol)
		if err != nil {
			t.Fatal(err)
		}
		s.Write(append(append([]byte{2}, prefixed(2, []byte(n))...), prefixed(4, raw)...))
		s.CloseWrite()
		io.ReadAll(s)
		s.Close()
		return m
	},
	"stock IPFS's fetch": func(t *testing.T, seed, raw []byte) *ipns.Namer {
		m, _ := pair(t, seed, func(a *memory.Node) ipns.Config { return ipns.Config{Peers: a} }, func(b *memory.Node) {
			b.Handle("/libp2p/fetch/0.0.1", func(_ string, s node.Stream) {
				io.ReadAll(s)
				s.Write(prefixed(0, append([]byte{2<<3 | 2}, prefixed(0, raw)...)))
				s.Close()
			})
		})
		ask(t, m)
		return m
	},
}

// TestVectorsByEveryWay: a record is as good as it is, whoever brings it.
func TestVectorsByEveryWay(t *testing.T) {
	for by, bring := range ways {
		for name, v := range vectors(t) {
			synctest.Test(t, func(t *testing.T) {
				r, err := bring(t, nil, v.raw).Newest(n)
				if v.good && (err != nil || r.Seq != 5) || !v.good && !errors.Is(err, ipns.ErrNotFound) {
					t.Errorf("%s by %s: %d, %v", name, by, r.Seq, err)
				}
			})
		}
	}
}

// TestLiesByEveryWay: what a liar brings to one who holds sequence 7 changes
// nothing, except that two values under one sequence leave evidence.
func TestLiesByEveryWay(t *testing.T) {
	held := sign(t, 7, "held", later)
	other, _ := key(2)
	foreign, err := ipns.Sign(other, value("x"), 99, later)
	if err != nil {
		t.Fatal(err)
	}
	twin := sign(t, 7, "a twin", later.Add(-time.Second))
	lies := map[string][]byte{
		"nothing": {}, "nonsense": []byte("nonsense"), "another key's": foreign.Raw, "oversized": make([]byte, ipns.MaxRecord+1),
		"expired": sign(t, 9, "x", start.Add(-time.Second)).Raw, "equivocating": twin.Raw,
	}
	for seq := range uint64(7) { // every older one
		lies["sequence "+string('0'+rune(seq))] = sign(t, seq, "x", later.Add(time.Hour)).Raw
	}
	for by, bring := range ways {
		for name, raw := range lies {
			synctest.Test(t, func(t *testing.T) {
				m := bring(t, held.Raw, raw)
				if r, err := m.Newest(n); err != nil || r.Seq != 7 || r.Value != held.Value {
					t.Errorf("%s by %s: newest is %d at %s, %v", name, by, r.Seq, r.Value, err)
				}
				evidence, err := m.Conflict(n)
				if name == "equivocating" {
					if err != nil || evidence.Value != twin.Value {
						t.Errorf("%s by %s: evidence %v", name, by, err)
					}
					if a := m.Alerts(); len(a) != 1 || a[0].Kind != ipns.Equivocation || a[0].Seq != 7 || a[0].Settled {
						t.Errorf("%s by %s: alerts %+v", name, by, a)
					}
				} else if !errors.Is(err, ipns.ErrNotFound) || len(m.Alerts()) != 0 {
					t.Errorf("%s by %s: an alert without cause (%v)", name, by, err)
				}
			})
		}
	}
}

// TestNewerByEveryWay: and the truth comes through by each of them.
func TestNewerByEveryWay(t *testing.T) {
	held, newer := sign(t, 7, "held", later), sign(t, 8, "newer", later)
	for by, bring := range ways {
		synctest.Test(t, func(t *testing.T) {
			if r, err := bring(t, held.Raw, newer.Raw).Newest(n); err != nil || r.Seq != 8 {
				t.Errorf("by %s: %d, %v", by, r.Seq, err)
			}
		})
	}
}

// hang is a router that answers nobody.
type hang struct{}

func (hang) Put(ctx context.Context, _ ipns.Name, _ []byte, _ func(string)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hang) Get(ctx context.Context, _ ipns.Name, _ func([]byte)) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestPublishAnswersEarly: with enough holders at once, beside a router that
// hangs; with fewer, when ctx ends; and the rest goes on behind.
func TestPublishAnswersEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memory.NewWorld()
		w.Delay = 10 * time.Millisecond
		dj := w.Node("dj")
		m := namer(t, ipns.Config{Peers: dj, Routers: []ipns.Router{hang{}}})
		var nodes []*memory.Node
		for i := range 5 {
			f := w.Node(string(rune('a' + i)))
			namer(t, ipns.Config{Peers: f}).Watch(n, nil)
			w.Link(dj, f)
			nodes = append(nodes, f)
		}
		began := time.Now()
		if _, holders, err := m.Publish(t.Context(), k, value("x"), 0, later); err != nil || holders < 3 || time.Since(began) > time.Second {
			t.Fatalf("%d holders after %v, %v", holders, time.Since(began), err)
		}
		<-time.After(time.Second)
		if h := m.Holders(n); h != 5 {
			t.Fatalf("%d hold it in the end", h)
		}
		for _, f := range nodes[2:] {
			f.Close()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began = time.Now()
		if _, holders, err := m.Publish(ctx, k, value("yy"), 0, later); err != nil || holders != 2 || time.Since(began) != 3*time.Second {
			t.Fatalf("%d holders after %v, %v", holders, time.Since(began), err)
		}
		m.Close() // ends what hangs: the bubble would not end otherwise
		if _, holders, err := m.Publish(t.Context(), k, value("zzz"), 0, later); err != nil || holders != 0 {
			t.Fatalf("after Close: %d holders, %v", holders, err)
		}
		for _, f := range append(nodes, dj) {
			f.Close()
		}
	})
}

// TestResolveAnswersEarly: the first good record beats a router that hangs;
// what is held beats everything, and is refined behind.
func TestResolveAnswersEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newer := sign(t, 8, "x", later)
		m := namer(t, ipns.Config{Routers: []ipns.Router{hang{}, ipns.Delegated("x", remote{newer.Raw})}})
		began := time.Now()
		if r, err := m.Resolve(t.Context(), n); err != nil || r.Seq != 8 || time.Since(began) != 0 {
			t.Fatalf("%d after %v, %v", r.Seq, time.Since(began), err)
		}
		m = namer(t, ipns.Config{Routers: []ipns.Router{hang{}, ipns.Delegated("x", remote{newer.Raw})}})
		m.Accept(n, sign(t, 7, "x", later).Raw)
		told := make(chan uint64, 1)
		defer m.Watch(n, func(r ipns.Record) { told <- r.Seq })()
		if r, err := m.Resolve(t.Context(), n); err != nil || r.Seq != 7 || time.Since(began) != 0 {
			t.Fatalf("%d after %v, %v", r.Seq, time.Since(began), err)
		}
		if seq := <-told; seq != 8 {
			t.Fatalf("told of %d", seq)
		}
		// A stale record is not the answer while a better one may come.
		stale := ipns.Delegated("x", remote{sign(t, 6, "x", start.Add(-time.Second)).Raw})
		m = namer(t, ipns.Config{Routers: []ipns.Router{stale, slow{time.Second, newer.Raw}}})
		if r, err := m.Resolve(t.Context(), n); err != nil || r.Seq != 8 {
			t.Fatalf("%d, %v", r.Seq, err)
		}
		began = time.Now()
		m = namer(t, ipns.Config{Routers: []ipns.Router{stale, hang{}}})
		if r, err := m.Resolve(t.Context(), n); err != nil || r.Seq != 6 || !r.Ended(start) || time.Since(began) != 3*time.Second {
			t.Fatalf("%d after %v, %v", r.Seq, time.Since(began), err)
		}
		<-time.After(time.Minute)
	})
}

// slow is a router that answers late.
type slow struct {
	after time.Duration
	raw   []byte
}

func (slow) Put(context.Context, ipns.Name, []byte, func(string)) error { return nil }

func (s slow) Get(ctx context.Context, _ ipns.Name, found func([]byte)) error {
	select {
	case <-time.After(s.after):
		found(s.raw)
	case <-ctx.Done():
	}
	return nil
}
