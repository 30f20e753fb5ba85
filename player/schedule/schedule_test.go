package schedule

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const (
	weekdays = 0b0111110
	everyDay = 0b1111111
)

// of is a schedule of slots, in the order in which they were set.
func of(t testing.TB, z *time.Location, slots ...Slot) *Schedule {
	t.Helper()
	for i := range slots {
		s := &slots[i]
		s.ID, s.set = fmt.Sprint(i+1), uint64(i+1)
		if err := s.check(); err != nil {
			t.Fatal(err)
		}
	}
	return newSchedule(z, slots, nil)
}

func moment(t testing.TB, s string) time.Time {
	t.Helper()
	x, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// cues is a turn in words: its playlists, in order.
func cues(turn Turn) string {
	var names []string
	for _, c := range turn.Cues {
		names = append(names, c.Playlist)
	}
	return strings.Join(names, ">")
}

// What plays at times of a week, by hours, midnights, holidays, priorities and the order of setting.
func TestAt(t *testing.T) {
	z := zone(t, "Europe/Berlin")
	bar := Slot{Playlist: "bar", Days: weekdays, From: 18 * 60, Till: 23 * 60}
	night := Slot{Playlist: "night", Days: 1<<5 | 1<<6, From: 22 * 60, Till: 4 * 60}
	for name, c := range map[string]struct {
		slots           []Slot
		at, want, until string
	}{
		"nothing":                     {nil, "2026-07-01T12:00:00+02:00", "", ""},
		"before":                      {[]Slot{bar}, "2026-07-01T17:59:59+02:00", "", "2026-07-01T18:00:00+02:00"},
		"at the beginning":            {[]Slot{bar}, "2026-07-01T18:00:00+02:00", "bar", "2026-07-01T23:00:00+02:00"},
		"the last second":             {[]Slot{bar}, "2026-07-01T22:59:59+02:00", "bar", "2026-07-01T23:00:00+02:00"},
		"over":                        {[]Slot{bar}, "2026-07-01T23:00:00+02:00", "", "2026-07-02T18:00:00+02:00"},
		"over for the week":           {[]Slot{bar}, "2026-07-03T23:00:00+02:00", "", "2026-07-06T18:00:00+02:00"},
		"told in another zone":        {[]Slot{bar}, "2026-07-01T16:00:00Z", "bar", "2026-07-01T23:00:00+02:00"},
		"over midnight":               {[]Slot{night}, "2026-07-04T03:59:59+02:00", "night", "2026-07-04T04:00:00+02:00"},
		"no night before":             {[]Slot{night}, "2026-07-03T03:00:00+02:00", "", "2026-07-03T22:00:00+02:00"},
		"the newer goes first":        {[]Slot{bar, night}, "2026-07-03T22:30:00+02:00", "night>bar", "2026-07-03T23:00:00+02:00"},
		"and the other way":           {[]Slot{night, bar}, "2026-07-03T22:30:00+02:00", "bar>night", "2026-07-03T23:00:00+02:00"},
		"priority goes before":        {[]Slot{{Playlist: "x", Days: everyDay, Priority: 1}, bar}, "2026-07-01T20:00:00+02:00", "x>bar", "2026-07-01T23:00:00+02:00"},
		"round the clock":             {[]Slot{{Playlist: "x", Days: everyDay, From: 360, Till: 360}}, "2026-07-01T06:00:00+02:00", "x", "2026-07-02T06:00:00+02:00"},
		"to midnight":                 {[]Slot{{Playlist: "x", Days: 1 << 3, Till: 1440}}, "2026-07-01T23:59:59+02:00", "x", "2026-07-02T00:00:00+02:00"},
		"a holiday is no Wednesday":   {[]Slot{{Playlist: "x", Days: 1 << 3, Till: 1440, Holidays: "DE"}}, "2030-05-01T12:00:00+02:00", "", "2030-05-08T00:00:00+02:00"},
		"a holiday is a Sunday":       {[]Slot{{Playlist: "x", Days: 1, Till: 1440, Holidays: "DE"}}, "2030-05-01T12:00:00+02:00", "x", "2030-05-02T00:00:00+02:00"},
		"elsewhere it is none":        {[]Slot{{Playlist: "x", Days: 1, Till: 1440, Holidays: "US"}}, "2030-05-01T12:00:00+02:00", "", "2030-05-05T00:00:00+02:00"},
		"holidays for three weeks":    {[]Slot{{Playlist: "x", Days: 1 << 3, Till: 60, Holidays: "DE"}}, "2030-12-18T12:00:00+01:00", "", "2031-01-08T00:00:00+01:00"},
		"a short night":               {[]Slot{{Playlist: "x", Days: 1 << 6, From: 22 * 60, Till: 6 * 60}}, "2026-03-29T05:59:59+02:00", "x", "2026-03-29T06:00:00+02:00"},
		"an hour that is left out":    {[]Slot{{Playlist: "x", Days: 1, From: 120, Till: 180}}, "2026-03-29T03:00:00+02:00", "", "2026-04-05T02:00:00+02:00"},
		"half of it":                  {[]Slot{{Playlist: "x", Days: 1, From: 150, Till: 240}}, "2026-03-29T03:00:00+02:00", "x", "2026-03-29T04:00:00+02:00"},
		"an hour that comes twice":    {[]Slot{{Playlist: "x", Days: 1, From: 120, Till: 180}}, "2026-10-25T02:30:00+01:00", "x", "2026-10-25T03:00:00+01:00"},
		"of half hours the first":     {[]Slot{{Playlist: "x", Days: 1, From: 135, Till: 165}}, "2026-10-25T02:30:00+01:00", "", "2026-11-01T02:15:00+01:00"},
		"a long night":                {[]Slot{{Playlist: "x", Days: 1 << 6, From: 22 * 60, Till: 150}}, "2026-10-25T02:29:59+02:00", "x", "2026-10-25T02:30:00+02:00"},
		"and what follows it at once": {[]Slot{{Playlist: "x", Days: 1 << 6, From: 22 * 60, Till: 150}, {Playlist: "y", Days: 1, From: 150, Till: 240}}, "2026-10-25T02:30:00+02:00", "y", "2026-10-25T04:00:00+01:00"},
	} {
		turn := of(t, z, c.slots...).At(moment(t, c.at))
		until := ""
		if !turn.Until.IsZero() {
			until = turn.Until.Format(time.RFC3339)
		}
		if cues(turn) != c.want || until != c.until || turn.From.After(moment(t, c.at)) {
			t.Errorf("%s: %q from %s until %s, want %q until %s", name, cues(turn), turn.From, until, c.want, c.until)
		}
	}
}

// An override goes before everything until its time, and is then as if it had never been.
func TestOverride(t *testing.T) {
	z := zone(t, "Europe/Berlin")
	s := of(t, z, Slot{Playlist: "bar", Days: everyDay, From: 18 * 60, Till: 23 * 60, Priority: MaxPriority})
	s.override = &Override{"late", moment(t, "2026-07-02T02:00:00+02:00")}
	for _, c := range []struct{ at, want, until, next string }{
		{"2026-07-01T17:00:00+02:00", "late", "18:00", "02:00"},
		{"2026-07-01T20:00:00+02:00", "late>bar", "23:00", "02:00"},
		{"2026-07-02T01:59:59+02:00", "late", "02:00", "02:00"},
		{"2026-07-02T02:00:00+02:00", "", "18:00", "18:00"},
	} {
		turn := s.At(moment(t, c.at))
		next, ok := s.Next(moment(t, c.at))
		if cues(turn) != c.want || turn.Until.Format("15:04") != c.until || !ok || next.From.Format("15:04") != c.next {
			t.Errorf("at %s %q until %s, then %+v", c.at, cues(turn), turn.Until, next)
		}
	}
	s.slots = nil
	now, then := s.At(moment(t, "2026-07-01T17:00:00+02:00")), s.At(moment(t, "2026-07-02T02:00:00+02:00"))
	if now.First() != (Cue{ByHand, "late"}) || then.First() != (Cue{Cause: Unscheduled}) || !then.Until.IsZero() {
		t.Errorf("without slots %+v, then %+v", now, then)
	}
}

// Next passes over what nobody hears: bounds of what does not go first.
func TestNextTurn(t *testing.T) {
	z := zone(t, "UTC")
	s := of(t, z, Slot{Playlist: "all day", Days: everyDay, Till: 1440, Priority: 1}, Slot{Playlist: "noon", Days: 1 << 3, From: 720, Till: 780}, Slot{Playlist: "thursday", Days: 1 << 4, From: 720, Till: 780, Priority: 2})
	next, ok := s.Next(moment(t, "2026-07-01T08:00:00Z"))
	if !ok || next.First().Playlist != "thursday" || !next.From.Equal(moment(t, "2026-07-02T12:00:00Z")) {
		t.Errorf("%+v %v", next, ok)
	}
	if next, ok := of(t, z, Slot{Playlist: "ever", Days: everyDay, Till: 1440}).Next(moment(t, "2026-07-01T08:00:00Z")); ok {
		t.Errorf("after what never ends comes %+v", next)
	}
	var none *Schedule
	if next, ok := none.Next(time.Now()); ok || none.At(time.Now()).First().Cause != Unscheduled {
		t.Errorf("after nothing comes %+v", next)
	}
}

// Minute by minute, in a zone without changes of the clock, a turn is what slots say of themselves, and changes only at its bounds.
func TestTurnsMinuteByMinute(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		var slots []Slot
		for range 1 + r.IntN(6) {
			slots = append(slots, Slot{Playlist: "p", Days: byte(1 + r.IntN(127)), From: r.IntN(1440), Till: r.IntN(1441), Priority: r.IntN(3)})
		}
		s := of(t, time.UTC, slots...)
		on := func(x time.Time) string {
			var out []string
			for _, slot := range s.slots {
				minute, day := 60*x.Hour()+x.Minute(), int(x.Weekday())
				began, yesterday := slot.Days>>day&1 == 1, slot.Days>>((day+6)%7)&1 == 1
				if slot.From < slot.Till && began && slot.From <= minute && minute < slot.Till ||
					slot.From >= slot.Till && (began && minute >= slot.From || yesterday && minute < slot.Till) {
					out = append(out, slot.ID)
				}
			}
			return fmt.Sprint(out)
		}
		for x := moment(t, "2026-07-01T00:00:00Z"); x.Day() < 9; {
			turn := s.At(x)
			var got []string
			for _, c := range turn.Cues {
				got = append(got, c.Cause)
			}
			if turn.From.After(x) || !turn.Until.After(x) {
				t.Fatalf("%s is not from %s until %s", x, turn.From, turn.Until)
			}
			for ; x.Before(turn.Until); x = x.Add(time.Minute) {
				if fmt.Sprint(got) != on(x) {
					t.Fatalf("at %s %v, want %s, of %+v", x, got, on(x), slots)
				}
			}
		}
	}
}

