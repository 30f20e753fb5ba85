package schedule

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Another source has the same public holidays, but for those that are said here.
// Sundays are not looked at: that is what a holiday counts as.
func TestHolidays(t *testing.T) {
	b, err := os.ReadFile("testdata/holidays.json")
	if err != nil {
		t.Fatal(err)
	}
	var theirs map[string][]string
	if err := json.Unmarshal(b, &theirs); err != nil || !slices.Equal(slices.Sorted(maps.Keys(theirs)), countries()) {
		t.Fatalf("%d codes, want %s: %v", len(theirs), strings.Join(countries(), " "), err)
	}
	more := map[string][]string{
		"GB": {"2026-08-31", "2027-08-30", "2028-08-28"}, // not in Scotland
		"US": {"2028-11-10"},                             // in place of a Saturday
	}
	fewer := map[string][]string{"DE-BE": {"2028-06-17"}} // once
	for code, want := range theirs {
		h, err := holidaysOf(code)
		if err != nil {
			t.Error(err)
			continue
		}
		want = slices.DeleteFunc(append(want, more[code]...), func(d string) bool { return slices.Contains(fewer[code], d) })
		slices.Sort(want)
		var got []string
		for day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2029; day = day.AddDate(0, 0, 1) {
			if h.has(day) && day.Weekday() != time.Sunday {
				got = append(got, day.Format(time.DateOnly))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", code, got, want)
		}
	}
}

func TestHolidaysOfNowhere(t *testing.T) {
	for code, says := range map[string]string{"XX": "AT, BE", "de": "AT, BE", "AU": "AU-ACT, AU-VIC", "DE-XX": "DE-BB", strings.Repeat("é", 1000): "AT, BE"} {
		if _, err := holidaysOf(code); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), says) || len(err.Error()) > 600 {
			t.Errorf("%.10s: %v", code, err)
		}
	}
	if h, err := holidaysOf(""); err != nil || h.has(time.Date(2026, 12, 25, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("no country: %v", err)
	}
}
