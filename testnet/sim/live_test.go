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
		"a seedbox more":    {sim.LiveConfig{Venues: 20, Within: 5 * time.Second, Venue: weak, Seedbox: sim.Line{Up: 2_500_000, Delay: 10 * time.Millisecond}}, func(r sim.LiveReport) bool { return r.SeedboxBits > 1_000_000 }},
		"two buildings":     {sim.LiveConfig{Venues: 12, Within: 5 * time.Second, Venue: home, LANs: 2, LAN: 5}, func(r sim.LiveReport) bool { return r.FarShare < .35 }},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Source, c.cfg.Length = home, 45*time.Second
			r := onAir(t, c.cfg)
			if r.Deaf > 0 || r.Heard == 0 || r.Missed > .005 || r.JoinP95 > 2 || r.CrowdP95 > 2 || r.DelayP95 > 3 || r.SourceBits > 2_040_000 || r.RelayShare > 1.02 {
				t.Errorf("not as it should be: %+v", r)
			}
			if !c.more(r) {
				t.Errorf("another story: %+v", r)
			}
		})
	}
}
