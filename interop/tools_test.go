//go:build interop

package interop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"playnode/testnet/binary"
)

// playnode is the program under test.
var playnode string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "playnode-interop")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if playnode, err = binary.Build(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// bench is one test's table: where its tools and files lie.
type bench struct {
	*testing.T
	ctx context.Context
	dir string
}

func newBench(t *testing.T) *bench {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	return &bench{t, ctx, t.TempDir()}
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// tool is the path of a stock program, or of a directory, in PLAYNODE_TOOLS.
func (b *bench) tool(path string) string {
	b.Helper()
	dir := os.Getenv("PLAYNODE_TOOLS")
	full := filepath.Join(dir, path)
	if _, err := os.Stat(full); err != nil || dir == "" {
		b.Fatalf("PLAYNODE_TOOLS=%q has no %s: run `make interop`, which builds it", dir, path)
	}
	return full
}

// run runs a program with stdin and returns its stdout; it must exit 0.
func (b *bench) run(cmd *exec.Cmd, stdin []byte) []byte {
	b.Helper()
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v: %s", strings.Join(cmd.Args, " "), err, stderr.Bytes())
	}
	return out
}

// box makes a repo.
func (b *bench) box(name string) binary.Box {
	b.Helper()
	box := binary.Box{Program: playnode, Repo: filepath.Join(b.dir, name)}
	b.ok(box.JSON(b.ctx, nil, "init", "--network", "none"))
	return box
}

// start runs a daemon until the test ends.
func (b *bench) start(box binary.Box, args ...string) *binary.Daemon {
	b.Helper()
	d, err := box.Start(b.ctx, append([]string{"--listen", "/ip4/127.0.0.1/tcp/0"}, args...)...)
	b.ok(err)
	b.Cleanup(func() { d.Stop() })
	return d
}

// chromium is the program that browses.
func (b *bench) chromium() string {
	b.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		b.Fatalf("%v: run `make interop`, which installs it", err)
	}
	return path
}

// venue is a box that serves pages until the test ends, has no sound card, follows dj,
// whose name it gives, and holds her leases of playlists.
func (b *bench) venue(dj binary.Box, playlists ...string) (venue binary.Box, at *binary.Daemon, name string) {
	b.Helper()
	venue = b.box("venue")
	venue.Env = []string{"PLAYNODE_SINK=null"}
	var own struct{ Device string }
	b.ok(venue.JSON(b.ctx, &own, "id"))
	var id struct{ Name string }
	b.ok(dj.JSON(b.ctx, &id, "id"))
	at = b.start(venue, "--peer", b.start(dj).Addrs[0], "--http", "127.0.0.1:0")
	b.ok(venue.JSON(b.ctx, nil, "follow", id.Name, "--once"))
	for _, p := range playlists {
		grant := filepath.Join(b.dir, p)
		b.ok(dj.JSON(b.ctx, nil, "lease", "grant", p, "--device", own.Device, "--for", "30d", "--out", grant))
		b.ok(venue.JSON(b.ctx, nil, "lease", "import", grant))
	}
	return venue, at, id.Name
}

// npm runs one of interop/npm's scripts with arguments and stdin.
func (b *bench) npm(script string, stdin []byte, args ...string) []byte {
	b.Helper()
	// Node finds packages beside a script, so the script goes to them.
	dir := b.TempDir()
	b.ok(os.Symlink(filepath.Join(b.tool("npm"), "node_modules"), filepath.Join(dir, "node_modules")))
	all, err := filepath.Glob("npm/*.mjs") // they import each other
	b.ok(err)
	for _, name := range all {
		source, err := os.ReadFile(name)
		b.ok(err)
		b.ok(os.WriteFile(filepath.Join(dir, filepath.Base(name)), source, 0o600))
	}
	return b.run(exec.CommandContext(b.ctx, "node", append([]string{filepath.Join(dir, script)}, args...)...), stdin)
}

// kubo is a stock Kubo with a repo of its own, and no peers but those that it
// is told to connect to.
type kubo struct {
	b    *bench
	repo string
	cmd  *exec.Cmd     // nil: it does not run
	done chan struct{} // closed when cmd has printed its last
}

// kubo starts a daemon on loopback until the test ends. Settings, as a key and
// its JSON, go before those of all tests.
func (b *bench) kubo(name string, settings ...[2]string) *kubo {
	b.Helper()
	k := &kubo{b: b, repo: filepath.Join(b.dir, name)}
	k.run(nil, "init", "--profile=test")
	for key, value := range map[string]string{
		"Routing.Type": `"dht"`, "Routing.LoopbackAddressesOnLanDHT": "true", "Addresses.Swarm": `["/ip4/127.0.0.1/tcp/0"]`,
		"AutoTLS.Enabled": "false", "AutoConf.Enabled": "false", "Bootstrap": "[]", "Routing.DelegatedRouters": "[]",
		"Ipns.DelegatedPublishers": "[]", "DNS.Resolvers": "{}",
	} {
		k.run(nil, "config", "--json", key, value)
	}
	for _, s := range settings {
		k.run(nil, "config", "--json", s[0], s[1])
	}
	k.start()
	b.Cleanup(func() { k.stop(os.Interrupt) })
	return k
}

// start runs the daemon until stop.
func (k *kubo) start() {
	b := k.b
	b.Helper()
	k.cmd = k.command("daemon")
	stdout, err := k.cmd.StdoutPipe()
	b.ok(err)
	var stderr bytes.Buffer
	k.cmd.Stderr = &stderr
	b.ok(k.cmd.Start())
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "Daemon is ready" {
	}
	if lines.Text() != "Daemon is ready" {
		k.cmd.Wait()
		b.Fatalf("kubo is not ready: %s", stderr.Bytes())
	}
	k.done = make(chan struct{})
	go func() {
		for lines.Scan() {
		}
		close(k.done)
	}()
}

// stop ends the daemon by a signal, unless it has ended.
func (k *kubo) stop(s os.Signal) {
	if k.cmd == nil {
		return
	}
	k.cmd.Process.Signal(s)
	<-k.done
	k.cmd.Wait()
	k.cmd = nil
}

func (k *kubo) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(k.b.ctx, k.b.tool("bin/ipfs"), args...)
	cmd.Env = append(os.Environ(), "IPFS_PATH="+k.repo, "IPFS_TELEMETRY=off")
	return cmd
}

// run runs an ipfs command on the daemon.
func (k *kubo) run(stdin []byte, args ...string) []byte {
	k.b.Helper()
	return k.b.run(k.command(args...), stdin)
}

// fails runs an ipfs command that must not succeed.
func (k *kubo) fails(args ...string) {
	k.b.Helper()
	exit := (*exec.ExitError)(nil)
	if err := k.command(args...).Run(); !errors.As(err, &exit) {
		k.b.Errorf("ipfs %s: %v, want it to fail", strings.Join(args, " "), err)
	}
}
