package fetch

import (
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// TestAHeapIsNoRate: what has stood behind a lost packet comes at once, after a time in
// which nothing did: a line of 40 kB/s is not taken for one of megabytes.
func TestAHeapIsNoRate(t *testing.T) {
	now, usual := time.Unix(1000, 0), 1e6
	p := &peer{usual: &usual}
	const size = 128 << 10
	for range 5 {
		sent := now
		now = now.Add(13 * time.Second)
		for range 4 {
			p.sample(&ask{sent: sent}, size, now)
			now = now.Add(time.Millisecond)
		}
		if r := p.speed(); r < 30e3 || r > 60e3 {
			t.Fatalf("%.0f bytes a second", r)
		}
	}
	if usual > 1e6 {
		t.Errorf("others are taken to give %.0f bytes a second", usual)
	}
	for range 20 { // the line is better from now on
		sent := now
		now = now.Add(500 * time.Millisecond)
		p.sample(&ask{sent: sent}, size, now)
	}
	if r := p.speed(); r < 200e3 {
		t.Errorf("%.0f bytes a second once it is better", r)
	}
}

// TestAnAnswersDelayIsItsOwn: how far a peer is tells the time from what it was asked
// to the answer, and not from the first that it was ever asked.
func TestAnAnswersDelayIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		n, s := w.box("box", nil)
		far := w.Node("far")
		t.Cleanup(func() { far.Close() })
		far.Handle(BlocksProtocol, func(_ string, st node.Stream) {
			for kind, body, err := frame(st); err == nil; kind, body, err = frame(st) {
				if kind == frameAsk {
					base, digests, _ := parseAsk(body)
					<-time.After(20 * time.Millisecond)
					st.Write(appendHeld(nil, base, make([]bool, len(digests))))
				}
			}
		})
		w.Link(n, far)
		for i := range 8 {
			s.Ask(t.Context(), leaf(i).CID, node.Want{Class: node.Later}, func([]byte, error) {})
			<-time.After(time.Second)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if lag := s.peers.byID[far.ID()].lag; lag < 20*time.Millisecond || lag > 25*time.Millisecond {
			t.Errorf("a peer 20 ms away is taken to be %v away", lag)
		}
	})
}
