package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"playnode/testnet"
	"playnode/testnet/ear"
	"playnode/testnet/netns"
	"playnode/testnet/sim"
)

// afterwards is how long what is on its way is waited for when a set has ended.
const afterwards = 6 * time.Second

// caster carries a set from the first box of a world to others.
type caster interface {
	// open has the first box ready to send, and venues, by their boxes, stand
	// by: each is connected to those that it knows.
	open(w *netns.World, venues []int, know map[int][]int) error
	// cut puts a segment on air.
	cut(data []byte) error
	// hear has a box hear from now on until ctx ends; note is told what became
	// of each segment, from several goroutines.
	hear(ctx context.Context, box int, note func(seq int, lost bool)) error
	// close ends everything.
	close()
}

// cast is how a set came to all who heard it; rates are bits a second, times
// seconds.
type cast struct {
	SourceBits, SourceMean, Relay int64
	Joins                         int
	JoinP50, JoinP95              float64
	LagP50, LagP95                float64
	Segments, Missed              int
	Stops                         int
	Deaf                          int
}

// onAir measures a set on air: the scenario, and the same set carried by what
// one would use instead, over the same lines, to venues that come at the same
// times.
func (r *runner) onAir() error {
	if ok, err := r.worlds("sets on air are"); !ok {
		return err
	}
	r.keep("on air, load", load())
	report := filepath.Join(r.dir, "on-air.json")
	told := testnet.Run(r.ctx, testnet.RunConfig{Binary: r.Playnode, Scenarios: []string{"on-air"}, Report: report, Out: os.Stderr})
	text, err := os.ReadFile(report)
	if err != nil {
		return errors.Join(told, err)
	}
	var results []struct{ Report *testnet.OnAirReport }
	if err := json.Unmarshal(text, &results); err != nil || len(results) != 1 || results[0].Report == nil || results[0].Report.Segments == 0 {
		return fmt.Errorf("no report: %w", errors.Join(told, err))
	}
	r.air = results[0].Report
	if told != nil {
		fmt.Fprintln(os.Stderr, told) // the page says what fell short
	}
	r.keep("on air, load after", load())
	// What is served by HTTP takes next to nothing of the cores: both at once.
	r.casts = map[string]*cast{}
	var g errgroup.Group
	for name, c := range map[string]caster{
		"Kubo": &kuboAir{kubos: kubos{r: r, dir: filepath.Join(r.dir, "kubo-air")}},
		"HTTP": &radio{},
	} {
		x := &cast{}
		r.casts[name] = x
		g.Go(func() error {
			if err := r.carry(c, x); err != nil {
				return fmt.Errorf("on air by %s: %w", name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.keep("on air, load at last", load())
	return r.onAirBeside(report)
}

// onAirBeside has the scenario told in the simulator.
func (r *runner) onAirBeside(report string) error {
	cmd := exec.CommandContext(r.ctx, "go", "test", "./testnet/sim", "-run", "^TestLiveBeside$", "-count=1", "-v", "-timeout", "10m")
	cmd.Env = append(os.Environ(), "LIVE_BESIDE="+report)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("simulate a set: %w: %s", err, out)
	}
	for _, line := range reported.FindAll(out, -1) {
		var x sim.LiveReport
		if err := json.Unmarshal(line, &x); err != nil {
			return fmt.Errorf("simulate a set: %w", err)
		}
		r.besideAir = append(r.besideAir, x)
	}
	return nil
}

// carry has a caster carry the set.
func (r *runner) carry(c caster, out *cast) error {
	defer c.close()
	n := r.air.Venues
	wc := testnet.OnAirWorld(n)
	w, err := netns.Open(r.ctx, wc)
	if err != nil {
		return err
	}
	defer w.Close()
	first := len(wc.Boxes) - n
	var venues, dialled []int
	know := map[int][]int{}
	rnd := rand.New(rand.NewPCG(2, 2))
	for i := first; i < len(wc.Boxes); i++ {
		venues, know[i] = append(venues, i), []int{0}
		for _, k := range rnd.Perm(len(dialled))[:min(neighbours, len(dialled))] {
			know[i] = append(know[i], dialled[k])
		}
		if !wc.Boxes[i].Undialable {
			dialled = append(dialled, i)
		}
	}
	if err := c.open(w, venues, know); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.ctx)
	meter := netns.NewMeter(w)
	var g errgroup.Group
	defer g.Wait()
	defer cancel()
	g.Go(func() error {
		if err := meter.Run(ctx); ctx.Err() == nil {
			return err
		}
		return nil
	})
	// As in the scenario, a quarter wait for the set.
	length := time.Duration(r.air.SetSeconds * float64(time.Second))
	pace := length / time.Duration(r.air.SetSegments)
	begin := time.Now().Add(5 * time.Second)
	sets := make([]ear.Set, n)
	var mu sync.Mutex // guards sets
	for i, box := range venues {
		g.Go(func() error {
			if at := testnet.OnAirComes(i, n); at > 0 {
				sleep(ctx, time.Until(begin.Add(time.Duration(at*float64(length)))))
			}
			mu.Lock()
			sets[i] = ear.Set{Asked: time.Now(), Pace: pace}
			mu.Unlock()
			return c.hear(ctx, box, func(seq int, lost bool) {
				mu.Lock()
				defer mu.Unlock()
				sets[i].Note(seq, time.Now(), lost)
			})
		})
	}
	var cut []time.Time
	noise := rand.NewChaCha8([32]byte{1})
	for i := range r.air.SetSegments {
		sleep(ctx, time.Until(begin.Add(time.Duration(i)*pace)))
		data := make([]byte, r.air.SegmentBytes)
		noise.Read(data)
		cut = append(cut, time.Now())
		if err := c.cut(data); err != nil {
			return err
		}
	}
	end := time.Now()
	sleep(ctx, afterwards)
	cancel()
	err = g.Wait()
	mu.Lock()
	defer mu.Unlock()
	out.SourceBits, out.SourceMean = meter.Most(0, 10*time.Second, begin, end), meter.Mean(0, begin, end)
	for _, box := range venues {
		out.Relay = max(out.Relay, meter.Most(box, 10*time.Second, begin, end))
	}
	var joins, lags []float64
	for i, s := range sets {
		s.Cut = cut
		h := ear.Hear(s)
		out.Segments, out.Missed, out.Stops = out.Segments+h.Segments, out.Missed+len(h.Missed), out.Stops+h.Stops
		if h.Segments == 0 {
			out.Deaf++
		}
		if h.Join > 0 && i >= testnet.OnAirEarly(n) {
			joins = append(joins, h.Join.Seconds())
		}
		for _, d := range h.Lags {
			lags = append(lags, d.Seconds())
		}
	}
	out.Joins, out.JoinP50, out.JoinP95 = len(joins), share(joins, .5), share(joins, .95)
	out.LagP50, out.LagP95 = share(lags, .5), share(lags, .95)
	return err
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// share is the value below which a share q of v lies.
func share(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return v[min(len(v)-1, int(q*float64(len(v))))]
}

// ours is the scenario as a caster's account.
func (r *runner) ours() cast {
	a := r.air
	return cast{
		SourceBits: a.SourceBits, SourceMean: a.SourceMean, Relay: a.RelayBits[0], Joins: a.Joins, JoinP50: a.JoinP50, JoinP95: a.JoinP95,
		LagP50: a.LagP50, LagP95: a.LagP95, Segments: int(a.Segments), Missed: int(a.Missed),
	}
}

// onAirPage is the section of a set on air.
func (r *runner) onAirPage(b *bytes.Buffer) {
	if r.air == nil {
		fmt.Fprintf(b, "Not measured: it takes Linux, root, ip, tc and nft.\n")
		return
	}
	a, mbit := r.air, func(bits int64) float64 { return float64(bits) / 1e6 }
	silent := 0
	for _, k := range a.Kills {
		if k.Silent {
			silent++
		}
	}
	fmt.Fprintf(b, `The scenario %s: real programs, each in a namespace of its own, on lines of %.0f Mbit/s down and %.0f up, %.0f ms from box to box, %d of %d venues cannot be dialled; a set of %.0f s in %d
segments of %.1f kB, of which %d copies would be %.2f Mbit/s. A quarter wait for it, the others come while it is on air; %.0f a minute of those who carry it are killed, %d in all, %d of them without a word
(their cable is pulled first), as a seed has planned it; others come in their place 10 s later. One is cut off. Beside it, in the same run, over
the same lines, segments of that size at that pace to as many who come at the same times: stock Kubo, whose listeners are told each block's CID the moment it is cut, ask for it at once (%s), and have what others
have got to give; and plain HTTP, one stream each from the source, which begins with the newest three segments and is dropped when it is 30 behind. Nobody is killed there. Those two are heard by the rules of
our player, reckoned from when each segment came: sound begins when two are here; what is not here 3 s after it was told of is gone over, and after a stop what is old. Both ran at once, HTTP takes no CPU to speak of.
Processes that wanted the two cores (load average of a minute) before ours %.1f, after it %.1f, at the end %.1f.

`, "`testnet run on-air`", mbit(a.Down), mbit(a.Up), a.DelayMs, a.Undialable, a.Venues, a.SetSeconds, a.SetSegments, float64(a.SegmentBytes)/1e3, a.Venues, mbit(a.Copies), a.KillsAMinute, len(a.Kills), silent, "`block get`",
		r.median("on air, load"), r.median("on air, load after"), r.median("on air, load at last"))
	fmt.Fprintf(b, "| real, %d venues | source, most in 10 s, Mbit/s | in the mean | a venue's line at most | sound after, s, p50 / p95 | lag, s, p50 / p95 | segments | not heard | stops |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n", a.Venues)
	for _, row := range []struct {
		name string
		cast
	}{{"playnode", r.ours()}, {"stock Kubo, bitswap", *r.casts["Kubo"]}, {"plain HTTP from the source", *r.casts["HTTP"]}} {
		stops := fmt.Sprint(row.Stops)
		if row.name == "playnode" {
			stops = ""
		}
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %.2f | %.2f / %.2f | %.1f / %.1f | %d | %.2f %% | %s |\n", row.name, mbit(row.SourceBits), mbit(row.SourceMean), mbit(row.Relay),
			row.JoinP50, row.JoinP95, row.LagP50, row.LagP95, row.Segments, 100*float64(row.Missed)/float64(max(1, row.Segments)), stops)
	}
	fmt.Fprintf(b, "\nAn archivist's box on a line of 100 Mbit/s, with no lease, comes in mid-set; some %.0f s before it and after:\n\n| ours | source, Mbit/s | the archivist's line | boxes between her and a venue, mean / most | lag, s, p50 / p95 | missed |\n|---|---:|---:|---:|---:|---:|\n", .16*a.SetSeconds)
	for _, p := range []struct {
		name string
		testnet.OnAirPhase
	}{{"before", a.Before}, {fmt.Sprintf("after, %d have it from there", a.After.Children), a.After}} {
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %.2f / %d | %.1f / %.1f | %d |\n", p.name, mbit(p.SourceBits), mbit(p.SeedboxBits), p.MeanDepth, p.Depth, p.LagP50, p.LagP95, p.Missed)
	}
	twice := int64(0)
	for _, x := range a.Boxes {
		twice += x.Twice
	}
	fmt.Fprintf(b, "\nThe set was a track on all boxes %.1f s after its end. Of its %.0f kB, boxes lacked %.0f kB between them, what was on air before they came or while they were cut off (each segment once: %.0f kB); the DJ's daemon gave\n%.0f kB in blocks, records of the new version included. Of what a box had heard %.1f kB were sent to it again, at the most of one box; of what late-comers lacked %.0f kB came from two, all boxes together.\n",
		float64(a.HeldMs)/1e3, float64(a.SetBytes)/1e3, float64(a.Lacked)/1e3, float64(a.LackedOnce)/1e3, float64(a.AfterBlocks)/1e3, float64(a.Again)/1e3, float64(twice)/1e3)
	simulated := r.onAirBesidePage(b)
	writeGoals(b, append([]goal{
		{"the DJ's line: at most 2.0 Mbit/s", fmt.Sprintf("%.2f", mbit(a.SourceBits)), a.SourceBits <= 2_000_000},
		{"no venue's line more than it bears", fmt.Sprintf("%.2f of %.0f Mbit/s", mbit(a.RelayBits[0]), mbit(a.Up)), a.RelayBits[0] <= a.Up},
		{"sound at most 2 s after `listen` (p95)", fmt.Sprintf("%.2f s", a.JoinP95), a.JoinP95 <= 2},
		{"lag at most 5 s (p95)", fmt.Sprintf("%.1f s", a.LagP95), a.LagP95 <= 5},
		{"at most 0.1 % of segments missed by those who are neither killed nor cut off, 5 relays a minute killed", fmt.Sprintf("%.2f %%, %d of %d", 100*a.Share, a.Missed, a.Segments), a.Share <= .001 && len(a.Kills) > 0},
		{"10 s after its end the set is a track on all boxes", fmt.Sprintf("%.1f s", float64(a.HeldMs)/1e3), a.HeldMs <= 10_000},
		{"no media that a box has heard is sent to it again: at most 1 % of the set", fmt.Sprintf("%.2f %%", 100*float64(a.Again)/float64(a.SetBytes)), a.Again <= a.SetBytes/100},
		{"the source sends less than for bitswap, and than for HTTP", fmt.Sprintf("%.2f and %.2f of it", float64(a.SourceMean)/float64(r.casts["Kubo"].SourceMean), float64(a.SourceMean)/float64(r.casts["HTTP"].SourceMean)),
			a.SourceMean < r.casts["Kubo"].SourceMean && a.SourceMean < r.casts["HTTP"].SourceMean},
	}, simulated...)...)
}

// onAirBesidePage sets what was told in the simulator beside the scenario.
func (r *runner) onAirBesidePage(b *bytes.Buffer) (goals []goal) {
	a, n := r.air, float64(len(r.besideAir))
	fmt.Fprintf(b, `
The same set and venues simulated (%s, the mean of %.0f worlds). As many are killed there, and nobody is cut off; headers weigh nothing (they were %.0f %% of the real line's), and nothing takes CPU: any command took %.2f s here (p50), which
is taken off the real one's.

| | real | simulated | |
|---|---:|---:|---:|
`, "`testnet/sim`", n, 100*(float64(a.SourceMean)/float64(max(1, a.SourceSaid))-1), a.SpawnP50)
	for _, row := range []struct {
		name string
		goal string // what the next rows are of
		real float64
		of   func(sim.LiveReport) float64
	}{
		{"source, Mbit/s before the archivist's box comes, without headers", "the source's bytes", float64(a.Before.SourceSaid) / 1e6, func(x sim.LiveReport) float64 { return float64(x.Before.SourceMean) / 1e6 }},
		{"lag, s, p50", "lag, p50 and p95", a.LagP50, func(x sim.LiveReport) float64 { return x.LagP50 }},
		{"lag, s, p95", "", a.LagP95, func(x sim.LiveReport) float64 { return x.LagP95 }},
		{"sound after, s, p50", "when sound begins, p50 and p95", a.JoinP50 - a.SpawnP50, func(x sim.LiveReport) float64 { return x.BeginP50 }},
		{"sound after, s, p95", "", a.JoinP95 - a.SpawnP50, func(x sim.LiveReport) float64 { return x.BeginP95 }},
	} {
		var told float64
		for _, x := range r.besideAir {
			told += row.of(x) / n
		}
		apart := 100 * (told/row.real - 1)
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %+.0f %% |\n", row.name, row.real, told, apart)
		if row.goal != "" {
			goals = append(goals, goal{want: "simulated within 15 %: " + row.goal, met: true})
		}
		g := &goals[len(goals)-1]
		if row.goal == "" {
			g.measured += ", "
		}
		g.measured += fmt.Sprintf("%+.0f %%", apart)
		g.met = g.met && max(apart, -apart) <= 15
	}
	return goals
}
