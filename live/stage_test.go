package live_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"playnode/live"
	"playnode/live/livetest"
	"playnode/manifests"
	"playnode/node"
	"playnode/node/memory"
)

func TestMain(m *testing.M) {
	// A closed leveldb's pool drains for up to a second of its own.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/syndtr/goleveldb/leveldb.(*DB).mpoolDrain"))
}

const size = 17_400

// stage is a DJ on air and others, on a virtual clock.
type stage struct {
	*memory.World
	t   *testing.T
	dj  *livetest.DJ
	all []*box
}

// box is one of them.
type box struct {
	*memory.Node
	carrier *live.Carrier
	feed    *live.Feed
	stop    context.CancelFunc
	done    chan struct{}

	mu    sync.Mutex // guards what follows
	items []live.Item
	ended error
}

// onStage runs f in a bubble.
func onStage(t *testing.T, f func(t *testing.T, s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{World: memory.NewWorld(), t: t, dj: livetest.New(1, time.Now())}
		s.Delay = 20 * time.Millisecond
		f(t, s)
		for _, b := range s.all {
			b.end()
		}
	})
}

func (s *stage) box(name string, change func(*live.Config)) *box {
	b := &box{Node: s.Node(name), done: make(chan struct{})}
	cfg := live.Config{Streams: b, Peers: b, Chain: s.dj.Chain, Now: time.Now, Topics: b,
		Meet: func(ctx context.Context, addr, _ string) error { return b.Connect(ctx, addr) }}
	if change != nil {
		change(&cfg)
	}
	var err error
	if b.carrier, err = live.New(cfg); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	go func() {
		defer close(b.done)
		if err := b.carrier.Run(ctx); !errors.Is(err, context.Canceled) {
			s.t.Error(err)
		}
	}()
	synctest.Wait()
	s.all = append(s.all, b)
	return b
}

func (b *box) end() {
	b.stop()
	<-b.done
	b.Close()
}

// hear begins to hear the DJ.
func (b *box) hear(s *stage) *box {
	b.feed = b.carrier.Hear(s.dj.Set(), 0)
	go func() {
		for {
			item, err := b.feed.Next(context.Background())
			b.mu.Lock()
			if b.ended = err; err == nil {
				b.items = append(b.items, item)
			}
			b.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return b
}

// air puts the DJ on air at a box.
func (b *box) air(s *stage) *live.Air {
	s.t.Helper()
	a, err := b.carrier.Go(s.dj.Record())
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// plays announces n segments, one a second.
func (s *stage) plays(a *live.Air, n int, final bool) {
	s.t.Helper()
	for i := range n {
		if err := a.Announce(s.dj.Next(time.Now(), size, final && i == n-1)); err != nil {
			s.t.Fatal(err)
		}
		<-time.After(time.Second)
	}
}

// heard are the numbers of the segments that b was given, and how many it was
// told are missing. Their order and their bytes are checked.
func (b *box) heard(t *testing.T) (seqs []uint64, missing int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	next, records := uint64(0), 0
	for _, i := range b.items {
		switch {
		case i.Record != nil:
			records++
			continue
		case records == 0:
			t.Error("a segment before any record")
		case i.Seq < next:
			t.Errorf("segment %d after %d", i.Seq, next-1)
		}
		next = i.Seq + 1
		missing += i.Missing
		if i.Head != nil {
			seqs = append(seqs, i.Seq)
			if node.Verify(i.Head.Seg, i.Sealed) != nil || i.Head.Seq != i.Seq {
				t.Errorf("segment %d is another", i.Seq)
			}
		}
	}
	return seqs, missing
}

// hears wants every segment from one to another, and none missing.
func (b *box) hears(t *testing.T, from, to uint64) {
	t.Helper()
	seqs, missing := b.heard(t)
	if missing > 0 || len(seqs) != int(to-from+1) || seqs[0] != from || seqs[len(seqs)-1] != to {
		t.Errorf("heard %v, %d missing, not %d to %d: %+v", seqs, missing, from, to, b.feed.Stats())
	}
}

// stranger is a neighbour that answers a hello with what say writes, and counts
// who asks.
type stranger struct {
	*memory.Node
	mu    sync.Mutex // guards asked
	asked int
}

func (s *stage) stranger(name string, say func(st node.Stream)) *stranger {
	x := &stranger{Node: s.Node(name)}
	x.Handle(live.Protocol, func(_ string, st node.Stream) {
		x.mu.Lock()
		x.asked++
		x.mu.Unlock()
		readFrame(st)
		say(st)
		io.Copy(io.Discard, st)
		st.Reset()
	})
	s.t.Cleanup(func() { x.Close() })
	return x
}

func (x *stranger) times() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.asked
}

// What follows is written from SPEC alone.

func readFrame(r io.Reader) (byte, []byte, error) {
	var h [4]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	b := make([]byte, int(h[1])<<16|int(h[2])<<8|int(h[3]))
	_, err := io.ReadFull(r, b)
	return h[0], b, err
}

func frame(kind byte, body []byte) []byte {
	return append([]byte{kind, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

func u16(n int) []byte    { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func cat(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func helloOf(set live.Set, mode, flags byte, slots, free int, addrs ...string) []byte {
	b := cat(set.DJ[:], set.Live[:], []byte{mode, flags}, u16(slots), u16(free), u16(0), u64(0), []byte{byte(len(addrs))})
	for _, a := range addrs {
		b = cat(b, []byte{byte(len(a))}, []byte(a))
	}
	return frame(1, b)
}

// stateOf is a giver's that stands one below another.
func stateOf(mode byte) []byte {
	return frame(17, cat([]byte{mode, 1}, u16(3), u64(0), u64(0), []byte{2}, make([]byte, 7), []byte{1}, make([]byte, 7), []byte{2}, []byte{0}))
}

func signedOf(kind byte, s manifests.Signed) []byte {
	return frame(kind, cat(u16(len(s.Env.Data)), s.Env.Data, s.Payload.Data))
}

func segmentOf(seq uint64, b manifests.Block) []byte { return frame(21, cat(u64(seq), b.Data)) }
