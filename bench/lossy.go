package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	box "playnode/testnet/binary"
	"playnode/testnet/netns"
)

// bad are lines that lose a tenth of their packets each way, and for how long a
// venue is listened to. What is played is 128 kbit/s.
var bad = []struct {
	situation
	lasts time.Duration
}{
	{situation{name: "20 ms and 10 Mbit/s", line: netns.Line{Delay: 10 * time.Millisecond, Up: 1_250_000, Down: 1_250_000, Loss: .1}}, 20 * time.Second},
	{situation{name: "500 ms and 2 Mbit/s", line: netns.Line{Delay: 250 * time.Millisecond, Up: 250_000, Down: 250_000, Loss: .1}}, 75 * time.Second},
}

// stuttering has a venue of whose tracks nothing is held play as a loudspeaker
// does, from a peer behind a line that loses a tenth.
func (s *stage) stuttering() error {
	for _, at := range bad {
		if err := s.hear(at.situation, at.lasts); err != nil {
			return fmt.Errorf("play over %s: %w", at.name, err)
		}
	}
	return nil
}

// hear listens to a venue for so long.
func (s *stage) hear(at situation, lasts time.Duration) error {
	if err := s.evict(); err != nil {
		return err
	}
	venue, _, leave, err := s.inPlace(at)
	defer leave()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, lasts)
	defer cancel()
	begin := time.Now()
	heard := map[string]float64{}
	_, err = venue.Stream(ctx, func(m json.RawMessage) error {
		var e box.Event
		if err := json.Unmarshal(m, &e); err != nil {
			return err
		}
		if e.Event == "track" && heard["track"] == 0 {
			heard["first"] = time.Since(begin).Seconds()
		}
		heard[e.Event]++
		return nil
	}, "play", s.name+"/main", "--sink", "null")
	if err != nil && ctx.Err() == nil {
		return err
	}
	if heard["track"] == 0 {
		heard["first"] = lasts.Seconds()
	}
	for _, what := range []string{"first", "track", "underrun"} {
		s.keep(stutterName(at, what), heard[what])
	}
	fmt.Fprintf(os.Stderr, "  %s: %v\n", at.name, heard)
	return s.ctx.Err()
}

func stutterName(at situation, what string) string { return "stutter, " + at.name + ", " + what }

// stutteringPage is the part of the section of starts that is about bad lines.
func (r *runner) stutteringPage(b *bytes.Buffer) (goals []goal) {
	fmt.Fprintf(b, "\nA line that loses a tenth of its packets each way: a venue in place that holds no block of a track plays 128 kbit/s as a loudspeaker does.\n\n")
	fmt.Fprintf(b, "| over | heard for s | first sound after s | tracks begun | underruns |\n|---|---:|---:|---:|---:|\n")
	plays, underruns, silent := 0.0, 0.0, 0
	for _, at := range bad {
		tracks, under := r.median(stutterName(at.situation, "track")), r.median(stutterName(at.situation, "underrun"))
		fmt.Fprintf(b, "| %s | %.0f | %.1f | %.0f | %.0f |\n", at.name, at.lasts.Seconds(), r.median(stutterName(at.situation, "first")), tracks, under)
		plays, underruns = plays+tracks, underruns+under
		if tracks == 0 {
			silent++
		}
	}
	return []goal{{"stutter in at most 0.1 % of plays at 10 % loss", fmt.Sprintf("%.0f underruns in %.0f plays, nothing heard over %d of %d lines", underruns, plays, silent, len(bad)), silent == 0 && underruns <= plays/1000}}
}
