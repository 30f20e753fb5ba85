package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

const (
	// swarmBytes is what each venue of a swarm wants, neighbours how many other
	// venues each one knows.
	swarmBytes = 10 << 20
	neighbours = 5
	// patience is how long anything is waited for, patienceSlow how long a swarm
	// over the slowest uplinks, where Kubo takes eight times the floor.
	patience, patienceSlow = 3 * time.Minute, 5 * time.Minute
)

// swarmUps are the swarms, by what everyone's uplink carries in bytes a second, 0
// for any number: twenty programs over 2 MB/s want more than two cores have, and
// over a quarter of that less.
var swarmUps = []int64{0, 2_000_000, 500_000}

// over is what a swarm over such uplinks is called.
func over(up int64) string {
	if up == 0 {
		return "no limit"
	}
	return fmt.Sprintf("%g MB/s up", float64(up)/1e6)
}

// waited is how long a swarm over such uplinks is waited for.
func waited(up int64) time.Duration {
	if up == slices.Max(swarmUps) || up == 0 {
		return patience
	}
	return patienceSlow
}

// swarm measures one peer to one, and one to many, in namespaces.
func (r *runner) swarm() error {
	if ok, err := r.worlds("swarm is"); !ok {
		return err
	}
	whole := filepath.Join(r.dir, "whole")
	if err := box.Noise(whole, r.Bytes); err != nil {
		return err
	}
	for range r.Rounds {
		for _, name := range carrierNames {
			if err := r.onePeer("one peer, "+name, name, whole, netns.Line{}, manner{patience: patience}); err != nil {
				return fmt.Errorf("one peer to one: %w", err)
			}
		}
	}
	if err := os.RemoveAll(whole); err != nil {
		return err
	}
	music := filepath.Join(r.dir, "catalogue")
	if err := box.Noise(music, swarmBytes); err != nil {
		return err
	}
	for _, up := range swarmUps {
		for _, name := range carrierNames[:3] { // what HTTP takes is arithmetic
			x := rush{key: "swarm, " + over(up) + ", " + name, venues: r.Venues, bytes: swarmBytes, manner: manner{patience: waited(up)}, source: netns.Line{Up: up}, venue: netns.Line{Up: up}}
			if err := r.crowded(x, name, music); err != nil {
				return fmt.Errorf("swarm of %s, %s: %w", name, over(up), err)
			}
		}
	}
	return nil
}

// swarmPage is the section of swarms.
func (r *runner) swarmPage(b *bytes.Buffer) {
	if len(r.taken["one peer, playnode"]) == 0 {
		fmt.Fprintf(b, "Not measured: it takes Linux, root, ip, tc and nft.\n")
		return
	}
	fmt.Fprintf(b, "Every peer is a process in a namespace of its own; bytes are counted on its line, headers included. The catalogue is noise in WAV files, published beforehand. Kubo's daemons and ours run\nand are connected when the clock starts; a BitTorrent client (anacrolix/torrent, over TCP) is started then. All share this machine's cores: where those are busy, times are theirs, and bytes are not.\n\n")
	fmt.Fprintf(b, "One peer to one, disk to disk, %.0f MiB, %d rounds:\n\n| | seconds | MB/s | of HTTP's time |\n|---|---:|---:|---:|\n", float64(r.Bytes)/(1<<20), len(r.taken["one peer, playnode"]))
	http := r.median("one peer, HTTP")
	for _, name := range carrierNames {
		key := "one peer, " + name
		s := r.median(key)
		if n := len(r.taken[key+", stands"]); n > 0 {
			name = fmt.Sprintf("%s (stood still for %.0f s in %d of %d)", name, patience.Seconds(), n, n+len(r.taken[key]))
		}
		fmt.Fprintf(b, "| %s | %.2f | %.0f | %.1f |\n", name, s, float64(r.Bytes)/1e6/s, s/http)
	}
	fmt.Fprintf(b, "\nOne source, %d venues that want the same %.0f MiB at once, each of which knows the source and up to %d others. Multiples are of the catalogue. The floor is what uplinks allow, and what the source would take for one\nby plain HTTP:",
		r.Venues, swarmBytes/float64(1<<20), neighbours)
	for _, up := range swarmUps[1:] {
		fmt.Fprintf(b, " %.1f s at %s, and %.0f for all of them one after the other;", floor(up), over(up), floor(up)*float64(r.Venues))
	}
	fmt.Fprintf(b, "\nwhere the cores are hardly idle, a swarm waits for them, and not for its lines.\n\n")
	fmt.Fprintf(b, "| | last venue, s | of the floor | median venue, s | source sends | a venue receives | of that twice | cores idle | unfinished |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, up := range swarmUps {
		for _, name := range carrierNames[:3] {
			r.swarmRow(b, up, name)
		}
	}
	goals := []goal{
		{"one peer to one: faster than Kubo", fmt.Sprintf("%.2f of its time", r.median("one peer, playnode")/r.median("one peer, Kubo")), r.median("one peer, playnode") < r.median("one peer, Kubo")},
		{"in at most twice the time of plain HTTP", fmt.Sprintf("%.1f times", r.median("one peer, playnode")/http), r.median("one peer, playnode") <= 2*http},
	}
	for _, up := range swarmUps {
		key := "swarm, " + over(up) + ", playnode"
		took, source, twice := r.median(key), r.median(key+", source"), r.median(key+", twice")
		goals = append(goals, goal{over(up) + ": the source sends at most 1.3 catalogues", fmt.Sprintf("%.2f", source), source > 0 && source <= 1.3})
		if up > 0 {
			goals = append(goals, goal{"all have it in at most 1.6 times the floor", fmt.Sprintf("%.2f", took/floor(up)), took > 0 && took <= 1.6*floor(up)})
		}
		goals = append(goals, goal{"at most 5 % come twice", fmt.Sprintf("%.1f %%", 100*twice), took > 0 && twice <= .05})
	}
	writeGoals(b, goals...)
}

// floor is how long a catalogue takes over such an uplink, in seconds.
func floor(up int64) float64 { return swarmBytes / float64(up) }

// swarmRow is one swarm.
func (r *runner) swarmRow(b *bytes.Buffer, up int64, name string) {
	key := "swarm, " + over(up) + ", " + name
	idle := 100 * r.median(key+", idle")
	if n := r.taken[key+", unfinished"]; len(n) > 0 {
		fmt.Fprintf(b, "| %s, %s | over %.0f | | | | | | %.0f %% | %.0f |\n", name, over(up), waited(up).Seconds(), idle, n[0])
		return
	}
	times := ""
	if up > 0 {
		times = fmt.Sprintf("%.2f", r.median(key)/floor(up))
	}
	fmt.Fprintf(b, "| %s, %s | %.1f | %s | %.1f | %.2f | %.2f | %.2f | %.0f %% | 0 |\n", name, over(up), r.median(key), times, r.median(key+", venue"),
		r.median(key+", source"), r.median(key+", received"), r.quantile(key+", twice", .5), idle)
}
