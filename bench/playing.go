package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"playnode/testnet/binary"
)

// starts is how often a start is timed; playFor how long memory is watched.
const (
	starts  = 20
	playFor = 20 * time.Second
)

// playing measures starts and memory on the last round's repos.
func (r *runner) playing() error {
	grant := filepath.Join(r.dir, "grant")
	if err := r.lease(r.venue, grant); err != nil {
		return err
	}
	djd, err := r.dj.Start(r.ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return err
	}
	defer djd.Stop()
	for range starts {
		if err := r.time("spawn", func() error { return r.dj.JSON(r.ctx, nil, "version") }); err != nil {
			return err
		}
	}
	if err := r.held(); err != nil {
		return err
	}
	if err := r.fromPeer(djd.Addrs[0]); err != nil {
		return err
	}
	return r.resident(djd.Addrs[0])
}

// lease gives venue a day of the playlist.
func (r *runner) lease(venue binary.Box, file string) error { return r.leaseOf(venue, "main", file) }

// leaseOf leases a playlist to a venue.
func (r *runner) leaseOf(venue binary.Box, playlist, file string) error {
	var id struct{ Device string }
	if err := venue.JSON(r.ctx, &id, "id"); err != nil {
		return err
	}
	if err := r.dj.JSON(r.ctx, nil, "lease", "grant", playlist, "--device", id.Device, "--for", "1d", "--out", file); err != nil {
		return err
	}
	return venue.JSON(r.ctx, nil, "lease", "import", file)
}

// firstSample plays until one sample has come out of the pipe.
func (r *runner) firstSample(venue binary.Box) error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	cmd := venue.Command(ctx, "play", r.name+"/main", "--sink", "raw:-", "--once")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	_, err = io.ReadFull(stdout, make([]byte, 4))
	cancel()
	cmd.Wait()
	return err
}

// held times starts of what lies on the box, asked of a running daemon and of
// no daemon. A start ends with the next one's beginning.
func (r *runner) held() error {
	for range starts / 4 {
		if err := r.time("start held, no daemon", func() error { return r.firstSample(r.venue) }); err != nil {
			return err
		}
	}
	vd, err := r.venue.Start(r.ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return err
	}
	defer vd.Stop()
	for range starts {
		if err := r.time("start held", func() error { return r.firstSample(r.venue) }); err != nil {
			return err
		}
	}
	return nil
}

// fromPeer times starts of a fresh venue that holds nothing: it has a lease and
// a connected peer, begins to follow the name, and asks for sound until there
// is some, while all else is still being fetched.
func (r *runner) fromPeer(addr string) error {
	for i := range starts / 4 {
		fresh := binary.Box{Program: r.Playnode, Repo: filepath.Join(r.dir, fmt.Sprint("fresh", i))}
		if err := fresh.JSON(r.ctx, nil, "init", "--network", "none"); err != nil {
			return err
		}
		if err := r.lease(fresh, filepath.Join(r.dir, "fresh.grant")); err != nil {
			return err
		}
		vd, err := fresh.Start(r.ctx, "--listen", "/ip4/127.0.0.1/tcp/0", "--peer", addr)
		if err != nil {
			return err
		}
		err = r.time("start from a peer", func() error { return r.firstOfAll(fresh) })
		vd.Stop()
		os.RemoveAll(fresh.Repo)
		if err != nil {
			return err
		}
	}
	return nil
}

// firstOfAll has a venue that holds nothing follow the name and play until one
// sample has come out of the pipe.
func (r *runner) firstOfAll(fresh binary.Box) error {
	follow := fresh.Command(r.ctx, "--quiet", "follow", r.name)
	if err := follow.Start(); err != nil {
		return err
	}
	go follow.Wait()
	for deadline := time.Now().Add(time.Minute); ; {
		err := r.firstSample(fresh)
		if err == nil || !errors.Is(err, io.EOF) || time.Now().After(deadline) {
			return err
		}
	}
}

// resident watches the memory of a daemon that is idle, then plays paced to the
// null sink and serves another peer all it has.
func (r *runner) resident(addr string) error {
	vd, err := r.venue.Start(r.ctx, "--listen", "/ip4/127.0.0.1/tcp/0", "--peer", addr)
	if err != nil {
		return err
	}
	defer vd.Stop()
	if err := r.venue.JSON(r.ctx, nil, "status"); err != nil {
		return err
	}
	r.keep("idle MB", memory(vd.PID(), "VmRSS"))
	ctx, cancel := context.WithTimeout(r.ctx, playFor)
	defer cancel()
	play := r.venue.Command(ctx, "--json", "play", r.name+"/main", "--sink", "null", "--once")
	stdout, err := play.StdoutPipe()
	if err != nil {
		return err
	}
	if err := play.Start(); err != nil {
		return err
	}
	var event struct{ Event string }
	if err := json.NewDecoder(stdout).Decode(&event); err != nil {
		return fmt.Errorf("play to the null sink: %w", err)
	}
	archive := binary.Box{Program: r.Playnode, Repo: filepath.Join(r.dir, "archive")}
	if err := archive.JSON(r.ctx, nil, "init", "--network", "none"); err != nil {
		return err
	}
	if err := archive.JSON(r.ctx, nil, "archive", r.name, "--once", "--peer", vd.Addrs[0]); err != nil {
		return err
	}
	go io.Copy(io.Discard, stdout)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			r.keep("playing MB", memory(vd.PID(), "VmRSS"))
		case <-ctx.Done():
		}
	}
	r.keep("playing peak MB", memory(vd.PID(), "VmHWM"))
	play.Wait()
	return r.ctx.Err()
}
