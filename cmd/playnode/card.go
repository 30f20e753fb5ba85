package main

import (
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

// maxPictureFile bounds the file that card set --picture reads.
const maxPictureFile = 12 << 20

func (a *app) cardCmd() *cobra.Command {
	c := &cobra.Command{Use: "card", Short: "what you say in public: your name, words, a picture, previews"}
	c.AddCommand(a.cardSetCmd(), a.cardShowCmd(), a.cardPreviewCmd())
	return c
}

func (a *app) cardSetCmd() *cobra.Command {
	var dj, about, picture, playlist, words, titles string
	c := &cobra.Command{
		Use:   "set [--dj NAME] [--about TEXT] [--picture FILE] [--playlist P --words TEXT --titles on|off]",
		Short: "say something in public, and publish it",
		Long: `Puts a name, a few words and a picture on your card, and words on each playlist.
All of it is public: whoever has your name reads it, and what was read once
cannot be called back. An empty text takes away what was said. The picture is
made anew, small, without anything else that lay in the file. Titles stay sealed
unless --titles on puts those of a playlist on the card.`,
		Args: exactly(0, "flags alone"),
		RunE: func(c *cobra.Command, _ []string) error {
			f := c.Flags()
			var req daemon.CardRequest
			for _, x := range []struct {
				flag string
				text *string
				to   **string
			}{{"dj", &dj, &req.DJName}, {"about", &about, &req.About}, {"words", &words, &req.Words}} {
				if f.Changed(x.flag) {
					*x.to = x.text
				}
			}
			req.Playlist = playlist
			if f.Changed("titles") {
				on := titles == "on"
				if !on && titles != "off" {
					return usageError{fmt.Errorf("--titles is on or off, not %q", titles), c.CommandPath()}
				}
				req.Titles = &on
			}
			if (playlist != "") != (req.Words != nil || req.Titles != nil) {
				return usageError{errors.New("--playlist P goes with --words or --titles"), c.CommandPath()}
			}
			if f.Changed("picture") {
				b := []byte{}
				if picture != "" {
					st, err := os.Stat(picture)
					if err == nil && st.Size() > maxPictureFile {
						err = fmt.Errorf("%s has %s, over the limit of %s", picture, size(st.Size()), size(maxPictureFile))
					}
					if err == nil {
						b, err = os.ReadFile(picture)
					}
					if err != nil {
						return fmt.Errorf("read picture: %w", err)
					}
				}
				req.Picture = &b
			}
			if req.DJName == nil && req.About == nil && req.Picture == nil && playlist == "" {
				return usageError{errors.New("wants something to say, such as --dj Anna"), c.CommandPath()}
			}
			k, err := call(a, c, daemon.OpCardSet, req)
			if err != nil {
				return err
			}
			return a.result(k, func() { a.card(k) })
		},
	}
	f := c.Flags()
	f.StringVar(&dj, "dj", "", "the name that people know you by")
	f.StringVar(&about, "about", "", "a few words")
	f.StringVar(&picture, "picture", "", "a JPEG, PNG, GIF or WebP of at most 4 million pixels")
	f.StringVar(&playlist, "playlist", "", "the playlist that --words and --titles are of")
	f.StringVar(&words, "words", "", "a few words on it")
	f.StringVar(&titles, "titles", "", "on: its titles in clear; off: sealed")
	return c
}

func (a *app) cardShowCmd() *cobra.Command {
	var picture string
	c := &cobra.Command{
		Use:   "show [NAME]",
		Short: "your card, or that of a DJ whom you follow",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{errors.New("wants a followed name, or nothing for your own"), c.CommandPath()}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			k, err := call(a, c, daemon.OpCardShow, daemon.CardShowRequest{Name: strings.Join(args, "")})
			if err != nil {
				return err
			}
			if picture != "" {
				if len(k.Picture) == 0 {
					return errors.New("the card has no picture")
				}
				if err := os.WriteFile(picture, k.Picture, 0o600); err != nil {
					return fmt.Errorf("write picture: %w", err)
				}
			}
			return a.result(k, func() { a.card(k) })
		},
	}
	c.Flags().StringVar(&picture, "picture", "", "write the picture to this file (JPEG)")
	return c
}

