package ipns_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"playnode/ipns"
	"playnode/node/embedded"
)

// realBox is a namer on a real peer on loopback.
type realBox struct {
	*ipns.Namer
	node *embedded.Node
	stop func()
}

func openReal(t *testing.T, s *store, peers ...*realBox) *realBox {
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
	m := namer(t, ipns.Config{Store: s, Peers: e, Topics: e})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() { defer close(done); m.Run(ctx) }()
	b := &realBox{Namer: m, node: e}
	b.stop = func() { cancel(); <-done; m.Close(); e.Close() }
	t.Cleanup(b.stop)
	return b
}

// hears waits until b has sequence seq.
func (b *realBox) hears(t *testing.T, seq uint64) {
	t.Helper()
	heard := make(chan ipns.Record, 64)
	defer b.Watch(n, func(r ipns.Record) { heard <- r })()
	if r, err := b.Newest(n); err == nil && r.Seq >= seq {
		return
	}
	limit := time.After(30 * time.Second)
	for {
		select {
		case r := <-heard:
			if r.Seq >= seq {
				return
			}
		case <-limit:
			t.Fatalf("sequence %d never came", seq)
		}
	}
}

// TestTheDJIsGone has real peers in a line: the DJ, a follower, and another
// follower that never meets the DJ. She leaves; a newcomer has her name from
// them, also after they have started anew, and no older record comes back.
func TestTheDJIsGone(t *testing.T) {
	dj := openReal(t, newStore())
	kept := newStore()
	near := openReal(t, kept, dj)
	t.Cleanup(near.Watch(n, nil))
	far := openReal(t, newStore(), near)
	t.Cleanup(far.Watch(n, nil))
	first, _, err := dj.Publish(t.Context(), k, value("x"), 0, later)
	if err != nil {
		t.Fatal(err)
	}
	near.hears(t, 1)
	far.hears(t, 1)
	for seq := uint64(2); seq < 6; seq++ {
		if _, _, err := dj.Publish(t.Context(), k, value("yy"), seq, later); err != nil {
			t.Fatal(err)
		}
		far.hears(t, seq)
	}
	near.hears(t, 5)
	dj.stop()
	far.stop()
	near.stop()
	near = openReal(t, kept)
	t.Cleanup(near.Watch(n, nil))
	late := openReal(t, newStore(), near)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if r, err := late.Resolve(ctx, n); err != nil || r.Seq != 5 || r.Value != value("yy") {
		t.Fatalf("from a follower that has started anew: %d, %v", r.Seq, err)
	}
	if _, _, err := near.Accept(n, first.Raw); !errors.Is(err, ipns.ErrRollback) {
		t.Fatalf("the first record again: %v", err)
	}
}
