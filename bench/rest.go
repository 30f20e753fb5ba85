package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

const (
	// settling is how long a world is left alone before its rest is measured,
	// resting how long it is measured.
	settling, resting = 20 * time.Second, 30 * time.Second
	// home is how many peers that only stand for others have one address.
	home = 25
	// narrow is how many files a box may open that stands for one of 1 GB: it
	// has room for 128 connections, as that has.
	narrow = 512
)

var (
	// restVenues are how many venues a DJ has, one of which is measured beside
	// her.
	restVenues = []int{10, 50, 200, 400}
	// restPeers are how many peers one daemon is asked by.
	restPeers = []int{10, 100, 500}
	// restTracks are how many tracks a catalogue has.
	restTracks = []int{100, 1_000, 10_000}
)

// rested is what a process took while it had nothing to do.
type rested struct {
	table, what string
	// peers is how many it was connected with at the end.
	peers int
	// up and down are in MB an hour, cpu in percent of a core, memory in MB, and of
	// that own what is in no file.
	up, down, cpu, memory, own float64
}

// sleeper is a process that is measured at rest: what it is, where it runs, and
// who says with how many it is connected.
type sleeper struct {
	table, what string
	at          *netns.Box
	pid         int
	peers       func() (int, error)
}

// rest measures what daemons do when there is nothing to do, as a DJ has more
// venues, a box more peers, a catalogue more tracks.
func (r *runner) rest() error {
	if ok, err := r.worlds("rest is"); !ok {
		return err
	}
	r.restLoad = load()
	for _, table := range []struct {
		what    string
		measure func() error
	}{{"venues", r.restOfVenues}, {"peers", r.restOfPeers}, {"catalogues", r.restOfCatalogues}} {
		if err := table.measure(); r.ctx.Err() != nil {
			return r.ctx.Err()
		} else if err != nil { // the others are worth having
			fmt.Fprintf(os.Stderr, "rest, %s: %v\n", table.what, err)
			r.restFailed = append(r.restFailed, table.what)
		}
	}
	return nil
}

// pause waits, unless the run ends.
func (r *runner) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// atRest lets a world settle, and then measures some of its processes for a
// while, all at once.
func (r *runner) atRest(all ...sleeper) error {
	if err := r.pause(settling); err != nil {
		return err
	}
	lines, used := make([]netns.Counters, len(all)), make([]float64, len(all))
	for i, s := range all {
		var err error
		if lines[i], err = s.at.Counters(); err != nil {
			return err
		}
		used[i] = cpu(s.pid)
	}
	began := time.Now()
	if err := r.pause(resting); err != nil {
		return err
	}
	hours := time.Since(began).Hours()
	for i, s := range all {
		after, err := s.at.Counters()
		if err != nil {
			return err
		}
		row := rested{
			table: s.table, what: s.what, cpu: 100 * (cpu(s.pid) - used[i]) / 3600 / hours, memory: memory(s.pid, "VmRSS"), own: memory(s.pid, "RssAnon"),
			up: float64(after.Sent-lines[i].Sent) / hours / 1e6, down: float64(after.Received-lines[i].Received) / hours / 1e6,
		}
		if row.peers, err = s.peers(); err != nil {
			return err
		}
		r.restRows = append(r.restRows, row)
		fmt.Fprintf(os.Stderr, "  %-60s %3d peers, %.2f and %.2f MB an hour, %.2f %% of a core, %.0f MB\n", row.what, row.peers, row.up, row.down, row.cpu, row.memory)
	}
	return nil
}

// resident is a daemon of ours in a world.
type resident struct {
	box.Box
	daemon *box.Daemon
	at     *netns.Box
}

// moveIn begins a daemon in a box, behind words that become it.
func (r *runner) moveIn(at *netns.Box, repo string, before []string, args ...string) (*resident, error) {
	b := box.Box{Program: r.Playnode, Repo: repo, Within: append(at.Within(), before...)}
	if err := b.JSON(r.ctx, nil, "init", "--network", "none"); err != nil {
		return nil, err
	}
	d, err := b.Start(r.ctx, append([]string{"--listen", fmt.Sprintf("/ip4/%s/tcp/%d", listenAt(at), port)}, args...)...)
	if err != nil {
		return nil, err
	}
	return &resident{b, d, at}, nil
}

// asleep is the resident as a sleeper.
func (d *resident) asleep(ctx context.Context, table, what string) sleeper {
	return sleeper{table, what, d.at, d.daemon.PID(), func() (int, error) {
		var s struct{ Peers int }
		err := d.JSON(ctx, &s, "status")
		return s.Peers, err
	}}
}

