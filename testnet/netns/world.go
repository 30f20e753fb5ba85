package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// mtu is of every line, in bytes.
const mtu = 1500

// router is the end of a world's router in its names.
const router = "router"

// World is boxes and the router between them. Its methods, and its boxes',
// are safe for concurrent use, except that Close ends all.
type World struct {
	// Boxes are in the order of the Config's.
	Boxes  []*Box
	prefix string
	spaces []string // all namespaces made, the router's first
	cables []*cable
}

// Box is a machine in a world.
type Box struct {
	world *World
	n     int    // whose line it is: the first one's of a home
	space string // where the box's programs run
	outer string // where its line ends: its own, or its home router's
	addr  netip.Addr
	inner netip.Addr // behind the home router; else addr
}

// Open makes a world, and removes what killed processes have left of theirs.
// An error that wraps ErrUnsupported says that none can be made here. Ending
// ctx ends only the making. The caller closes the world.
func Open(ctx context.Context, cfg Config) (*World, error) {
	if err := able(); err != nil {
		return nil, err
	}
	if len(cfg.Boxes) > 1<<16 {
		return nil, fmt.Errorf("make world: %d boxes are too many", len(cfg.Boxes))
	}
	sweep(ctx)
	w := &World{prefix: fmt.Sprintf("pn%d-%04x-", os.Getpid(), rand.Uint32N(1<<16))}
	if err := w.build(ctx, cfg); err != nil {
		w.Close()
		return nil, fmt.Errorf("make world: %w", err)
	}
	return w, nil
}

// able tells why no world can be made here, if that is so.
func able() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root can make them", ErrUnsupported)
	}
	for _, tool := range []string{"ip", "tc", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: %s is not installed", ErrUnsupported, tool)
		}
	}
	return nil
}

// sweep removes the namespaces of processes that are no more.
func sweep(ctx context.Context) {
	var left []string
	spaces, _ := filepath.Glob("/run/netns/pn*-*-*")
	for _, path := range spaces {
		var pid int
		name := filepath.Base(path)
		if _, err := fmt.Sscanf(name, "pn%d-", &pid); err != nil {
			continue
		}
		if _, err := os.Stat(fmt.Sprint("/proc/", pid)); errors.Is(err, os.ErrNotExist) {
			left = append(left, name)
		}
	}
	remove(ctx, left)
}

// remove ends what runs in some namespaces, and them. Another process may do
// the same at the same time.
func remove(ctx context.Context, spaces []string) error {
	if len(spaces) == 0 {
		return nil
	}
	endWithin(spaces)
	var errs []error
	for _, s := range spaces {
		err := tool(ctx, "", "ip", "netns", "del", s)
		if _, gone := os.Stat("/run/netns/" + s); err != nil && gone == nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Close ends every program that runs in the world's boxes, and the world.
func (w *World) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := remove(ctx, w.spaces)
	for _, c := range w.cables {
		c.close()
	}
	if err != nil {
		return fmt.Errorf("end world: %w", err)
	}
	return nil
}

// tool runs one of the system's tools.
func tool(ctx context.Context, stdin string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// batch gives a namespace lines for ip, all in one go.
func batch(ctx context.Context, space string, lines ...string) error {
	return tool(ctx, strings.Join(lines, "\n"), "ip", "-n", space, "-batch", "-")
}

func (w *World) build(ctx context.Context, cfg Config) error {
	at, err := w.space(ctx, router, true)
	if err != nil {
		return err
	}
	homes := map[string][]*Box{}
	for i, c := range cfg.Boxes {
		b := &Box{world: w, n: i, addr: netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 2})}
		b.inner = b.addr
		if b.space, err = w.space(ctx, fmt.Sprint(i), false); err != nil {
			return err
		}
		b.outer = b.space
		family := homes[c.Home]
		switch {
		case c.NAT && c.Home != "" && len(family) > 0:
			b.n, b.outer, b.addr = family[0].n, family[0].outer, family[0].addr
		case c.NAT:
			if b.outer, err = w.space(ctx, fmt.Sprint(i, "home"), true); err != nil {
				return err
			}
			fallthrough
		default:
			err = b.connect(ctx, at, c, cfg.Seed)
		}
		if err == nil && c.NAT {
			err = b.moveIn(ctx, i, len(family))
		}
		if err != nil {
			return fmt.Errorf("box %d: %w", i, err)
		}
		if c.NAT && c.Home != "" {
			homes[c.Home] = append(family, b)
		}
		w.Boxes = append(w.Boxes, b)
	}
	return nil
}

