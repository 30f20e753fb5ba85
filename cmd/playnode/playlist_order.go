package main

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"playnode/daemon"
)

func (a *app) playlistCreateCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "create P",
		Short: "make a playlist without tracks",
		Long: `Makes a playlist of that name, and publishes it. It can be shared, offered and
leased at once; its venues are silent until it has a track. (publish --playlist
makes one where there is none.)`,
		Args: exactly(1, "a playlist's name"),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := call(a, c, daemon.OpPlaylistCreate, daemon.PlaylistRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.result(p, func() { a.printf("%s: %s\n", clean(p.Name), plural(len(p.Tracks), "track")) })
		},
	}
}

func (a *app) playlistAddCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "add P TRACK...",
		Short: "have a playlist list tracks that another of yours has",
		Long: `Adds tracks that you have published to playlist P as well, behind those that it
has, and publishes that: all of them, or none. TRACK is a CID, or bar/3, the
third of playlist bar. Nothing is sealed or sent again: it is the same track in
both, and whoever leases either can open it. What was taken out of P before is
sealed anew for it.`,
		Args: atLeast(2, "a playlist's name and tracks"),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := call(a, c, daemon.OpPlaylistAdd, daemon.PlaylistTracksRequest{Playlist: args[0], Tracks: args[1:]})
			if err != nil {
				return err
			}
			return a.shown(p)
		},
	}
}

func (a *app) playlistRmCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "rm P TRACK...",
		Short: "take tracks out of a playlist",
		Long: `Takes tracks out of a playlist, with what you have said of them there, and
publishes that: all of them, or none. TRACK is its number in the playlist, as it
is now, or its CID. A venue that plays one plays it to its end. A track that no
other playlist of yours has is forgotten here, and given up by everyone who keeps
your catalogue; the file on your disk stays. Who could open it may have kept it:
published in that playlist again it is sealed anew, for all.`,
		Args: atLeast(2, "a playlist's name and tracks"),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := call(a, c, daemon.OpPlaylistRemove, daemon.PlaylistTracksRequest{Playlist: args[0], Tracks: args[1:]})
			if err != nil {
				return err
			}
			return a.shown(p)
		},
	}
}

func (a *app) playlistMvCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "mv P TRACK POSITION",
		Short: "put a track at another place of a playlist",
		Long: `Has a track be the POSITION-th of its playlist, 1 being the first, and publishes
that, sealed. TRACK is its number in the playlist, or its CID. The others keep
their order. Where the playlist plays, what sounds goes on, and what comes next
is the new order's.`,
		Args: exactly(3, "a playlist's name, a track and a position"),
		RunE: func(c *cobra.Command, args []string) error {
			to, err := strconv.Atoi(args[2])
			if err != nil {
				return usageError{errors.New("POSITION is a number, 1 for the first"), c.CommandPath()}
			}
			p, err := call(a, c, daemon.OpPlaylistMove, daemon.PlaylistMoveRequest{Playlist: args[0], Track: args[1], Position: to})
			if err != nil {
				return err
			}
			return a.shown(p)
		},
	}
}
