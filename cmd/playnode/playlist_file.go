package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) playlistImportCmd() *cobra.Command {
	var req daemon.PlaylistImportRequest
	c := &cobra.Command{
		Use:   "import FILE [--playlist P] [--replace]",
		Short: "list what another program's playlist names",
		Long: `Reads a playlist in M3U8, XSPF or JSPF, finds which of your published tracks its
entries are, and adds those to playlist P, behind those that it has. An entry is
known by its ipfs://CID, by the file that it names, where that was published, or
by its title and artist. What is none of your tracks is said, and passed over
(exit 3). With --replace the playlist is to have these tracks in this order and
no others; nothing is changed where an entry is none of your tracks.`,
		Args: exactly(1, "a playlist's file"),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if req.Path, err = absolute(args[0]); err != nil {
				return err
			}
			res, err := call(a, c, daemon.OpPlaylistImport, req)
			if err != nil {
				return err
			}
			for _, s := range res.Skipped {
				a.say("skipped %s: %s", clean(s.Path), s.Why)
			}
			if a.json {
				err = a.result(res, nil)
			} else {
				err = a.shown(res.Playlist)
			}
			if err == nil && len(res.Skipped) > 0 {
				err = partly{fmt.Errorf("%s skipped", plural(len(res.Skipped), "track"))}
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&req.Playlist, "playlist", "main", "the playlist to add to; it is made when new")
	f.BoolVar(&req.Replace, "replace", false, "have it these tracks in this order, and no others")
	return c
}

func (a *app) playlistExportCmd() *cobra.Command {
	req := daemon.PlaylistExportRequest{}
	var look []string
	c := &cobra.Command{
		Use:   "export P [FILE] [--format m3u8|xspf|jspf] [--files PATH]",
		Short: "write a playlist for other programs",
		Long: `Writes a playlist as M3U8, XSPF or JSPF: to FILE, whose name says which, else to
stdout, as M3U8 unless --format says otherwise (with --json as JSPF). A track is
named by ipfs://CID, which is its sealed bytes and plays nowhere. With --files,
the files from which tracks were published are looked for in those folders, and
the playlist names them: then it plays. import reads it back.`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usageError{errors.New("wants a playlist's name, and a file or none"), c.CommandPath()}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			req.Playlist = args[0]
			if len(args) > 1 {
				req.Name = args[1]
			} else if req.Format == "" {
				req.Format = "m3u8"
				if a.json {
					req.Format = "jspf"
				}
			}
			for _, p := range look {
				abs, err := absolute(p)
				if err != nil {
					return err
				}
				req.Files = append(req.Files, abs)
			}
			res, err := call(a, c, daemon.OpPlaylistExport, req)
			if err != nil {
				return err
			}
			if n := len(res.Playlist.Tracks); len(look) > 0 && res.Found < n {
				a.say("the files of %d of %s were found", res.Found, plural(n, "track"))
			}
			if req.Name == "" {
				a.printf("%s", res.Text)
				return nil
			}
			if err := os.WriteFile(req.Name, []byte(res.Text), 0o644); err != nil {
				return err
			}
			return a.result(res.Playlist, func() { a.printf("%s: %s\n", req.Name, plural(len(res.Playlist.Tracks), "track")) })
		},
	}
	f := c.Flags()
	f.StringVar(&req.Format, "format", "", "m3u8, xspf or jspf")
	f.StringArrayVar(&look, "files", nil, "a folder of the files that were published, for the playlist to name them (repeatable)")
	return c
}
