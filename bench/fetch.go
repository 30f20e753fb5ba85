package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

const (
	// noise is how long each file is that is fetched, in bytes.
	noise = 10 << 20
	// diskRounds is how often 100 MiB are fetched; 1 GiB is once. farRounds is
	// how often 10 MiB are over the wire with a delay.
	diskRounds, farRounds = 5, 7
	// stuck is how long a contender may take before it is given up.
	stuck = 10 * time.Minute
)

// fetching measures what it takes to have a catalogue, disk to disk and from
// afar.
func (r *runner) fetching() error {
	for _, s := range []struct {
		name          string
		files, rounds int
	}{{"100 MiB", 10, diskRounds}, {"1 GiB", 102, 1}} {
		if err := r.fromDisk(s.name, s.files, s.rounds); err != nil {
			return err
		}
	}
	return r.fromAfar()
}

// makeNoise writes n WAV files of which no two blocks are alike.
func makeNoise(dir string, n int) (files []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range n {
		data := silence((noise - 44) / 4)
		for at := 44; at+8 <= len(data); at += 8 {
			binary.LittleEndian.PutUint64(data[at:], rng.Uint64()&0x1fff1fff1fff1fff)
		}
		file := filepath.Join(dir, fmt.Sprintf("%03d.wav", i))
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// source is a DJ who has published files, and her daemon.
type source struct {
	box.Box
	daemon         *box.Daemon
	name, manifest string
}

// source publishes from dj and has her daemon run with flags.
func (r *runner) source(dj box.Box, files []string, flags ...string) (*source, error) {
	s := &source{Box: dj}
	if err := s.JSON(r.ctx, nil, "init", "--network", "none"); err != nil {
		return nil, err
	}
	var pub struct{ Name, Manifest string }
	if err := s.JSON(r.ctx, &pub, append([]string{"publish"}, files...)...); err != nil {
		return nil, err
	}
	s.name, s.manifest = pub.Name, pub.Manifest
	var err error
	s.daemon, err = s.Start(r.ctx, flags...)
	return s, err
}

// filled times a new venue's follow, its daemon running with flags.
func (r *runner) filled(what string, v box.Box, s *source, flags ...string) error {
	if err := v.JSON(r.ctx, nil, "init", "--network", "none"); err != nil {
		return err
	}
	d, err := v.Start(r.ctx, append([]string{"--listen", "/ip4/127.0.0.1/tcp/0"}, flags...)...)
	if err != nil {
		return err
	}
	err = r.time(what, func() error { return v.JSON(r.ctx, nil, "follow", s.name, "--once") })
	if peak := memory(d.PID(), "VmHWM"); err == nil && peak > 0 {
		r.keep(what+" MB", peak)
	}
	return errors.Join(err, d.Stop(), os.RemoveAll(v.Repo))
}

// fromDisk has the contenders take turns at n files, all on loopback.
func (r *runner) fromDisk(size string, n, rounds int) error {
	dir := filepath.Join(r.dir, "fetch"+strconv.Itoa(n))
	defer os.RemoveAll(dir)
	files, err := makeNoise(filepath.Join(dir, "files"), n)
	if err != nil {
		return err
	}
	s, err := r.source(box.Box{Program: r.Playnode, Repo: filepath.Join(dir, "dj")}, files, "--listen", "/ip4/127.0.0.1/tcp/0", "--gateway", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer s.daemon.Stop()
	a, err := r.kubo(filepath.Join(dir, "kubo-a"))
	if err != nil {
		return err
	}
	var root strings.Builder
	if err := a.add(&root, "-r", filepath.Join(dir, "files")); err != nil {
		return err
	}
	stop, addr, _, err := a.daemon()
	if err != nil {
		return err
	}
	defer stop()
	seed, err := r.seeded(filepath.Join(dir, "seed"), filepath.Join(dir, "files"))
	if err != nil {
		return err
	}
	defer seed.end()
	for i := range rounds {
		repo := func(name string) string { return filepath.Join(dir, name+strconv.Itoa(i)) }
		for _, step := range []func() error{
			func() error {
				return r.filled("fetch peers "+size, box.Box{Program: r.Playnode, Repo: repo("venue")}, s, "--peer", s.daemon.Addrs[0])
			},
			func() error {
				return r.pinned("fetch kubo "+size, repo("kubo-b"), addr, strings.TrimSpace(root.String()))
			},
			func() error {
				return r.leeched("fetch torrent "+size, repo("torrent"), seed)
			},
			func() error {
				return r.pinned("fetch to kubo "+size, repo("kubo-c"), s.daemon.Addrs[0], s.manifest)
			},
			func() error {
				return r.filled("fetch gateway "+size, box.Box{Program: r.Playnode, Repo: repo("far")}, s, "--origin", "http://"+s.daemon.Gateway)
			},
			func() error { return r.downloaded("fetch http "+size, filepath.Join(dir, "files"), repo("http"), n) },
		} {
			if err := step(); err != nil {
				return err
			}
			exec.CommandContext(r.ctx, "sync").Run()
		}
	}
	return nil
}

// pinned times a new Kubo's pin of root, which the peer at addr has.
func (r *runner) pinned(what, repo, addr, root string) error {
	k, err := r.kubo(repo)
	if err != nil {
		return err
	}
	stop, _, _, err := k.daemon()
	if err != nil {
		return err
	}
	defer os.RemoveAll(repo)
	defer stop()
	if err := k.run(nil, "swarm", "connect", addr); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.ctx, stuck)
	defer cancel()
	k.ctx = ctx
	return r.time(what, func() error { return k.run(nil, "pin", "add", root) })
}

// seeds is a BitTorrent client that has files, what describes them, and where it
// listens.
type seeds struct {
	*torrent
	file, addr string
}

// seeded begins one in dir, with a copy of music.
func (r *runner) seeded(dir, music string) (s seeds, err error) {
	s.file = dir + ".torrent"
	if err := r.layTorrent(music, dir, s.file); err != nil {
		return s, err
	}
	if s.addr, err = freeAddr(); err != nil {
		return s, err
	}
	if s.torrent, err = r.torrent(nil, dir, s.file, s.addr); err != nil {
		return s, err
	}
	if err := s.whole(); err != nil {
		s.end()
		return s, err
	}
	return s, nil
}

// freeAddr is one that nobody listens at, for who does not tell which port it was
// given.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// leeched times a new BitTorrent client, its start included, until it has all that
// seeds have.
func (r *runner) leeched(what, dir string, from seeds) error {
	defer os.RemoveAll(dir)
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	var c *torrent
	err = r.time(what, func() (err error) {
		if c, err = r.torrent(nil, dir, from.file, addr, from.addr); err != nil {
			return err
		}
		return within(stuck, c.whole)
	})
	if c != nil {
		c.end()
	}
	return err
}

// downloaded times plain HTTP of n files, each hashed and synced.
func (r *runner) downloaded(what, from, to string, n int) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(from))}
	go server.Serve(l)
	defer server.Close()
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(to)
	return r.time(what, func() error {
		for i := range n {
			name := fmt.Sprintf("%03d.wav", i)
			if err := download(r.ctx, http.DefaultClient, "http://"+l.Addr().String()+"/"+name, filepath.Join(to, name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// fromAfar fetches one file over a line of 25 ms each way.
func (r *runner) fromAfar() error {
	world, err := netns.Open(r.ctx, netns.Config{Boxes: []netns.BoxConfig{{}, {Line: netns.Line{Delay: 25 * time.Millisecond}}}})
	if errors.Is(err, netns.ErrUnsupported) {
		fmt.Fprintln(os.Stderr, "left out, what is far away:", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer world.Close()
	home, far := world.Boxes[0], world.Boxes[1]
	dir := filepath.Join(r.dir, "afar")
	defer os.RemoveAll(dir)
	files, err := makeNoise(filepath.Join(dir, "files"), 1)
	if err != nil {
		return err
	}
	dj := box.Box{Program: r.Playnode, Repo: filepath.Join(dir, "dj"), Within: home.Within()}
	s, err := r.source(dj, files, "--listen", "/ip4/"+listenAt(home)+"/tcp/0", "--gateway", listenAt(home)+":0")
	if err != nil {
		return err
	}
	defer s.daemon.Stop()
	l, err := home.Listen("tcp4", listenAt(home)+":0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(filepath.Join(dir, "files")))}
	go server.Serve(l)
	defer server.Close()
	for i := range farRounds {
		if err := r.time("far http", func() error {
			client := clientAt(far)
			defer client.CloseIdleConnections()
			return download(r.ctx, client, "http://"+l.Addr().String()+"/000.wav", filepath.Join(dir, "downloaded"))
		}); err != nil {
			return err
		}
		venue := box.Box{Program: r.Playnode, Repo: filepath.Join(dir, "venue"+strconv.Itoa(i)), Within: far.Within()}
		if err := r.filled("far gateway", venue, s, "--origin", "http://"+s.daemon.Gateway); err != nil {
			return err
		}
		if err := r.filled("far peer", venue, s, "--peer", s.daemon.Addrs[0]); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) fetchingPage(b *bytes.Buffer) {
	fmt.Fprintf(b, "Files of noise, 10 MiB each, sealed or plain; the venue's disk is synced as it is in use. The contenders took turns: %d rounds of 100 MiB, one of 1 GiB.\n\n", diskRounds)
	fmt.Fprintf(b, "| disk to disk, loopback, seconds | 100 MiB | 1 GiB |\n|---|---:|---:|\n")
	for _, row := range [][2]string{
		{"fetch peers", "`playnode follow --once`, from a peer"}, {"fetch gateway", "`playnode follow --once`, from a gateway"},
		{"fetch kubo", "`ipfs pin add`, Kubo to Kubo"}, {"fetch torrent", "a BitTorrent client, its start included, without fsync"},
		{"fetch to kubo", "`ipfs pin add`, ours to Kubo"}, {"fetch http", "plain HTTP, sha256, fsync"},
	} {
		fmt.Fprintf(b, "| %s | %.2f | %.2f |\n", row[1], r.median(row[0]+" 100 MiB"), r.median(row[0]+" 1 GiB"))
	}
	fmt.Fprintf(b, "| a venue's peak memory from a peer, from a gateway, MB | %.0f, %.0f | %.0f, %.0f |\n", r.median("fetch peers 100 MiB MB"), r.median("fetch gateway 100 MiB MB"), r.median("fetch peers 1 GiB MB"), r.median("fetch gateway 1 GiB MB"))
	far := len(r.taken["far http"]) > 0 // not where there are no namespaces
	if far {
		fmt.Fprintf(b, "\nA new venue, 25 ms away each way, by a line between network namespaces that loses nothing and has no limit; %d rounds.\n\n", farRounds)
		fmt.Fprintf(b, "| 10 MiB at 50 ms | seconds |\n|---|---:|\n")
		for _, row := range [][2]string{{"far gateway", "`playnode follow --once`, from a gateway"}, {"far peer", "`playnode follow --once`, from a peer"}, {"far http", "plain HTTP, sha256, fsync"}} {
			fmt.Fprintf(b, "| %s | %.2f |\n", row[1], r.median(row[0]))
		}
	}
	var goals []goal
	atMost := func(what, ours, theirs string, times float64) {
		ratio := r.median(ours) / r.median(theirs)
		goals = append(goals, goal{what, fmt.Sprintf("%.2f times", ratio), ratio <= times})
	}
	for _, size := range []string{"100 MiB", "1 GiB"} {
		atMost(size+" from a peer faster than Kubo to Kubo", "fetch peers "+size, "fetch kubo "+size, 1)
		atMost(size+" from a peer in at most twice the time of plain HTTP", "fetch peers "+size, "fetch http "+size, 2)
	}
	if far {
		best := "far gateway"
		if r.median("far peer") < r.median(best) {
			best = "far peer"
		}
		atMost("10 MiB at 50 ms in at most 1.3 times the time of plain HTTP", best, "far http", 1.3)
	}
	writeGoals(b, goals...)
}
