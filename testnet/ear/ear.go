// Package ear is a listener who hears a set by the rules of package player,
// reckoned afterwards from when each segment came: when sound begins, how late
// it is, and what is not heard. So whoever carries a set is heard alike: a
// stream of HTTP, stock bitswap, package live in a simulated world.
//
// What comes in: when segments were cut, and when they came. What goes out:
// what a loudspeaker would have told. Nothing is trusted.
package ear

import "time"

// As package player has them: sound begins when two segments are here, and
// after it has stopped when there is half as much again, up to most.
const (
	least, most = time.Second, 8 * time.Second
	grows       = 1.5
)

// Set is what was on air for a listener.
type Set struct {
	// Asked is when it began to listen.
	Asked time.Time
	// Pace is how long a segment is.
	Pace time.Duration
	// Cut is when each segment was cut; its first sample was played a Pace
	// before.
	Cut []time.Time
	// Came is what became of each segment here, by the same numbers. What is
	// beyond its end never came.
	Came []Arrival
}

// Arrival is when a segment came; zero is never.
type Arrival struct {
	At time.Time
	// Lost says that At is when it was given up.
	Lost bool
}

// Heard is how a set was heard.
type Heard struct {
	// Join is from Asked to the first sample; 0 where there was none.
	Join time.Duration
	// Lags is how long ago what was heard was played, at the first sample of
	// each segment, and At when that was.
	Lags []time.Duration
	At   []time.Time
	// Segments counts those on air from the first that was heard, Missed are
	// the numbers of those of them that were not: that never came, were given
	// up, or were left out where sound had stopped and goes on with what is new.
	Segments int
	Missed   []int
	// Stops counts how often sound stopped to wait, Silent is how long.
	Stops  int
	Silent time.Duration
}

// Hear tells how a set was heard.
func Hear(s Set) (h Heard) {
	here := s.inOrder()
	wait := max(2*s.Pace, least)
	at := s.first()
	from := at
	end, ok := s.enough(here, at, wait)
	if !ok {
		return h
	}
	now := here[end]
	at = max(at, end-s.count(wait)+1) // what is older than it need be is left out
	h.Join, h.Segments = now.Sub(s.Asked), len(s.Cut)-max(at, from)
	for ; at < len(here); at++ {
		if here[at].After(now) {
			wait = min(time.Duration(grows*float64(wait)), most)
			end, _ = s.enough(here, at, wait)
			h.Stops++
			h.Silent += here[end].Sub(now)
			now = here[end]
			on := max(at, end-s.count(wait)+1)
			h.miss(at, on)
			at = on
		}
		if s.Came[at].Lost {
			h.miss(at, at+1)
		} else {
			h.Lags, h.At = append(h.Lags, now.Sub(s.Cut[at].Add(-s.Pace))), append(h.At, now)
		}
		now = now.Add(s.Pace)
	}
	h.miss(at, len(s.Cut))
	return h
}

func (h *Heard) miss(from, to int) {
	for ; from < to; from++ {
		h.Missed = append(h.Missed, from)
	}
}

// Note notes what became of a segment; lost says that it was given up. Of
// several times the first counts.
func (s *Set) Note(seq int, at time.Time, lost bool) {
	for len(s.Came) <= seq {
		s.Came = append(s.Came, Arrival{})
	}
	if s.Came[seq].At.IsZero() {
		s.Came[seq] = Arrival{at, lost}
	}
}

// first is the first segment that came.
func (s *Set) first() int {
	for i, c := range s.Came {
		if !c.At.IsZero() && !c.Lost {
			return i
		}
	}
	return len(s.Came)
}

// inOrder is from when on each segment and all before it were here, or given
// up; it ends before the first of which neither is so.
func (s *Set) inOrder() (here []time.Time) {
	first := s.first()
	var last time.Time
	for i, c := range s.Came[:min(len(s.Came), len(s.Cut))] {
		if i >= first && c.At.IsZero() {
			break
		}
		if i >= first && c.At.After(last) {
			last = c.At
		}
		here = append(here, last)
	}
	return here
}

// count is how many segments last so long.
func (s *Set) count(d time.Duration) int { return int((d + s.Pace - 1) / s.Pace) }

// enough is the segment with which so much is here from at on that sound may
// begin, at the latest the last that comes; ok is false where none does.
func (s *Set) enough(here []time.Time, at int, wait time.Duration) (end int, ok bool) {
	end = min(at+s.count(wait), len(here)) - 1
	if end < at {
		return end, false
	}
	for end+1 < len(here) && !here[end+1].After(here[end]) {
		end++ // it came at the same time
	}
	return end, true
}
