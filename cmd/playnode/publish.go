package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) publishCmd() *cobra.Command {
	var node nodeFlags
	var req daemon.PublishRequest
	var mirrors []string
	c := &cobra.Command{
		Use:   "publish [PATH...]",
		Short: "seal files and folders, sign them into a playlist, publish it under your name",
		Long: `Adds files and folders to a playlist, seals each track under a fresh key, signs
the catalogue and publishes it under your name. Without PATH it publishes what
has changed. Run again after an interruption it resumes; nothing is sealed twice.`,
		RunE: func(c *cobra.Command, args []string) error {
			for _, p := range args {
				abs, err := absolute(p)
				if err != nil {
					return err
				}
				req.Paths = append(req.Paths, abs)
			}
			for _, dir := range mirrors {
				abs, err := absolute(dir)
				if err != nil {
					return err
				}
				req.Mirrors = append(req.Mirrors, abs)
			}
			req.Node = node.request()
			res, err := call(a, c, daemon.OpPublish, req)
			if err != nil && res.Name == "" {
				return err
			}
			for _, s := range res.Skipped {
				a.say("skipped %s: %s", s.Path, s.Why)
			}
			if perr := a.result(res, func() {
				for _, p := range res.Playlists {
					a.printf("%s: %s\n", clean(p.Name), plural(len(p.Tracks), "track"))
				}
				if res.Reanalysed > 0 {
					a.printf("measured anew: %s\n", plural(res.Reanalysed, "track"))
				}
				if res.Previews > 0 {
					a.printf("previews made, as %s is to have them: %d\n", clean(req.Playlist), res.Previews)
				}
				a.printf("published %s (revision %d)\n  manifest %s\n", res.Name, res.Seq, res.Manifest)
				a.safe(res.Served)
			}); perr != nil {
				return perr
			}
			if err != nil {
				return err
			}
			switch {
			case len(res.Skipped) == 0:
			case res.Added == 0 && len(req.Paths) > 0:
				return errors.New("nothing could be published")
			default:
				return partly{fmt.Errorf("%s skipped", plural(len(res.Skipped), "file"))}
			}
			return nil
		},
	}
	node.add(c)
	f := c.Flags()
	f.StringVar(&req.Playlist, "playlist", "main", "the playlist to add to; it is made when new")
	f.BoolVar(&req.Reanalyse, "reanalyse", false, "measure earlier tracks anew where this version measures better; what is sealed of them stays as it is")
	f.StringArrayVar(&mirrors, "mirror", nil, "a folder for a web host to serve, brought up to date (repeatable; the setting mirrors does it each time)")
	f.IntVar(&req.WaitServed, "wait-served", 0, "stay until so many others hold every block; 0 does not wait")
	f.BoolVar(&req.NoArchiveKey, "no-archive-key", false, "seal without your archive key: only this repo can ever recover the tracks")
	return c
}

// safe says whether the DJ may close her laptop.
func (a *app) safe(s *daemon.Served) {
	switch {
	case s == nil:
	case s.Safe:
		a.printf("safe to close: every block of revision %d is held by %s\n", s.Seq, plural(s.Want, "other"))
	default:
		a.printf("not safe to close yet: %d of %s of revision %d held by %s\n", s.Held, plural(s.Blocks, "block"), s.Seq, plural(s.Want, "other"))
	}
}

func (a *app) shareCmd() *cobra.Command {
	var req daemon.ShareRequest
	c := &cobra.Command{
		Use:   "share P",
		Short: "a link that a venue can follow",
		Long: `Prints the link of a playlist, and its form for a web page, which also opens at
any trustless gateway. With the daemon running it has the addresses of this
box, so that a venue on the same LAN needs nobody else to join; links that are
to last for years are better without.`,
		Args: exactly(1, "a playlist's name"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Name = args[0]
			s, err := call(a, c, daemon.OpShare, req)
			if err != nil {
				return err
			}
			return a.result(s, func() {
				a.linked(s.Link)
				a.printf("%s\n", s.Web)
			})
		},
	}
	c.Flags().BoolVar(&req.NoAddrs, "no-addrs", false, "leave this box's addresses out of the link")
	c.Flags().StringArrayVar(&req.Origins, "origin", nil, "the URL of a mirror or gateway that has it, for the link to name (repeatable)")
	c.Flags().SetAnnotation("origin", ofRequest, nil)
	c.Flags().StringVar(&req.Web, "web", "dweb.link", "the gateway of the https form")
	return c
}

func (a *app) checkCmd() *cobra.Command {
	var req daemon.CheckRequest
	c := &cobra.Command{
		Use:   "check PATH...",
		Short: "what a venue would hear of your files, before publishing",
		Args:  atLeast(1, "files or folders"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Paths, req.Dir = args, a.dir
			res, err := daemon.Check(c.Context(), req, a.bar.event)
			a.bar.close()
			if err != nil {
				return err
			}
			bad := 0
			perr := a.result(res, func() {
				for _, f := range res.Files {
					if f.Codec == "" {
						a.printf("%s\n", clean(filepath.Base(f.Path)))
					} else {
						a.printf("%s\n  %s %d Hz, %d channels, %d samples (%s)", clean(filepath.Base(f.Path)), f.Codec, f.Rate, f.Channels, f.Samples, clock(f.Samples*1000/int64(f.Rate)))
						if f.LUFS != nil {
							a.printf(", %.1f LUFS, peak %.1f dBTP", *f.LUFS, *f.Peak)
						}
						a.printf("\n")
					}
					for _, p := range f.Problems {
						a.printf("  ! %s\n", clean(p))
					}
				}
			})
			if perr != nil {
				return perr
			}
			for _, f := range res.Files {
				if f.Codec == "" {
					bad++
				}
			}
			if bad > 0 && bad == len(res.Files) {
				return errors.New("no file could be read")
			} else if bad > 0 {
				return partly{fmt.Errorf("%s could not be read", plural(bad, "file"))}
			}
			return nil
		},
	}
	c.Flags().StringVar(&req.WAVDir, "wav", "", "write what would be heard to DIR/<name>.wav")
	return c
}
