// Package binary drives a built playnode as its users do: a repo, the command
// line, exit codes and --json, and nothing else.
//
// What comes in: the path of the program and of a directory; what goes out:
// what the program printed. Nothing it prints is trusted to be well formed: a
// document that does not parse is an error.
package binary

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A Box is one machine: a repo and the program that works on it. Its methods
// may be called from several goroutines.
type Box struct {
	// Program is the playnode that runs.
	Program string
	// Repo is the directory of --repo.
	Repo string
	// Within are words before the program's name, of a program that takes it
	// and its arguments and becomes it: so it runs in a namespace.
	Within []string
	// Env are further environment variables, as "NAME=value".
	Env []string
	// Clock, unless zero, is where the box's clock stands when a process
	// starts. Program must be built with the tag testclock.
	Clock time.Time
}

// Output is what a command left behind.
type Output struct {
	Stdout, Stderr []byte
	// Code is the exit code, -1 where a signal ended the command.
	Code int
}

// ExitError is a command that ended with another code than 0.
type ExitError struct {
	Args []string
	Output
}

func (e *ExitError) Error() string {
	words := strings.TrimSpace(string(e.Stderr))
	if len(words) > 2000 {
		words = "... " + words[len(words)-2000:]
	}
	args := strings.Join(e.Args, " ")
	if len(args) > 300 {
		args = args[:300] + "..." // a device's text is 2 kB
	}
	return fmt.Sprintf("playnode %s: exit %d: %s", args, e.Code, words)
}

// Command prepares playnode on this box's repo; the caller runs it.
func (b Box) Command(ctx context.Context, args ...string) *exec.Cmd {
	global := []string{"--repo", b.Repo}
	if !b.Clock.IsZero() {
		global = append(global, "--clock", b.Clock.Format(time.RFC3339))
	}
	words := slices.Concat(b.Within, []string{b.Program}, global, args)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), b.Env...)
	return cmd
}

// Run runs a command to its end. The error is about starting it only; how it
// ended is in the Output.
func (b Box) Run(ctx context.Context, args ...string) (Output, error) {
	var stdout, stderr bytes.Buffer
	cmd := b.Command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	out := Output{stdout.Bytes(), stderr.Bytes(), cmd.ProcessState.ExitCode()}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = nil
	}
	if err != nil {
		return out, fmt.Errorf("run playnode %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// JSON runs a command with --json and decodes its one document into v (nil
// drops it). A code other than 0 is an *ExitError, and v is still filled from
// what was printed, if anything was.
func (b Box) JSON(ctx context.Context, v any, args ...string) error {
	args = append([]string{"--json"}, args...)
	out, err := b.Run(ctx, args...)
	if err != nil {
		return err
	}
	if v != nil && len(bytes.TrimSpace(out.Stdout)) > 0 {
		if err := json.Unmarshal(out.Stdout, v); err != nil {
			return fmt.Errorf("playnode %s printed %.200q: %w", strings.Join(args, " "), out.Stdout, err)
		}
	}
	if out.Code != 0 {
		return &ExitError{args, out}
	}
	return nil
}

// Stream runs a command with --json and hands each document it prints to line
// as it comes. The error is about running it only; how it ended is in the
// Output, whose Stdout is empty.
func (b Box) Stream(ctx context.Context, line func(json.RawMessage) error, args ...string) (Output, error) {
	var stderr bytes.Buffer
	cmd := b.Command(ctx, append([]string{"--json"}, args...)...)
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return Output{}, fmt.Errorf("run playnode %s: %w", strings.Join(args, " "), err)
	}
	dec := json.NewDecoder(stdout)
	for err == nil {
		var m json.RawMessage
		if err = dec.Decode(&m); err == nil {
			err = line(m)
		}
	}
	if err == io.EOF {
		err = nil
	}
	io.Copy(io.Discard, stdout)
	werr := cmd.Wait()
	if exit := (*exec.ExitError)(nil); werr != nil && !errors.As(werr, &exit) {
		err = errors.Join(err, werr)
	}
	if err != nil {
		err = fmt.Errorf("run playnode %s: %w", strings.Join(args, " "), err)
	}
	return Output{Stderr: stderr.Bytes(), Code: cmd.ProcessState.ExitCode()}, err
}

// Event is one line of play's --json.
type Event struct {
	Event, Name, Playlist, CID string
	Title, Artist, Message     string
	// At counts samples since the first one played.
	At      int64
	Rate    int
	Code    int
	Samples int64
	Joins   int
	Skipped int
}

// Play runs play with --json and returns its events. A code other than 0 is an
// *ExitError beside them.
func (b Box) Play(ctx context.Context, args ...string) ([]Event, error) {
	args = append([]string{"--json", "play"}, args...)
	out, err := b.Run(ctx, args...)
	if err != nil {
		return nil, err
	}
	var events []Event
	dec := json.NewDecoder(bytes.NewReader(out.Stdout))
	for {
		var e Event
		if err := dec.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return events, fmt.Errorf("play printed %.200q: %w", out.Stdout, err)
		}
		events = append(events, e)
	}
	if out.Code != 0 {
		return events, &ExitError{args, out}
	}
	return events, nil
}

// Ready is the daemon's one line.
type Ready struct {
	Ready         bool
	Peer          string
	Addrs         []string
	HTTP, Gateway string
}

// A Daemon runs on a box until Stop or Kill.
type Daemon struct {
	Ready
	cmd    *exec.Cmd
	stderr bytes.Buffer
	exited chan error
	killed atomic.Bool
}

// Start runs a daemon and returns once it is ready. Ending ctx kills it.
func (b Box) Start(ctx context.Context, args ...string) (*Daemon, error) {
	d := &Daemon{cmd: b.Command(ctx, append([]string{"--json", "daemon"}, args...)...), exited: make(chan error, 1)}
	d.cmd.Stderr = &d.stderr
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start daemon: %w", err)
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start daemon: %w", err)
	}
	in := bufio.NewReader(stdout)
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &d.Ready)
	}
	if err == nil && (!d.Ready.Ready || len(d.Addrs) == 0) {
		err = errors.New("not ready, or nowhere to be reached")
	}
	if err != nil {
		d.cmd.Process.Kill()
		d.cmd.Wait()
		return nil, fmt.Errorf("daemon's ready line %q: %w: %s", line, err, d.stderr.String())
	}
	go func() {
		io.Copy(io.Discard, in)
		d.exited <- d.cmd.Wait()
	}()
	return d, nil
}

// PID is the daemon's process.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Kill ends the daemon as a power cut would, and waits until it is gone.
func (d *Daemon) Kill() {
	d.killed.Store(true)
	d.cmd.Process.Kill()
	d.exited <- <-d.exited
}

// Stop asks the daemon to end and waits for it; what it said is in the error
// if it ended badly. After Kill, or after another Stop, it does nothing.
func (d *Daemon) Stop() error {
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop daemon: %w", err)
	}
	err := <-d.exited
	d.exited <- err
	if err != nil && !d.killed.Load() {
		return fmt.Errorf("stop daemon: %w: %s", err, d.stderr.String())
	}
	return nil
}

// Build compiles playnode into dir, with flags for go build, and returns its
// path.
func Build(ctx context.Context, dir string, flags ...string) (string, error) {
	program := filepath.Join(dir, "playnode")
	args := append([]string{"build", "-o", program}, flags...)
	out, err := exec.CommandContext(ctx, "go", append(args, "playnode/cmd/playnode")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build playnode: %w: %s", err, out)
	}
	return program, nil
}
