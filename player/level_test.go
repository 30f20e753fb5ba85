package player

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/internal/audio/loudness"
	"playnode/internal/audio/pcm"
	"playnode/manifests"
	"playnode/node"
)

// levels is how loud each track came out, in dB of its power.
func (h heard) levels() (out []float64) {
	x, at := left16(h.pcm), h.begins()
	for i := range len(at) - 1 {
		out = append(out, level(x[at[i]+4410:at[i+1]-4410]))
	}
	return out
}

// peak is the true peak of what was heard, in dBTP.
func (h heard) peak(t *testing.T) float64 {
	m, err := loudness.New(h.info.Rate, 2)
	if err != nil {
		t.Fatal(err)
	}
	f := make([]float32, len(h.pcm)/2)
	pcm.Float(f, h.pcm, pcm.I16)
	m.Write(f)
	return m.TruePeak()
}

// A continuous set has one level, whatever its playlist says, and an album has where that says so; the mean of their
// powers is at the target. Without either each track is.
func TestOneLevel(t *testing.T) {
	amps := []float64{0.05, 0.2, 0.1}
	for _, c := range []struct {
		name    string
		numbers []int
		album   bool
		one     bool
	}{
		{"a continuous set", []int{1, 2, 3}, false, true},
		{"an album out of order", []int{3, 1, 9}, true, true},
		{"its tracks by themselves", []int{3, 1, 9}, false, false},
	} {
		w := newWorld(t)
		var paths []string
		for i, n := range c.numbers {
			paths = append(paths, tagged(t, "Album", n, sine(1000, 1.5, amps[i])))
		}
		w.publish("main", append(paths, tagged(t, "", 0, sine(1000, 1.5, 0.3)))...)
		w.grant("main", time.Hour)
		if c.album {
			w.mixed("main", 0, true)
		}
		h := w.play(w.player(), Request{Loudness: "-20"}, nil)
		if h.err != nil || len(h.levels()) != 4 {
			t.Fatal(c.name, h.played, h.err)
		}
		l, mean := h.levels(), 0.0
		alone := l[3]
		for i := range amps {
			mean += math.Pow(10, l[i]/10) / 3
			want := alone
			if c.one {
				want = l[0] + 20*math.Log10(amps[i]/amps[0])
			}
			if math.Abs(l[i]-want) > 0.1 {
				t.Errorf("%s: track %d is at %.2f dB, want %.2f", c.name, i, l[i], want)
			}
		}
		if d := 10*math.Log10(mean) - alone; math.Abs(d) > 0.1 {
			t.Errorf("%s: together they are %.2f dB from a track that stands alone", c.name, d)
		}
	}
}

// No true peak goes above -1 dBTP: not where one track of a set is the loudest, not where two tracks at the ceiling are
// laid over each other, and not by what dither adds.
func TestTruePeakStaysBelowTheCeiling(t *testing.T) {
	w := newWorld(t)
	// Much of what has peaks here is too low to be loud, and some lies between the samples.
	high := func(hz, seconds float64) []float32 {
		out := sine(hz, seconds, 0.75)
		for i := range out {
			out[i] += float32(0.2 * math.Sin(math.Pi/2*float64(i/2)+math.Pi/4))
		}
		return out
	}
	w.publish("main", tagged(t, "Album", 1, sine(997, 1.5, 0.1)), tagged(t, "Album", 2, high(25, 1.5)),
		tagged(t, "", 0, high(23, 2)), tagged(t, "Other", 1, high(27, 2)))
	w.grant("main", time.Hour)
	for _, fade := range []time.Duration{0, time.Second} {
		h := w.play(w.player(), Request{Loudness: "-5", Crossfade: fade}, nil)
		if p := h.peak(t); h.err != nil || p > -0.98 || p < -1.2 {
			t.Errorf("crossfade of %s: a true peak of %.3f dBTP: %v", fade, p, h.err)
		}
	}
}

