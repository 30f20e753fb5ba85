package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"playnode/testnet/sim"
)

// The lines of simulated sets: as homes have them, such as carry for nobody,
// and an archivist's.
var (
	distant = sim.Line{Up: 250_000, Down: 1_250_000, Delay: 25 * time.Millisecond}
	thinAir = sim.Line{Up: 18_000, Down: 1_250_000, Delay: 25 * time.Millisecond}
	archive = sim.Line{Up: 12_500_000, Down: 12_500_000, Delay: 10 * time.Millisecond}
)

// begun is what a piece that has begun to leave adds to ten seconds, in bits a
// second.
const begun = 8 * 32 << 10 / 10

// airs are the sets on air on a virtual clock.
var airs = []struct {
	name string
	sim.LiveConfig
}{
	{"50, 5 relays a minute killed", sim.LiveConfig{Venues: 50, Venue: distant, Within: 10 * time.Second, Length: 5 * time.Minute, Kills: 5, Silent: .5}},
	{"the same, and 50 more within 5 s", sim.LiveConfig{Venues: 50, Crowd: 50, Venue: distant, Within: 10 * time.Second, Length: 2 * time.Minute, Kills: 5, Silent: .5}},
	{"50, an archivist's box comes", sim.LiveConfig{Venues: 50, Venue: distant, Within: 10 * time.Second, Length: 3 * time.Minute, Seedbox: archive, Lent: time.Minute}},
	{"50 on lines of 144 kbit/s up, which carry for nobody, an archivist's box comes", sim.LiveConfig{Venues: 50, Venue: thinAir, Within: 10 * time.Second, Length: 3 * time.Minute, Seedbox: archive, Lent: time.Minute}},
	{"50, HTTP from the source", sim.LiveConfig{Venues: 50, Venue: distant, Within: 10 * time.Second, Length: 2 * time.Minute, Plain: true}},
	{"1,000, 5 relays a minute killed, 50 more within 5 s, an archivist's box comes", sim.LiveConfig{Venues: 1000, Crowd: 50, Venue: distant, Within: 40 * time.Second, Length: 140 * time.Second, Kills: 5, Silent: .5, Seedbox: archive, Lent: 90 * time.Second}},
	{"1,000, HTTP from the source", sim.LiveConfig{Venues: 1000, Venue: distant, Within: 40 * time.Second, Length: 2 * time.Minute, Plain: true}},
}

// simulatedAir has each set told by a test of package sim.
func (r *runner) simulatedAir() error {
	for _, a := range airs {
		a.Source, a.Undialable = distant, .61
		text, err := json.Marshal(a.LiveConfig)
		if err != nil {
			return err
		}
		begin := time.Now()
		cmd := exec.CommandContext(r.ctx, "go", "test", "./testnet/sim", "-run", "^TestLive$", "-count=1", "-v", "-timeout", "60m")
		cmd.Env = append(os.Environ(), "LIVE="+string(text))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("simulate a set for %s: %w: %s", a.name, err, out)
		}
		var x sim.LiveReport
		if err := json.Unmarshal(reported.Find(out), &x); err != nil {
			return fmt.Errorf("simulate a set for %s: no report: %w", a.name, err)
		}
		r.sets = append(r.sets, x)
		fmt.Fprintf(os.Stderr, "  %s: %.0f s\n", a.name, time.Since(begin).Seconds())
	}
	return nil
}

