package testnet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"playnode/daemon"
)

// role is one repo and the binary that works in it.
type role struct {
	bin, name, dir string
	proc           *exec.Cmd
	ready          daemon.Ready
	logs           bytes.Buffer
	exited         chan error
}

// newRole makes the repo name below dir, with no network but what is given.
func newRole(ctx context.Context, bin, dir, name string) (*role, daemon.Identity, error) {
	r := &role{bin: bin, name: name, dir: filepath.Join(dir, name)}
	var id daemon.Identity
	err := r.must(ctx, &id, "init", "--network", "none")
	return r, id, err
}

func (r *role) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, r.bin, append([]string{"--repo", r.dir, "--json"}, args...)...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 10 * time.Second
	return c
}

// run runs one command, hands each line of its JSON to line, and returns its
// exit code and what it said to people.
func (r *role) run(ctx context.Context, line func(json.RawMessage) error, args ...string) (code int, said string, err error) {
	c := r.command(ctx, args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return 0, "", err
	}
	if err := c.Start(); err != nil {
		return 0, "", fmt.Errorf("run %s: %w", args[0], err)
	}
	dec := json.NewDecoder(out)
	for {
		var m json.RawMessage
		if err = dec.Decode(&m); err != nil {
			break
		}
		if line != nil {
			if err = line(m); err != nil {
				break
			}
		}
	}
	if errors.Is(err, os.ErrClosed) || err != nil && err.Error() == "EOF" {
		err = nil
	}
	werr := c.Wait()
	var exit *exec.ExitError
	if errors.As(werr, &exit) {
		return exit.ExitCode(), strings.TrimSpace(stderr.String()), ctx.Err()
	}
	return 0, strings.TrimSpace(stderr.String()), errors.Join(err, werr)
}

// must runs one command that has to succeed, and decodes its one document.
func (r *role) must(ctx context.Context, into any, args ...string) error {
	code, said, err := r.run(ctx, func(m json.RawMessage) error {
		if into == nil {
			return nil
		}
		return json.Unmarshal(m, into)
	}, args...)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", r.name, args[0], err)
	}
	if code != 0 {
		return fmt.Errorf("%s: %s ended with %d: %s", r.name, args[0], code, said)
	}
	return nil
}

// start runs the role's daemon and returns when it is ready.
func (r *role) start(ctx context.Context, args ...string) error {
	c := r.command(ctx, append([]string{"daemon", "--listen", "/ip4/127.0.0.1/tcp/0"}, args...)...)
	c.Stderr = &r.logs
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("start %s: %w", r.name, err)
	}
	s := bufio.NewScanner(out)
	if !s.Scan() || json.Unmarshal(s.Bytes(), &r.ready) != nil || !r.ready.Ready {
		c.Process.Kill()
		err := c.Wait()
		return fmt.Errorf("start %s: not ready: %q, %w: %s", r.name, s.Text(), err, r.logs.String())
	}
	r.proc, r.exited = c, make(chan error, 1)
	go func() {
		for s.Scan() { // nothing more is expected; the pipe must not fill
		}
		r.exited <- c.Wait()
	}()
	return nil
}

// addr is where the role's daemon listens.
func (r *role) addr() string { return r.ready.Addrs[0] }

// stop ends the daemon as ^C does, and tells how long that took.
func (r *role) stop() (time.Duration, error) {
	if r.proc == nil {
		return 0, nil
	}
	begin := time.Now()
	r.proc.Process.Signal(syscall.SIGTERM)
	err := <-r.exited
	r.proc = nil
	if err != nil {
		err = fmt.Errorf("stop %s: %w: %s", r.name, err, r.logs.String())
	}
	return time.Since(begin), err
}

// kill ends the daemon with no chance to say goodbye.
func (r *role) kill() {
	if r.proc != nil {
		r.proc.Process.Kill()
		<-r.exited
		r.proc = nil
	}
}
