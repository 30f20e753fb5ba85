package testnet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"playnode/testnet"
	"playnode/testnet/binary"
)

// Weeks pass at real peers: the scenarios of days, told briefly.
func TestDays(t *testing.T) {
	for _, name := range []string{"seven-days", "thirty-days", "record-ended"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			file := filepath.Join(s.dir, "report")
			var told bytes.Buffer
			err := testnet.Run(s.ctx, testnet.RunConfig{Binary: playnode, Scenarios: []string{name}, Brief: true, Report: file, Out: &told})
			report, rerr := os.ReadFile(file)
			s.ok(rerr)
			t.Logf("%s%s", told.String(), report)
			s.ok(err)
			var results []testnet.Result
			s.ok(json.Unmarshal(report, &results))
			if len(results) != 1 || !results[0].Passed || results[0].Scenario != name || results[0].Report == nil {
				t.Errorf("the report has %+v", results)
			}
		})
	}
}

// The clock of a build for tests keeps off the public network, and says what
// it wants.
func TestClockIsForTests(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	b := binary.Box{Program: playnode, Repo: filepath.Join(s.dir, "box")}
	for want, args := range map[string][]string{
		"public": {"--clock", "2031-03-03T12:00:00Z", "init"},
		"2031":   {"--clock", "tomorrow", "init", "--network", "none"},
	} {
		err := b.JSON(s.ctx, nil, args...)
		s.exits(err, want, 64)
		if exit := (*binary.ExitError)(nil); !errors.As(err, &exit) || !strings.Contains(string(exit.Stderr), want) {
			t.Errorf("%q: %v does not speak of %q", args, err, want)
		}
		if _, err := os.Stat(b.Repo); err == nil {
			t.Errorf("%q made a repo", args)
		}
	}
}

// A build without a clock leaves out what takes one, and says so; by its name
// it is not left out.
func TestScenariosLeftOut(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	// Any program that refuses the flag will do; no story gets far with it.
	refuses, file := filepath.Join(s.dir, "refuses"), filepath.Join(s.dir, "report")
	s.ok(os.WriteFile(refuses, []byte("#!/bin/sh\nexit 64\n"), 0o700))
	run := func(names ...string) map[string]testnet.Result {
		t.Helper()
		if err := testnet.Run(s.ctx, testnet.RunConfig{Binary: refuses, Scenarios: names, Report: file, Out: io.Discard}); err == nil {
			t.Errorf("%q passed", names)
		}
		var results []testnet.Result
		report, err := os.ReadFile(file)
		s.ok(err)
		s.ok(json.Unmarshal(report, &results))
		by := map[string]testnet.Result{}
		for _, r := range results {
			by[r.Scenario] = r
		}
		return by
	}
	all := run()
	for _, sc := range testnet.Scenarios() {
		r, ok := all[sc.Name]
		if sc.Lines && r.LeftOut {
			t.Log("no lines here:", r.Why)
			continue
		}
		if !ok || r.Passed || r.LeftOut != sc.Clock {
			t.Errorf("%s takes a clock: %v; it ended %+v", sc.Name, sc.Clock, r)
		}
	}
	if r := run("seven-days")["seven-days"]; r.Passed || r.LeftOut || !strings.Contains(r.Why, "testclock") {
		t.Errorf("by its name: %+v", r)
	}
}