func TestCheck(t *testing.T) {
	good := Slot{Playlist: "bar", Days: 1, Till: 1440}
	for name, change := range map[string]func(*Slot){
		"no playlist":         func(s *Slot) { s.Playlist = "" },
		"a long one":          func(s *Slot) { s.Playlist = strings.Repeat("x", maxPlaylist+1) },
		"one that moves":      func(s *Slot) { s.Playlist = "a\x1b[2J" },
		"one that is no text": func(s *Slot) { s.Playlist = "\xff" },
		"no day":              func(s *Slot) { s.Days = 0 },
		"an eighth":           func(s *Slot) { s.Days = 1 << 7 },
		"before the day":      func(s *Slot) { s.From = -1 },
		"from its end":        func(s *Slot) { s.From = 1440 },
		"till after it":       func(s *Slot) { s.Till = 1441 },
		"till before it":      func(s *Slot) { s.Till = -1 },
		"a great priority":    func(s *Slot) { s.Priority = MaxPriority + 1 },
		"a small one":         func(s *Slot) { s.Priority = -MaxPriority - 1 },
		"no country":          func(s *Slot) { s.Holidays = "XX" },
	} {
		s := good
		if change(&s); s.check() == nil {
			t.Errorf("%s is a slot", name)
		}
	}
	if err := good.check(); err != nil {
		t.Error(err)
	}
}
