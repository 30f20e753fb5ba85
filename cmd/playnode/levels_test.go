package main

import (
	"slices"
	"testing"
	"time"

	"playnode/daemon"
)

// Clipping is told of once in a while, silence when it has lasted, and sound when it is back.
func TestWarnings(t *testing.T) {
	var v levels
	at := time.Unix(1000, 0)
	clips, silence, again := "the sound is cut off at full scale (it clips): turn it down in your program", "nothing but silence comes in: is it the right input?", "there is sound again"
	for i, c := range []struct {
		after time.Duration
		l     *daemon.Levels
		want  []string
	}{
		{0, nil, nil},
		{time.Second, &daemon.Levels{}, nil},
		{time.Second, &daemon.Levels{Clipped: 2}, []string{clips}},
		{time.Second, &daemon.Levels{Clipped: 9}, nil},
		{time.Minute, &daemon.Levels{Clipped: 9}, nil},
		{time.Second, &daemon.Levels{Clipped: 10}, []string{clips}},
		{time.Second, &daemon.Levels{Clipped: 10, SilentMs: 9999}, nil},
		{time.Second, &daemon.Levels{Clipped: 10, SilentMs: 10_000}, []string{silence}},
		{time.Second, &daemon.Levels{Clipped: 10, SilentMs: 11_000}, nil},
		{time.Second, &daemon.Levels{Clipped: 10}, []string{again}},
	} {
		at = at.Add(c.after)
		if got := v.warnings(c.l, at); !slices.Equal(got, c.want) {
			t.Errorf("%d: %q", i, got)
		}
	}
}

func TestGauge(t *testing.T) {
	for db, want := range map[float64]int{-100: 0, -48: 0, -47: 0, -24: 16, -1.5: 31, -1: 31, 0: 32, 3: 32} {
		n := 0
		for _, c := range gauge(db) {
			if c == '#' {
				n++
			}
		}
		if n != want || len(gauge(db)) != cells+2 {
			t.Errorf("%.1f dBFS is %s", db, gauge(db))
		}
	}
}