// restOfVenues is a DJ and a venue of hers while she has ever more venues, whose
// talk is the real one.
func (r *runner) restOfVenues() error {
	most := restVenues[len(restVenues)-1]
	w, err := netns.Open(r.ctx, netns.Config{Boxes: make([]netns.BoxConfig, 2+len(restVenues)+most/home), Seed: 1})
	if err != nil {
		return err
	}
	defer w.Close()
	dir, err := os.MkdirTemp(r.dir, "venues")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	music := filepath.Join(dir, "noise")
	if err := box.Noise(music, 1<<20); err != nil {
		return err
	}
	dj, err := r.moveIn(w.Boxes[0], filepath.Join(dir, "dj"), nil)
	if err != nil {
		return err
	}
	defer dj.daemon.Kill()
	if err := dj.JSON(r.ctx, nil, "publish", music); err != nil {
		return err
	}
	var id struct{ Name string }
	if err := dj.JSON(r.ctx, &id, "id"); err != nil {
		return err
	}
	venue, err := r.moveIn(w.Boxes[1], filepath.Join(dir, "venue"), nil, "--peer", dj.daemon.Addrs[0])
	if err != nil {
		return err
	}
	defer venue.daemon.Kill()
	if err := venue.JSON(r.ctx, nil, "follow", id.Name, "--once"); err != nil {
		return err
	}
	here, homes := 1, w.Boxes[2:]
	for _, n := range restVenues {
		for here < n {
			some := min(home, n-here)
			c, err := r.company(homes[0], "venues", fmt.Sprint(some), listenAt(homes[0]), dj.daemon.Addrs[0], id.Name)
			if err != nil {
				return err
			}
			defer c.end()
			here, homes = here+some, homes[1:]
		}
		if err := r.atRest(venue.asleep(r.ctx, "venues", fmt.Sprintf("a venue, of %d", n)), dj.asleep(r.ctx, "venues", fmt.Sprintf("the DJ of %d venues", n))); err != nil {
			return err
		}
	}
	return nil
}

// restOfPeers is a daemon that ever more peers ask, and a small one that most of
// them ask at once.
func (r *runner) restOfPeers() error {
	most := restPeers[len(restPeers)-1]
	for _, b := range []struct {
		what   string
		before []string
		asked  []int
	}{
		{"a box", nil, restPeers},
		{"a box of 1 GB", []string{"prlimit", fmt.Sprint("--nofile=", narrow)}, []int{most}},
	} {
		if err := r.restBeside(b.what, b.before, b.asked); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) restBeside(what string, before []string, asked []int) error {
	w, err := netns.Open(r.ctx, netns.Config{Boxes: make([]netns.BoxConfig, 1+len(asked)+asked[len(asked)-1]/home), Seed: 1})
	if err != nil {
		return err
	}
	defer w.Close()
	dir, err := os.MkdirTemp(r.dir, "beside")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := r.moveIn(w.Boxes[0], filepath.Join(dir, "box"), before)
	if err != nil {
		return err
	}
	defer d.daemon.Kill()
	here, homes := 0, w.Boxes[1:]
	for _, n := range asked {
		for here < n {
			some := min(home, n-here)
			c, err := r.company(homes[0], "peers", fmt.Sprint(some), d.daemon.Addrs[0])
			if err != nil {
				return err
			}
			defer c.end()
			here, homes = here+some, homes[1:]
		}
		if err := r.atRest(d.asleep(r.ctx, "peers", fmt.Sprintf("%s that %d want to be connected with", what, n))); err != nil {
			return err
		}
	}
	return nil
}

// restPage writes the tables.
func (r *runner) restPage(b *bytes.Buffer) {
	if len(r.restRows) == 0 {
		fmt.Fprint(b, "Not measured: it takes Linux and root.\n")
		return
	}
	fmt.Fprintf(b, "What has nothing to do, each in a namespace of its own: %s after the last has come, for %s, at its line's counters, headers included. When it began %.0f processes wanted the cores (load average of a minute). What is resident and not its own is mapped from the program's file, of which a daemon of ours that is calm has most unmapped: the system's cache keeps it.\n", settling, resting, r.restLoad)
	for _, t := range []struct{ table, words string }{
		{"venues", fmt.Sprintf("All venues follow one DJ and hold what she has published. Those that are not measured are libp2p hosts that keep the name and meet one another as venues do, and hold no blocks, %d at an address.", home)},
		{"peers", fmt.Sprintf("The peers are libp2p hosts without blocks, on TCP, %d at an address, and each dials again whenever it is not connected. The box of 1 GB has room for 128.", home)},
		{"catalogues", fmt.Sprintf("A catalogue in a small swarm: a DJ and %d venues, one of them measured, which has a lease; and a Kubo that has pinned the same blocks.", restSwarm)},
	} {
		fmt.Fprintf(b, "\n%s\n\n| | connected | up, MB an hour | down, MB an hour | CPU, %% of a core | resident, MB | of that own |\n|---|---:|---:|---:|---:|---:|---:|\n", t.words)
		for _, row := range r.restRows {
			if row.table == t.table {
				fmt.Fprintf(b, "| %s | %d | %.2f | %.2f | %.2f | %.0f | %.0f |\n", row.what, row.peers, row.up, row.down, row.cpu, row.memory, row.own)
			}
		}
	}
	r.cataloguesPage(b)
	for _, what := range r.restFailed {
		fmt.Fprintf(b, "\nThe table of %s was not finished.\n", what)
	}
}
