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
	for _, cfg := range simulations {
		text, err := json.Marshal(cfg)
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(r.ctx, "go", "test", "./testnet/sim", "-run", "^TestSwarm$", "-count=1", "-v", "-timeout", "60m")
		cmd.Env = append(os.Environ(), "SWARM="+string(text))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("simulate %d venues: %w: %s", cfg.Venues, err, out)
		}
		var x sim.SwarmReport
		if err := json.Unmarshal(reported.Find(out), &x); err != nil {
			return fmt.Errorf("simulate %d venues: no report: %w", cfg.Venues, err)
		}
		r.swarms = append(r.swarms, x)
	}
	return nil
}

// simulatedPage is the section of simulated swarms.
func (r *runner) simulatedPage(b *bytes.Buffer) {
	if len(r.swarms) < len(simulations) {
		fmt.Fprintf(b, "Not measured.\n")
		return
	}
	fmt.Fprintf(b, "The real scheduler in `testnet/sim`, on a virtual clock: times do not depend on this machine. One source has %.0f MiB, all venues want it at once, and each knows the source and 5 others. The floor is what\nthe lines allow: whoever cannot be dialled has everything from those who can. Multiples are of the catalogue; what is said is all frames but blocks, per node, and its share of the catalogue.\n\n", float64(r.swarms[0].Catalogue)/(1<<20))
	fmt.Fprintf(b, "| venues | uplinks | floor, s | last venue | median venue | source sends | came twice | frames said | bytes said | stalls |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for i, x := range r.swarms {
		who := fmt.Sprint(x.Venues)
		if x.Undialable > 0 {
			who += fmt.Sprintf(", %d of them shut", x.Undialable)
		}
		if x.Hostile > 0 {
			who += fmt.Sprintf(" beside %d hostile", x.Hostile)
		}
		fmt.Fprintf(b, "| %s | %.2f MB/s | %.1f | %.2f x | %.2f x | %.2f | %.1f %% | %.0f | %.0f kB, %.1f %% | %d |\n", who, float64(simulations[i].Venue.Up)/1e6, x.FloorSeconds, x.OverFloor,
			x.P50Seconds/x.FloorSeconds, x.SourceSent, 100*x.Duplicates, x.Frames, x.ChatterBytes/1e3, 100*x.ChatterBytes/float64(x.Catalogue), x.Stalls)
	}
	clean, hostile, last := r.swarms[0], r.swarms[1], r.swarms[len(r.swarms)-1]
	share := 100 * last.SourceSent / float64(last.Venues)
	writeGoals(b,
		goal{"20 venues: the source sends at most 1.3 catalogues", fmt.Sprintf("%.2f", clean.SourceSent), clean.SourceSent <= 1.3},
		goal{"all have it in at most 1.6 times the floor", fmt.Sprintf("%.2f", clean.OverFloor), clean.Unfinished == 0 && clean.OverFloor <= 1.6},
		goal{"at most 5 % come twice", fmt.Sprintf("%.1f %%", 100*clean.Duplicates), clean.Duplicates <= .05},
		goal{"30 % hostile: no wrong block is taken, no liar asked twice, nobody honest dropped", fmt.Sprintf("%d, %d, %d", hostile.Wrong, hostile.Again, hostile.Innocent), hostile.Wrong+hostile.Again+hostile.Innocent == 0 && hostile.Liars > 0},
		goal{"in at most 1.4 times the time", fmt.Sprintf("%.2f", hostile.Seconds/clean.Seconds), hostile.Unfinished == 0 && hostile.Seconds <= 1.4*clean.Seconds},
		goal{"400 venues: the source sends at most 2 catalogues, 0.5 % of all", fmt.Sprintf("%.2f, %.2f %%", last.SourceSent, share), last.SourceSent <= 2 && share <= .5},
		goal{"all finish, and none stalls", fmt.Sprintf("%d unfinished, %d stalls", last.Unfinished, last.Stalls), last.Unfinished+last.Stalls == 0},
	)
}
