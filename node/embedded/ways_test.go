package embedded

import (
	"crypto/ed25519"
	"net/netip"
	"strings"
	"testing"
)

// TestOfWaysByTCPAndUDP: what is known of the way to a peer, and told of it, is the
// connection's that leads there.
func TestOfWaysByTCPAndUDP(t *testing.T) {
	for _, listen := range []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"} {
		var hosts [2]*Host
		for i := range hosts {
			_, key, err := ed25519.GenerateKey(nil)
			if err != nil {
				t.Fatal(err)
			}
			if hosts[i], err = OpenHost(Config{Identity: key, Listen: []string{listen}, Network: None}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { hosts[i].Close() })
		}
		a, b := hosts[0], hosts[1]
		if err := a.Connect(t.Context(), b.Addrs()[0]); err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(b.Addrs()[0], "/")
		at := netip.MustParseAddrPort(parts[2] + ":" + parts[4])
		if a.Slow(b.ID()) {
			t.Errorf("%s: it is slow, and nobody knows it", listen)
		}
		tcp := strings.Contains(listen, "tcp")
		if a.losses.noteLossy(at, true); a.Slow(b.ID()) != tcp {
			t.Errorf("%s: a way of TCP that loses by chance, slow: %v", listen, a.Slow(b.ID()))
		}
		a.Waits(b.ID(), false)
		a.losses.mu.Lock()
		w := a.losses.ways[at]
		if rests := w != nil && w.rests(a.losses.now()); rests == tcp {
			t.Errorf("%s: nobody waits for what goes there: %v", listen, rests)
		}
		a.losses.mu.Unlock()
	}
}
