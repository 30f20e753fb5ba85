package fetch

import "time"

// look has w considered again at a time. s.mu is held.
func (s *Scheduler) look(w *want, at time.Time) {
	if w.alarm.IsZero() || at.Before(w.alarm) {
		w.alarm = at
	}
	s.arm(at)
}

// arm has tick called at a time, or before. s.mu is held.
func (s *Scheduler) arm(at time.Time) {
	if !s.alarm.IsZero() && !at.Before(s.alarm) {
		return
	}
	s.alarm = at
	if !s.ringing {
		s.ringing = true
		go s.ring()
		return
	}
	s.kick()
}

func (s *Scheduler) kick() {
	select {
	case s.rearm <- struct{}{}:
	default:
	}
}

// rest lets the alarm be while there is nothing to look after. s.mu is held.
func (s *Scheduler) rest() {
	if len(s.peers.open) == 0 {
		s.alarm = time.Time{}
		s.kick()
	}
}

// ring waits for the alarm while there is one. Once it has waited it goes by
// the alarm, not by a clock that somebody holds.
func (s *Scheduler) ring() {
	var waited time.Time
	for {
		s.mu.Lock()
		if s.alarm.IsZero() {
			s.ringing = false
			s.mu.Unlock()
			return
		}
		now := s.cfg.Now()
		if waited.After(now) {
			now = waited
		}
		at := s.alarm
		wait := at.Sub(now)
		if wait <= 0 {
			s.alarm = time.Time{}
			s.tick(now)
			s.mu.Unlock()
			continue
		}
		s.mu.Unlock()
		select {
		case <-s.cfg.After(wait):
			waited = at
		case <-s.rearm:
		case <-s.down:
			return
		}
	}
}

// tick looks at all that is due, and at the peers. s.mu is held.
func (s *Scheduler) tick(now time.Time) {
	s.inspect(now) // first: who is silent is not only left
	var due []*want
	for _, w := range s.list {
		if !w.alarm.IsZero() && !w.alarm.After(now) {
			due = append(due, w)
		}
	}
	for _, w := range due {
		s.consider(w, now)
	}
	for _, w := range s.list {
		if !w.alarm.IsZero() {
			s.arm(w.alarm)
		}
	}
}
