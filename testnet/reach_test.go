package testnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"playnode/daemon"
	"playnode/testnet/binary"
	"playnode/testnet/netns"
)

// field is a world in a test, and the boxes on it.
type field struct {
	*stage
	*netns.World
}

// newField skips where no world can be made.
func newField(t *testing.T, boxes ...netns.BoxConfig) field {
	t.Helper()
	s := newStage(t)
	w, err := netns.Open(s.ctx, netns.Config{Boxes: boxes, Seed: 1})
	if errors.Is(err, netns.ErrUnsupported) {
		t.Skip("not tested here:", err)
	}
	s.ok(err)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return field{s, w}
}

// put has a playnode in box i.
func (f field) put(i int, name string) (binary.Box, identity) {
	f.Helper()
	b, id := f.box(name)
	b.Within = f.Boxes[i].Within()
	return b, id
}

const onTCP, onQUIC = "--listen=/ip4/0.0.0.0/tcp/4001", "--listen=/ip4/0.0.0.0/udp/4001/quic-v1"

// run runs a daemon until the world or the test ends.
func (f field) run(b binary.Box, args ...string) *binary.Daemon {
	f.Helper()
	d, err := b.Start(f.ctx, args...)
	f.ok(err)
	f.Cleanup(func() {
		if err := d.Stop(); err != nil {
			f.Errorf("daemon of %s: %v", b.Repo, err)
		}
	})
	return d
}

// noise has dj publish size bytes of sound.
func (f field) noise(dj binary.Box, size int64) {
	f.Helper()
	dir := filepath.Join(f.dir, "noise")
	f.ok(binary.Noise(dir, size))
	f.ok(dj.JSON(f.ctx, nil, "publish", "--playlist", "bar", dir))
}

// link is one to what dj has published.
func (f field) link(dj binary.Box) string {
	f.Helper()
	var l struct{ Link string }
	f.ok(dj.JSON(f.ctx, &l, "share", "bar"))
	return l.Link
}

// follow follows to the end.
func (f field) follow(b binary.Box, what string) {
	f.Helper()
	var got followed
	f.ok(b.JSON(f.ctx, &got, "follow", what, "--once"))
	if got.Missing != 0 || got.Held == 0 {
		f.Fatalf("%s holds %d tracks and misses %d", b.Repo, got.Held, got.Missing)
	}
}

func (f field) status(b binary.Box) (s daemon.Status) {
	f.Helper()
	f.ok(b.JSON(f.ctx, &s, "status"))
	return s
}

// until waits for what a status tells.
func (f field) until(b binary.Box, what string, is func(daemon.Status) bool) {
	f.Helper()
	ends := time.After(90 * time.Second)
	for {
		s := f.status(b)
		if is(s) {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ends:
			f.Fatalf("never: %s; reach %+v", what, s.Reach)
		}
	}
}

// sent is what box i's line has sent.
func (f field) sent(i int) int64 {
	f.Helper()
	c, err := f.Boxes[i].Counters()
	f.ok(err)
	return c.Sent
}

// Two behind home routers that keep their ports meet through a relay, punch a
// hole, and what one has goes to the other directly: the relay holds none of it
// and carries little. By QUIC and TCP, and where there is TCP alone.
func TestHolePunched(t *testing.T) {
	for name, listen := range map[string][]string{"quic": {onTCP, onQUIC}, "tcp": {onTCP}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := netns.BoxConfig{NAT: true, Line: netns.Line{Delay: 5 * time.Millisecond}}
			f := newField(t, netns.BoxConfig{}, home, home)
			hub, _ := f.put(0, "archivist")
			dj, djID := f.put(1, "dj")
			venue, venueID := f.put(2, "venue")
			const size = 4 << 20
			f.noise(dj, size)
			h := f.run(hub, append(listen, "--relay", "--reach=public", "--allow="+djID.Peer, "--allow="+venueID.Peer)...)
			f.run(dj, append(listen, "--peer="+h.Addrs[0])...)
			f.until(dj, "the DJ has a relay", func(s daemon.Status) bool { return slices.Equal(s.Reach.Relays, []string{h.Peer}) })
			f.run(venue, listen...)
			before := f.sent(0)
			f.follow(venue, f.link(dj))
			carried := f.sent(0) - before
			s := f.status(venue)
			if got := s.Traffic.BySource["swarm"]; got < size {
				t.Errorf("of %d bytes came %v", size, s.Traffic.BySource)
			}
			if s.Reach.Relayed != 0 || s.Reach.Far != 2 {
				t.Errorf("the venue reaches %+v", s.Reach)
			}
			if carried > size/20 {
				t.Errorf("the relay's line sent %d bytes", carried)
			}
			t.Logf("the relay's line sent %d bytes for %d", carried, size)
		})
	}
}

// AutoNAT: who can be dialled learns it, and who cannot, who then is reached
// through a relay.
func TestReachIsLearned(t *testing.T) {
	t.Parallel()
	f := newField(t, netns.BoxConfig{}, netns.BoxConfig{}, netns.BoxConfig{NAT: true})
	hub, _ := f.put(0, "archivist")
	open, openID := f.put(1, "open")
	shut, shutID := f.put(2, "shut")
	h := f.run(hub, onTCP, "--relay", "--reach=public", "--allow="+openID.Peer, "--allow="+shutID.Peer)
	f.run(open, onTCP, "--peer="+h.Addrs[0])
	f.run(shut, onTCP, "--peer="+h.Addrs[0])
	f.until(open, "it learns that it can be dialled", func(s daemon.Status) bool { return s.Reach.State == "public" && len(s.Reach.Relays) == 0 })
	f.until(shut, "it learns that it cannot be dialled", func(s daemon.Status) bool {
		return s.Reach.State == "private" && slices.Equal(s.Reach.Relays, []string{h.Peer})
	})
}

