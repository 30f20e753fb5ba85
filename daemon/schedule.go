package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"playnode/follow"
	"playnode/internal/repo"
	"playnode/player"
	"playnode/player/schedule"
)

// What plays when, for play without a name. Each is answered with the whole of
// it.
const (
	OpSchedule         Op[struct{}, Schedule]              = "schedule"
	OpScheduleSet      Op[SlotRequest, Schedule]           = "schedule-set"
	OpScheduleRemove   Op[ScheduleRemoveRequest, Schedule] = "schedule-remove"
	OpScheduleOverride Op[OverrideRequest, Schedule]       = "schedule-override"
)

// SlotRequest has a playlist play at parts of days: NAME/P, all of NAME, or P of
// any name that is leased here.
type SlotRequest struct {
	Playlist string `json:"playlist"`
	// Days are as in mon-fri or sat,sun; "" is every day.
	Days string `json:"days,omitempty"`
	// From and Till are as in 18:00, by the venue's clock; "" is the day's
	// beginning and its end. A Till that is not later is of the day after.
	From string `json:"from,omitempty"`
	Till string `json:"till,omitempty"`
	// Holidays is a country, as in DE or DE-BY, whose public holidays count as
	// Sundays.
	Holidays string `json:"holidays,omitempty"`
	Priority int    `json:"priority,omitempty"`
}

// ScheduleRemoveRequest takes out a slot by its ID, or the override, whose ID is
// override.
type ScheduleRemoveRequest struct {
	ID string `json:"id"`
}

// OverrideRequest has a playlist play until Till, whatever is scheduled: a time in
// RFC 3339, or the next time at which the venue's clock shows 02:00.
type OverrideRequest struct {
	Playlist string `json:"playlist"`
	Till     string `json:"till"`
}

// Schedule is what plays when.
type Schedule struct {
	// ID is the slot's that was set.
	ID string `json:"id,omitempty"`
	// Zone is the venue's, Local for the machine's.
	Zone string `json:"zone"`
	// Slots are in the order in which they go before each other.
	Slots []Slot `json:"slots"`
	// Override goes before all of them; null where there is none.
	Override *Part `json:"override"`
	// Now is what is scheduled now, Next what is after it; null where nothing
	// is, or will be within a month.
	Now  *Part `json:"now"`
	Next *Part `json:"next"`
}

// Slot is a part of days at which a playlist plays.
type Slot struct {
	ID       string `json:"id"`
	Playlist string `json:"playlist"`
	Days     string `json:"days"`
	From     string `json:"from"`
	Till     string `json:"till"`
	Holidays string `json:"holidays"`
	Priority int    `json:"priority"`
	// Why says why no lease lets it be played now; "" where one does. That nothing
	// of it is here yet is among the faults (kind schedule).
	Why string `json:"why"`
}

// Part is what is scheduled at one time.
type Part struct {
	// ID is a slot's, or override; "" and no Playlist are silence, or, without
	// any slot, all that is leased.
	ID       string     `json:"id"`
	Playlist string     `json:"playlist"`
	From     *time.Time `json:"from,omitempty"`
	Until    *time.Time `json:"until,omitempty"`
	// Why says why no lease lets it be played now; "" where one does. That nothing
	// of it is here yet is among the faults (kind schedule).
	Why string `json:"why"`
}

// openSchedule reads the schedule.
func (d *Daemon) openSchedule() (err error) {
	d.hours, err = schedule.Open(schedule.Config{Store: d.repo.Bucket("schedule"), Zone: d.zone, Log: d.log})
	d.rescheduled = make(chan struct{}, 1)
	return err
}

// scheduled tells whether the schedule says what plays.
func (d *Daemon) scheduled() bool {
	return d.hours.Schedule().At(d.now()).First().Cause != schedule.Unscheduled
}

func (d *Daemon) schedule(context.Context, struct{}, func(Event)) (Schedule, error) {
	n, err := d.net()
	if err != nil {
		return Schedule{}, err
	}
	s, now := d.hours.Schedule(), d.now()
	out := Schedule{Zone: d.zone.String(), Slots: []Slot{}}
	for _, x := range s.Slots() {
		out.Slots = append(out.Slots, Slot{
			ID: x.ID, Playlist: x.Playlist, Days: repo.Days(x.Days).String(), From: repo.FormatMinute(x.From), Till: repo.FormatMinute(x.Till),
			Holidays: x.Holidays, Priority: x.Priority, Why: d.unplayable(n, x.Playlist),
		})
	}
	if o, ok := s.Override(now); ok {
		till := o.Till.In(d.zone)
		out.Override = &Part{ID: schedule.ByHand, Playlist: o.Playlist, Until: &till, Why: d.unplayable(n, o.Playlist)}
	}
	if len(out.Slots) > 0 || out.Override != nil {
		out.Now, out.Next = d.parts(n, s, now)
	}
	return out, nil
}

// parts are what is scheduled at a time, and what is after it.
func (d *Daemon) parts(n *network, s *schedule.Schedule, at time.Time) (now, next *Part) {
	part := func(c schedule.Cue) *Part {
		p := &Part{Playlist: c.Playlist}
		if c.Cause != schedule.Unscheduled {
			p.ID = c.Cause
		}
		if c.Playlist != "" {
			p.Why = d.unplayable(n, c.Playlist)
		}
		return p
	}
	if c := s.At(at).First(); c.Cause != "" {
		now = part(c)
	}
	if t, ok := s.Next(at); ok {
		begins := t.From.In(d.zone)
		next = part(t.First())
		next.From = &begins
		if now != nil {
			now.Until = &begins
		}
		if after, ok := s.Next(t.From); ok {
			ends := after.From.In(d.zone)
			next.Until = &ends
		}
	}
	return now, next
}

