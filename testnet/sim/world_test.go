package sim_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
	"playnode/node/nodetest"
	"playnode/testnet/sim"
)

func TestConformance(t *testing.T) {
	nodetest.Streams(t, func(t *testing.T) (a, b nodetest.Peer) {
		w := sim.NewWorld(sim.Config{})
		line := sim.Line{Up: 1 << 30, Down: 1 << 30, Delay: time.Millisecond}
		x, y := w.Node(sim.NodeConfig{Name: "a", Line: line}), w.Node(sim.NodeConfig{Name: "b", Line: line})
		t.Cleanup(func() { x.Close(); y.Close() })
		return x, y
	})
	nodetest.Blocks(t, func(t *testing.T) nodetest.Store {
		s := sim.NewWorld(sim.Config{}).NewStore()
		return nodetest.Store{Blocks: s, Damage: s.Damage}
	})
}

const down = "/sim/download"

// bubble runs f with a world on a virtual clock.
func bubble(t *testing.T, cfg sim.Config, f func(t *testing.T, w *sim.World)) {
	synctest.Test(t, func(t *testing.T) { f(t, sim.NewWorld(cfg)) })
}

func add(t *testing.T, w *sim.World, name string, l sim.Line) *sim.Node {
	n := w.Node(sim.NodeConfig{Name: name, Line: l})
	t.Cleanup(func() { n.Close() })
	return n
}

func connect(t *testing.T, a, b *sim.Node) {
	t.Helper()
	if err := a.Connect(t.Context(), b.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

// gives has n write data to whoever asks.
func gives(n *sim.Node, data []byte) {
	n.Handle(down, func(_ string, s node.Stream) {
		s.Write(data)
		s.Close()
	})
}

// takes reads all that from gives, and returns how long that took.
func takes(t *testing.T, n, from *sim.Node) time.Duration {
	t.Helper()
	begin := time.Now()
	s, err := n.Open(t.Context(), from.ID(), down)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := io.Copy(io.Discard, s); err != nil {
		t.Error(err)
	}
	return time.Since(begin)
}

func about(got, want time.Duration) bool { return got >= want && got < want+want/50+time.Millisecond }

// What a line takes is its delays and its bytes at its rate, the narrower of
// both ends', to the millisecond.
func TestLineTakesItsTime(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		from, to sim.Line
		window   int64
		bytes    int
		want     time.Duration
	}{
		"nothing but delay": {sim.Line{Delay: 10 * ms}, sim.Line{Delay: 15 * ms}, 0, 1, 50 * ms},
		"uplink":            {sim.Line{Up: 1 << 20}, sim.Line{}, 0, 2 << 20, 2 * time.Second},
		"downlink":          {sim.Line{}, sim.Line{Down: 1 << 20}, 0, 2 << 20, 2 * time.Second},
		"both":              {sim.Line{Up: 1 << 20, Delay: 10 * ms}, sim.Line{Up: 1, Down: 1 << 21, Delay: 10 * ms}, 0, 1 << 20, time.Second + 40*ms + 15625*time.Microsecond},
		"far away":          {sim.Line{Delay: 50 * ms}, sim.Line{Delay: 50 * ms}, 64 << 10, 1 << 20, 200*ms + 15*200*ms},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, sim.Config{Window: c.window}, func(t *testing.T, w *sim.World) {
				a, b := add(t, w, "a", c.from), add(t, w, "b", c.to)
				connect(t, b, a)
				gives(a, make([]byte, c.bytes))
				if got := takes(t, b, a); !about(got, c.want) {
					t.Errorf("took %s, not %s", got, c.want)
				}
				if got := b.Carried().Received; got != int64(c.bytes) || a.Carried().Sent != got {
					t.Errorf("%d bytes were %+v there and %+v here", c.bytes, a.Carried(), b.Carried())
				}
			})
		})
	}
}

