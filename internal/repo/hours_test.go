package repo

import (
	"testing"
	"time"
)

// TestHours: at the edges, over midnight, on days that they begin on, and when
// the clock is put back.
func TestHours(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hours, at string // the fifth of July 2030 is a Friday
		want      bool
		until     string
	}{
		{"18:00-23:30", "2030-07-05 17:59", false, ""},
		{"18:00-23:30", "2030-07-05 18:00", true, "2030-07-05 23:30"},
		{"18:00-23:30", "2030-07-05 23:29", true, "2030-07-05 23:30"},
		{"18:00-23:30", "2030-07-05 23:30", false, ""},
		{"22:00-04:00", "2030-07-05 21:59", false, ""},
		{"22:00-04:00", "2030-07-05 22:00", true, "2030-07-06 04:00"},
		{"22:00-04:00", "2030-07-05 03:59", true, "2030-07-05 04:00"},
		{"22:00-04:00", "2030-07-05 04:00", false, ""},
		{"fri-sat 22:00-04:00", "2030-07-05 03:00", false, ""}, // Thursday's night
		{"fri-sat 22:00-04:00", "2030-07-06 03:00", true, "2030-07-06 04:00"},
		{"fri-sat 22:00-04:00", "2030-07-07 03:00", true, "2030-07-07 04:00"},
		{"fri-sat 22:00-04:00", "2030-07-07 23:00", false, ""},
		{"sat-mon 00:00-24:00", "2030-07-07 00:00", true, "2030-07-09 00:00"},
		{"sat-mon 00:00-24:00", "2030-07-05 23:59", false, ""},
		{"SUN 08:00-09:00", "2030-07-07 08:30", true, "2030-07-07 09:00"},
		{"02:30-03:30", "2030-10-27 02:45", true, "2030-10-27 03:30"}, // which is twice
	} {
		h, err := ParseHours([]string{c.hours})
		if err != nil {
			t.Errorf("%s: %v", c.hours, err)
			continue
		}
		at, err := time.ParseInLocation("2006-01-02 15:04", c.at, zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.At(at); got != c.want {
			t.Errorf("%s at %s: %v", c.hours, c.at, got)
		}
		if c.until != "" && h.Until(at).Format("2006-01-02 15:04") != c.until {
			t.Errorf("%s at %s: until %s", c.hours, c.at, h.Until(at))
		}
	}
	for _, bad := range []string{"", "18:00", "18:00-18:00", "24:00-01:00", "25:00-26:00", "monday 18:00-19:00", "mon 18:00", "mon 18:00-19:00 x", "18-19", "xmon-fri 18:00-19:00"} {
		if h, err := ParseHours([]string{bad}); err == nil {
			t.Errorf("%q was read as %v", bad, h)
		}
	}
	if h, err := ParseHours(make([]string, maxHours+1)); err == nil {
		t.Errorf("so many were read: %d", len(h))
	}
}
