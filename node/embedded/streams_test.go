package embedded

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestSlots: a peer has its part, strangers have half, and what they leave is
// there for others.
func TestSlots(t *testing.T) {
	l := slots{by: map[peer.ID]int{}}
	var gives []func()
	fill := func(id peer.ID, stranger bool) (n int) {
		for {
			give, ok := l.take(id, stranger)
			if !ok {
				return n
			}
			gives = append(gives, give)
			n++
		}
	}
	for i, want := range []int{peerStreams, strangeStreams - peerStreams, 0} {
		if n := fill(peer.ID(rune('a'+i)), true); n != want {
			t.Errorf("stranger %d has %d", i, n)
		}
	}
	for i, want := range []int{peerStreams, maxStreams - strangeStreams - peerStreams, 0} {
		if n := fill(peer.ID(rune('m'+i)), false); n != want {
			t.Errorf("friend %d has %d", i, n)
		}
	}
	for _, give := range gives {
		give()
	}
	if l.all != 0 || l.strange != 0 || len(l.by) != 0 {
		t.Errorf("given back, there are %d, %d of strangers, %d peers", l.all, l.strange, len(l.by))
	}
}
