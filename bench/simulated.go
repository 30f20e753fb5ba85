package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"time"

	"playnode/testnet/sim"
)

// homes are lines as homes have them, offices those of the story with equal
// uplinks.
var (
	homes   = sim.Line{Up: 250_000, Down: 1_250_000, Delay: 10 * time.Millisecond}
	offices = sim.Line{Up: 2_000_000, Delay: 5 * time.Millisecond}
)

// drawn is of how many worlds those are that come first: one of twenty is not the next.
const drawn = 50

// simulations are the swarms on a virtual clock.
var simulations = []sim.SwarmConfig{
	{Venues: 20, Source: offices, Venue: offices},
	{Venues: 20, Source: offices, Venue: offices, Hostile: .3},
	{Venues: 10, Source: homes, Venue: homes, Undialable: .61},
	{Venues: 50, Source: homes, Venue: homes, Undialable: .61},
	{Venues: 200, Source: homes, Venue: homes, Undialable: .61},
	{Venues: 400, Source: homes, Venue: homes, Undialable: .61},
}

// reported is the line of a test's log that is a report.
var reported = regexp.MustCompile(`(?m)\{"venues":.*\}$`)

// simulated has each swarm told by a test of package sim: a virtual clock is
// for tests alone.
func (r *runner) simulated() error {
	for i, cfg := range simulations {
		text, err := json.Marshal(cfg)
		if err != nil {
			return err
		}
		worlds := 1
		if i < 2 {
			worlds = drawn
		}
		cmd := exec.CommandContext(r.ctx, "go", "test", "./testnet/sim", "-run", "^TestSwarm$", "-count=1", "-v", "-timeout", "60m")
		cmd.Env = append(os.Environ(), "SWARM="+string(text), fmt.Sprint("SWARM_WORLDS=", worlds))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("simulate %d venues: %w: %s", cfg.Venues, err, out)
		}
		var all worldsOf
		for _, line := range reported.FindAll(out, -1) {
			var x sim.SwarmReport
			if err := json.Unmarshal(line, &x); err != nil {
				return fmt.Errorf("simulate %d venues: %w", cfg.Venues, err)
			}
			all = append(all, x)
		}
		if len(all) != worlds {
			return fmt.Errorf("simulate %d venues: %d reports of %d worlds", cfg.Venues, len(all), worlds)
		}
		r.swarms = append(r.swarms, all)
	}
	return nil
}

// worldsOf are the same swarm, drawn anew.
type worldsOf []sim.SwarmReport

// mean is of what f says of each world, worst the most of that, sum all of it.
func (w worldsOf) mean(f func(sim.SwarmReport) float64) float64 { return w.sum(f) / float64(len(w)) }

func (w worldsOf) worst(f func(sim.SwarmReport) float64) float64 {
	most := f(w[0])
	for _, x := range w {
		most = max(most, f(x))
	}
	return most
}

func (w worldsOf) sum(f func(sim.SwarmReport) float64) (all float64) {
	for _, x := range w {
		all += f(x)
	}
	return all
}

// What is read of a world.
func overFloor(x sim.SwarmReport) float64  { return x.OverFloor }
func halfDone(x sim.SwarmReport) float64   { return x.P50Seconds / x.FloorSeconds }
func sourceSent(x sim.SwarmReport) float64 { return x.SourceSent }
func twice(x sim.SwarmReport) float64      { return x.Duplicates }
func frames(x sim.SwarmReport) float64     { return x.Frames }
func chatter(x sim.SwarmReport) float64    { return x.ChatterBytes }
func stalls(x sim.SwarmReport) float64     { return float64(x.Stalls) }
func unfinished(x sim.SwarmReport) float64 { return float64(x.Unfinished) }
func mistaken(x sim.SwarmReport) float64   { return float64(x.Wrong + x.Again + x.Innocent) }
func liars(x sim.SwarmReport) float64      { return float64(x.Liars) }

