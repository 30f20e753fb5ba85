package embedded

import (
	"fmt"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// TestDialable: what may be dialled on the word of one who is on this box, in
// a private network, or on the internet.
func TestDialable(t *testing.T) {
	const relay = "/p2p/12D3KooWJtxMSiy5aZMkDTByBMYi4bCnHDFbE5T9ezBbsCTyoRZ6/p2p-circuit"
	for _, c := range []struct {
		addr                  string
		here, inside, outside bool
	}{
		{"/ip4/127.0.0.1/tcp/22", true, false, false},
		{"/ip6/::1/tcp/22", true, false, false},
		{"/ip4/192.168.1.1/tcp/80", true, true, false},
		{"/ip4/10.0.0.1/udp/53/quic-v1", true, true, false},
		{"/ip4/169.254.169.254/tcp/80", true, true, false},
		{"/ip4/100.64.0.1/tcp/80", true, true, false},
		{"/ip6/fe80::1/tcp/80", true, true, false},
		{"/ip6/fd00::1/tcp/80", true, true, false},
		{"/ip4/8.8.8.8/tcp/4001", true, true, true},
		{"/ip6/2606:4700::1/udp/4001/quic-v1", true, true, true},
		{"/ip4/8.8.8.8/tcp/4001" + relay, true, true, true},
		{"/ip4/192.168.1.1/tcp/4001" + relay, true, true, false},
		{relay, false, false, false},
		{"/dns4/printer.local/tcp/80", false, false, false},
		{"/dns4/example.com/tcp/443", false, false, false},
		{"/ip4/0.0.0.0/tcp/80", false, false, false},
		{"/ip4/224.0.0.1/udp/5353/quic-v1", false, false, false},
		{"/ip4/255.255.255.255/udp/1/quic-v1", false, false, false},
		{"/ip6/::/tcp/80", false, false, false},
		{"/ip6/::ffff:127.0.0.1/tcp/22", true, false, false},
		{"/unix/run/docker.sock", false, false, false},
	} {
		a := []ma.Multiaddr{ma.StringCast(c.addr)}
		for from, want := range map[place]bool{here: c.here, inside: c.inside, outside: c.outside} {
			if got := len(dialable(a, from)) == 1; got != want {
				t.Errorf("%s, told from %d: dialled %v", c.addr, from, got)
			}
		}
	}
}

// TestBuilding: all boxes of a building, behind one address, are let in at once,
// and its address has no more than that.
func TestBuilding(t *testing.T) {
	m, err := Room{Memory: 1 << 30, Files: 4096}.manager()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	n := 0
	in := func(addr string) error {
		c, err := m.OpenConnection(network.DirInbound, true, ma.StringCast(addr))
		if err != nil {
			return err
		}
		n++
		return c.SetPeer(peer.ID(fmt.Sprint("peer ", n))) // its handshake is over
	}
	for i := range building {
		if err := in("/ip4/203.0.113.7/tcp/4001"); err != nil {
			t.Fatalf("connection %d of one address: %v", i, err)
		}
	}
	if in("/ip4/203.0.113.7/tcp/4001") == nil {
		t.Error("one address has one more than a building")
	}
	if err := in("/ip4/203.0.113.8/tcp/4001"); err != nil {
		t.Errorf("another address: %v", err)
	}
}

// TestNear goes by the interfaces of this box.
func TestNear(t *testing.T) {
	var s subnets
	for addr, want := range map[string]bool{
		"/ip4/127.0.0.1/tcp/1": true, "/ip6/::1/tcp/1": true, "/ip4/169.254.3.4/tcp/1": true,
		"/ip4/8.8.8.8/tcp/1": false, "/dns4/example.com/tcp/1": false,
		"/ip4/127.0.0.1/tcp/1/p2p/12D3KooWJtxMSiy5aZMkDTByBMYi4bCnHDFbE5T9ezBbsCTyoRZ6/p2p-circuit": false,
	} {
		if got := s.near(ma.StringCast(addr)); got != want {
			t.Errorf("%s is near: %v", addr, got)
		}
	}
	for _, n := range s.look().nets {
		if !s.contain(n.IP) {
			t.Errorf("our own %s is far", n.IP)
		}
	}
}