// unplayable says why a playlist could not be played now; "" where it could.
func (d *Daemon) unplayable(n *network, playlist string) string {
	if playlist == "" {
		return ""
	}
	of, label, err := player.Asked(playlist)
	if err != nil {
		return err.Error()
	}
	known, leased := false, ""
	for _, f := range n.follow.Follows() {
		c, err := n.follow.Newest(f.Name)
		if err != nil || of != "" && of != f.Name {
			continue
		}
		for _, sel := range c.Selections {
			if label != "" && sel.Label != label {
				continue
			}
			known = true
			for _, l := range d.venue.Leases() {
				if l.DJ != c.DJ || l.Sel != sel.ID {
					continue
				}
				if leased = d.held(l).State; leased == "active" {
					return ""
				}
			}
		}
	}
	switch {
	case !known:
		return "no name that is followed here has it yet"
	case leased == "":
		return "it is not leased"
	}
	return "its lease is " + leased
}

func (d *Daemon) scheduleSet(ctx context.Context, req SlotRequest, emit func(Event)) (Schedule, error) {
	s := schedule.Slot{Playlist: req.Playlist, Days: byte(repo.EveryDay), Till: 24 * 60, Holidays: req.Holidays, Priority: req.Priority}
	if req.Days != "" {
		days, err := repo.ParseDays(req.Days)
		if err != nil {
			return Schedule{}, usage("%v", err)
		}
		s.Days = byte(days)
	}
	for _, m := range []struct {
		text string
		to   *int
	}{{req.From, &s.From}, {req.Till, &s.Till}} {
		if m.text == "" {
			continue
		}
		var err error
		if *m.to, err = repo.ParseMinute(m.text); err != nil {
			return Schedule{}, usage("%v", err)
		}
	}
	s, err := d.hours.Set(s)
	if err != nil {
		return Schedule{}, misplanned(err)
	}
	out, err := d.planned(ctx, s.Playlist, emit)
	out.ID = s.ID
	return out, err
}

func (d *Daemon) scheduleRemove(ctx context.Context, req ScheduleRemoveRequest, emit func(Event)) (Schedule, error) {
	if err := d.hours.Remove(req.ID); err != nil {
		return Schedule{}, misplanned(err)
	}
	return d.planned(ctx, "", emit)
}

func (d *Daemon) scheduleOverride(ctx context.Context, req OverrideRequest, emit func(Event)) (Schedule, error) {
	till, err := time.Parse(time.RFC3339, req.Till)
	if err != nil {
		minute, err := repo.ParseMinute(req.Till)
		if err != nil {
			return Schedule{}, usage("%.100q is neither a time of the day such as 02:00 nor one such as 2031-03-03T02:00:00Z", req.Till)
		}
		till = schedule.Next(d.zone, d.now(), minute)
	}
	if !till.After(d.now()) {
		return Schedule{}, usage("%s is over: it is %s", req.Till, d.here().Format(time.RFC3339))
	}
	if err := d.hours.Override(schedule.Override{Playlist: req.Playlist, Till: till}); err != nil {
		return Schedule{}, misplanned(err)
	}
	return d.planned(ctx, req.Playlist, emit)
}

// planned is the schedule after a change of a playlist's.
func (d *Daemon) planned(ctx context.Context, playlist string, emit func(Event)) (Schedule, error) {
	select {
	case d.rescheduled <- struct{}{}:
	default:
	}
	out, err := d.schedule(ctx, struct{}{}, emit)
	if n, nerr := d.net(); nerr == nil && playlist != "" {
		if why := d.unplayable(n, playlist); why != "" {
			emit(Event{Note: fmt.Sprintf("%s is kept, and cannot be played now: %s", playlist, why)})
		}
	}
	return out, err
}

// sayGap tells who plays by the schedule that it begins with silence.
func (d *Daemon) sayGap(emit func(Event)) {
	s := d.hours.Schedule()
	if s.At(d.now()).First().Cause != "" {
		return
	}
	if next, ok := s.Next(d.now()); ok {
		emit(Event{Note: fmt.Sprintf("nothing is scheduled until %s; then %s", next.From.In(d.zone).Format("Mon 2 Jan 15:04"), next.First().Playlist)})
	}
}

// misplanned is the kind of an error of the schedule's.
func misplanned(err error) error {
	if errors.Is(err, schedule.ErrRefused) || errors.Is(err, schedule.ErrNone) {
		return usage("%v; see playnode schedule ls", err)
	}
	return err
}

// bringing bounds one try to have here what is scheduled.
const bringing = time.Minute

// keepScheduled has what is scheduled within a day here before its turn.
func (d *Daemon) keepScheduled(ctx context.Context, n *network) error {
	for ctx.Err() == nil {
		round, cancel := context.WithTimeout(ctx, bringing)
		brought := make(chan struct{})
		go func() {
			defer close(brought)
			if d.scheduled() && slices.ContainsFunc(n.follow.Follows(), func(s follow.Status) bool { return s.Progress.Held < s.Progress.Tracks }) {
				if err := n.follow.Bring(round, d.appraise(round, n)); err != nil && round.Err() == nil {
					d.log.Info("not all that is scheduled is here", "err", err)
				}
			}
		}()
		select {
		case <-d.rescheduled:
		case <-round.Done():
		}
		cancel()
		<-brought
	}
	return nil
}