// What is not here of a set when its first track begins does not change the level in its midst when it comes.
func TestALevelThatWasHeardStays(t *testing.T) {
	w := newWorld(t)
	w.publish("main", tagged(t, "Album", 1, sine(1000, 1, 0.05)), tagged(t, "Album", 2, sine(1000, 1, 0.2)), tagged(t, "Album", 3, sine(1000, 1, 0.1)))
	w.grant("main", time.Hour)
	p := w.player()
	g, err := p.program(t.Context(), Request{Name: string(w.name())})
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	ps := g.passes[0]
	missing := map[cid.Cid]bool{ps.items[1].entry.Info: true}
	w.hook = func(c cid.Cid, data []byte) ([]byte, error) {
		if missing[c] {
			return nil, fmt.Errorf("block %s: %w", c, node.ErrNotFound)
		}
		return data, nil
	}
	if _, err := p.level(context.Background(), ps, 0, node.Next, false); err != nil || len(ps.order.sets) != 0 {
		t.Fatalf("what was only looked at is kept: %v", err)
	}
	first, err := p.level(context.Background(), ps, 0, node.Next, true)
	if err != nil || math.Abs(first.seconds-1) > 0.01 {
		t.Fatalf("alone it is %+v: %v", first, err)
	}
	clear(missing)
	for _, k := range []int{1, 2, 1} {
		if l, err := p.level(context.Background(), ps, k, node.Next, true); err != nil || l.power != first.power {
			t.Errorf("track %d is at %+v, the first was at %+v: %v", k, l, first, err)
		}
	}
	// When it begins anew, it has its own.
	for k := range 3 {
		if l, err := p.level(context.Background(), ps, k, node.Next, true); err != nil || math.Abs(l.seconds-3) > 0.01 || len(ps.order.sets) != 1 {
			t.Errorf("begun anew, track %d is at %+v: %v", k, l, err)
		}
	}
}

// A mean is of powers, weighed by time; what was not measured is not in it, and is never raised.
func TestStrength(t *testing.T) {
	track := func(lufs, peak, seconds, channels int) *manifests.Info {
		return &manifests.Info{Loudness: &manifests.Loudness{Integrated: 1000 * lufs, Peak: 1000 * peak}, Rate: 1000, Samples: int64(1000 * seconds), Channels: channels}
	}
	for name, c := range map[string]struct {
		set  []*manifests.Info
		want float64 // dB, to reach -16 LUFS
	}{
		"one":                 {[]*manifests.Info{track(-20, -30, 10, 2)}, 4},
		"twice the same":      {[]*manifests.Info{track(-20, -30, 10, 2), track(-20, -30, 99, 2)}, 4},
		"mono is heard twice": {[]*manifests.Info{track(-20, -30, 10, 1)}, 4 - 10*math.Log10(2)},
		"as long and 10 LU":   {[]*manifests.Info{track(-20, -30, 10, 2), track(-30, -30, 10, 2)}, 4 + 10*math.Log10(2/1.1)},
		"nine times as long":  {[]*manifests.Info{track(-20, -30, 10, 2), track(-30, -30, 90, 2)}, 4 + 10*math.Log10(10/1.9)},
		"the highest peak":    {[]*manifests.Info{track(-20, -3, 10, 2), track(-20, -30, 10, 2)}, 2},
		"in any order":        {[]*manifests.Info{track(-20, -30, 10, 2), track(-20, -3, 10, 2)}, 2},
		"one unmeasured":      {[]*manifests.Info{track(-20, -30, 10, 2), {Rate: 1000, Samples: 99_000}}, 4},
		"nothing measured":    {[]*manifests.Info{{Rate: 1000, Samples: 99_000}}, 0},
	} {
		var l strength
		for _, i := range c.set {
			l.add(i)
		}
		if got := 20 * math.Log10(float64(l.gain(-16))); math.Abs(got-c.want) > 0.001 {
			t.Errorf("%s: %.3f dB, want %.3f", name, got, c.want)
		}
	}
}
