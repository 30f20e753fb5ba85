// Package schedule says which playlist plays when: at parts of days, by the
// clock on a wall, and until a given time in place of all that.
//
// What comes in: slots and overrides of the venue's people, bounded and checked.
// What goes out: what is to play at an instant, and when that changes. It knows
// no music, no lease and no clock of its own. What is trusted: the zone's rules,
// which are Go's, and the dates of public holidays, which are those of
// github.com/rickar/cal.
package schedule

import (
	"cmp"
	"slices"
	"time"
)

const (
	// horizon is how many days ahead a change is looked for: a slot of one
	// weekday may be put off by holidays for weeks.
	horizon = 31
	// mostTurns bounds how many changes are looked at to find one that is heard.
	mostTurns = 250
)

// Override is a playlist that goes before all slots until a time.
type Override struct {
	Playlist string
	Till     time.Time
}

// Schedule is what plays when. It does not change; nil is an empty one. Safe for
// concurrent use.
type Schedule struct {
	zone     *time.Location
	slots    []Slot // those that go first first
	override *Override
}

// newSchedule makes one of slots that have been checked.
func newSchedule(zone *time.Location, slots []Slot, override *Override) *Schedule {
	s := &Schedule{zone, slices.Clone(slots), override}
	slices.SortFunc(s.slots, func(a, b Slot) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(b.set, a.set))
	})
	return s
}

// Slots are those that go first first.
func (s *Schedule) Slots() []Slot {
	if s == nil {
		return nil
	}
	return slices.Clone(s.slots)
}

// Override is what goes before all slots at t; ok is false for nothing.
func (s *Schedule) Override(t time.Time) (o Override, ok bool) {
	if s == nil || s.override == nil || !t.Before(s.override.Till) {
		return o, false
	}
	return *s.override, true
}

// Causes that are no slot's ID.
const (
	// ByHand is an override's.
	ByHand = "override"
	// Unscheduled is that of all that is leased, where nothing is scheduled.
	Unscheduled = "all"
)

// Cue is a playlist whose turn it is.
type Cue struct {
	// Cause is a slot's ID, ByHand or Unscheduled.
	Cause string
	// Playlist is what a player is asked for; "" is all that is leased.
	Playlist string
}

// Turn is what is to play from one instant up to another.
type Turn struct {
	// Cues are in the order in which they go before each other: what cannot be
	// played leaves its place to the next. None is silence, which only a schedule
	// with slots has.
	Cues []Cue
	// From and Until bound it. It may have been so before From, by two days and
	// more, and may be so behind Until; a zero Until is without end.
	From, Until time.Time
}

// First goes before all others; the zero Cue is silence.
func (t Turn) First() Cue {
	if len(t.Cues) == 0 {
		return Cue{}
	}
	return t.Cues[0]
}

// At is what is to play at t. Without a slot and an override that is all that is
// leased.
func (s *Schedule) At(t time.Time) Turn {
	if s == nil {
		return Turn{Cues: []Cue{{Cause: Unscheduled}}}
	}
	today := dayOf(t.In(s.zone))
	turn := Turn{From: instant(s.zone, today.AddDate(0, 0, -2), 0)}
	bound := func(at time.Time) {
		switch {
		case !at.After(t):
			if at.After(turn.From) {
				turn.From = at
			}
		case turn.Until.IsZero() || at.Before(turn.Until):
			turn.Until = at
		}
	}
	if o, ok := s.Override(t); ok {
		turn.Cues = append(turn.Cues, Cue{ByHand, o.Playlist})
	}
	if s.override != nil {
		bound(s.override.Till)
	}
	if len(s.slots) == 0 {
		turn.Cues = append(turn.Cues, Cue{Cause: Unscheduled})
		return turn
	}
	on := make([]bool, len(s.slots))
	for n := -2; n <= horizon; n++ {
		day := today.AddDate(0, 0, n)
		if n > 1 && !turn.Until.IsZero() && !instant(s.zone, day, 0).Before(turn.Until) {
			break // what begins from here on is later
		}
		for i := range s.slots {
			if !s.slots[i].on(day) {
				continue
			}
			from, till := s.slots[i].span(s.zone, day)
			if !from.Before(till) {
				continue
			}
			bound(from)
			bound(till)
			on[i] = on[i] || !t.Before(from) && t.Before(till)
		}
	}
	for i := range s.slots {
		if on[i] {
			turn.Cues = append(turn.Cues, Cue{s.slots[i].ID, s.slots[i].Playlist})
		}
	}
	if turn.Until.IsZero() {
		turn.Until = instant(s.zone, today.AddDate(0, 0, horizon), 0) // to look again
	}
	return turn
}

// Next is the next turn after t's that another cue is the first of. ok is false
// where there is none in sight.
func (s *Schedule) Next(t time.Time) (next Turn, ok bool) {
	now := s.At(t)
	next = now
	for range mostTurns {
		if next.Until.IsZero() || next.Until.After(t.AddDate(0, 0, horizon)) {
			return Turn{}, false
		}
		if next = s.At(next.Until); next.First() != now.First() {
			return next, true
		}
	}
	return Turn{}, false
}