// simulatedPage is the section of simulated swarms.
func (r *runner) simulatedPage(b *bytes.Buffer) {
	if len(r.swarms) < len(simulations) {
		fmt.Fprintf(b, "Not measured.\n")
		return
	}
	fmt.Fprintf(b, "The real scheduler in `testnet/sim`, on a virtual clock: times do not depend on this machine. One source has %.0f MiB, all venues want it at once, and each knows the source and 5 others. The floor is what\nthe lines allow: whoever cannot be dialled has everything from those who can. Multiples are of the catalogue; what is said is all frames but blocks, per node, and its share of the catalogue. Of the twenty there are %d worlds\nof each kind: means, and in brackets the worst.\n\n",
		float64(r.swarms[0][0].Catalogue)/(1<<20), drawn)
	fmt.Fprintf(b, "| venues | uplinks | floor, s | last venue | median venue | source sends | came twice | frames said | bytes said | stalls |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for i, w := range r.swarms {
		x := w[0]
		who := fmt.Sprint(x.Venues)
		if x.Undialable > 0 {
			who += fmt.Sprintf(", %d of them shut", x.Undialable)
		}
		if x.Hostile > 0 {
			who += fmt.Sprintf(" beside %d hostile", x.Hostile)
		}
		last := fmt.Sprintf("%.2f x", w.mean(overFloor))
		if len(w) > 1 {
			last += fmt.Sprintf(" (%.2f)", w.worst(overFloor))
		}
		fmt.Fprintf(b, "| %s | %.2f MB/s | %.1f | %s | %.2f x | %.2f | %.1f %% | %.0f | %.0f kB, %.1f %% | %.0f |\n", who, float64(simulations[i].Venue.Up)/1e6, x.FloorSeconds, last,
			w.mean(halfDone), w.mean(sourceSent), 100*w.mean(twice), w.mean(frames), w.mean(chatter)/1e3, 100*w.mean(chatter)/float64(x.Catalogue), w.sum(stalls))
	}
	clean, hostile, last := r.swarms[0], r.swarms[1], r.swarms[len(r.swarms)-1]
	share := 100 * last.mean(sourceSent) / float64(last[0].Venues)
	longer := hostile.mean(overFloor) / clean.mean(overFloor)
	all := func(f func(sim.SwarmReport) float64) (n float64) {
		for _, w := range r.swarms {
			n += w.sum(f)
		}
		return n
	}
	writeGoals(b,
		goal{"20 venues: the source sends at most 1.3 catalogues in any world", fmt.Sprintf("%.2f", clean.worst(sourceSent)), clean.worst(sourceSent) <= 1.3},
		goal{"all have it in at most 1.6 times the floor in any", fmt.Sprintf("%.2f", clean.worst(overFloor)), clean.worst(overFloor) <= 1.6},
		goal{"at most 5 % come twice in any", fmt.Sprintf("%.1f %%", 100*clean.worst(twice)), clean.worst(twice) <= .05},
		goal{"30 % hostile: no wrong block is taken, no liar asked twice, nobody honest dropped", fmt.Sprintf("%.0f such", hostile.sum(mistaken)), hostile.sum(mistaken) == 0 && hostile.sum(liars) > 0},
		goal{"in at most 1.4 times the time", fmt.Sprintf("%.2f", longer), longer <= 1.4},
		goal{"400 venues: the source sends at most 2 catalogues, 0.5 % of all", fmt.Sprintf("%.2f, %.2f %%", last.mean(sourceSent), share), last.mean(sourceSent) <= 2 && share <= .5},
		goal{fmt.Sprintf("in all %d worlds all finish, and none stalls", 2*drawn+len(r.swarms)-2), fmt.Sprintf("%.0f unfinished, %.0f stalls", all(unfinished), all(stalls)), all(unfinished)+all(stalls) == 0},
	)
}
