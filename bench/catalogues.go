package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"playnode/testnet/netns"
)

const (
	// restSwarm is how many venues want a catalogue at once whose rest is measured.
	restSwarm = 2
	// kuboFetches is how long a Kubo may fetch from a Kubo: of many small blocks its
	// sessions come to stand still.
	kuboFetches = time.Minute
)

// large is what a catalogue's size came to.
type large struct {
	tracks int
	// bytes is what its blocks take, swarm how long the venues took, source how
	// many catalogues the DJ sent meanwhile.
	bytes          int64
	swarm, source  float64
	publish        float64
	again          float64 // how soon the venue's daemon is ready that holds it
	restarted      float64 // MB, some while after that
	idle, serving  float64 // MB, of ours; serving: while it plays, at the most
	kubo, kuboGave float64 // MB, of Kubo; kuboGave: while another fetched from it, at the most
	gave           float64 // what part of it that one had in the end
}

// restOfCatalogues is a venue, and a Kubo, with ever larger catalogues.
func (r *runner) restOfCatalogues() error {
	for _, n := range restTracks {
		if err := r.restOfCatalogue(n); err != nil {
			return fmt.Errorf("%d tracks: %w", n, err)
		}
	}
	return nil
}

func (r *runner) restOfCatalogue(n int) error {
	// The DJ, the venue, its swarm, who fetches all from it; a Kubo, and who
	// fetches all from that.
	w, err := netns.Open(r.ctx, netns.Config{Boxes: make([]netns.BoxConfig, 6), Seed: 1})
	if err != nil {
		return err
	}
	defer w.Close()
	dir, err := os.MkdirTemp(r.dir, "tracks")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := large{tracks: n}
	music := filepath.Join(dir, "music")
	if err := r.layCatalogue(music, n); err != nil {
		return err
	}
	dj, err := r.moveIn(w.Boxes[0], filepath.Join(dir, "dj"), nil)
	if err != nil {
		return err
	}
	defer dj.daemon.Kill()
	venue, err := r.moveIn(w.Boxes[1], filepath.Join(dir, "venue"), nil, "--peer", dj.daemon.Addrs[0])
	if err != nil {
		return err
	}
	defer func() { venue.daemon.Kill() }()
	var v struct{ Device string }
	if err := venue.JSON(r.ctx, &v, "id"); err != nil {
		return err
	}
	var pub struct{ Name string }
	began := time.Now()
	if err := dj.JSON(r.ctx, &pub, "publish", music, "--no-archive-key"); err != nil {
		return err
	}
	l.publish = time.Since(began).Seconds()
	grant := filepath.Join(dir, "grant")
	if err := dj.JSON(r.ctx, nil, "lease", "grant", "main", "--device", v.Device, "--for", "1d", "--out", grant); err != nil {
		return err
	}
	others, err := r.swarmOf(&l, w, dj, venue, pub.Name, dir)
	if err != nil {
		return err
	}
	defer others.end()
	if err := venue.JSON(r.ctx, nil, "lease", "import", grant); err != nil {
		return err
	}
	k, err := r.kuboIn(w.Boxes[4].Within(), filepath.Join(dir, "kubo"), fmt.Sprintf("/ip4/%s/tcp/%d", listenAt(w.Boxes[4]), port))
	if err != nil {
		return err
	}
	stop, kuboAddr, pid, err := k.daemon()
	if err != nil {
		return err
	}
	defer stop()
	// By a file, as a Kubo that fetches so many small blocks may never end; then it
	// is a peer of the DJ's, as the venues are.
	var carried struct {
		Manifest string
		Blocks   int
	}
	file := filepath.Join(dir, "catalogue.car")
	if err := venue.JSON(r.ctx, &carried, "--quiet", "export", pub.Name, file); err != nil {
		return err
	}
	if err := within(patience, func() error { return k.run(nil, "dag", "import", "--pin-roots", file) }); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil {
		return err
	}
	if err := k.run(nil, "swarm", "connect", dj.daemon.Addrs[0]); err != nil {
		return err
	}
	if err := r.atRest(venue.asleep(r.ctx, "catalogues", fmt.Sprintf("a venue with %d tracks", n)), dj.asleep(r.ctx, "catalogues", fmt.Sprintf("the DJ of %d", n)),
		sleeper{"catalogues", fmt.Sprintf("a Kubo with %d", n), w.Boxes[4], pid, func() (int, error) {
			var said bytes.Buffer
			err := k.run(&said, "swarm", "peers")
			return bytes.Count(said.Bytes(), []byte("\n")), err
		}}); err != nil {
		return err
	}
	l.idle = memory(venue.daemon.PID(), "VmRSS")

	// Another box takes all from the venue, which plays, and another Kubo from the
	// Kubo.
	if err := venue.JSON(r.ctx, nil, "play", pub.Name+"/main", "--detach", "--sink", "null"); err != nil {
		return err
	}
	if l.serving, err = r.peak(venue.daemon.PID(), func() error {
		b, err := r.moveIn(w.Boxes[3], filepath.Join(dir, "other"), nil, "--peer", venue.daemon.Addrs[0])
		if err != nil {
			return err
		}
		defer b.daemon.Kill()
		return b.JSON(r.ctx, nil, "--quiet", "archive", pub.Name, "--once", "--timeout", "10m")
	}); err != nil {
		return err
	}
	l.kubo = memory(pid, "VmRSS")
	if l.kuboGave, err = r.peak(pid, func() error {
		b, err := r.kuboIn(w.Boxes[5].Within(), filepath.Join(dir, "kubo-b"), fmt.Sprintf("/ip4/%s/tcp/%d", listenAt(w.Boxes[5]), port))
		if err != nil {
			return err
		}
		stop, _, _, err := b.daemon()
		if err != nil {
			return err
		}
		defer stop()
		if err := b.run(nil, "swarm", "connect", kuboAddr); err != nil {
			return err
		}
		within, cancel := context.WithTimeout(r.ctx, kuboFetches)
		defer cancel()
		fetching := b
		fetching.ctx = within
		err = fetching.run(nil, "pin", "add", "--progress=false", carried.Manifest)
		if err != nil && within.Err() == nil {
			return err
		}
		var has struct{ NumObjects int }
		var said bytes.Buffer
		if err = b.run(&said, "repo", "stat", "--enc=json"); err == nil {
			err = json.Unmarshal(said.Bytes(), &has)
		}
		l.gave = min(1, float64(has.NumObjects)/float64(carried.Blocks))
		return err
	}); err != nil {
		return err
	}
	if err := venue.daemon.Stop(); err != nil {
		return err
	}
	began = time.Now()
	if venue.daemon, err = venue.Start(r.ctx, "--listen", fmt.Sprintf("/ip4/%s/tcp/%d", listenAt(venue.at), port), "--peer", dj.daemon.Addrs[0]); err != nil {
		return err
	}
	l.again = time.Since(began).Seconds()
	if err := r.pause(settling); err != nil {
		return err
	}
	l.restarted = memory(venue.daemon.PID(), "VmRSS")
	r.larges = append(r.larges, l)
	fmt.Fprintf(os.Stderr, "  %+v\n", l)
	return nil
}

