package schedule

import "time"

// A day is a date of the calendar, as its midnight in UTC.

// dayOf is the day on which t is, in its own zone.
func dayOf(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// farthest is more than any zone is from UTC, and most bounds the changes of a
// zone's clock within twice that.
const farthest, most = 48 * time.Hour, 16

// instant is the first at which the clock on the wall of a zone shows a minute
// of a day, or anything later. So of an hour that comes twice it is the first,
// an hour that is left out is over when it would begin, and what is earlier on
// the wall is never later in time.
func instant(zone *time.Location, day time.Time, minute int) time.Time {
	wall := day.Unix() + int64(minute)*60
	t := time.Unix(wall, 0).Add(-farthest).In(zone)
	for range most {
		_, offset := t.Zone()
		_, end := t.ZoneBounds()
		at := max(t.Unix(), wall-int64(offset))
		if end.IsZero() || at < end.Unix() {
			return time.Unix(at, 0).In(zone)
		}
		t = end
	}
	return t
}

// Next is the first instant after t at which the clock on the wall of a zone
// shows a minute of a day.
func Next(zone *time.Location, t time.Time, minute int) time.Time {
	for day := dayOf(t.In(zone)).AddDate(0, 0, -1); ; day = day.AddDate(0, 0, 1) {
		if at := instant(zone, day, minute); at.After(t) {
			return at
		}
	}
}
