package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// far is a wire of 25 ms each way between this machine and a network namespace
// of its own: two TUN devices, and this process that carries every packet from
// the one to the other after its delay. It limits no rate and drops nothing,
// and TCP does over it what it does over any wire.
type far struct {
	space string
	tuns  [2]*os.File
}

const (
	wireDelay           = 25 * time.Millisecond
	nearHost, farHost   = "10.99.77.1", "10.99.77.2"
	inFlight, maxPacket = 1 << 15, 2048
)

type packet struct {
	due  time.Time
	data []byte
}

// openFar needs root.
func openFar(ctx context.Context) (_ *far, err error) {
	w := &far{space: fmt.Sprintf("playnode-bench-%d", os.Getpid())}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := ip("netns", "add", w.space); err != nil {
		return nil, err
	}
	names := [2]string{fmt.Sprintf("pnb%d", os.Getpid()%100000), fmt.Sprintf("pnc%d", os.Getpid()%100000)}
	for i, name := range names {
		if w.tuns[i], err = openTUN(name); err != nil {
			return nil, err
		}
	}
	for _, args := range [][]string{
		{"link", "set", names[1], "netns", w.space},
		{"addr", "add", nearHost + "/30", "dev", names[0]},
		{"link", "set", names[0], "txqueuelen", "20000", "up"},
		{"-n", w.space, "addr", "add", farHost + "/30", "dev", names[1]},
		{"-n", w.space, "link", "set", names[1], "txqueuelen", "20000", "up"},
		{"-n", w.space, "link", "set", "lo", "up"},
	} {
		if err := ip(args...); err != nil {
			return nil, err
		}
	}
	go carry(w.tuns[0], w.tuns[1])
	go carry(w.tuns[1], w.tuns[0])
	return w, nil
}

func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open a TUN device: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open a TUN device: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// carry takes packets from one device to the other, late, until one closes.
func carry(from, to *os.File) {
	wire := make(chan packet, inFlight)
	go func() {
		for p := range wire {
			time.Sleep(time.Until(p.due))
			to.Write(p.data)
		}
	}()
	defer close(wire)
	for {
		buf := make([]byte, maxPacket)
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		wire <- packet{time.Now().Add(wireDelay), buf[:n]}
	}
}

func (w *far) close() {
	for _, t := range w.tuns {
		if t != nil {
			t.Close()
		}
	}
	ip("netns", "del", w.space)
}

// command is one that runs at the far end.
func (w *far) command(program string) []string {
	return []string{"ip", "netns", "exec", w.space, program}
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}
