package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxSlots bounds the slots of a schedule, MaxPriority their priorities in
	// both directions.
	MaxSlots    = 100
	MaxPriority = 1000

	maxPlaylist = 1000 // bytes: a link is long
	dayMinutes  = 24 * 60
)

// ErrRefused says that a slot or an override is none.
var ErrRefused = errors.New("refused")

// Slot is a part of days at which a playlist plays.
type Slot struct {
	// ID is the Book's, and never given again.
	ID string
	// Playlist is what a player is asked for.
	Playlist string
	// Days are those on which it begins: a bit for each weekday, Sunday's the
	// lowest.
	Days byte
	// From and Till are minutes of the wall clock, up to 24 hours. A Till that is
	// not later than From is of the day after.
	From, Till int
	// Holidays is a country or a part of one: its public holidays count as
	// Sundays, and as no other day. "" is for none.
	Holidays string
	// Priority goes before when it was set: the greater goes first.
	Priority int

	set      uint64 // the greater is the newer
	holidays holidays
}

// check refuses what is no slot.
func (s *Slot) check() (err error) {
	if err := checkPlaylist(s.Playlist); err != nil {
		return err
	}
	switch {
	case s.Days == 0 || s.Days >= 1<<7:
		return fmt.Errorf("%w: a slot is on one day of the week at least", ErrRefused)
	case s.From < 0 || s.From >= dayMinutes || s.Till < 0 || s.Till > dayMinutes:
		return fmt.Errorf("%w: a slot is from 00:00 or later till 24:00 or earlier", ErrRefused)
	case s.Priority < -MaxPriority || s.Priority > MaxPriority:
		return fmt.Errorf("%w: a priority is from %d to %d", ErrRefused, -MaxPriority, MaxPriority)
	}
	s.holidays, err = holidaysOf(s.Holidays)
	return err
}

func checkPlaylist(p string) error {
	if p == "" || len(p) > maxPlaylist || !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl) {
		return fmt.Errorf("%w: %.100q is no playlist", ErrRefused, p)
	}
	return nil
}

// same tells whether two slots are for one playlist at the same times.
func (s *Slot) same(o *Slot) bool {
	return s.Playlist == o.Playlist && s.Days == o.Days && s.From == o.From && s.Till == o.Till && s.Holidays == o.Holidays
}

// on tells whether it begins on a day.
func (s *Slot) on(day time.Time) bool {
	w := day.Weekday()
	if s.holidays.has(day) {
		w = time.Sunday
	}
	return s.Days&(1<<w) != 0
}

// span is when it plays that begins on a day. The two are one where the clocks
// pass over it.
func (s *Slot) span(zone *time.Location, day time.Time) (from, till time.Time) {
	end := s.Till
	if end <= s.From {
		end += dayMinutes
	}
	last := day.AddDate(0, 0, end/dayMinutes)
	return instant(zone, day, s.From), instant(zone, last, end%dayMinutes)
}
