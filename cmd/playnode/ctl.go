package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

// ctlCmd drives what a daemon plays. Every answer is the state after.
func (a *app) ctlCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "ctl",
		Short: "drive what the daemon plays: next, pause, volume, now and so on",
		Long: `Drives the playback of a running daemon's loudspeaker, whoever started it, and
answers with the state after, as the sink has it.`,
	}
	plain := func(do, short string) {
		c.AddCommand(&cobra.Command{Use: do, Short: short, Args: exactly(0, "no arguments"), RunE: func(c *cobra.Command, _ []string) error {
			return a.ctl(c, daemon.CtlRequest{Do: do})
		}})
	}
	plain("now", "what is heard")
	plain("next", "leave this track for the one after it")
	plain("prev", "go to the track before")
	plain("pause", "fade out and hold the place")
	plain("resume", "go on where it was paused")
	plain("stop", "fade out and end it")
	c.AddCommand(
		&cobra.Command{Use: "volume N", Short: "set the volume, in percent up to the setting volume-ceiling; it is kept", Args: exactly(1, "a volume from 0 to 100"),
			RunE: func(c *cobra.Command, args []string) error {
				v, err := strconv.Atoi(strings.TrimSuffix(args[0], "%"))
				if err != nil || v < 0 || v > 100 {
					return usageError{fmt.Errorf("%q is no volume from 0 to 100", args[0]), c.CommandPath()}
				}
				return a.ctl(c, daemon.CtlRequest{Do: "volume", Volume: v})
			}},
		&cobra.Command{Use: "seek T", Short: "go on at a time of this track: 90s, 1:30", Args: exactly(1, "a time such as 90s or 1:30"),
			RunE: func(c *cobra.Command, args []string) error {
				var at offset
				if err := at.Set(args[0]); err != nil {
					return usageError{err, c.CommandPath()}
				}
				return a.ctl(c, daemon.CtlRequest{Do: "seek", At: time.Duration(at)})
			}},
		&cobra.Command{Use: "block TRACK", Short: "never play a track here again (its CID, or now)", Args: exactly(1, "a track's CID, or now"),
			RunE: func(c *cobra.Command, args []string) error {
				return a.ctl(c, daemon.CtlRequest{Do: "block", Track: args[0]})
			}},
		&cobra.Command{Use: "unblock TRACK", Short: "let a track be played again", Args: exactly(1, "a track's CID"),
			RunE: func(c *cobra.Command, args []string) error {
				return a.ctl(c, daemon.CtlRequest{Do: "unblock", Track: args[0]})
			}},
	)
	return c
}

func (a *app) ctl(c *cobra.Command, req daemon.CtlRequest) error {
	s, err := call(a, c, daemon.OpCtl, req)
	if err != nil {
		return err
	}
	return a.result(s, func() { a.heard(s) })
}

// heard prints what a loudspeaker does.
func (a *app) heard(s daemon.Sound) {
	a.printf("%s", s.State)
	if s.CID != "" {
		a.printf("  %s - %s  %s of %s\n  %s", clean(s.Artist), clean(s.Title), clock(s.AtMs), clock(s.Ms), s.CID)
	}
	if n := s.Next; n != nil {
		a.printf("\n  then %s", clean(byline(n.Artist, n.Title)))
	}
	if l := s.Live; l != nil {
		if l.Recorded {
			a.printf("  recorded: %s  %.1f s in advance", clean(l.Text), float64(l.BufferMs)/1000)
		} else {
			a.printf("  on air: %s  %.1f s behind, %.1f s in advance", clean(l.Text), float64(l.LagMs)/1000, float64(l.BufferMs)/1000)
		}
		if l.Missing > 0 {
			a.printf(", %s missing", plural(int(l.Missing), "segment"))
		}
	}
	a.printf("\n  volume %d of %d", s.Volume, s.Ceiling)
	if s.Sink != "" {
		a.printf(", sink %s at %d Hz", clean(s.Sink), s.Rate)
	}
	if s.Underruns > 0 {
		a.printf(", %s", plural(int(s.Underruns), "underrun"))
	}
	a.printf("\n")
}

func (a *app) sinksCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "sinks",
		Short: "the loudspeakers of this box, as play --sink takes them",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			res, err := call(a, c, daemon.OpSinks, struct{}{})
			if err != nil {
				return err
			}
			return a.result(map[string]any{"sinks": res}, func() {
				for _, s := range res {
					mark := " "
					if s.Default {
						mark = "*"
					}
					a.printf("%s %-40s %s\n", mark, clean(s.Sink), clean(s.About))
				}
				a.printf("  files, pipes and nothing: wav:FILE, raw:FILE, raw:-, null\n")
			})
		},
	}
}

// offset is a place in time: what a duration is, or m:ss, or h:mm:ss.
type offset time.Duration

func (o *offset) Type() string   { return "time" }
func (o *offset) String() string { return time.Duration(*o).String() }

func (o *offset) Set(s string) error {
	bad := fmt.Errorf("%q is no time such as 90s, 1.5s, 1h2m, 12:30 or 1:02:30", s)
	parts := strings.Split(s, ":")
	if len(parts) == 1 {
		if v, err := time.ParseDuration(s); err == nil && v >= 0 {
			*o = offset(v)
			return nil
		}
		var d duration
		if d.Set(s) != nil {
			return bad
		}
		*o = offset(d)
		return nil
	}
	if len(parts) > 3 {
		return bad
	}
	sum := 0
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 || n > 1000 || i > 0 && (len(p) != 2 || n > 59) {
			return bad
		}
		sum = sum*60 + n
	}
	*o = offset(time.Duration(sum) * time.Second)
	return nil
}
