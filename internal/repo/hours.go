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
	days       Days
	from, till int
}

// Days are days of the week: a bit for each, Sunday's the lowest.
type Days byte

// EveryDay is all of them.
const EveryDay Days = 1<<7 - 1

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseDays reads mon, mon-fri, or several of those with commas between.
func ParseDays(s string) (all Days, err error) {
	for part := range strings.SplitSeq(strings.ToLower(s), ",") {
		d, ok := days(strings.TrimSpace(part))
		if !ok {
			return 0, fmt.Errorf("%.100q are no days such as mon-fri or sat,sun", s)
		}
		all |= d
	}
	return all, nil
}

// String is what ParseDays reads, from Monday on.
func (d Days) String() string {
	var parts []string
	for a := 1; a <= 7; a++ {
		b := a
		for b <= 7 && d&(1<<(b%7)) != 0 {
			b++
		}
		switch n := b - a; {
		case n == 1:
			parts = append(parts, weekdays[a%7])
		case n == 2:
			parts = append(parts, weekdays[a%7], weekdays[(a+1)%7])
		case n > 2:
			parts = append(parts, weekdays[a%7]+"-"+weekdays[(b-1)%7])
		}
		a = max(a, b-1)
	}
	return strings.Join(parts, ",")
}

// ParseMinute reads a time of the day from 00:00 to 24:00, in minutes.
func ParseMinute(s string) (int, error) {
	m, ok := minute(s)
	if !ok {
		return 0, fmt.Errorf("%.100q is no time of the day such as 18:00", s)
	}
	return m, nil
}

// FormatMinute is what ParseMinute reads.
func FormatMinute(m int) string { return fmt.Sprintf("%02d:%02d", m/60, m%60) }

// ParseHours reads ranges such as 18:00-23:30, or fri-sat 22:00-04:00 where it
// is not every day.
func ParseHours(list []string) (h Hours, err error) {
	if len(list) > maxHours {
		return nil, fmt.Errorf("%d ranges are over %d", len(list), maxHours)
	}
	for _, text := range list {
		f := strings.Fields(strings.ToLower(text))
		s := span{days: EveryDay}
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
func days(s string) (set Days, ok bool) {
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
