package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) scheduleCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "schedule",
		Short: "which playlist plays when",
		Long: `Says which playlist plays at which times, for play without a name: at parts of
days, by the clock of the venue's time zone (the setting zone). A playlist is
NAME/P, or P of any name that is leased here.

Where two slots overlap the one of the greater priority goes first, and of two
alike the one that was set last; where none is, there is silence. What cannot be
played leaves its place to the next. Without any slot all that is leased plays.`,
	}
	c.AddCommand(a.scheduleSetCmd(), a.scheduleOverrideCmd(), &cobra.Command{
		Use:   "ls",
		Short: "what is scheduled, what plays now, and what is next",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.planned(call(a, c, daemon.OpSchedule, struct{}{}))
		},
	}, &cobra.Command{
		Use:   "rm ID",
		Short: "take a slot out, by its ID, or the override: schedule rm override",
		Args:  exactly(1, "a slot's ID, as schedule ls has it, or override"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.planned(call(a, c, daemon.OpScheduleRemove, daemon.ScheduleRemoveRequest{ID: args[0]}))
		},
	})
	return c
}

func (a *app) scheduleSetCmd() *cobra.Command {
	var req daemon.SlotRequest
	c := &cobra.Command{
		Use:   "set P [--days mon-fri] [--from 18:00] [--till 23:00] [--holidays CC] [--priority N]",
		Short: "have a playlist play at parts of days",
		Long: `Adds a slot to the schedule. Days are mon-fri, sat,sun and the like; without
--days it is every day, and without --from and --till all day. A slot that ends
before it begins goes over midnight, and its days are those on which it begins.

With --holidays a public holiday of that country (DE, or a part: DE-BY) counts as
a Sunday, and as no other day: a slot of mon-fri is not on holidays then, and one
of sun is on them too.

The same playlist at the same times is the same slot: setting it again changes its
priority, and makes it the newest.`,
		Args: exactly(1, "a playlist: NAME/P, or P"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Playlist = args[0]
			return a.planned(call(a, c, daemon.OpScheduleSet, req))
		},
	}
	f := c.Flags()
	f.StringVar(&req.Days, "days", "", "mon-fri, sat,sun and the like (every day)")
	f.StringVar(&req.From, "from", "", "when it begins, by the venue's clock (00:00)")
	f.StringVar(&req.Till, "till", "", "when it is over (24:00)")
	f.StringVar(&req.Holidays, "holidays", "", "a country, such as DE or DE-BY, whose public holidays count as Sundays")
	f.IntVar(&req.Priority, "priority", 0, "of slots that overlap the greater goes first")
	return c
}

func (a *app) scheduleOverrideCmd() *cobra.Command {
	var req daemon.OverrideRequest
	c := &cobra.Command{
		Use:   "override P --till 02:00",
		Short: "have a playlist play until a time, whatever is scheduled",
		Long: `Has a playlist play from now until a time: 02:00, the next time at which the
venue's clock shows that, or a time in RFC 3339. It goes before all slots, and
takes the place of the override before. playnode schedule rm override ends it.`,
		Args: exactly(1, "a playlist: NAME/P, or P"),
		RunE: func(c *cobra.Command, args []string) error {
			if req.Playlist = args[0]; req.Till == "" {
				return usageError{errors.New("wants --till, a time such as 02:00"), c.CommandPath()}
			}
			return a.planned(call(a, c, daemon.OpScheduleOverride, req))
		},
	}
	c.Flags().StringVar(&req.Till, "till", "", "until when: 02:00, or a time in RFC 3339")
	return c
}

// planned prints a schedule.
func (a *app) planned(s daemon.Schedule, err error) error {
	if err != nil {
		return err
	}
	return a.result(s, func() {
		for _, x := range s.Slots {
			more := ""
			if x.Holidays != "" {
				more += "  holidays " + x.Holidays
			}
			if x.Priority != 0 {
				more += fmt.Sprintf("  priority %d", x.Priority)
			}
			if x.Why != "" {
				more += "  (" + clean(x.Why) + ")"
			}
			a.printf("%4s  %-16s %s-%s  %s%s\n", x.ID, x.Days, x.From, x.Till, short(x.Playlist), more)
		}
		if o := s.Override; o != nil {
			a.printf("%s  until %s  %s\n", o.ID, day(*o.Until), short(o.Playlist))
		}
		if s.Zone != "Local" {
			a.printf("zone  %s\n", s.Zone)
		}
		a.onNow(s)
	})
}

// onNow says what is scheduled now, and next.
func (a *app) onNow(s daemon.Schedule) {
	if len(s.Slots) == 0 && s.Override == nil {
		a.printf("nothing is scheduled: all that is leased plays\n")
		return
	}
	what := func(p *daemon.Part) string {
		switch {
		case p == nil || p.ID == "" && len(s.Slots) > 0:
			return "silence"
		case p.ID == "":
			return "all that is leased"
		}
		return short(p.Playlist)
	}
	a.printf("now   %s", what(s.Now))
	if s.Now != nil && s.Now.Why != "" {
		a.printf(" (%s)", clean(s.Now.Why))
	}
	if n := s.Next; n != nil {
		a.printf(", until %s: %s", n.From.Format("Mon 2 Jan 15:04"), what(n))
	}
	a.printf("\n")
}

// short is a playlist for people: a name is long.
func short(playlist string) string {
	if name, label, ok := strings.Cut(playlist, "/"); ok && len(name) > 16 && strings.HasPrefix(name, "k51") && !strings.Contains(label, "/") {
		return clean(name[:12] + "…/" + label)
	}
	return clean(playlist)
}