// upnpd runs miniupnpd on box i's home router.
func (f field) upnpd(i int) {
	f.Helper()
	program, err := exec.LookPath("miniupnpd")
	if err != nil {
		f.Skip("not tested here: miniupnpd is not installed (miniupnpd-nftables)")
	}
	conf := filepath.Join(f.dir, "miniupnpd.conf")
	f.ok(os.WriteFile(conf, []byte(fmt.Sprintf(`ext_ifname=wan
listening_ip=lan
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
min_lifetime=120
max_lifetime=86400
upnp_table_name=miniupnpd
upnp_nat_table_name=miniupnpd
upnp_forward_chain=forward
upnp_nat_chain=prerouting
upnp_nat_postrouting_chain=postrouting
lease_file=%s
uuid=00000000-0000-4000-8000-000000000001
allow 1024-65535 192.168.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
`, filepath.Join(f.dir, "leases"))), 0o600))
	within := f.Boxes[i].WithinRouter()
	nft := exec.CommandContext(f.ctx, within[0], append(within[1:], "nft", "-f", "-")...)
	nft.Stdin = strings.NewReader(`table inet miniupnpd {
	chain forward { type filter hook forward priority -10; }
	chain prerouting { type nat hook prerouting priority -100; }
	chain postrouting { type nat hook postrouting priority 90; }
}`)
	if out, err := nft.CombinedOutput(); err != nil {
		f.Fatalf("nft: %v: %s", err, out)
	}
	cmd := exec.CommandContext(f.ctx, within[0], append(within[1:], program, "-d", "-f", conf, "-P", filepath.Join(f.dir, "miniupnpd.pid"))...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	f.ok(cmd.Start())
	f.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if f.Failed() {
			f.Log(out.String())
		}
	})
}

// UPnP: a home router that opens ports where it is asked to is asked, and a
// stranger dials in.
func TestPortMapped(t *testing.T) {
	t.Parallel()
	f := newField(t, netns.BoxConfig{}, netns.BoxConfig{NAT: true})
	f.upnpd(1)
	stranger, _ := f.put(0, "stranger")
	venue, _ := f.put(1, "venue")
	s := f.run(stranger, onTCP)
	f.run(venue, onTCP, "--network=public", "--bootstrap="+s.Addrs[0])
	var id struct{ Addrs []string }
	outside := func() int {
		f.ok(venue.JSON(f.ctx, &id, "id"))
		return slices.IndexFunc(id.Addrs, func(a string) bool { return strings.HasPrefix(a, fmt.Sprintf("/ip4/%s/tcp/", f.Boxes[1].Addr())) })
	}
	f.until(venue, "the router has opened a port", func(daemon.Status) bool { return outside() >= 0 })
	other, _ := f.put(0, "other")
	f.run(other, "--listen=/ip4/0.0.0.0/tcp/4002", "--peer="+id.Addrs[outside()])
	f.until(other, "the venue is dialled", func(s daemon.Status) bool { return s.Reach.Far == 1 && s.Reach.Relayed == 0 })
}

// mDNS: two in one building find each other, and with the line cut one fills
// wholly from the other; with the line there, nearly all comes from the one
// that is near.
func TestBuilding(t *testing.T) {
	t.Parallel()
	home := netns.BoxConfig{NAT: true, Home: "bar"}
	f := newField(t, netns.BoxConfig{Line: netns.Line{Up: 2_500_000, Delay: 10 * time.Millisecond}}, home, home, home)
	dj, djID := f.put(0, "dj")
	first, _ := f.put(1, "first")
	second, _ := f.put(2, "second")
	third, _ := f.put(3, "third")
	const size = 4 << 20
	f.noise(dj, size)
	d := f.run(dj, onTCP, onQUIC)
	f.run(first, onTCP, onQUIC, "--network=lan", "--peer="+d.Addrs[0])
	f.follow(first, djID.Name)
	near := func(b binary.Box) float64 {
		by := f.status(b).Traffic.BySource
		all := int64(0)
		for source, n := range by {
			if source != "local" {
				all += n
			}
		}
		if all < size {
			t.Errorf("%s had %v", b.Repo, by)
		}
		return float64(by["lan"]) / float64(all)
	}
	before := f.sent(0)
	f.run(second, onTCP, onQUIC, "--network=lan", "--peer="+d.Addrs[0])
	f.until(second, "it knows both", func(s daemon.Status) bool { return s.Reach.Near == 1 && s.Reach.Far == 1 })
	f.follow(second, djID.Name)
	if share, far := near(second), f.sent(0)-before; share < .95 || far > size/10 {
		t.Errorf("of what was near %.1f %% was taken from there, and the DJ's line sent %d bytes", 100*share, far)
	}
	f.ok(f.Boxes[1].Cut(f.ctx))
	f.run(third, onTCP, onQUIC, "--network=lan")
	f.follow(third, djID.Name)
	if share := near(third); share != 1 {
		t.Errorf("with the line cut, %.1f %% came from the building", 100*share)
	}
}
