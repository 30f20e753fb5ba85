package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"playnode/testnet"
	"playnode/testnet/binary"
	"playnode/testnet/sim"
)

// runner carries one run: its files and what was measured, by name.
type runner struct {
	Config
	ctx   context.Context
	dir   string
	files []string
	mu    sync.Mutex // guards taken, where several measure at once
	taken map[string][]float64

	swarms []worldsOf           // those that were simulated
	air    *testnet.OnAirReport // the real set on air; nil before
	casts  map[string]*cast     // the same, carried by others
	// besideAir is it simulated, sets are those that are larger.
	besideAir []sim.LiveReport
	sets      []sim.LiveReport
	// importLoad is the machine's when importing began.
	importLoad float64
	// What was measured at rest, in order, and of whole catalogues; restLoad is
	// the machine's when that began, restFailed the tables that broke off.
	restRows   []rested
	larges     []large
	restLoad   float64
	restFailed []string
	// dj is the repo of the last round's publish, venue that of its follow.
	dj, venue binary.Box
	name      string
	link      string
}

// time runs f and keeps the seconds that it took under name.
func (r *runner) time(name string, f func() error) error {
	start := time.Now()
	if err := f(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.keep(name, time.Since(start).Seconds())
	fmt.Fprintf(os.Stderr, "  %-28s %8.3f s\n", name, time.Since(start).Seconds())
	return nil
}

func (r *runner) keep(name string, value float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken[name] = append(r.taken[name], value)
}

func (r *runner) round(n int) error {
	dir := filepath.Join(r.dir, fmt.Sprint("round", n))
	if err := os.MkdirAll(filepath.Join(dir, "aged"), 0o755); err != nil {
		return err
	}
	r.dj = binary.Box{Program: r.Playnode, Repo: filepath.Join(dir, "dj")}
	r.venue = binary.Box{Program: r.Playnode, Repo: filepath.Join(dir, "venue")}
	steps := []func(string) error{r.publish, r.fetchOurs, r.fetchKubo, r.fetchHTTP}
	for _, step := range steps {
		if err := step(dir); err != nil {
			return err
		}
		exec.CommandContext(r.ctx, "sync").Run()
	}
	// Only the last round's repos are needed again.
	if n+1 < r.Rounds {
		return os.RemoveAll(dir)
	}
	return nil
}

// publish takes turns: ours, the analysis alone, ipfs add, age.
func (r *runner) publish(dir string) error {
	var id struct{ Name string }
	if err := r.dj.JSON(r.ctx, &id, "init", "--network", "none"); err != nil {
		return err
	}
	r.name = id.Name
	if err := r.time("publish", func() error {
		return r.dj.JSON(r.ctx, nil, append([]string{"publish"}, r.files...)...)
	}); err != nil {
		return err
	}
	if err := r.time("check", func() error {
		return r.dj.JSON(r.ctx, nil, append([]string{"check"}, r.files...)...)
	}); err != nil {
		return err
	}
	k, err := r.kubo(filepath.Join(dir, "kubo-a"))
	if err != nil {
		return err
	}
	if err := r.time("ipfs add", func() error {
		return k.add(nil, append([]string{"--pin=false"}, r.files...)...)
	}); err != nil {
		return err
	}
	key := filepath.Join(dir, "age.key")
	identity, err := r.dj.Run(r.ctx, "keys", "archive")
	if err != nil {
		return err
	}
	if err := os.WriteFile(key, identity.Stdout, 0o600); err != nil {
		return err
	}
	return r.time("age", func() error {
		for i, file := range r.files {
			out := filepath.Join(dir, "aged", fmt.Sprint(i))
			if b, err := exec.CommandContext(r.ctx, filepath.Join(r.Tools, "bin/age"), "-e", "-i", key, "-o", out, file).CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, b)
			}
		}
		return nil
	})
}

// fetchOurs has a venue's daemon follow the DJ's until it holds everything.
func (r *runner) fetchOurs(string) error {
	djd, err := r.dj.Start(r.ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return err
	}
	defer djd.Stop()
	var link struct{ Link string }
	if err := r.dj.JSON(r.ctx, &link, "share", "main"); err != nil {
		return err
	}
	r.link = link.Link
	if err := r.venue.JSON(r.ctx, nil, "init", "--network", "none"); err != nil {
		return err
	}
	vd, err := r.venue.Start(r.ctx, "--listen", "/ip4/127.0.0.1/tcp/0", "--peer", djd.Addrs[0])
	if err != nil {
		return err
	}
	defer vd.Stop()
	return r.time("follow", func() error { return r.venue.JSON(r.ctx, nil, "follow", r.name, "--once") })
}