// simulatedAirPage is the section of simulated sets.
func (r *runner) simulatedAirPage(b *bytes.Buffer) {
	if len(r.sets) < len(airs) {
		fmt.Fprintf(b, "Not measured.\n")
		return
	}
	fmt.Fprintf(b, `The real code of package live in %s, on a virtual clock: times do not depend on this machine. Lines of 10 Mbit/s down and 2 up, where nothing else is said, 50 ms from box to box; 61 %% of the venues cannot be
dialled; segments of 17,400 bytes a second. Headers weigh nothing, and a piece of 32 KiB counts when it begins to leave: ten seconds of a full line of 2 Mbit/s may read 2.03. Half of those who are killed go without a word; others come in their place. What is heard is reckoned as above: sound and lag are a listener's, the
two seconds in its buffer included. Stock bitswap does not run here.

| venues | source, most in 10 s, Mbit/s | in the mean | a relay, of its line | sound after, s, p50 / p95 | lag, s, p50 / p95 | not heard | boxes between, mean / most |
|---|---:|---:|---:|---:|---:|---:|---:|
`, "`testnet/sim`")
	mbit := func(bits int64) float64 { return float64(bits) / 1e6 }
	for i, x := range r.sets {
		depth, relay := fmt.Sprintf("%.1f / %d", x.MeanDepth, x.Depth), fmt.Sprintf("%.2f", x.RelayShare)
		if airs[i].Plain {
			depth, relay = "", ""
		}
		unheard := fmt.Sprintf("%.2f %%", 100*x.Unheard)
		if x.Deaf > 0 {
			unheard += fmt.Sprintf(", %d nothing at all", x.Deaf)
		}
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %s | %.1f / %.1f | %.1f / %.1f | %s | %s |\n", airs[i].name, mbit(x.SourceBits), mbit(x.SourceMean), relay, x.BeginP50, x.BeginP95, x.LagP50, x.LagP95, unheard, depth)
	}
	fmt.Fprintf(b, "\nWhat the archivist's box of 100 Mbit/s changed, some time before it came and at the end:\n\n| venues | | source, Mbit/s | the archivist's line | boxes between, mean / most | lag, s, p50 / p95 | not heard | hear nothing yet |\n|---|---|---:|---:|---:|---:|---:|---:|\n")
	for i, x := range r.sets {
		if x.Before == nil {
			continue
		}
		for _, p := range []struct {
			when string
			*sim.LivePhase
		}{{"before", x.Before}, {"after", x.After}} {
			fmt.Fprintf(b, "| %s | %s | %.2f | %.2f | %.1f / %d | %.1f / %.1f | %.2f %% | %d |\n", airs[i].name, p.when, mbit(p.SourceMean), mbit(p.SeedboxMean), p.MeanDepth, p.Depth, p.LagP50, p.LagP95, 100*p.Unheard, p.Deaf)
		}
	}
	killed, crowd, weak, many := r.sets[0], r.sets[1], r.sets[3], r.sets[5]
	var goals []goal
	for _, x := range []struct {
		name string
		r    sim.LiveReport
	}{{"50 venues", killed}, {"1,000 venues", many}} {
		goals = append(goals,
			goal{x.name + ", 5 relays a minute killed: the DJ's line at most 2.0 Mbit/s", fmt.Sprintf("%.2f", mbit(x.r.SourceBits)), x.r.SourceBits <= 2_000_000+begun},
			goal{"no relay more than its line bears", fmt.Sprintf("%.2f of it", x.r.RelayShare), x.r.RelayShare*float64(8*distant.Up) <= 2_000_000+begun},
			goal{"sound at most 2 s after asking (p95)", fmt.Sprintf("%.1f s", x.r.BeginP95), x.r.BeginP95 <= 2},
			goal{"lag at most 5 s (p95)", fmt.Sprintf("%.1f s", x.r.LagP95), x.r.LagP95 <= 5},
			goal{"at most 0.1 % of segments not heard", fmt.Sprintf("%.3f %%", 100*x.r.Unheard), x.r.Unheard <= .001},
		)
	}
	writeGoals(b, append(goals,
		goal{"50 joins in 5 s, beside 50: sound at most 2 s after asking (p95)", fmt.Sprintf("%.1f s", crowd.CrowdBeginP95), crowd.CrowdBeginP95 <= 2},
		goal{"beside 1,000", fmt.Sprintf("%.1f s", many.CrowdBeginP95), many.CrowdBeginP95 <= 2},
		goal{"an archivist's box carries those whose lines do not", fmt.Sprintf("%d of %d hear nothing before, %d after", weak.Before.Deaf, weak.Venues, weak.After.Deaf), weak.Before.Deaf > 0 && weak.After.Deaf == 0 && weak.After.Unheard <= .001},
	)...)
}