// layCatalogue makes a folder of so many files: real music, which is played, and
// for the rest blips.
func (r *runner) layCatalogue(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := r.layHeld(dir); err != nil {
		return err
	}
	for i := held; i < n; i++ {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d.wav", i)), blip(i), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// swarmOf has all venues want the catalogue at once, and tells how it went. Those
// that are not measured stay until their company is ended.
func (r *runner) swarmOf(l *large, w *netns.World, dj, venue *resident, name, dir string) (others *company, err error) {
	was, err := w.Boxes[0].Counters()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	var g errgroup.Group
	g.Go(func() (err error) {
		others, err = r.company(w.Boxes[2], "daemons", fmt.Sprint(restSwarm-1), listenAt(w.Boxes[2]), dj.daemon.Addrs[0], name, filepath.Join(dir, "others"))
		return err
	})
	g.Go(func() error { return venue.JSON(r.ctx, nil, "--quiet", "follow", name, "--once", "--timeout", "10m") })
	if err := g.Wait(); err != nil {
		if others != nil {
			others.end()
		}
		return nil, err
	}
	l.swarm = time.Since(began).Seconds()
	var s struct{ Storage struct{ Used int64 } }
	now, err := w.Boxes[0].Counters()
	if err == nil {
		err = venue.JSON(r.ctx, &s, "status")
	}
	if err != nil {
		others.end()
		return nil, err
	}
	l.bytes, l.source = s.Storage.Used, float64(now.Sent-was.Sent)/float64(s.Storage.Used)
	return others, nil
}

// peak is the most memory, in MB, that a process had while f ran.
func (r *runner) peak(pid int, f func() error) (float64, error) {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil { // the peak begins anew
		return 0, fmt.Errorf("watch memory: %w", err)
	}
	err := f()
	return memory(pid, "VmHWM"), err
}

func (r *runner) cataloguesPage(b *bytes.Buffer) {
	if len(r.larges) == 0 {
		return
	}
	fmt.Fprintf(b, "\nThe same catalogues: %d tracks of each are music, the others blips of 4 kB. The Kubo has its blocks from a CAR that the venue has exported. \"Serving\" is the most while another box fetches all of it, or another Kubo from the Kubo what it can within %s; ours plays besides.\n\n", held, kuboFetches)
	fmt.Fprint(b, "| tracks | MB | published, s | held by all venues, s | DJ's line sent, catalogues | a venue's daemon starts, s | resident then | at rest | playing and serving | Kubo at rest | Kubo serving |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, l := range r.larges {
		fmt.Fprintf(b, "| %d | %.0f | %.1f | %.1f | %.2f | %.2f | %.0f | %.0f | %.0f | %.0f | %.0f |\n", l.tracks, float64(l.bytes)/1e6, l.publish, l.swarm, l.source, l.again, l.restarted, l.idle, l.serving, l.kubo, l.kuboGave)
	}
	for _, l := range r.larges {
		if l.gave < 1 {
			fmt.Fprintf(b, "\nOf %d tracks the Kubo that fetched from the Kubo had %.0f %% of the blocks after %s.\n", l.tracks, 100*l.gave, kuboFetches)
		}
	}
	l := r.larges[len(r.larges)-1]
	goals := []goal{
		{fmt.Sprintf("%d tracks: at most 60 MB at rest", l.tracks), fmt.Sprintf("%.0f MB", l.idle), l.idle <= 60},
		{"at most 100 MB playing and serving", fmt.Sprintf("%.0f MB", l.serving), l.serving <= 100},
		{"at most 0.6 times Kubo's at rest", fmt.Sprintf("%.2f times", l.idle/l.kubo), l.idle <= .6*l.kubo},
		{"at most 0.6 times Kubo's while serving", fmt.Sprintf("%.2f times", l.serving/l.kuboGave), l.serving <= .6*l.kuboGave},
	}
	writeGoals(b, goals...)
}
