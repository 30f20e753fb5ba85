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
