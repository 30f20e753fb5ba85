package sim_test

import (
	"encoding/json"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"playnode/testnet/sim"
)

// onAir tells of a set in a bubble.
func onAir(t *testing.T, cfg sim.LiveConfig) (r sim.LiveReport) {
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if r, err = sim.Live(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	})
	b, _ := json.Marshal(r)
	t.Logf("in %.1f s: %s", time.Since(began).Seconds(), b)
	return r
}

// TestLive is no test but a measurement, for "make swarm": LIVE is its
// configuration as JSON.
func TestLive(t *testing.T) {
	text, ok := os.LookupEnv("LIVE")
	if !ok {
		t.Skip("measured by make swarm")
	}
	var cfg sim.LiveConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		t.Fatal(err)
	}
	onAir(t, cfg)
}

// A DJ's line of 2 Mbit/s carries her set to all who come, while some of those
// who pass it on are killed; an archivist's carries more, and a building takes
// one copy. Small, so that it is told every time; "make swarm" tells it large.
func TestOnAir(t *testing.T) {
	home := sim.Line{Up: 250_000, Down: 1_250_000, Delay: 25 * time.Millisecond}
	weak := sim.Line{Up: 10_000, Down: 1_250_000, Delay: 25 * time.Millisecond} // they carry for nobody
	for name, c := range map[string]struct {
		cfg  sim.LiveConfig
		more func(r sim.LiveReport) bool
	}{
		"relays are killed": {sim.LiveConfig{Venues: 20, Crowd: 5, Within: 5 * time.Second, Undialable: .61, Venue: home, Kills: 8, Silent: .5}, func(r sim.LiveReport) bool { return r.Killed > 3 && r.Depth > 0 }},
		"they are killed for a while": {sim.LiveConfig{Venues: 14, Within: 5 * time.Second, Undialable: .5, Venue: home, Ready: true, Kills: 10, Silent: .5, KillFrom: 10 * time.Second, KillTo: 30 * time.Second}, func(r sim.LiveReport) bool {
			return r.Killed >= 3 && r.Killed <= 4 && r.BeginP95 < 1.5
		}},
		"a seedbox more": {sim.LiveConfig{Venues: 20, Within: 5 * time.Second, Venue: weak, Seedbox: sim.Line{Up: 2_500_000, Delay: 10 * time.Millisecond}}, func(r sim.LiveReport) bool { return r.SeedboxBits > 1_000_000 }},
		"it comes in mid-set": {sim.LiveConfig{Venues: 14, Within: 5 * time.Second, Venue: weak, Seedbox: sim.Line{Up: 2_500_000, Delay: 10 * time.Millisecond}, Lent: 15 * time.Second}, func(r sim.LiveReport) bool {
			return r.Before.Deaf >= 3 && r.Before.SeedboxMean == 0 && r.After.Deaf == 0 && r.After.SeedboxMean > 300_000 && r.After.Unheard == 0
		}},
		"two buildings": {sim.LiveConfig{Venues: 12, Within: 5 * time.Second, Venue: home, LANs: 2, LAN: 5}, func(r sim.LiveReport) bool { return r.FarShare < .35 }},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Source, c.cfg.Length = home, 45*time.Second
			r := onAir(t, c.cfg)
			if r.Deaf > 0 || r.Heard == 0 || r.Missed > .005 || r.JoinP95 > 2 && c.cfg.Lent == 0 || r.CrowdP95 > 2 || r.DelayP95 > 3 || r.SourceBits > 2_040_000 || r.RelayShare > 1.02 {
				t.Errorf("not as it should be: %+v", r)
			}
			if !c.more(r) {
				t.Errorf("another story: %+v", r)
			}
		})
	}
}

// One stream for each from the DJ's line is heard while the line bears them, and
// not by more; a listener that falls behind is dropped, and comes again.
func TestPlain(t *testing.T) {
	home := sim.Line{Up: 250_000, Down: 1_250_000, Delay: 25 * time.Millisecond}
	cfg := sim.LiveConfig{Venues: 8, Within: 5 * time.Second, Source: home, Venue: home, Plain: true, Length: 40 * time.Second}
	if r := onAir(t, cfg); r.Deaf > 0 || r.Unheard > 0 || r.BeginP95 > 1.5 || r.LagP95 > 4 || r.SourceMean < 800_000 || r.SourceMean > 1_200_000 {
		t.Errorf("eight over a line for fourteen: %+v", r)
	}
	cfg.Venues, cfg.Length = 40, 100*time.Second
	if r := onAir(t, cfg); r.SourceBits > 2_040_000 || r.SourceBits < 1_900_000 || r.LagP95 < 20 || r.Unheard < .5 || r.MissedN == 0 {
		t.Errorf("forty over a line for fourteen: %+v", r)
	}
}

// TestLiveBeside is no test but a measurement, for "make bench": the story of a
// report of "playnode testnet run on-air", which LIVE_BESIDE names, told here: a
// line of JSON for each of some worlds.
func TestLiveBeside(t *testing.T) {
	file, ok := os.LookupEnv("LIVE_BESIDE")
	if !ok {
		t.Skip("measured by make bench")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var results []struct {
		Report struct {
			Venues, Undialable  int
			UpBits, DownBits    int64
			DelayMs, SetSeconds float64
			SetSegments         int
			SegmentBytes        int
			ComeSeconds         []float64
			LentSeconds         float64

			KillsAMinute, KillFromSeconds, KillToSeconds float64
		}
	}
	if err := json.Unmarshal(text, &results); err != nil || len(results) != 1 {
		t.Fatal("no report: ", err)
	}
	real := results[0].Report
	delay := func(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
	line := sim.Line{Up: real.UpBits / 8, Down: real.DownBits / 8, Delay: delay(real.DelayMs / 2)}
	cfg := sim.LiveConfig{
		Venues: real.Venues, Undialable: float64(real.Undialable) / float64(real.Venues), Source: line, Venue: line, Unsaid: true,
		Pace: delay(1000 * real.SetSeconds / float64(real.SetSegments)), Size: real.SegmentBytes, Length: delay(1000 * real.SetSeconds),
		Seedbox: sim.Line{Up: 12_500_000, Down: 12_500_000, Delay: 10 * time.Millisecond}, Lent: delay(1000 * real.LentSeconds),
		Ready: true, Kills: real.KillsAMinute, Silent: .5, KillFrom: delay(1000 * real.KillFromSeconds), KillTo: delay(1000 * real.KillToSeconds),
	}
	for _, s := range real.ComeSeconds {
		cfg.Come = append(cfg.Come, delay(1000*s))
	}
	for cfg.Seed = range uint64(5) {
		onAir(t, cfg)
	}
}
