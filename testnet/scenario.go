package testnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"playnode/testnet/binary"
	"playnode/testnet/netns"
)

// Scenario is a story with pass marks.
type Scenario struct {
	Name  string `json:"name"`
	Story string `json:"story"`
	// Clock says that it takes a playnode built with the tag testclock.
	Clock bool `json:"clock"`
	// Lines says that it takes a world of package netns: Linux, and root.
	Lines bool `json:"lines"`
	run   func(context.Context, RunConfig, string) (any, error)
}

// Scenarios lists what Run can tell.
func Scenarios() []Scenario {
	return []Scenario{
		{"first-light", "a DJ publishes, a venue is leased and plays, an archivist joins, the DJ leaves, the lease lapses", false, false, firstLight},
		{"seven-days", "a venue's line is cut for seven days; it plays every day, and hears what was missed when the line is back", true, false, sevenDays},
		{"laptop-shut", "a DJ shuts the laptop at the word \"safe to close\", and then any one venue breaks", false, false, laptopShut},
		{"thirty-days", "a DJ publishes to three venues and an archivist and sleeps for thirty days; a new venue joins with a link and plays; then she is back", true, false, thirtyDays},
		{"record-ended", "the DJ sleeps for eight weeks, her record has ended, a new venue joins; then she is back", true, false, recordEnded},
		{"swarm", "ten venues want a catalogue of one DJ at once, over uplinks of 4 Mbit/s, which two cores carry; she sends it little more than once", false, true, swarm},
		{"swarm-shut", "ten venues on lines of 10 and 2 Mbit/s, of which 61 % cannot be dialled, want a catalogue at once", false, true, swarmShut},
		{"no-way-in", "a DJ and two venues sit behind routers that nobody gets through, one of them where only the web goes out; an archivist relays words and has a gateway", false, true, noWayIn},
		{"on-air", "a DJ with 2 Mbit/s up plays a set to sixteen venues, of which half cannot be dialled; five a minute of those who carry it are killed, and others come in their place; one is cut off, a seedbox comes; the set becomes a track and is not sent again", false, true, onAir},
	}
}

// RunConfig is what to run.
type RunConfig struct {
	// Binary is playnode itself. Required.
	Binary string
	// Scenarios by name; none means all.
	Scenarios []string
	// Nodes is how many venues; 0 means the scenario's own number.
	Nodes int
	// Brief tells less of what repeats itself, and holds nobody to a time.
	Brief bool
	// Report is a file for the results as JSON; empty means none.
	Report string
	Out    io.Writer
	JSON   bool
}

// Result is how one scenario ended.
type Result struct {
	Scenario string  `json:"scenario"`
	Passed   bool    `json:"passed"`
	LeftOut  bool    `json:"leftOut,omitempty"`
	Why      string  `json:"why,omitempty"`
	Seconds  float64 `json:"seconds"`
	Report   any     `json:"report,omitempty"`
}

// errNoClock is why a scenario cannot be told by an ordinary build.
var errNoClock = errors.New("it takes a playnode built with -tags testclock: make testnet")

// Run runs scenarios one after the other; an error says that one fell short.
// Where all are asked for, those that take another build or system are left
// out.
func Run(ctx context.Context, cfg RunConfig) error {
	all := Scenarios()
	todo := all
	if len(cfg.Scenarios) > 0 {
		todo = nil
		for _, name := range cfg.Scenarios {
			found := false
			for _, s := range all {
				if s.Name == name {
					todo, found = append(todo, s), true
				}
			}
			if !found {
				return fmt.Errorf("there is no scenario %q: playnode testnet ls lists them", name)
			}
		}
	}
	var results []Result
	failed := 0
	for _, s := range todo {
		dir, err := os.MkdirTemp("", "pn-")
		if err != nil {
			return fmt.Errorf("make the scenario's directory: %w", err)
		}
		begin := time.Now()
		var rep any
		if err = clocked(ctx, cfg.Binary, s); err == nil {
			rep, err = s.run(ctx, cfg, dir)
		}
		r := Result{Scenario: s.Name, Passed: err == nil, Seconds: time.Since(begin).Seconds(), Report: rep}
		os.RemoveAll(dir)
		if err != nil {
			r.Why = err.Error()
			if r.LeftOut = (errors.Is(err, errNoClock) || errors.Is(err, netns.ErrUnsupported)) && len(cfg.Scenarios) == 0; !r.LeftOut {
				failed++
			}
		}
		results = append(results, r)
		if cfg.JSON {
			err = json.NewEncoder(cfg.Out).Encode(r)
		} else {
			verdict := "passed"
			switch {
			case r.LeftOut:
				verdict = "left out: " + r.Why
			case !r.Passed:
				verdict = "FELL SHORT: " + r.Why
			}
			_, err = fmt.Fprintf(cfg.Out, "%-16s %6.1f s  %s\n", r.Scenario, r.Seconds, verdict)
		}
		if err != nil {
			return err
		}
	}
	if cfg.Report != "" {
		b, err := json.MarshalIndent(results, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(cfg.Report, append(b, '\n'), 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d scenarios fell short", failed, len(todo))
	}
	return nil
}

// clocked tells whether program can tell s.
func clocked(ctx context.Context, program string, s Scenario) error {
	if !s.Clock {
		return nil
	}
	out, err := binary.Box{Program: program, Clock: dayOne}.Run(ctx, "version")
	if err == nil && out.Code != 0 {
		err = errNoClock
	}
	return err
}

// firstLight is the demo, told without a sound card, and its pass marks.
func firstLight(ctx context.Context, cfg RunConfig, dir string) (any, error) {
	d := &demo{cfg: DemoConfig{Binary: cfg.Binary, WAV: filepath.Join(dir, "demo.wav"), Sink: "none", Out: io.Discard, JSON: true}, dir: dir, began: time.Now()}
	err := d.tellAll(ctx)
	r := d.report
	switch {
	case err != nil:
	case r.Tracks != 3 || r.Joins != 2 || r.Skipped != 0 || r.Samples == 0:
		err = errors.New("not all of the music was played")
	case r.ArchivistRead != 0:
		err = errors.New("the archivist could read a title")
	case !r.DJAway:
		err = errors.New("it did not play with the DJ away")
	case r.Seconds > 60:
		err = fmt.Errorf("it took %d s, over a minute", r.Seconds)
	}
	return r, err
}
