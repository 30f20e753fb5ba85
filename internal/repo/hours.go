package repo

import (
	"fmt"
	"strings"
	"time"
)

// maxHours bounds the ranges of Hours.
const maxHours = 64

// Hours are times of the day, in the zone of whom they are asked for.
type Hours []span

// span is from one minute of a day to another, of the next day where it is not
// later. Days has a bit for each weekday that it begins on.
type span struct {
	days       byte
	from, till int
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseHours reads ranges such as 18:00-23:30, or fri-sat 22:00-04:00 where it
// is not every day.
func ParseHours(list []string) (h Hours, err error) {
	if len(list) > maxHours {
		return nil, fmt.Errorf("%d ranges are over %d", len(list), maxHours)
	}
	for _, text := range list {
		f := strings.Fields(strings.ToLower(text))
		s := span{days: 1<<7 - 1}
		ok := len(f) == 1 || len(f) == 2
		if len(f) == 2 {
			s.days, ok = days(f[0])
		}
		if ok {
			from, till, range_ := strings.Cut(f[len(f)-1], "-")
			var a, b bool
			s.from, a = minute(from)
			s.till, b = minute(till)
			ok = range_ && a && b && s.from != s.till && s.from < 24*60
		}
		if !ok {
			return nil, fmt.Errorf("%q is neither like 18:00-23:30 nor like fri-sat 22:00-04:00", text)
		}
		h = append(h, s)
	}
	return h, nil
}

// days reads mon, or mon-fri.
func days(s string) (set byte, ok bool) {
	first, last, more := strings.Cut(s, "-")
	if !more {
		last = first
	}
	a, b := -1, -1
	for i, d := range weekdays {
		if d == first {
			a = i
		}
		if d == last {
			b = i
		}
	}
	if a < 0 || b < 0 {
		return 0, false
	}
	for ; ; a = (a + 1) % 7 {
		if set |= 1 << a; a == b {
			return set, true
		}
	}
}

// minute reads 18:30, to 24:00.
func minute(s string) (int, bool) {
	t, err := time.Parse("15:04", s)
	if s == "24:00" {
		return 24 * 60, true
	}
	return 60*t.Hour() + t.Minute(), err == nil
}

// At tells whether t is within, by the clock on the wall in t's zone.
func (h Hours) At(t time.Time) bool {
	now, day := 60*t.Hour()+t.Minute(), int(t.Weekday())
	for _, s := range h {
		today, yesterday := s.days&(1<<day) != 0, s.days&(1<<((day+6)%7)) != 0
		if s.from < s.till {
			if today && s.from <= now && now < s.till {
				return true
			}
		} else if today && now >= s.from || yesterday && now < s.till {
			return true
		}
	}
	return false
}

// Until is the first minute from t on that is not within, at most eight days
// ahead.
func (h Hours) Until(t time.Time) time.Time {
	t = t.Truncate(time.Minute)
	for end := t.AddDate(0, 0, 8); h.At(t) && t.Before(end); {
		t = t.Add(time.Minute)
	}
	return t
}
