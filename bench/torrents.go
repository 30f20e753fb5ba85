package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"playnode/testnet/netns"
)

// torrent is a BitTorrent client that runs, the one that anacrolix/torrent comes
// with: over TCP, with peer exchange, and without DHT or trackers, as nothing
// leads out.
type torrent struct {
	cmd  *exec.Cmd
	said *bufio.Reader
	rest strings.Builder
}

// torrent begins a client, behind words that become it. It has in dir, or fetches
// into it, what file describes, listens at addr and knows peers.
func (r *runner) torrent(before []string, dir, file, addr string, peers ...string) (*torrent, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	args := append(before, filepath.Join(r.Tools, "bin/torrent"), "download", "--seed", "--stats", "--addr", addr,
		// With less, its 1.59.1 stops answering once it owes a peer several pieces.
		"--max-alloc-peer-request-data-per-conn", "16MB",
		"--no-dht", "--no-port-forward", "--no-utp-peers", "--no-webtorrent", "--no-ipv6", "--no-progress")
	for _, p := range peers {
		args = append(args, "--test-peer", p)
	}
	c := &torrent{cmd: exec.CommandContext(r.ctx, args[0], append(args[1:], file)...)}
	c.cmd.Dir = dir
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.cmd.Stdout, c.cmd.Stderr = in, in
	err = c.cmd.Start()
	in.Close()
	if err != nil {
		return nil, err
	}
	c.said = bufio.NewReader(out)
	return c, nil
}

// whole waits until it has all.
func (c *torrent) whole() error {
	for {
		line, err := c.said.ReadString('\n')
		c.rest.WriteString(line)
		if strings.Contains(line, "downloaded ALL the torrents") {
			return nil
		}
		if err != nil {
			return fmt.Errorf("torrent: %w: %s", err, c.rest.String())
		}
	}
}

func (c *torrent) end() {
	if c.cmd.ProcessState != nil {
		return
	}
	c.cmd.Process.Signal(os.Interrupt)
	text, _ := io.ReadAll(c.said)
	c.rest.Write(text)
	c.cmd.Wait()
}

// layTorrent copies music to where a client has it in dir, and describes it in
// file.
func (r *runner) layTorrent(music, dir, file string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(dir, filepath.Base(music)), os.DirFS(music)); err != nil {
		return err
	}
	cmd := exec.CommandContext(r.ctx, filepath.Join(r.Tools, "bin/torrent"), "create", "--empty-announce-list", "--piece-length", "262144", music)
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("torrent create: %w", err)
	}
	return os.WriteFile(file, text, 0o644)
}

// torrents are such clients as a carrier.
type torrents struct {
	r       *runner
	dir     string
	file    string
	mu      sync.Mutex // guards what follows
	clients map[int]*torrent
	know    map[int][]int
	at      map[int]*netns.Box
}

func (t *torrents) home(i int) string { return filepath.Join(t.dir, strconv.Itoa(i)) }

func (t *torrents) addr(i int) string { return fmt.Sprintf("%s:%d", listenAt(t.at[i]), port) }

func (t *torrents) start(i int) error {
	var peers []string
	for _, p := range t.know[i] {
		peers = append(peers, t.addr(p))
	}
	c, err := t.r.torrent(t.at[i].Within(), t.home(i), t.file, t.addr(i), peers...)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.clients[i] = c
	t.mu.Unlock()
	return c.whole()
}

func (t *torrents) seed(at *netns.Box, music string) error {
	t.clients, t.know, t.at = map[int]*torrent{}, map[int][]int{}, map[int]*netns.Box{0: at}
	t.file = filepath.Join(t.dir, "music.torrent")
	if err := t.r.layTorrent(music, t.home(0), t.file); err != nil {
		return err
	}
	return t.start(0)
}

// enter only notes who knows whom: a client fetches as it starts.
func (t *torrents) enter(i int, at *netns.Box, know []int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.know[i], t.at[i] = know, at
	return nil
}

func (t *torrents) fetch(i int) error { return t.start(i) }

// twice ends the client, which then tells.
func (t *torrents) twice(i int) (int64, error) {
	c := t.clients[i]
	c.end()
	all := c.rest.String()
	read, err := numberAfter(all, "BytesReadData:")
	if err != nil {
		return 0, err
	}
	useful, err := numberAfter(all, "BytesReadUsefulData:")
	return read - useful, err
}

func (t *torrents) close() {
	var wg sync.WaitGroup
	for _, c := range t.clients {
		wg.Go(c.end)
	}
	wg.Wait()
	os.RemoveAll(t.dir)
}
