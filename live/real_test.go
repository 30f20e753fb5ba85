package live_test

import (
	"context"
	"crypto/ed25519"
	"io"
	"testing"
	"time"

	"playnode/live"
	"playnode/live/livetest"
	"playnode/node/embedded"
)

// realBox is a carrier on a real peer on loopback.
type realBox struct {
	node    *embedded.Node
	carrier *live.Carrier
	stop    func()
}

func openReal(t *testing.T, dj *livetest.DJ, peers ...*realBox) *realBox {
	t.Helper()
	_, id, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for _, p := range peers {
		addrs = append(addrs, p.node.Addrs()[0])
	}
	e, err := embedded.New(t.Context(), embedded.Config{
		Dir: t.TempDir(), Identity: id, Network: embedded.None, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Peers: addrs,
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := live.New(live.Config{Streams: e, Peers: e, Topics: e, Chain: dj.Chain, Now: time.Now, Meet: e.Meet, Keep: e, Upload: 200_000})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	b := &realBox{node: e, carrier: c}
	stopped := false
	b.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
			e.Close()
		}
	}
	t.Cleanup(b.stop)
	return b
}

// TestRealPeers has a DJ whose line bears a few and eight that hear her, over
// real connections: all of it comes to all, though one of those who carry dies.
func TestRealPeers(t *testing.T) {
	dj := livetest.New(1, time.Now())
	source := openReal(t, dj)
	air, err := source.carrier.Go(dj.Record())
	if err != nil {
		t.Fatal(err)
	}
	defer air.Close()
	play := func(n int, final bool) {
		for i := range n {
			if err := air.Announce(dj.Next(time.Now(), 10_000, final && i == n-1)); err != nil {
				t.Fatal(err)
			}
			<-time.After(200 * time.Millisecond) // the set's pace
		}
	}
	play(1, false)
	type end struct {
		b       *realBox
		n, lost int
		last    uint64
		err     error
	}
	ends := make(chan end, 8)
	var all []*realBox
	var feeds []*live.Feed
	for i := range 8 {
		peers := []*realBox{source}
		if i > 0 {
			peers = append(peers, all[i-1])
		}
		b := openReal(t, dj, peers...)
		all = append(all, b)
		f := b.carrier.Hear(dj.Set(), time.Minute)
		feeds = append(feeds, f)
		go func() {
			e := end{b: b}
			for {
				item, err := f.Next(t.Context())
				if e.err = err; err != nil {
					break
				}
				e.lost += item.Missing
				if item.Head != nil {
					if e.n > 0 && item.Seq != e.last+1 {
						e.lost++
					}
					e.n, e.last = e.n+1, item.Seq
				}
			}
			ends <- e
		}()
		play(2, false)
	}
	var dead *realBox
	for i, f := range feeds {
		if f.Stats().Children > 0 {
			dead = all[i]
			dead.stop()
			break
		}
	}
	play(10, true)
	limit := time.After(time.Minute)
	for range all {
		select {
		case e := <-ends:
			if e.b != dead && (e.err != io.EOF || e.lost > 0 || e.n == 0 || e.last != 26) {
				t.Errorf("%+v", e)
			}
		case <-limit:
			t.Fatal("a set without end")
		}
	}
	if dead == nil {
		t.Error("nobody carried it for others")
	}
	if st := air.Stats(); st.Children > 6 {
		t.Errorf("%+v", st)
	}
}
