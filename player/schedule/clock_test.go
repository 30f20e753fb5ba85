package schedule

import (
	"encoding/json"
	"os"
	"testing"
	"time"
	_ "time/tzdata"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// Python's zoneinfo says when the clock on a wall first shows a time of a day, or
// anything later: of hours that come twice, are left out or are put off, and of a
// day that never was.
func TestInstants(t *testing.T) {
	b, err := os.ReadFile("testdata/instants.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows [][4]any
	if err := json.Unmarshal(b, &rows); err != nil || len(rows) < 2000 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	for _, r := range rows {
		z := zone(t, r[0].(string))
		day, err := time.Parse(time.DateOnly, r[1].(string))
		if err != nil {
			t.Fatal(err)
		}
		m, want := int(r[2].(float64)), int64(r[3].(float64))
		if got := instant(z, day, m); got.Unix() != want {
			t.Errorf("%s, %s, minute %d: %s, want %s", r[0], r[1], m, got, time.Unix(want, 0).In(z))
		}
	}
}

func TestNext(t *testing.T) {
	z := zone(t, "Europe/Berlin")
	for _, c := range []struct{ now, want string }{
		{"2026-07-01T01:59:59+02:00", "2026-07-01T02:00:00+02:00"},
		{"2026-07-01T02:00:00+02:00", "2026-07-02T02:00:00+02:00"},
		{"2026-03-28T23:00:00+01:00", "2026-03-29T03:00:00+02:00"}, // 02:00 is left out
		{"2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00"},
		{"2026-10-25T02:30:00+02:00", "2026-10-26T02:00:00+01:00"}, // of two the first
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := Next(z, now, 120).Format(time.RFC3339); got != c.want {
			t.Errorf("the next 02:00 after %s is %s, want %s", c.now, got, c.want)
		}
	}
}