func (a *app) card(k daemon.Card) {
	if k.DJName == "" && k.About == "" && len(k.Picture) == 0 && len(k.Playlists) == 0 {
		a.printf("nothing is said\n")
		return
	}
	a.printf("%s\n", clean(or(k.DJName, k.Name)))
	if k.About != "" {
		a.printf("  %s\n", clean(k.About))
	}
	if len(k.Picture) > 0 {
		a.printf("  a picture (%s; --picture FILE writes it)\n", size(int64(len(k.Picture))))
	}
	for _, p := range k.Playlists {
		a.printf("%s  %s\n", clean(p.Name), clean(p.Words))
		for _, t := range p.Tracks {
			what := ""
			if t.Title != "" || t.Artist != "" {
				what = "  " + clean(t.Artist+" - "+t.Title)
			}
			if t.Preview != nil {
				what += fmt.Sprintf("  preview %s (%s, %s)", t.Preview.CID, clean(t.Preview.Codec), size(int64(t.Preview.Size)))
			}
			a.printf("  %s%s\n", t.CID, what)
		}
	}
	if k.Left > 0 {
		a.printf("%s found no room on the card\n", plural(k.Left, "track"))
	}
}

func or(s, other string) string {
	if s != "" {
		return s
	}
	return other
}

func (a *app) cardPreviewCmd() *cobra.Command {
	req := daemon.CardPreviewRequest{}
	length := duration(30 * time.Second)
	var from duration
	c := &cobra.Command{
		Use:   "preview P [--for 30s] [--from T] [--off]",
		Short: "let everyone hear a clip of each track of a playlist",
		Long: `Makes a clip of each track of a playlist and puts it on your card: of the loudest
half minute, or from --from on, faded in and out. It is a file of its own, encoded
anew, that anyone can play, without a lease and without playnode (ipfs cat CID);
it opens nothing else. Tracks that you publish to the playlist later get theirs
then. Clips are Opus where ffmpeg is installed, else FLAC, several times larger.
--off takes them off the card; who has one by then keeps it.`,
		Args: exactly(1, "a playlist's name"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Playlist, req.For = args[0], time.Duration(length)
			if c.Flags().Changed("from") {
				at := time.Duration(from)
				req.From = &at
			}
			res, err := call(a, c, daemon.OpCardPreview, req)
			if err != nil {
				return err
			}
			for _, s := range res.Skipped {
				a.say("no preview of %s: %s", s.Path, s.Why)
			}
			if perr := a.result(res, func() {
				if req.Off {
					a.printf("%s: no previews any more\n", clean(res.Playlist))
					return
				}
				var kinds []string
				for codec, n := range res.Codecs {
					kinds = append(kinds, fmt.Sprintf("%d %s", n, map[string]string{"opus": "Opus", "flac": "FLAC"}[codec]))
				}
				sort.Strings(kinds)
				a.printf("%s: %s made now; on the card %s, %s\n", clean(res.Playlist), plural(res.Made, "preview"), strings.Join(kinds, " and "), size(int64(res.Bytes)))
			}); perr != nil {
				return perr
			}
			if res.Why != "" {
				a.say("as FLAC, several times larger than Opus, which takes an ffmpeg with libopus: %s; run it again when it is there", res.Why)
			}
			if res.Left > 0 {
				a.say("%s found no room on the card", plural(res.Left, "track"))
			}
			if len(res.Skipped) > 0 {
				return partly{fmt.Errorf("%s without a preview", plural(len(res.Skipped), "track"))}
			}
			return nil
		},
	}
	f := c.Flags()
	f.Var(&length, "for", "how long, 30s at the most")
	f.Var(&from, "from", "where it begins, such as 1m10s; the loudest stretch when empty")
	f.BoolVar(&req.Off, "off", false, "take the playlist's previews off the card")
	return c
}

func (a *app) previewCmd() *cobra.Command {
	var node nodeFlags
	var req daemon.PreviewRequest
	c := &cobra.Command{
		Use:   "preview NAME[/P] [TRACK]",
		Short: "hear a DJ's previews, before any lease",
		Long: `Plays the previews on the card of a DJ whom you follow, once: all of them, those of
one playlist, or that of one track (its CID, from playnode card show NAME). It
takes no lease and opens nothing sealed. Sinks are as for play.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usageError{errors.New("wants NAME or NAME/P, and perhaps a track's CID"), c.CommandPath()}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			req.Name, req.Node = args[0], node.request()
			if len(args) == 2 {
				req.Track = args[1]
			}
			return perform(a, c, daemon.OpPreview, &req.PlayRequest, func() daemon.PreviewRequest { return req })
		},
	}
	node.add(c)
	a.soundFlags(c, &req.PlayRequest)
	return c
}
