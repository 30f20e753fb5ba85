package daemon

import (
	"context"
	"strconv"

	"github.com/ipfs/go-cid"

	"playnode/publisher"
)

// Operations of which tracks a playlist has, in which order.
const (
	OpPlaylistRemove Op[PlaylistTracksRequest, Playlist] = "playlist-remove"
	OpPlaylistMove   Op[PlaylistMoveRequest, Playlist]   = "playlist-move"
)

// PlaylistTracksRequest names tracks, and a playlist that they are taken from.
type PlaylistTracksRequest struct {
	Playlist string `json:"playlist"`
	// Tracks are CIDs, or the tracks' numbers in the playlist, from 1.
	Tracks []string `json:"tracks"`
}

// PlaylistMoveRequest puts a track of a playlist at another place of it.
type PlaylistMoveRequest struct {
	Playlist string `json:"playlist"`
	// Track is a CID, or the track's number in the playlist, from 1; Position is
	// the number that it gets.
	Track    string `json:"track"`
	Position int    `json:"position"`
}

func (d *Daemon) playlistRemove(ctx context.Context, req PlaylistTracksRequest, emit func(Event)) (Playlist, error) {
	n, err := d.net()
	if err != nil {
		return Playlist{}, err
	}
	tracks, err := n.named(req.Playlist, req.Tracks...)
	if err != nil {
		return Playlist{}, err
	}
	l, err := n.publisher.Remove(ctx, req.Playlist, tracks)
	return d.revised(l, err, emit)
}

func (d *Daemon) playlistMove(ctx context.Context, req PlaylistMoveRequest, emit func(Event)) (Playlist, error) {
	n, err := d.net()
	if err != nil {
		return Playlist{}, err
	}
	tracks, err := n.named(req.Playlist, req.Track)
	if err != nil {
		return Playlist{}, err
	}
	l, err := n.publisher.Move(ctx, req.Playlist, tracks[0], req.Position-1)
	return d.revised(l, err, emit)
}

// named are tracks by their CIDs, or by their numbers in a playlist.
func (n *network) named(label string, names ...string) ([]cid.Cid, error) {
	l, err := n.publisher.Playlist(label)
	if err != nil {
		return nil, err
	}
	out := make([]cid.Cid, len(names))
	for i, name := range names {
		if k, err := strconv.Atoi(name); err != nil {
			if out[i], err = cid.Decode(name); err != nil {
				return nil, usage("%.80q is neither a track's CID nor its number; playnode playlist show %s lists them", name, label)
			}
		} else if k < 1 || k > len(l.Tracks) {
			return nil, usage("%q has no track %d; playnode playlist show %s lists them", label, k, label)
		} else {
			out[i] = l.Tracks[k-1].CID
		}
	}
	return out, nil
}

// revised is the answer to who has changed a playlist.
func (d *Daemon) revised(l publisher.Playlist, err error, emit func(Event)) (Playlist, error) {
	if err != nil {
		return Playlist{}, terms(err)
	}
	d.unserved(emit)
	return playlistOf(l), nil
}
