package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
	"playnode/node/embedded"
)

// wait is for what no event tells of.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	ends := time.After(time.Minute)
	for !is() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ends:
			t.Fatalf("never: %s", what)
		}
	}
}

const smallProtocol, bulkProtocol = "/test/small", "/test/bulk"

// undialable listens nowhere and keeps one peer.
func undialable(t *testing.T, addr string) embedded.Config {
	cfg := config(t, addr)
	cfg.Listen, cfg.Small, cfg.Reach = []string{"none"}, []string{smallProtocol}, node.PrivateReach
	return cfg
}

// TestRelay: of two boxes that nobody can dial one reaches the other through a
// third, for small protocols and for nothing else.
func TestRelay(t *testing.T) {
	cfg := config(t)
	cfg.Relay = true
	hub := start(t, cfg)
	dj, venue := start(t, undialable(t, hub.Addrs()[0])), start(t, undialable(t, hub.Addrs()[0]))
	meet(t, dj, hub)
	meet(t, venue, hub)
	if len(dj.Addrs()) != 0 {
		t.Fatalf("it listens on %v", dj.Addrs())
	}
	// A stranger is not relayed for.
	if got := dj.Own(hub.ID()); got != nil {
		t.Fatal("it has an address already")
	}
	hub.Prefer(dj.ID(), true)
	hub.Prefer(venue.ID(), true)
	dj.Prefer(hub.ID(), false)
	dj.Prefer(hub.ID(), true) // both have found a name in common
	wait(t, "the DJ has a relay", func() bool { return slices.Equal(dj.Relays(), []string{hub.ID()}) })
	echo := func(_ string, s node.Stream) {
		defer s.Close()
		data, err := io.ReadAll(s)
		if err == nil {
			s.Write(data)
		}
	}
	dj.Handle(smallProtocol, echo)
	dj.Handle(bulkProtocol, echo)
	met := make(chan string, 8)
	dj.OnConnect(func(p string) { met <- p })
	if err := venue.Dial(t.Context(), dj.Own(hub.ID()), hub.ID()); err != nil {
		t.Fatal(err)
	}
	for p := range met {
		if p == venue.ID() { // the one who is reached hears of it as well
			break
		}
	}
	if !venue.Relayed(dj.ID()) || !dj.Relayed(venue.ID()) || venue.Relayed(hub.ID()) || venue.Near(dj.ID()) || !venue.Near(hub.ID()) {
		t.Error("who is near and who is behind a relay was mistaken")
	}
	s, err := venue.Open(t.Context(), dj.ID(), smallProtocol)
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte{1}, 200_000)
	go func() {
		s.Write(sent)
		s.CloseWrite()
	}()
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	s.Close()
	if _, err := venue.Open(t.Context(), dj.ID(), bulkProtocol); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("a bulk stream through a relay: %v", err)
	}
	// Who comes through a relay may be anywhere: not on its word is an address
	// of this box dialled, as it is on that of the hub, which is here.
	other := start(t, config(t, hub.Addrs()[0]))
	meet(t, other, hub)
	if err := venue.Dial(t.Context(), other.Own(hub.ID()), dj.ID()); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("dialled on the word of one who is elsewhere: %v", err)
	}
	if err := venue.Meet(t.Context(), other.Addrs()[0], dj.ID()); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("met on the word of one who is elsewhere: %v", err)
	}
	if err := venue.Dial(t.Context(), other.Own(hub.ID()), hub.ID()); err != nil {
		t.Errorf("not dialled on the word of one who is here: %v", err)
	}
	b := node.NewBlock(cid.Raw, []byte("block"))
	if err := dj.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := venue.Get(ctx, b.CID, node.Want{}); err == nil {
		t.Error("a block went through a relay")
	}
	// Whoever has no more in common loses the relay, if not at once.
	hub.Close()
	wait(t, "the relay is gone", func() bool { return len(dj.Relays()) == 0 && dj.Own(hub.ID()) == nil })
}

// TestStrangersAreNotRelayed: nor is who has all in common with one that is no
// relay.
func TestStrangersAreNotRelayed(t *testing.T) {
	cfg := config(t)
	cfg.Relay = true
	hub, plain := start(t, cfg), start(t, config(t))
	a := start(t, undialable(t, hub.Addrs()[0]))
	b := start(t, undialable(t, plain.Addrs()[0]))
	meet(t, a, hub)
	meet(t, b, plain)
	plain.Prefer(b.ID(), true)
	for range 3 {
		a.Prefer(hub.ID(), true)
		a.Prefer(hub.ID(), false)
		b.Prefer(plain.ID(), true)
		b.Prefer(plain.ID(), false)
	}
	select {
	case <-time.After(300 * time.Millisecond): // a reservation takes a few
	case <-t.Context().Done():
	}
	if len(a.Relays())+len(b.Relays()) != 0 {
		t.Errorf("relays: %v, %v", a.Relays(), b.Relays())
	}
}

// TestFleet: an allowlist is kept both ways.
func TestFleet(t *testing.T) {
	a, b, stranger := config(t), config(t), start(t, config(t))
	ida, idb := start(t, a), start(t, b)
	a.Allow, b.Allow = []string{idb.ID()}, []string{ida.ID()}
	a.Network = embedded.Public // and yet no DHT
	ida.Close()
	idb.Close()
	na, nb := start(t, a), start(t, b)
	if err := na.Connect(t.Context(), nb.Addrs()[0]); err != nil {
		t.Fatalf("one of the fleet: %v", err)
	}
	if err := na.Connect(t.Context(), stranger.Addrs()[0]); err == nil {
		t.Error("it has dialled a stranger")
	}
	for _, addr := range nb.Addrs() { // TCP and QUIC
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		other := start(t, config(t))
		if err := other.Connect(ctx, addr); err == nil {
			// A dialler may believe itself connected until it is told.
			wait(t, "the stranger is shut out", func() bool { return !slices.Contains(other.Connected(), nb.ID()) })
		}
		cancel()
		if slices.Contains(nb.Connected(), other.ID()) {
			t.Errorf("a stranger was let in at %s", addr)
		}
	}
	if err := na.PutValue(t.Context(), "/ipns/x", nil); !errors.Is(err, node.ErrNotFound) {
		t.Errorf("a fleet has a DHT: %v", err)
	}
	a.Allow = []string{"nobody"}
	a.Dir = t.TempDir()
	if _, err := embedded.New(t.Context(), a); err == nil {
		t.Error("nonsense was taken for a peer id")
	}
}
