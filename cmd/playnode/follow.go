package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) followCmd() *cobra.Command {
	var node nodeFlags
	var once bool
	c := &cobra.Command{
		Use:   "follow NAME",
		Short: "follow a DJ's name or link: resolve, verify, hold",
		Args:  exactly(1, "a name (k51...) or a link (playnode://...)"),
		RunE: func(c *cobra.Command, args []string) error {
			f, err := call(a, c, daemon.OpFollow, daemon.FollowRequest{Link: args[0], Once: once, Node: node.request()})
			if err != nil {
				return err
			}
			return a.result(f, func() {
				a.followed(f)
				a.offering(f)
			})
		},
	}
	node.add(c)
	c.Flags().BoolVar(&once, "once", false, "ask the peers first, then return when everything public is held")
	return c
}

func (a *app) followed(f daemon.Followed) {
	a.printf("%s  revision %d, %d of %s held\n", f.Name, f.Seq, f.Held, plural(f.Tracks, "track"))
	if f.DJName != "" || f.About != "" {
		a.printf("  %s\n", clean(strings.Trim(f.DJName+": "+f.About, ": ")))
	}
	for _, p := range f.Playlists {
		a.printf("  %-20s %s", clean(p.Name), plural(p.Tracks, "track"))
		if p.Previews > 0 {
			a.printf(", %s", plural(p.Previews, "preview"))
		}
		switch {
		case p.Leased:
			a.printf("; leased")
		case p.Offer != nil:
			a.printf("; %s per %s and device, %s to %s", priceText(p.Offer.Price), length(p.Offer.Per), length(p.Offer.Min), length(p.Offer.Max))
		}
		a.printf("\n")
		if p.Words != "" {
			a.printf("    %s\n", clean(p.Words))
		}
	}
	if f.Why != "" {
		a.printf("  missing %s: %s\n", plural(f.Missing, "track"), clean(f.Why))
	}
	if f.Stale != nil {
		a.printf("  stale since %s: the DJ has been away; what is held goes on\n", day(*f.Stale))
	}
}

// offering says what a venue does next: listen, and ask for a lease.
func (a *app) offering(f daemon.Followed) {
	byHand, previews := false, false
	for _, p := range f.Playlists {
		previews = previews || p.Previews > 0
		if p.Leased {
			continue
		}
		if p.Offer != nil {
			a.printf("  ask for it: playnode lease request '%s/%s'\n", f.Name, clean(p.Name))
		} else {
			byHand = true
		}
	}
	if previews {
		a.printf("  hear it:    playnode preview %s\n", f.Name)
	}
	if byHand {
		a.printf("  nothing is on offer for some: the DJ grants it to this box (or its link: playnode id --link)\n  device  %s\n", f.Device)
	}
}

func (a *app) unfollowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "unfollow NAME",
		Short: "stop following a name",
		Args:  exactly(1, "a name"),
		RunE: func(c *cobra.Command, args []string) error {
			_, err := call(a, c, daemon.OpUnfollow, daemon.UnfollowRequest{Name: args[0]})
			return err
		},
	}
}

func (a *app) followsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "follows",
		Short: "the names followed here",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			res, err := call(a, c, daemon.OpFollows, struct{}{})
			if err != nil {
				return err
			}
			return a.result(map[string]any{"follows": res}, func() {
				for _, f := range res {
					a.followed(f)
				}
			})
		},
	}
}

func (a *app) playCmd() *cobra.Command {
	var node nodeFlags
	var req daemon.PlayRequest
	c := &cobra.Command{
		Use:   "play [NAME[/P]]",
		Short: "play what is leased, gapless",
		Long: `Plays a name's playlist, or without a name all that is leased here.

A sink is default, alsa[:device], pulse[:device], wav:FILE, raw:FILE, raw:-
(s16le on stdout) or null. With --once, wav, raw to a file and null go as fast
as they can.`,
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
			return perform(a, c, daemon.OpPlay, &req, func() daemon.PlayRequest { return req })
		},
	}
	node.add(c)
	a.soundFlags(c, &req)
	f := c.Flags()
	f.BoolVar(&req.Once, "once", false, "end after one pass")
	f.StringVar(&req.Loudness, "loudness", "", "off, or a target such as -16 (LUFS)")
	return c
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
			case "track":
				if p.Title == "" && p.Artist == "" {
					a.say("%s", p.CID) // a preview whose title is not public
				} else {
					a.say("%s - %s", clean(p.Artist), clean(p.Title))
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
