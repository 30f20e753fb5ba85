package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// rig is a world in a test.
type rig struct {
	*testing.T
	*World
}

func newRig(t *testing.T, boxes ...BoxConfig) rig {
	t.Helper()
	w, err := Open(t.Context(), Config{Boxes: boxes, Seed: 1})
	if errors.Is(err, ErrUnsupported) {
		t.Skip("not tested here:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return rig{t, w}
}

func (r rig) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// packets is a UDP socket in box i.
func (r rig) packets(i, port int) net.PacketConn {
	r.Helper()
	var c net.PacketConn
	r.ok(r.Boxes[i].Do(func() (err error) { c, err = net.ListenPacket("udp4", fmt.Sprint(":", port)); return err }))
	r.Cleanup(func() { c.Close() })
	return c
}

// at is where box i is sent packets.
func (r rig) at(i, port int) net.Addr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.Boxes[i].Addr(), uint16(port)))
}

// echo answers every packet to box i.
func (r rig) echo(i, port int) {
	c := r.packets(i, port)
	go func() {
		b := make([]byte, mtu)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from)
		}
	}()
}

// trips asks an echo n times and returns what round trips took, the shortest
// first.
func (r rig) trips(c net.PacketConn, to net.Addr, n int) []time.Duration {
	r.Helper()
	var all []time.Duration
	b := make([]byte, 64)
	for range n {
		begin := time.Now()
		_, err := c.WriteTo(b, to)
		r.ok(err)
		r.ok(c.SetReadDeadline(begin.Add(10 * time.Second)))
		_, _, err = c.ReadFrom(b)
		r.ok(err)
		all = append(all, time.Since(begin))
	}
	slices.Sort(all)
	return all
}

// Both lines' delays are what a round trip takes, twice; jitter adds as much
// as it says.
func TestDelay(t *testing.T) {
	t.Parallel()
	r := newRig(t, BoxConfig{Line: Line{Delay: 10 * time.Millisecond}}, BoxConfig{Line: Line{Delay: 15 * time.Millisecond}},
		BoxConfig{Line: Line{Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond}}, BoxConfig{})
	r.echo(1, 7)
	all := r.trips(r.packets(0, 8), r.at(1, 7), 40)
	t.Logf("50 ms: %s to %s, half below %s", all[0], all[len(all)-1], all[len(all)/2])
	// A machine that is busy answers late, never early: the line is what the
	// fastest saw.
	if all[0] < 50*time.Millisecond || all[0] > 52*time.Millisecond {
		t.Errorf("a round trip of 50 ms took %s", all[0])
	}
	r.echo(2, 7)
	all = r.trips(r.packets(3, 8), r.at(2, 7), 60)
	if low, mid := all[0], all[len(all)/2]; low < 20*time.Millisecond || low > 40*time.Millisecond || mid < 30*time.Millisecond || all[0] == mid {
		t.Errorf("round trips of 20 ms with up to 40 of jitter took from %s, half of them less than %s", low, mid)
	}
}

// A line carries what it says each way, with and without our cable in it.
func TestRate(t *testing.T) {
	for name, delay := range map[string]time.Duration{"kernel": 0, "cable": 5 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const up, down = 250_000, 1_000_000
			r := newRig(t, BoxConfig{Line: Line{Up: up, Down: down, Delay: delay}}, BoxConfig{})
			for _, way := range []struct {
				from, to int
				rate     float64
			}{{0, 1, up}, {1, 0, down}} {
				l, err := r.Boxes[way.to].Listen("tcp4", ":80")
				r.ok(err)
				go func() {
					c, err := r.Boxes[way.from].Dial(context.Background(), "tcp4", fmt.Sprint(r.Boxes[way.to].Addr(), ":80"))
					if err == nil {
						io.Copy(c, endless{})
					}
				}()
				c, err := l.Accept()
				r.ok(err)
				go io.Copy(io.Discard, c)
				// A machine that is busy may leave a line idle, and never makes it
				// faster: the fullest of some stretches is the line's rate.
				most := 0.
				for n := 0; n < 10 && most < .95*way.rate; n++ {
					begin := time.Now()
					before, err := r.Boxes[0].Counters()
					r.ok(err)
					<-time.After(700 * time.Millisecond)
					after, err := r.Boxes[0].Counters()
					r.ok(err)
					carried := float64(after.Sent - before.Sent)
					if way.to == 0 {
						carried = float64(after.Received - before.Received)
					}
					most = max(most, carried/time.Since(begin).Seconds())
				}
				if most < .95*way.rate || most > 1.05*way.rate {
					t.Errorf("from %d to %d: %.0f bytes/s on a line of %.0f", way.from, way.to, most, way.rate)
				}
				l.Close()
				c.Close()
			}
		})
	}
}

