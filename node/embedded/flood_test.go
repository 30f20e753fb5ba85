package embedded

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"playnode/node"
)

func opened(t *testing.T, change func(*Config)) *Node {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: t.TempDir(), Identity: key, Network: None, Listen: []string{"/ip4/127.0.0.1/tcp/0"}}
	if change != nil {
		change(&cfg)
	}
	n, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// TestFlood: peers that open all the connections and streams they can, and
// fill what they may, take no more than the room, and an honest one is served.
func TestFlood(t *testing.T) {
	const room = 64 << 20
	n := opened(t, func(c *Config) { c.Room.Memory = room })
	release := make(chan struct{})
	var serving, most atomic.Int32
	n.Handle("/test/held", func(_ string, s node.Stream) { // a handler that a peer keeps waiting
		defer s.Reset()
		k := serving.Add(1)
		defer serving.Add(-1)
		for m := most.Load(); k > m && !most.CompareAndSwap(m, k); m = most.Load() {
		}
		<-release
	})
	n.Handle("/test/echo", func(_ string, s node.Stream) {
		defer s.Close()
		if data, err := io.ReadAll(io.LimitReader(s, 1<<10)); err == nil {
			s.Write(data)
		}
	})
	friend := opened(t, nil)
	if err := friend.Connect(t.Context(), n.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	n.Prefer(friend.ID(), true)
	info, err := peer.AddrInfoFromString(n.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	attack, over := context.WithTimeout(ctx, 3*time.Second)
	defer over()
	var refused atomic.Int32
	junk := make([]byte, 256<<10)
	var evil []peer.ID
	for range 3 { // identities, each on more hosts than a peer may have connections
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			h, err := libp2p.New(libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.DisableMetrics())
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			if i == 0 {
				evil = append(evil, h.ID())
			}
			h.Peerstore().AddAddrs(info.ID, info.Addrs, time.Hour)
			for range 25 {
				wg.Go(func() {
					s, err := h.NewStream(attack, info.ID, protocol.ID("/test/held"))
					if err != nil {
						refused.Add(1)
						return
					}
					s.SetDeadline(time.Now().Add(2 * time.Second))
					s.Write(junk)
					s.Write(junk)
					if _, err := s.Read(make([]byte, 1)); err != nil {
						refused.Add(1)
					}
				})
			}
		}
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for echoes := 0; ; echoes++ {
		s, err := friend.Open(ctx, n.ID(), "/test/echo")
		if err != nil {
			t.Fatalf("in the flood an honest peer was refused: %v", err)
		}
		s.SetDeadline(time.Now().Add(20 * time.Second))
		s.Write([]byte("x"))
		s.CloseWrite()
		if got, err := io.ReadAll(s); err != nil || string(got) != "x" {
			t.Fatalf("in the flood an honest peer got %q, %v", got, err)
		}
		s.Close()
		var taken int64
		n.host.Network().ResourceManager().ViewSystem(func(r network.ResourceScope) error {
			taken = r.Stat().Memory
			return nil
		})
		for _, id := range evil {
			if conns := len(n.host.Network().ConnsToPeer(id)); conns > 8 {
				t.Fatalf("one peer has %d connections", conns)
			}
		}
		if taken > room {
			t.Fatalf("libp2p has taken %d MiB of a room of %d", taken>>20, room>>20)
		}
		select {
		case <-done:
		case <-time.After(50 * time.Millisecond):
			continue
		}
		t.Logf("%d echoes; %d streams at once, %d refused; heap grew by %d MiB, libp2p has %d", echoes+1, most.Load(), refused.Load(), (heap()-before)>>20, taken>>20)
		break
	}
	if most.Load() > strangeStreams {
		t.Errorf("%d strangers' streams were served at once", most.Load())
	}
	// Both sides are in this process, and the flood's buffers with them.
	if grew := heap() - before; grew > 2*room {
		t.Errorf("the heap grew by %d MiB", grew>>20)
	}
	close(release)
	honest := opened(t, nil)
	if err := honest.Connect(t.Context(), n.Addrs()[0]); err != nil {
		t.Fatalf("after the flood: %v", err)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestRoom: what libp2p may take follows the box, within bounds.
func TestRoom(t *testing.T) {
	for _, c := range []struct {
		memory      int64
		files       int
		wantMemory  int64
		wantFiles   int
		high        int
		widthWindow uint32
	}{
		{1, 1, 64 << 20, 256, 96, 256 << 10},
		{128 << 20, 1024, 128 << 20, 1024, 128, 512 << 10},
		{1 << 29, 4096, 1 << 29, 4096, 512, 2 << 20},
		{1 << 40, 1 << 30, 1 << 30, 4096, 512, 4 << 20},
		{1 << 30, 300, 1 << 30, 300, 150, 4 << 20},
	} {
		r := Room{c.memory, c.files}.orBox()
		if r.Memory != c.wantMemory || r.Files != c.wantFiles || r.high() != c.high || r.window() != c.widthWindow || r.low() >= r.high() || r.full() <= r.high() || r.full() > r.Files {
			t.Errorf("%+v is a room of %+v, %d connections, a window of %d", c, r, r.high(), r.window())
		}
	}
	if r := (Room{}).orBox(); r.Memory < leastMemory || r.Files < leastFiles {
		t.Errorf("this box has %+v", r)
	}
}
