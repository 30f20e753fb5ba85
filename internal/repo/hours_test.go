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

// TestDays: each set of days has one text, which reads as that set.
func TestDays(t *testing.T) {
	for text, want := range map[string]string{
		"mon-fri": "mon-fri", "sat,sun": "sat,sun", "SUN, mon-wed": "mon-wed,sun", "fri-mon": "mon,fri-sun", "sun-sat": "mon-sun", "tue": "tue", "mon,tue,wed": "mon-wed", "sun": "sun",
	} {
		if d, err := ParseDays(text); err != nil || d.String() != want {
			t.Errorf("%q is %q, want %q: %v", text, d, want, err)
		}
	}
	for d := Days(1); d <= EveryDay; d++ {
		if again, err := ParseDays(d.String()); err != nil || again != d {
			t.Errorf("%07b is %q, and that %07b: %v", d, d, again, err)
		}
	}
	for _, bad := range []string{"", "mon,", "monday", "mon-", "8", "mon--fri", "mon fri"} {
		if d, err := ParseDays(bad); err == nil {
			t.Errorf("%q is %v", bad, d)
		}
	}
	for _, m := range []int{0, 59, 60, 1439, 1440} {
		if again, err := ParseMinute(FormatMinute(m)); err != nil || again != m {
			t.Errorf("minute %d is %q, and that %d: %v", m, FormatMinute(m), again, err)
		}
	}
	for _, bad := range []string{"", "24:01", "18", "18:60", "-1:00", "18:00:00"} {
		if m, err := ParseMinute(bad); err == nil {
			t.Errorf("%q is minute %d", bad, m)
		}
	}
}

// TestZone: by name, and never a file of somebody's.
func TestZone(t *testing.T) {
	if z, err := LoadZone(""); err != nil || z != time.Local {
		t.Errorf("no name is %v: %v", z, err)
	}
	z, err := LoadZone("Australia/Lord_Howe")
	if err != nil {
		t.Fatal(err)
	}
	if _, offset := time.Date(2026, time.July, 1, 0, 0, 0, 0, z).Zone(); offset != 10*3600+1800 {
		t.Errorf("it is %d s from UTC", offset)
	}
	for _, bad := range []string{"Local", "CEST+1", "../../etc/passwd", "/etc/localtime", "Europe/Nowhere", string(make([]byte, 1000))} {
		if z, err := LoadZone(bad); err == nil {
			t.Errorf("%q is %v", bad, z)
		}
	}
}
