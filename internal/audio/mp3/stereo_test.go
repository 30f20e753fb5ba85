package mp3

import (
	"math"
	"testing"
)

// TestIntensityPositions checks single bands by the formulas: above the right channel's last line, below it,
// at an illegal position, and the highest band, which has no position of its own.
func TestIntensityPositions(t *testing.T) {
	tab := loadTables()
	tan := func(p int) [2]float64 {
		r := math.Tan(float64(p) * math.Pi / 12)
		return [2]float64{r / (1 + r), 1 / (1 + r)}
	}
	for _, c := range []struct {
		name    string
		version Version
		ms      bool
		last    int // the right channel's last band that holds anything
		band    int // looked at
		pos     uint8
		scale   int // intensity_scale
		want    [2]float64
	}{
		{"MPEG-1, 0", MPEG1, false, 5, 9, 0, 0, tan(0)},
		{"MPEG-1, 2", MPEG1, true, 5, 9, 2, 0, tan(2)},
		{"MPEG-1, 5", MPEG1, false, 5, 6, 5, 0, tan(5)},
		{"MPEG-1, 6 is left alone", MPEG1, false, 5, 9, 6, 0, [2]float64{1, 0}},
		{"MPEG-1, illegal", MPEG1, false, 5, 9, 7, 0, [2]float64{1, 0}},
		{"MPEG-1, illegal and mid/side", MPEG1, true, 5, 9, 7, 0, [2]float64{math.Sqrt2 / 2, math.Sqrt2 / 2}},
		{"MPEG-1, highest takes the one below", MPEG1, false, 5, 21, 1, 0, tan(1)},
		{"MPEG-1, highest in the middle", MPEG1, false, 20, 21, 1, 0, [2]float64{0.5, 0.5}},
		{"LSF, even", MPEG2, false, 5, 9, 4, 0, [2]float64{1, math.Exp2(-0.5)}},
		{"LSF, odd", MPEG2, false, 5, 9, 3, 0, [2]float64{math.Exp2(-0.5), 1}},
		{"LSF, odd, larger steps", MPEG25, true, 5, 9, 3, 1, [2]float64{math.Exp2(-1), 1}},
		{"LSF, illegal", MPEG2, false, 5, 9, nowhere, 1, [2]float64{1, 0}},
		{"LSF, illegal and mid/side", MPEG2, true, 5, 9, nowhere, 0, [2]float64{math.Sqrt2 / 2, math.Sqrt2 / 2}},
		{"LSF, highest takes the one below", MPEG2, false, 5, 21, 2, 1, [2]float64{1, math.Exp2(-0.5)}},
		{"LSF, highest in the middle", MPEG2, true, 20, 21, 2, 1, [2]float64{1, 1}},
	} {
		bd := &bandTable[c.version][0]
		g := granule{scaleComp: c.scale}
		g.scale[min(c.band, 20)], g.where[min(c.band, 20)] = c.pos, c.pos
		var l, r [576]float32
		for i := range l {
			l[i] = 1
		}
		r[bd.long[c.last]] = 0.25
		h := Header{Version: c.version, Layer: 3, Mode: Joint, Intensity: true, MidSide: c.ms}
		tab.intensity(h, bd, &g, &l, &r)
		for i := bd.long[c.band]; i < bd.long[c.band+1]; i++ {
			if math.Abs(float64(l[i])-c.want[0]) > 1e-6 || math.Abs(float64(r[i])-c.want[1]) > 1e-6 {
				t.Errorf("%s: %v, %v, want %v", c.name, l[i], r[i], c.want)
				break
			}
		}
		below := [2]float64{1, 0.25}
		if c.ms {
			below = [2]float64{1.25 * math.Sqrt2 / 2, 0.75 * math.Sqrt2 / 2}
		}
		if i := bd.long[c.last]; math.Abs(float64(l[i])-below[0]) > 1e-6 || math.Abs(float64(r[i])-below[1]) > 1e-6 {
			t.Errorf("%s: below %v, %v, want %v", c.name, l[i], r[i], below)
		}
	}
}

// TestLowRuns wants as many scale factors as there are bands with one: 21, 12 of three windows, or 6 and 9.
func TestLowRuns(t *testing.T) {
	for row, kinds := range lowRuns {
		for kind, want := range []int{21, 36, 33} {
			sum := 0
			for _, n := range kinds[kind] {
				sum += n
			}
			if sum != want {
				t.Errorf("row %d, kind %d: %d, want %d", row, kind, sum, want)
			}
		}
	}
}
