package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"playnode/daemon"
	"playnode/ipns"
	"playnode/meet"
	"playnode/node/embedded"
	"playnode/testnet/netns"
)

const (
	// arriving is how many of a company come at once, greeting how long one of
	// its peers tries to connect before the next one does.
	arriving = 5
	greeting = 5 * time.Second
	// here is what a company says when all have come.
	here = "here"
)

// isCompany tells whether there is such a kind.
func isCompany(kind string) bool { return kind == "daemons" || kind == "venues" || kind == "peers" }

// company is a process of ours with many peers, that stand for as many boxes.
type company struct{ cmd *exec.Cmd }

// company begins one in a box, and waits until all of it have come.
func (r *runner) company(at *netns.Box, kind string, args ...string) (*company, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	words := append(at.Within(), append([]string{self, kind}, args...)...)
	cmd := exec.CommandContext(r.ctx, words[0], words[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("begin %s: %w", kind, err)
	}
	c := &company{cmd}
	late := time.AfterFunc(stuck, func() { cmd.Process.Kill() })
	defer late.Stop()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		c.end()
		return nil, fmt.Errorf("wait for %s: %w: %q", kind, err, line)
	}
	return c, nil
}

// end kills it, as a power cut would.
func (c *company) end() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// accompany is what a company does: args are as restOfVenues and restBeside give
// them. It ends with ctx.
func accompany(ctx context.Context, kind string, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s of how many?", kind)
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	switch {
	case kind == "daemons" && len(args) == 5:
		return daemons(ctx, n, args[1], args[2], args[3], args[4])
	case kind == "venues" && len(args) == 4:
		return venues(ctx, n, args[1], args[2], args[3])
	case kind == "peers" && len(args) == 2:
		return peers(ctx, n, args[1])
	}
	return fmt.Errorf("%s of %q", kind, args)
}

// daemons are n whole daemons that listen at an address, know a peer, and hold all
// that is under a name.
func daemons(ctx context.Context, n int, addr, peer, name, dir string) error {
	g, ctx := errgroup.WithContext(ctx)
	come, some := errgroup.WithContext(ctx)
	come.SetLimit(arriving)
	for i := range n {
		come.Go(func() error {
			flags := pflag.NewFlagSet("venue", pflag.ContinueOnError)
			for k, v := range map[string]string{"network": string(embedded.None), "listen": "/ip4/" + addr + "/tcp/0", "peer": peer} {
				flags.String(k, "", "")
				if err := flags.Set(k, v); err != nil {
					return err
				}
			}
			opt := daemon.Options{Dir: filepath.Join(dir, strconv.Itoa(i)), Flags: flags, Log: io.Discard, Serve: true}
			if err := daemon.Init(some, opt); err != nil {
				return err
			}
			d, err := daemon.Open(ctx, opt)
			if err != nil {
				return err
			}
			g.Go(func() error { return errors.Join(d.Run(ctx, nil), d.Close()) })
			held, err := daemon.Call(some, d, daemon.OpFollow, daemon.FollowRequest{Link: name, Once: true}, nil)
			if err == nil && (held.Held != held.Tracks || held.Tracks == 0) {
				err = fmt.Errorf("%d of %d tracks are held", held.Held, held.Tracks)
			}
			return err
		})
	}
	if err := come.Wait(); err != nil {
		return fmt.Errorf("a venue: %w", err)
	}
	fmt.Println(here)
	return g.Wait()
}

// venues are what is heard at rest of n venues at an address that know a peer and
// follow a name: hosts, names and meetings, without blocks.
func venues(ctx context.Context, n int, addr, peer, name string) error {
	followed, err := ipns.ParseName(name)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for range n {
		h, err := newPeer("/ip4/"+addr+"/tcp/0", peer)
		if err != nil {
			return err
		}
		defer h.Close()
		names, err := ipns.New(ipns.Config{Store: &rows{m: map[string][]byte{}}, Now: time.Now, Peers: h, Topics: h})
		if err != nil {
			return err
		}
		defer names.Close()
		names.Watch(followed, nil)
		others, err := meet.New(meet.Config{Streams: h, Peers: h, Records: h, Company: h, Reach: h, Names: func() []string { return []string{name} }, Now: time.Now})
		if err != nil {
			return err
		}
		g.Go(func() error { return names.Run(ctx) })
		g.Go(func() error { return others.Run(ctx) })
		try, cancel := context.WithTimeout(ctx, patience)
		_, err = names.Ask(try, followed)
		cancel()
		if err != nil {
			return fmt.Errorf("a venue: %w", err)
		}
	}
	fmt.Println(here)
	return g.Wait()
}

// newPeer is a host with an identity of its own, of a small box.
func newPeer(listen string, peers ...string) (*embedded.Host, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	return embedded.OpenHost(embedded.Config{
		Identity: key, Listen: []string{listen}, Peers: peers, Network: embedded.None, Room: embedded.Room{Memory: 64 << 20, Files: 256},
	})
}

// peers are n libp2p hosts that want to be connected with the peer at addr.
func peers(ctx context.Context, n int, addr string) error {
	for range n {
		h, err := newPeer("none")
		if err != nil {
			return err
		}
		defer h.Close()
		try, cancel := context.WithTimeout(ctx, greeting)
		h.Connect(try, addr) // a full one may refuse: it is dialled again all the same
		cancel()
	}
	fmt.Println(here)
	<-ctx.Done()
	return ctx.Err()
}
