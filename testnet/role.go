package testnet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"playnode/daemon"
	"playnode/testnet/binary"
)

// role is somebody in a story: a box, and the daemon that runs on it.
type role struct {
	binary.Box
	name   string
	listen string // "" is any port on loopback
	daemon *binary.Daemon
}

// newRole makes the repo name below dir, with no network but what is given.
// clock, unless zero, is where its clock stands.
func newRole(ctx context.Context, program, dir, name string, clock time.Time) (*role, daemon.Identity, error) {
	r := &role{Box: binary.Box{Program: program, Repo: filepath.Join(dir, name), Clock: clock}, name: name}
	var id daemon.Identity
	err := r.must(ctx, &id, "init", "--network", "none")
	return r, id, err
}

// run runs one command, hands each document that it prints to line, and
// returns its exit code and what it said to people.
func (r *role) run(ctx context.Context, line func(json.RawMessage) error, args ...string) (code int, said string, err error) {
	if line == nil {
		line = func(json.RawMessage) error { return nil }
	}
	out, err := r.Stream(ctx, line, args...)
	if err == nil {
		err = ctx.Err()
	}
	return out.Code, strings.TrimSpace(string(out.Stderr)), err
}

// must runs one command that has to succeed, and decodes its one document.
func (r *role) must(ctx context.Context, into any, args ...string) error {
	if err := r.JSON(ctx, into, args...); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// start runs the role's daemon and returns when it is ready. peers are those
// that it keeps connected.
func (r *role) start(ctx context.Context, peers ...string) error { return r.startWith(ctx, peers) }

// startWith is start with further flags.
func (r *role) startWith(ctx context.Context, peers []string, flags ...string) (err error) {
	args := append([]string{"--listen", cmp.Or(r.listen, "/ip4/127.0.0.1/tcp/0")}, flags...)
	for _, p := range peers {
		args = append(args, "--peer", p)
	}
	if r.daemon, err = r.Start(ctx, args...); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// addr is where the role's daemon listens.
func (r *role) addr() string { return r.daemon.Addrs[0] }

// stop ends the daemon as ^C does, and tells how long that took.
func (r *role) stop() (time.Duration, error) {
	begin := time.Now()
	d := r.daemon
	r.daemon = nil
	if err := d.Stop(); err != nil {
		return 0, fmt.Errorf("%s: %w", r.name, err)
	}
	return time.Since(begin), nil
}

// kill ends the daemon, if one runs, with no chance to say goodbye.
func (r *role) kill() {
	if r.daemon != nil {
		r.daemon.Kill()
		r.daemon = nil
	}
}
