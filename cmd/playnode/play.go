package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"playnode/daemon"
	"playnode/internal/repo"
)

func (a *app) playCmd() *cobra.Command {
	var node nodeFlags
	var req daemon.PlayRequest
	var latency time.Duration
	var fade crossfade
	var from offset
	var volume int
	c := &cobra.Command{
		Use:   "play [NAME[/P]]",
		Short: "play what is leased, gapless",
		Long: `Plays a name's playlist (NAME/P, or P of any name that is leased here), or without
a name what is scheduled, and where nothing is, all that is leased. The schedule
(playnode schedule) changes at its times: what sounds is faded out, under what
comes, for as long as the crossfade lasts, or 3 s where nobody says how long; with
--crossfade 0s it is cut. Where nothing is scheduled there is silence.

A sink is default, alsa[:device], pulse[:device], wav:FILE, raw:FILE, raw:-
(s16le on stdout) or null: playnode sinks lists those of this box. With --once,
wav, raw to a file and null go as fast as they can. A file is neither levelled,
crossfaded nor turned down unless told.

Where a DJ goes on air in one of them, her set is heard in place of the playlist,
which goes on with its next track behind it; --live off has it play on.

A sink is one play's: another play takes it over. With --detach the daemon goes
on with it after this command, and again when it is restarted, until playnode
ctl stop.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{errors.New("wants one name, NAME or NAME/P"), c.CommandPath()}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				req.Name = args[0]
			}
			req.Node = node.request()
			req.From, req.Latency = time.Duration(from), latency
			if c.Flags().Changed("crossfade") {
				req.Crossfade, req.ByPlaylist = fade.d, fade.d == nil
			}
			if c.Flags().Changed("volume") {
				req.Volume = &volume
			}
			switch {
			case c.Flags().Changed("latency") && (latency < 20*time.Millisecond || latency > 2*time.Second):
				return usageError{errors.New("--latency is from 20ms to 2s"), c.CommandPath()}
			case req.Live != "" && req.Live != repo.LiveAuto && req.Live != repo.LiveOff:
				return usageError{errors.New("--live is auto or off"), c.CommandPath()}
			case volume < 0 || volume > 100:
				return usageError{errors.New("--volume is from 0 to 100"), c.CommandPath()}
			case req.Detach && strings.HasPrefix(req.Sink, "raw:-"):
				return usageError{errors.New("--detach and a pipe to this command exclude each other"), c.CommandPath()}
			}
			return perform(a, c, daemon.OpPlay, &req, func() daemon.PlayRequest { return req })
		},
	}
	node.add(c)
	a.soundFlags(c, &req)
	f := c.Flags()
	f.BoolVar(&req.Once, "once", false, "end after one pass")
	f.StringVar(&req.Loudness, "loudness", "", "off, or a target such as -16 (LUFS)")
	f.Var(&fade, "crossfade", "how long a track is laid over the one before, or playlist, as that says; never within a continuous set (the setting crossfade)")
	f.DurationVar(&latency, "latency", 0, "how much sound the sink has in advance (the setting latency)")
	f.Var(&from, "from", "begin so far into it: 90s, 1h2m, 12:30 or 1:02:30")
	f.IntVar(&volume, "volume", 100, "in percent (the last one set by ctl)")
	f.StringVar(&req.Live, "live", "", "auto: a set that goes on air is heard in place of its playlist; off: it is not (the setting live)")
	f.BoolVar(&req.Detach, "detach", false, "leave it to the daemon, and return")
	return c
}

// crossfade is a flag's value: playlist, or 0s to 30s.
type crossfade struct {
	text string
	d    *time.Duration
}

func (f *crossfade) Type() string   { return "time" }
func (f *crossfade) String() string { return f.text }

func (f *crossfade) Set(s string) (err error) {
	f.text = s
	f.d, err = repo.ParseCrossfade(s)
	return err
}

// soundFlags say where sound goes.
func (a *app) soundFlags(c *cobra.Command, req *daemon.PlayRequest) {
	f := c.Flags()
	f.StringVar(&req.Sink, "sink", "", "where the sound goes (the setting sink, when empty)")
	f.IntVar(&req.Rate, "rate", 0, "sample rate in Hz (0: the device's, or the first track's)")
}

// perform runs op, which plays, and tells what is heard. req is within the
// request that whole gives once the sink is settled.
func perform[Req any](a *app, c *cobra.Command, op daemon.Op[Req, daemon.Played], req *daemon.PlayRequest, whole func() Req) (err error) {
	cl, err := a.open(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cl.Close()) }()
	kind, arg, _ := strings.Cut(req.Sink, ":")
	out := io.Writer(a.out)
	switch {
	case (kind == "wav" || kind == "raw") && arg == "":
		return usageError{fmt.Errorf("--sink %s wants a file: %s:FILE", kind, kind), c.CommandPath()}
	case req.Sink == "raw:-":
		// Samples own stdout: events go to stderr with --json.
		out = a.err
		if cl.Remote() {
			path, wait, perr := pipeTo(a.out)
			if perr != nil {
				return perr
			}
			req.Sink = "raw:" + path
			defer func() { err = errors.Join(err, wait()) }()
		}
	case kind == "wav" || kind == "raw":
		if arg, err = filepath.Abs(arg); err != nil {
			return err
		}
		req.Sink = kind + ":" + arg
	}
	events := &app{out: out, json: a.json}
	_, err = daemon.Call(c.Context(), cl, op, whole(), func(e daemon.Event) {
		if e.Play == nil {
			a.bar.event(e)
			return
		}
		p := *e.Play
		if p.Kind != "" {
			p.Code = codes[p.Kind].code
		}
		events.result(p, func() {
			switch p.Event {
			case "live":
				if p.Lag == nil {
					a.say("recorded: %s", clean(p.Title))
					return
				}
				a.say("on air: %s (%.1f s behind)", clean(p.Title), float64(*p.Lag)/1000)
			case "track":
				if p.Set != "" {
					return // live says it
				}
				if p.Title == "" && p.Artist == "" {
					a.say("%s", p.CID) // a preview whose title is not public
				} else {
					a.say("%s - %s", clean(p.Artist), clean(p.Title))
				}
			case "end":
				if p.Message != "" {
					a.say("off air: %s", clean(p.Message))
				}
			case "underrun", "lapse", "error":
				a.say("%s: %s", p.Event, clean(p.Message))
			case "done":
				a.say("played %d samples, %s, %d skipped", p.Samples, plural(p.Joins, "join"), p.Skipped)
			}
		})
	})
	return err
}