// endless is a reader that has no end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// Each direction loses its share, and no other line does.
func TestLoss(t *testing.T) {
	t.Parallel()
	r := newRig(t, BoxConfig{Line: Line{Loss: .1}}, BoxConfig{}, BoxConfig{})
	const sent = 4000
	for i, way := range []struct {
		from, to int
		loss     float64
	}{{0, 1, .1}, {1, 0, .1}, {1, 2, 0}} {
		port := 10 + i
		in, out := r.packets(way.to, port), r.packets(way.from, port)
		before, err := r.Boxes[way.to].Counters()
		r.ok(err)
		got := 0
		b := make([]byte, 64)
		read := func(deadline time.Time) bool {
			in.SetReadDeadline(deadline)
			_, _, err := in.ReadFrom(b)
			if err == nil {
				got++
			}
			return err == nil
		}
		for i := range sent {
			_, err := out.WriteTo(b, r.at(way.to, port))
			r.ok(err)
			for i%50 == 49 && read(time.Now().Add(5*time.Millisecond)) { // nobody's buffers are to lose any
			}
		}
		for read(time.Now().Add(300 * time.Millisecond)) {
		}
		// Of so many, more than a fifth above or below its share is four deviations
		// off.
		if share := 1 - float64(got)/sent; share < .8*way.loss || share > 1.2*way.loss {
			t.Errorf("from %d to %d: %.3f lost, not %.2f", way.from, way.to, share, way.loss)
		}
		if after, err := r.Boxes[way.to].Counters(); err != nil || after.Received-before.Received < int64(got)*92 {
			t.Errorf("box %d had %d packets, and counted %d bytes: %v", way.to, got, after.Received-before.Received, err)
		}
	}
}

// What cannot be dialled answers all the same, and dials.
func TestUndialable(t *testing.T) {
	t.Parallel()
	r := newRig(t, BoxConfig{}, BoxConfig{Undialable: true}, BoxConfig{NAT: true}, BoxConfig{NAT: true, Line: Line{Delay: time.Millisecond}})
	var taken []net.Listener
	for i := range r.Boxes {
		l, err := r.Boxes[i].Listen("tcp4", ":80")
		r.ok(err)
		defer l.Close()
		taken = append(taken, l)
		r.echo(i, 7)
	}
	dial := func(from, to int, patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := r.Boxes[from].Dial(ctx, "tcp4", fmt.Sprint(r.Boxes[to].Addr(), ":80"))
		if err == nil {
			c.Close()
		}
		return err
	}
	for i := 1; i < len(r.Boxes); i++ {
		if err := (net.Error)(nil); !errors.As(dial(0, i, 300*time.Millisecond), &err) || !err.Timeout() {
			t.Errorf("box %d was dialled: %v", i, err)
		}
		ask := r.packets(0, 100+i)
		_, err := ask.WriteTo([]byte("?"), r.at(i, 7))
		r.ok(err)
		r.ok(ask.SetReadDeadline(time.Now().Add(300 * time.Millisecond)))
		if _, _, err := ask.ReadFrom(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("box %d was asked: %v", i, err)
		}
		r.ok(dial(i, 0, 10*time.Second))
		c, err := taken[0].Accept()
		r.ok(err)
		if from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); from != r.Boxes[i].Addr() {
			t.Errorf("box %d is seen as %s, not %s", i, from, r.Boxes[i].Addr())
		}
		r.trips(r.packets(i, 200), r.at(0, 7), 1)
	}
	// Two who sit behind home routers meet where both send first.
	a, b := r.packets(2, 300), r.packets(3, 300)
	_, err := a.WriteTo([]byte("1"), r.at(3, 300))
	r.ok(err)
	_, err = b.WriteTo([]byte("2"), r.at(2, 300))
	r.ok(err)
	buf := make([]byte, 8)
	r.ok(a.SetReadDeadline(time.Now().Add(10 * time.Second)))
	if n, _, err := a.ReadFrom(buf); err != nil || string(buf[:n]) != "2" {
		t.Errorf("through both doors came %q, %v", buf[:n], err)
	}
}