// moveIn connects the box, as number k, with its home router.
func (b *Box) moveIn(ctx context.Context, i, k int) error {
	if k > 200 {
		return errors.New("the home is full")
	}
	b.inner = netip.AddrFrom4([4]byte{192, 168, 1, byte(2 + k)})
	plug := fmt.Sprint("h", i)
	if err := pair(ctx, end{b.outer, plug}, end{b.space, "home"}); err != nil {
		return err
	}
	if err := batch(ctx, b.outer, "link set "+plug+" master lan up"); err != nil {
		return err
	}
	return batch(ctx, b.space, "addr add "+b.inner.String()+"/24 dev home", "link set home up", "route add default via 192.168.1.1 congctl cubic")
}

// space makes a namespace.
func (w *World) space(ctx context.Context, name string, forwards bool) (string, error) {
	name = w.prefix + name
	w.spaces = append(w.spaces, name)
	if err := tool(ctx, "", "ip", "netns", "add", name); err != nil {
		return "", err
	}
	err := inside(name, func() error {
		// Nobody is to profit from who was here before.
		for _, kv := range [][2]string{{"ipv6/conf/all/disable_ipv6", "1"}, {"ipv4/tcp_no_metrics_save", "1"}} {
			if err := os.WriteFile("/proc/sys/net/"+kv[0], []byte(kv[1]), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if !forwards {
			return nil
		}
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
	})
	if err == nil {
		err = batch(ctx, name, "link set lo up")
	}
	return name, err
}

// port is the router's end of the box's cable.
func (b *Box) port() string { return fmt.Sprint("b", b.n) }

// connect lays the box's cable to the router and shuts the doors that are to
// be shut.
func (b *Box) connect(ctx context.Context, router string, c BoxConfig, seed uint64) error {
	if c.emulated() {
		k, err := lay(end{b.outer, "wan"}, end{router, b.port()}, c.Line, seed^uint64(b.n+1)<<32)
		if err != nil {
			return err
		}
		b.world.cables = append(b.world.cables, k)
	} else if err := pair(ctx, end{b.outer, "wan"}, end{router, b.port()}); err != nil {
		return err
	}
	gateway := b.addr.Prev()
	if err := batch(ctx, router, "addr add "+gateway.String()+"/24 dev "+b.port(), "link set "+b.port()+" mtu "+fmt.Sprint(mtu)+" txqueuelen 4096 up"); err != nil {
		return err
	}
	if err := batch(ctx, b.outer, "addr add "+b.addr.String()+"/24 dev wan", "link set wan mtu "+fmt.Sprint(mtu)+" txqueuelen 4096 up", "route add default via "+gateway.String()+" congctl cubic"); err != nil {
		return err
	}
	if err := limit(ctx, end{b.outer, "wan"}, c.Up); err != nil {
		return err
	}
	if err := limit(ctx, end{router, b.port()}, c.Down); err != nil {
		return err
	}
	switch {
	case c.NAT:
		if err := batch(ctx, b.outer, "link add lan type bridge", "addr add 192.168.1.1/24 dev lan", "link set lan up"); err != nil {
			return err
		}
		names := "masquerade"
		if c.Symmetric {
			names = "masquerade fully-random"
		}
		out := ""
		if c.Web {
			out = "tcp dport { 80, 443, 8080 }"
		}
		return tool(ctx, fmt.Sprintf(homeDoors, out, names), "ip", "netns", "exec", b.outer, "nft", "-f", "-")
	case c.Undialable:
		return tool(ctx, doors, "ip", "netns", "exec", b.outer, "nft", "-f", "-")
	}
	return nil
}

// doors lets in what belongs to a conversation that was begun within.
const doors = `table ip doors {
	chain in { type filter hook input priority 0; policy drop; iifname "lo" accept; ct state established,related accept; }
}`

// homeDoors is a home router's, which translates addresses, and lets in what
// a program on it has a way for.
const homeDoors = `table ip doors {
	chain in { type filter hook input priority 0; policy drop; iifname { "lo", "lan" } accept; ct state established,related accept; }
	chain through { type filter hook forward priority 0; policy drop; iifname "lan" %s accept; ct state established,related accept; ct status dnat accept; }
	chain names { type nat hook postrouting priority 100; oifname "wan" %s; }
}`

// end is a device in a namespace.
type end struct{ space, device string }

// pair lays a cable that only carries.
func pair(ctx context.Context, a, b end) error {
	return tool(ctx, "", "ip", "link", "add", "name", a.device, "netns", a.space, "type", "veth", "peer", "name", b.device, "netns", b.space)
}

// limit has a device send at most rate bytes a second; 0 is no limit.
func limit(ctx context.Context, e end, rate int64) error {
	if rate <= 0 {
		return nil
	}
	return tool(ctx, "", "tc", "-n", e.space, "qdisc", "add", "dev", e.device, "root", "tbf",
		"rate", fmt.Sprint(8*rate, "bit"), "burst", fmt.Sprint(max(2*mtu, rate/200)), "limit", fmt.Sprint(max(20*mtu, rate/10)))
}

// Addr is where other boxes reach the box, if they do.
func (b *Box) Addr() netip.Addr { return b.addr }

// Inner is the box's own address: a private one where it has a home router.
func (b *Box) Inner() netip.Addr { return b.inner }

// WithinRouter is Within for the box's home router.
func (b *Box) WithinRouter() []string { return []string{"ip", "netns", "exec", b.outer} }

// Within is what to put before a program and its arguments so that it runs in
// the box. The program takes the place of these words' process: signals, exit
// codes and pipes are its own.
func (b *Box) Within() []string { return []string{"ip", "netns", "exec", b.space} }

// Do runs f with its thread in the box: a socket that f opens there stays the
// box's. What f starts in other goroutines is not in the box.
func (b *Box) Do(f func() error) error { return inside(b.space, f) }

// Listen is net.Listen in the box.
func (b *Box) Listen(network, address string) (l net.Listener, err error) {
	err = b.Do(func() error { l, err = net.Listen(network, address); return err })
	return l, err
}

// Dial is a net.Dialer's in the box; address is of an IP and a port.
func (b *Box) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = b.Do(func() error { c, err = (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, address); return err })
	return c, err
}

// Cut has nothing pass the box's line until Heal. What runs on the box is not
// told.
func (b *Box) Cut(ctx context.Context) error { return b.hole(ctx, "add") }

// Heal ends a Cut.
func (b *Box) Heal(ctx context.Context) error { return b.hole(ctx, "del") }

// hole is where the router loses what comes from the box or is for it.
func (b *Box) hole(ctx context.Context, verb string) error {
	return batch(ctx, b.world.spaces[0], "rule "+verb+" pref 1 iif "+b.port()+" blackhole", "route "+verb+" blackhole "+b.addr.String()+"/32")
}

// Counters reads the box's end of its line, which is the home's where it has
// one.
func (b *Box) Counters() (c Counters, err error) {
	err = inside(b.outer, func() error {
		table, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(table)) {
			if f := strings.Fields(line); len(f) >= 10 && f[0] == "wan:" {
				_, err := fmt.Sscan(f[1]+" "+f[9], &c.Received, &c.Sent)
				return err
			}
		}
		return errors.New("the line is gone")
	})
	if err != nil {
		return c, fmt.Errorf("count box %d: %w", b.n, err)
	}
	return c, nil
}
