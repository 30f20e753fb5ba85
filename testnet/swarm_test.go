package testnet_test

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"playnode/testnet"
	"playnode/testnet/netns"
)

// told is what a scenario reports, told briefly.
func told[Report any](t *testing.T, scenario string) Report {
	t.Helper()
	s := newStage(t)
	file := filepath.Join(s.dir, "report")
	err := testnet.Run(s.ctx, testnet.RunConfig{Binary: playnode, Scenarios: []string{scenario}, Brief: true, Report: file, Out: io.Discard})
	text, rerr := os.ReadFile(file)
	s.ok(rerr)
	var results []struct {
		testnet.Result
		Report Report `json:"report"`
	}
	s.ok(json.Unmarshal(text, &results))
	if err != nil && strings.Contains(results[0].Why, netns.ErrUnsupported.Error()) {
		t.Skip("not told here:", results[0].Why)
	}
	s.ok(err)
	return results[0].Report
}

// Real programs on real lines: the swarm, told briefly, with venues that cannot
// be dialled.
func TestSwarm(t *testing.T) {
	t.Parallel()
	r := told[testnet.SwarmReport](t, "swarm-shut")
	if r.Venues != 3 || r.Undialable != 2 || r.Catalogue < 1<<20 || r.Catalogue > 2<<20 {
		t.Errorf("told of %+v", r)
	}
	// No line carries more than it can, and what one account says the other has.
	if r.OverFloor < .9 || r.SourceSent < .9 || r.SourceLine < r.SourceSent || r.SourceLine > 1.3*r.SourceSent {
		t.Errorf("%+v is more than its lines carry", r)
	}
}

// Behind doors that nobody gets through, and where only the web goes out: what
// a venue wants comes by HTTP from an archivist, words go through its relay.
func TestNoWayIn(t *testing.T) {
	t.Parallel()
	r := told[testnet.NoWayInReport](t, "no-way-in")
	if r.Guest.Reach.Far != 0 || r.Venue.Reach.Relayed == 0 {
		t.Errorf("the guests reach %+v, the venue %+v", r.Guest.Reach, r.Venue.Reach)
	}
}