// seenBy tells from where packets of a socket reach an echo, which it asks for
// once from each of some boxes.
func (r rig) seenBy(c net.PacketConn, boxes ...int) (from []netip.AddrPort) {
	r.Helper()
	for _, i := range boxes {
		l := r.packets(i, 9)
		_, err := c.WriteTo([]byte("?"), r.at(i, 9))
		r.ok(err)
		r.ok(l.SetReadDeadline(time.Now().Add(10 * time.Second)))
		_, a, err := l.ReadFrom(make([]byte, 8))
		r.ok(err)
		r.ok(l.Close())
		from = append(from, a.(*net.UDPAddr).AddrPort())
	}
	return from
}

// A home router keeps the port of its box for everyone; one that is symmetric
// has another for each.
func TestSymmetric(t *testing.T) {
	t.Parallel()
	r := newRig(t, BoxConfig{}, BoxConfig{}, BoxConfig{NAT: true}, BoxConfig{NAT: true, Symmetric: true})
	for i, want := range map[int]bool{2: true, 3: false} {
		from := r.seenBy(r.packets(i, 400), 0, 1)
		if from[0].Addr() != r.Boxes[i].Addr() || (from[0] == from[1]) != want || (from[0].Port() == 400) != want {
			t.Errorf("box %d is seen at %v", i, from)
		}
	}
}

// A network of guests lets out what browsers ask for, and nothing else.
func TestWeb(t *testing.T) {
	t.Parallel()
	r := newRig(t, BoxConfig{}, BoxConfig{NAT: true, Web: true})
	for port, want := range map[int]bool{8080: true, 4001: false} {
		l, err := r.Boxes[0].Listen("tcp4", fmt.Sprint(":", port))
		r.ok(err)
		defer l.Close()
		patience := 10 * time.Second
		if !want {
			patience = 300 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		c, err := r.Boxes[1].Dial(ctx, "tcp4", fmt.Sprint(r.Boxes[0].Addr(), ":", port))
		cancel()
		if err == nil {
			c.Close()
		}
		if (err == nil) != want {
			t.Errorf("port %d: %v", port, err)
		}
	}
}

// Boxes of one home reach each other whatever its line does, and share its
// address.
func TestHome(t *testing.T) {
	t.Parallel()
	r := newRig(t, BoxConfig{}, BoxConfig{NAT: true, Home: "bar"}, BoxConfig{NAT: true, Home: "bar"}, BoxConfig{NAT: true})
	if a, b, c := r.Boxes[1], r.Boxes[2], r.Boxes[3]; a.Addr() != b.Addr() || a.Inner() == b.Inner() || c.Addr() == a.Addr() || c.Inner() != a.Inner() {
		t.Errorf("a home of %v and %v, and %v", a, b, c)
	}
	for _, i := range []int{1, 2} {
		if from := r.seenBy(r.packets(i, 500+i), 0); from[0].Addr() != r.Boxes[1].Addr() {
			t.Errorf("box %d is seen at %v", i, from)
		}
	}
	r.ok(r.Boxes[2].Cut(t.Context()))
	r.echo(2, 7)
	inner := net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.Boxes[2].Inner(), 7))
	before, err := r.Boxes[1].Counters()
	r.ok(err)
	r.trips(r.packets(1, 600), inner, 3)
	if after, err := r.Boxes[1].Counters(); err != nil || after != before {
		t.Errorf("within a home, its line carried %+v, then %+v: %v", before, after, err)
	}
}

