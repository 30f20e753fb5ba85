package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) playlistCmd() *cobra.Command {
	c := &cobra.Command{Use: "playlist", Short: "your playlists"}
	c.AddCommand(&cobra.Command{
		Use:   "ls",
		Short: "list playlists",
		Args:  exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			res, err := call(a, c, daemon.OpPlaylists, struct{}{})
			if err != nil {
				return err
			}
			return a.result(map[string]any{"playlists": res}, func() {
				for _, p := range res {
					var ms int64
					for _, t := range p.Tracks {
						ms += t.Ms
					}
					a.printf("%-20s %s, %s\n", clean(p.Name), plural(len(p.Tracks), "track"), clock(ms))
				}
			})
		},
	}, &cobra.Command{
		Use:   "show P",
		Short: "show one playlist",
		Args:  exactly(1, "a playlist's name"),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := call(a, c, daemon.OpPlaylist, daemon.PlaylistRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.shown(p)
		},
	}, a.playlistCreateCmd(), a.playlistAddCmd(), a.playlistRmCmd(), a.playlistMvCmd(),
		a.playlistImportCmd(), a.playlistExportCmd(), a.playlistSetCmd(), a.playlistCueCmd())
	return c
}

// shown prints a playlist: what is not as usual of its mixing, and its tracks.
func (a *app) shown(p daemon.Playlist) error {
	return a.result(p, func() {
		if p.CrossfadeMs > 0 {
			a.printf("crossfade %s\n", time.Duration(p.CrossfadeMs)*time.Millisecond)
		}
		if p.Gain == "album" {
			a.printf("an album has one level\n")
		}
		for i, t := range p.Tracks {
			loud, cue := "", ""
			if t.LUFS != nil {
				loud = fmt.Sprintf("%6.1f LUFS", *t.LUFS)
			}
			if t.Cue != nil && t.Cue.InMs != nil {
				cue += "  in " + (time.Duration(*t.Cue.InMs) * time.Millisecond).String()
			}
			if t.Cue != nil && t.Cue.OutMs != nil {
				cue += "  out " + (time.Duration(*t.Cue.OutMs) * time.Millisecond).String()
			}
			a.printf("%3d  %s  %-40s %6s %s%s\n", i+1, t.CID, clean(t.Artist+" - "+t.Title), clock(t.Ms), loud, cue)
		}
	})
}

func (a *app) playlistSetCmd() *cobra.Command {
	req := daemon.MixRequest{}
	var crossfade time.Duration
	c := &cobra.Command{
		Use:   "set P [--crossfade 4s] [--gain track|album]",
		Short: "how a playlist's tracks follow each other",
		Long: `Says how a playlist is mixed where it plays, and publishes that, sealed. With
--crossfade each track is laid over the one before, but never inside a
continuous set, which is tracks that follow each other on one album. With --gain
album the tracks of one album that follow each other keep their levels to each
other; without it each track is levelled by itself, and a continuous set as one.
A venue may have another crossfade.`,
		Args: exactly(1, "a playlist's name"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Playlist = args[0]
			if c.Flags().Changed("crossfade") {
				req.Crossfade = &crossfade
			}
			switch {
			case req.Crossfade == nil && req.Gain == "":
				return usageError{errors.New("wants --crossfade or --gain"), c.CommandPath()}
			case crossfade < 0 || crossfade > 30*time.Second:
				return usageError{errors.New("--crossfade is from 0s to 30s"), c.CommandPath()}
			case req.Gain != "" && req.Gain != "track" && req.Gain != "album":
				return usageError{errors.New("--gain is track or album"), c.CommandPath()}
			}
			p, err := call(a, c, daemon.OpPlaylistSet, req)
			if err != nil {
				return err
			}
			return a.shown(p)
		},
	}
	f := c.Flags()
	f.DurationVar(&crossfade, "crossfade", 0, "how long a track is laid over the one before; 0s for not at all")
	f.StringVar(&req.Gain, "gain", "", "track or album")
	return c
}

func (a *app) playlistCueCmd() *cobra.Command {
	var req daemon.CueRequest
	var in, out offset
	c := &cobra.Command{
		Use:   "cue P TRACK [--in 1.5s] [--out 3m10s] [--clear]",
		Short: "what is heard of a track where it is crossfaded",
		Long: `Says where a track of a playlist begins to be heard when it is laid over the one
before, and where it has ended when the next is laid over it, and publishes
that, sealed. TRACK is its number in the playlist, or its CID. Where you say
nothing, silence at its ends is left out. Without a crossfade, and inside a
continuous set, all of a track is heard.`,
		Args: exactly(2, "a playlist's name and a track"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Playlist, req.Track = args[0], args[1]
			for _, b := range []struct {
				flag string
				at   *offset
				to   **time.Duration
			}{{"in", &in, &req.In}, {"out", &out, &req.Out}} {
				if c.Flags().Changed(b.flag) {
					d := time.Duration(*b.at)
					*b.to = &d
				}
			}
			if req.In == nil && req.Out == nil && !req.Clear {
				return usageError{errors.New("wants --in, --out or --clear"), c.CommandPath()}
			}
			p, err := call(a, c, daemon.OpPlaylistCue, req)
			if err != nil {
				return err
			}
			return a.shown(p)
		},
	}
	f := c.Flags()
	f.Var(&in, "in", "where it begins: 1.5s, 1m2s, 12:30")
	f.Var(&out, "out", "where it has ended, from its beginning")
	f.BoolVar(&req.Clear, "clear", false, "forget what was said before")
	return c
}
