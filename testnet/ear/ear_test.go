package ear_test

import (
	"testing"
	"time"

	"playnode/testnet/ear"
)

const (
	s  = time.Second
	ms = time.Millisecond
)

// set is of segments of a second each, the first of which is cut at 1 s; came
// is how long after its cut each was here, "lost" the numbers of those that were
// given up then. A negative time is never.
func set(asked time.Duration, cut int, lost map[int]bool, came ...time.Duration) ear.Set {
	begin := time.Unix(1000, 0)
	x := ear.Set{Asked: begin.Add(asked), Pace: s}
	for i := range cut {
		x.Cut = append(x.Cut, begin.Add(time.Duration(i+1)*s))
	}
	for i, d := range came {
		a := ear.Arrival{Lost: lost[i]}
		if d >= 0 {
			a.At = x.Cut[i].Add(d)
		}
		x.Came = append(x.Came, a)
	}
	return x
}

// What is heard follows from what came.
func TestHear(t *testing.T) {
	for name, c := range map[string]struct {
		set              ear.Set
		join, first, end time.Duration // join, and the first and last lag
		segments, missed int
		stops            int
		silent           time.Duration
	}{
		"from its beginning, in time": {set(0, 5, nil, 300*ms, 300*ms, 300*ms, 300*ms, 300*ms), 2300 * ms, 2300 * ms, 2300 * ms, 5, 0, 0, 0},
		// Asked at 4.5 s, the newest three segments come at once: the oldest is left out.
		"late, three come at once": {set(4500*ms, 6, nil, -1, 2600*ms, 1600*ms, 600*ms, 100*ms, 100*ms), 100 * ms, 2600 * ms, 2600 * ms, 4, 0, 0, 0},
		// They come one by one: sound begins with the second, which is not the newest.
		"late, one by one": {set(4500*ms, 6, nil, -1, 2600*ms, 1700*ms, 800*ms, 100*ms, 100*ms), 200 * ms, 3700 * ms, 3700 * ms, 5, 0, 0, 0},
		"one is given up":  {set(0, 5, map[int]bool{2: true}, 0, 0, 500*ms, 0, 0), 2 * s, 2 * s, 2 * s, 5, 1, 0, 0},
		// The third comes 3 s late and holds up those behind it: sound stops at 4 s
		// and goes on with the newest three of the four that are here at 6 s.
		"a stop, and what is old is left out": {set(0, 7, nil, 0, 0, 3*s, 2*s, s, 0, 0), 2 * s, 2 * s, 3 * s, 7, 1, 1, 2 * s},
		"it ends":                             {set(0, 6, nil, 0, 0, 0), 2 * s, 2 * s, 2 * s, 6, 3, 0, 0},
		"nothing":                             {set(0, 6, nil), 0, 0, 0, 0, 0, 0, 0},
		"never":                               {set(0, 3, nil, -1, -1, -1), 0, 0, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := ear.Hear(c.set)
			var first, end time.Duration
			if n := len(h.Lags); n > 0 {
				first, end = h.Lags[0], h.Lags[n-1]
			}
			if h.Join != c.join || first != c.first || end != c.end || h.Segments != c.segments || len(h.Missed) != c.missed || h.Stops != c.stops || h.Silent != c.silent {
				t.Errorf("heard %+v", h)
			}
			if len(h.Lags) != len(h.At) || len(h.Lags)+len(h.Missed) != h.Segments {
				t.Errorf("%d lags at %d times, of %d segments %d were missed", len(h.Lags), len(h.At), h.Segments, len(h.Missed))
			}
		})
	}
}