// A line that is cut carries nothing, and after it is healed what it did.
func TestCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, BoxConfig{}, BoxConfig{Line: Line{Delay: time.Millisecond}}, BoxConfig{})
	r.echo(0, 7)
	ask := r.packets(1, 8)
	r.trips(ask, r.at(0, 7), 1)
	r.ok(r.Boxes[1].Cut(t.Context()))
	before, err := r.Boxes[0].Counters()
	r.ok(err)
	_, err = ask.WriteTo([]byte("?"), r.at(0, 7))
	r.ok(err)
	r.ok(ask.SetReadDeadline(time.Now().Add(200 * time.Millisecond)))
	if _, _, err := ask.ReadFrom(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("over a cut line: %v", err)
	}
	if after, err := r.Boxes[0].Counters(); err != nil || after != before {
		t.Errorf("a cut line carried %+v, then %+v: %v", before, after, err)
	}
	r.trips(r.packets(2, 8), r.at(0, 7), 1) // others are not cut
	r.ok(r.Boxes[1].Heal(t.Context()))
	r.trips(ask, r.at(0, 7), 1)
}

// Worlds at the same time have the same addresses and do not meet; programs
// run in boxes, and end with them.
func TestWorldsApart(t *testing.T) {
	t.Parallel()
	a, b := newRig(t, BoxConfig{}, BoxConfig{}), newRig(t, BoxConfig{}, BoxConfig{})
	a.echo(0, 7)
	a.trips(a.packets(1, 8), a.at(0, 7), 1)
	ask := b.packets(1, 8)
	_, err := ask.WriteTo([]byte("?"), b.at(0, 7))
	a.ok(err)
	ask.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if _, _, err := ask.ReadFrom(make([]byte, 8)); err == nil {
		t.Error("two worlds have met")
	}

	words := append(b.Boxes[0].Within(), "sh", "-c", "ip -br addr show dev wan; echo; exec cat")
	cmd := exec.Command(words[0], words[1:]...)
	out, in := &bytes.Buffer{}, make(chan struct{})
	cmd.Stdin, cmd.Stdout = blocked(in), out
	a.ok(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for told := func() bool { return len(namespacesOf(cmd.Process.Pid, b.spaces)) > 0 }; !told(); {
		<-time.After(time.Millisecond)
	}
	a.ok(b.Close())
	close(in)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("a program outlived its box: %v", err)
	}
	if left, _ := filepath.Glob("/run/netns/" + b.prefix + "*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	a.trips(a.packets(1, 9), a.at(0, 7), 1)
}

// blocked is a reader that ends when its channel does.
type blocked chan struct{}

func (b blocked) Read([]byte) (int, error) { <-b; return 0, io.EOF }

// namespacesOf are those of spaces that a process is in.
func namespacesOf(pid int, spaces []string) (in []string) {
	mine, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", pid))
	for _, s := range spaces {
		if st, serr := os.Stat("/run/netns/" + s); err == nil && serr == nil && os.SameFile(mine, st) {
			in = append(in, s)
		}
	}
	return in
}

// What a killed process left, the next world removes; what runs, it leaves.
func TestSweep(t *testing.T) {
	if os.Getenv("NETNS_TEST_KILLED") != "" {
		r := newRig(t, BoxConfig{}, BoxConfig{Line: Line{Delay: time.Millisecond}})
		fmt.Println("prefix", r.prefix)
		select {} // until it is killed
	}
	t.Parallel()
	living := newRig(t, BoxConfig{})
	cmd := exec.Command(os.Args[0], "-test.run=^TestSweep$", "-test.v")
	cmd.Env = append(os.Environ(), "NETNS_TEST_KILLED=1")
	out, err := cmd.StdoutPipe()
	living.ok(err)
	living.ok(cmd.Start())
	var prefix string
	for b := make([]byte, 1); !strings.HasSuffix(prefix, "-\n"); {
		n, err := out.Read(b)
		living.ok(err)
		prefix += string(b[:n])
	}
	_, prefix, _ = strings.Cut(strings.TrimSpace(prefix), "prefix ")
	found := func() []string {
		left, _ := filepath.Glob("/run/netns/" + prefix + "*")
		return left
	}
	if len(found()) != 3 {
		t.Fatalf("the world %q has %q", prefix, found())
	}
	living.ok(cmd.Process.Kill())
	cmd.Wait()
	newRig(t)
	if left := found(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if here, _ := filepath.Glob("/run/netns/" + living.prefix + "*"); len(here) != 2 {
		t.Errorf("of a living world are left %q", here)
	}
}