// fetchKubo has one stock Kubo pin what another holds.
func (r *runner) fetchKubo(dir string) error {
	a, err := r.kubo(filepath.Join(dir, "kubo-a"))
	if err != nil {
		return err
	}
	var root strings.Builder
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	for i, file := range r.files {
		if err := os.Link(file, filepath.Join(folder, fmt.Sprint(i))); err != nil {
			if err := os.Symlink(file, filepath.Join(folder, fmt.Sprint(i))); err != nil {
				return err
			}
		}
	}
	if err := a.add(&root, "-r", "--dereference-args", "--dereference-symlinks", folder); err != nil {
		return err
	}
	b, err := r.kubo(filepath.Join(dir, "kubo-b"))
	if err != nil {
		return err
	}
	stopA, addr, _, err := a.daemon()
	if err != nil {
		return err
	}
	defer stopA()
	stopB, _, pid, err := b.daemon()
	if err != nil {
		return err
	}
	defer stopB()
	r.keep("kubo idle MB", memory(pid, "VmRSS"))
	if err := b.run(nil, "swarm", "connect", addr); err != nil {
		return err
	}
	err = r.time("ipfs pin add", func() error { return b.run(nil, "pin", "add", strings.TrimSpace(root.String())) })
	r.keep("kubo peak MB", memory(pid, "VmHWM"))
	return err
}

// fetchHTTP downloads the same files by plain HTTP, hashing each and syncing it
// to disk: the floor of what any of this can cost.
func (r *runner) fetchHTTP(dir string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(filepath.Join(dir, "aged")))}
	go server.Serve(listener)
	defer server.Close()
	out := filepath.Join(dir, "downloaded")
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	return r.time("http", func() error {
		for i := range r.files {
			if err := download(r.ctx, http.DefaultClient, fmt.Sprintf("http://%s/%d", listener.Addr(), i), filepath.Join(out, fmt.Sprint(i))); err != nil {
				return err
			}
		}
		return nil
	})
}

func download(ctx context.Context, client *http.Client, url, path string) error {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(io.MultiWriter(f, sha256.New()), res.Body); err != nil {
		return err
	}
	return f.Sync()
}

// kubo is a stock Kubo's repo.
type kubo struct {
	ctx           context.Context
	program, repo string
	within        []string // before the program's name, as in a binary.Box
	listen        []string // where it listens
}

// kubo opens a repo on loopback, made when it is not there.
func (r *runner) kubo(repo string) (kubo, error) {
	return r.kuboIn(nil, repo, "/ip4/127.0.0.1/tcp/0")
}

// kuboIn opens a repo on some box, that is reached at the first of those addresses.
func (r *runner) kuboIn(within []string, repo string, listen ...string) (kubo, error) {
	k := kubo{r.ctx, filepath.Join(r.Tools, "bin/ipfs"), repo, within, listen}
	if _, err := os.Stat(repo); err == nil {
		return k, nil
	}
	if err := k.run(nil, "init", "--profile=test"); err != nil {
		return k, err
	}
	return k, k.settle()
}

// settle has the repo keep off the public network. Without routing it would ask
// none but peers of private addresses for a block's holders, so it is to ask all.
func (k kubo) settle() error {
	file := filepath.Join(k.repo, "config")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	for name, value := range map[string]any{
		"Routing.Type": "none", "Routing.DelegatedRouters": []string{}, "Addresses.Swarm": k.listen, "AutoConf.Enabled": false,
		"AutoTLS.Enabled": false, "Bootstrap": []string{}, "Ipns.DelegatedPublishers": []string{}, "DNS.Resolvers": map[string]string{},
		"Internal.Bitswap": map[string]any{"BroadcastControl": map[string]any{"Enable": false}},
	} {
		in := all
		room, name, ok := strings.Cut(name, ".")
		if !ok {
			in[room] = value
			continue
		}
		if in, ok = all[room].(map[string]any); !ok {
			in = map[string]any{}
			all[room] = in
		}
		in[name] = value
	}
	if text, err = json.MarshalIndent(all, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

func (k kubo) command(args ...string) *exec.Cmd {
	words := slices.Concat(k.within, []string{k.program}, args)
	cmd := exec.CommandContext(k.ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "IPFS_PATH="+k.repo, "IPFS_TELEMETRY=off")
	return cmd
}

// run runs a command and writes what it printed to out, nil for nowhere.
func (k kubo) run(out io.Writer, args ...string) error {
	cmd := k.command(args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = out, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ipfs %s: %w: %s", args[0], err, said.String())
	}
	return nil
}

// add adds files as our tracks are cut, and writes the last one's CID to out.
func (k kubo) add(out io.Writer, args ...string) error {
	return k.run(out, append([]string{"add", "-Q", "--cid-version=1", "--raw-leaves", "--chunker=size-131072"}, args...)...)
}

// daemon runs until stop is called; addr is where it is reached.
func (k kubo) daemon() (stop func(), addr string, pid int, err error) {
	cmd := k.command("daemon")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", 0, err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", 0, err
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "Daemon is ready" {
	}
	stop = func() {
		cmd.Process.Signal(os.Interrupt)
		io.Copy(io.Discard, stdout)
		cmd.Wait()
	}
	var id strings.Builder
	if err := k.run(&id, "id", "-f", "<addrs>"); err != nil {
		stop()
		return nil, "", 0, err
	}
	addrs := strings.Fields(id.String())
	at := slices.IndexFunc(addrs, func(a string) bool { return strings.HasPrefix(a, strings.TrimSuffix(k.listen[0], "0")) })
	if at < 0 {
		stop()
		return nil, "", 0, fmt.Errorf("kubo listens on %q only", addrs)
	}
	return stop, addrs[at], cmd.Process.Pid, nil
}

// memory reads a field of /proc's status in MB, 0 where there is none.
func memory(pid int, field string) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, field+": %f kB", &kb); n == 1 {
			return kb / 1000
		}
	}
	return 0
}
