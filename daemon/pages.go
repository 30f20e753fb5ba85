package daemon

import (
	"errors"
	"slices"

	"playnode/lease"
	"playnode/live"
	"playnode/manifests"
)

// Screening is a set on air as pages show it: opened by this box's lease, while
// somebody looks. Safe for concurrent use.
type Screening struct {
	lookout
	of airing

	// What follows is guarded by lookout.mu.
	title string
	init  *manifests.MediaInit
	first uint64
	parts []*Shown // nil where one is missing
}

// Shown is an opened segment.
type Shown struct {
	Codec       string
	Rate        int
	Head, Media []byte
	At, Len     int64 // ticks
}

// ErrNotShown says that a segment is not there any more, or not yet.
var ErrNotShown = errors.New("the segment is not here")

// Screenings are the sets on air that this box may play.
func (d *Daemon) Screenings() []*Screening {
	d.mu.Lock()
	n := d.opened
	d.mu.Unlock()
	if n == nil {
		return nil
	}
	return n.air.screenings()
}

func (a *air) screenings() (out []*Screening) {
	leases := a.d.venue.Leases()
	a.mu.Lock()
	defer a.mu.Unlock()
	for of, set := range a.known {
		if !slices.ContainsFunc(leases, func(l lease.Lease) bool { return l.DJ == of.dj && l.Sel == of.sel && !l.Revoked }) {
			continue
		}
		s := a.shown[set]
		if s == nil {
			s = &Screening{lookout: lookout{a: a, set: set}, of: of}
			a.shown[set] = s
		}
		out = append(out, s)
	}
	for set, s := range a.shown { // those that have ended stay for who still looks
		if s.over() {
			delete(a.shown, set)
		} else if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(x, y *Screening) int { return slices.Compare(x.set.Live[:], y.set.Live[:]) })
	return out
}

// ID names the set.
func (s *Screening) ID() string { return s.set.Live.String() }

// Title is what is on.
func (s *Screening) Title() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.title
}

// Playlist is what it is leased as.
func (s *Screening) Playlist() string {
	for _, f := range s.a.n.follow.Follows() {
		if f.DJ != s.of.dj.String() {
			continue
		}
		if c, err := s.a.n.follow.Newest(f.Name); err == nil {
			for _, l := range c.Head.Sels {
				if l.Sel == s.of.sel {
					return l.Label
				}
			}
		}
	}
	return s.of.sel.String()
}

// Span tells which segments there are, and whether none will follow. Asking has
// the set opened from now on.
func (s *Screening) Span() (first, next uint64, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(s.run)
	return s.first, s.first + uint64(len(s.parts)), s.ended
}

// Part is one segment; ErrNotShown where it is outside of Span or missing, and a
// lease's error where that has ended.
func (s *Screening) Part(n uint64) (Shown, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.look(s.run)
	switch {
	case s.closed:
		return Shown{}, lease.ErrLapsed
	case n < s.first || n-s.first >= uint64(len(s.parts)) || s.parts[n-s.first] == nil:
		return Shown{}, ErrNotShown
	}
	return *s.parts[n-s.first], nil
}

// run opens what comes.
func (s *Screening) run() {
	var tuned *lease.Tuned
	var record *manifests.Live
	defer func() {
		if tuned != nil {
			tuned.Close()
		}
	}()
	s.hear(func(it live.Item) bool {
		if it.Record != nil {
			record = it.Record
		}
		if record != nil && (it.Record != nil || tuned == nil || s.a.d.now().Unix() >= min(tuned.Until, tuned.Period)) {
			if tuned != nil {
				tuned.Close()
			}
			var err error
			if tuned, err = s.a.d.venue.Tune(record); err != nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.parts = nil
				return false
			}
		}
		switch {
		case it.Missing > 0:
			s.add(it.Seq, make([]*Shown, min(it.Missing, shown))...)
		case it.Head != nil && tuned != nil:
			seg, err := tuned.Open(it.Head, it.Sealed)
			if err != nil {
				seg = nil
			}
			s.take(it.Seq, seg)
		}
		return true
	})
}

// take adds an opened segment, or nil for one that does not open.
func (s *Screening) take(n uint64, seg *manifests.Segment) {
	s.mu.Lock()
	if seg != nil && seg.Init != nil {
		s.init = seg.Init
	}
	if seg != nil && seg.Text != "" {
		s.title = seg.Text
	}
	var p *Shown
	if seg != nil && s.init != nil {
		p = &Shown{s.init.Codec, s.init.Rate, s.init.Head, seg.Media, seg.At, seg.Len}
	}
	s.mu.Unlock()
	s.add(n, p)
}

// add puts segments from n on behind the others.
func (s *Screening) add(n uint64, parts ...*Shown) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := s.first + uint64(len(s.parts)); n != next {
		s.first, s.parts = n, nil
	}
	s.parts = append(s.parts, parts...)
	if k := len(s.parts) - shown; k > 0 {
		s.first += uint64(k)
		s.parts = slices.Clone(s.parts[k:])
	}
}