// An uplink is shared in equal parts, and a word is not kept behind a torrent.
func TestUplinkIsShared(t *testing.T) {
	bubble(t, sim.Config{}, func(t *testing.T, w *sim.World) {
		a := add(t, w, "a", sim.Line{Up: 1 << 20})
		gives(a, make([]byte, 1<<20))
		a.Handle("/sim/word", func(_ string, s node.Stream) {
			io.Copy(s, s)
			s.Close()
		})
		took := make(chan time.Duration)
		for _, name := range []string{"b", "c", "d", "e"} {
			o := add(t, w, name, sim.Line{})
			connect(t, o, a)
			go func() { took <- takes(t, o, a) }()
		}
		z := add(t, w, "z", sim.Line{})
		connect(t, z, a)
		s, err := z.Open(t.Context(), a.ID(), "/sim/word")
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		begin := time.Now()
		s.Write([]byte("!"))
		if _, err := s.Read(make([]byte, 1)); err != nil || time.Since(begin) > 40*time.Millisecond {
			t.Errorf("a word took %s: %v", time.Since(begin), err)
		}
		s.Close()
		for range 4 {
			if got := <-took; got < 3800*time.Millisecond || got > 4100*time.Millisecond {
				t.Errorf("a quarter of the line took %s", got)
			}
		}
	})
}

// Small blocks that stand for large ones take the line for as long, however
// they are written; what is around them does not.
func TestWeight(t *testing.T) {
	mark := []byte("#sim")
	for name, write := range map[string]func(io.Writer, []byte){
		"at once":     func(s io.Writer, b []byte) { s.Write(b) },
		"a byte each": func(s io.Writer, b []byte) { iter(b, func(x []byte) { s.Write(x) }) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, sim.Config{Mark: mark, Heavy: 64, Weight: 4096}, func(t *testing.T, w *sim.World) {
				a, b := add(t, w, "a", sim.Line{Up: 1 << 18}), add(t, w, "b", sim.Line{})
				connect(t, b, a)
				block := append(bytes.Clone(mark), make([]byte, 60)...)
				a.Handle(down, func(_ string, s node.Stream) {
					write(s, slicesOf("head", string(block), "between", string(block), "tail"))
					s.Close()
				})
				if got := takes(t, b, a); !about(got, 2*time.Second) {
					t.Errorf("took %s", got)
				}
				if sent := a.Carried().Sent; sent != 2<<18+15 {
					t.Errorf("sent %d", sent)
				}
			})
		})
	}
}

func iter(b []byte, f func([]byte)) {
	for i := range b {
		f(b[i : i+1])
	}
}

func slicesOf(texts ...string) (out []byte) {
	for _, t := range texts {
		out = append(out, t...)
	}
	return out
}

// A node that cannot be dialled dials; then both speak. One that goes takes its
// streams with it.
func TestUndialableAndGone(t *testing.T) {
	bubble(t, sim.Config{}, func(t *testing.T, w *sim.World) {
		a := add(t, w, "a", sim.Line{})
		b := w.Node(sim.NodeConfig{Name: "b", Undialable: true})
		gives(a, make([]byte, 10))
		gives(b, make([]byte, 10))
		if err := a.Connect(t.Context(), b.Addrs()[0]); !errors.Is(err, node.ErrNotFound) {
			t.Fatalf("dialled: %v", err)
		}
		if _, err := a.Open(t.Context(), b.ID(), down); err == nil {
			t.Fatal("a stream to nobody")
		}
		connect(t, b, a)
		takes(t, a, b)
		takes(t, b, a)
		hang := make(chan error)
		a.Handle("/sim/hang", func(_ string, s node.Stream) {
			_, err := s.Read(make([]byte, 1))
			hang <- err
		})
		if _, err := b.Open(t.Context(), a.ID(), "/sim/hang"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.Close()
		if err := <-hang; err == nil || err == io.EOF {
			t.Errorf("a stream to who is gone: %v", err)
		}
		if len(a.Connected()) > 0 {
			t.Error("connected to who is gone")
		}
	})
}

// A dial takes four round trips, as libp2p's over TCP does.
func TestADialTakesRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := sim.NewWorld(sim.Config{})
		line := sim.Line{Delay: 25 * time.Millisecond}
		a, b := w.Node(sim.NodeConfig{Name: "a", Line: line}), w.Node(sim.NodeConfig{Name: "b", Line: line})
		defer a.Close()
		defer b.Close()
		began := time.Now()
		if err := a.Connect(t.Context(), b.Addrs()[0]); err != nil || time.Since(began) != 400*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
