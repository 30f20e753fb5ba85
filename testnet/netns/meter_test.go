package netns

import (
	"testing"
	"time"
)

// What a meter tells is of the readings between two times.
func TestMeter(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }
	m := NewMeter(nil)
	var sent [2]int64
	for i := range 31 { // a second apart; box 1 sends 1 kB a second, and 3 from 10 to 20 s
		m.readings = append(m.readings, reading{at(float64(i)), []int64{sent[0], sent[1]}})
		sent[1] += 1000
		if i >= 10 && i < 20 {
			sent[1] += 2000
		}
	}
	for _, c := range []struct {
		name      string
		got, want int64
	}{
		{"mean of all", m.Mean(1, begin, at(30)), 8 * 50_000 / 30},
		{"mean of a part, between readings", m.Mean(1, at(19.5), at(25.5)), 8 * 1000},
		{"mean of one reading", m.Mean(1, at(3), at(3.5)), 0},
		{"who sends nothing", m.Mean(0, begin, at(30)), 0},
		{"most over ten seconds", m.Most(1, 10*time.Second, begin, at(30)), 8 * 3000},
		{"over twenty", m.Most(1, 20*time.Second, begin, at(30)), 8 * 2000},
		{"over more than there is", m.Most(1, 31*time.Second, begin, at(30)), 0},
		{"of a part", m.Most(1, 4*time.Second, at(20), at(30)), 8 * 1000},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, not %d", c.name, c.got, c.want)
		}
	}
}
