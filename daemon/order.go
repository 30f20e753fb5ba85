package daemon

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"

	"playnode/publisher"
)

// Operations of which tracks a playlist has, in which order.
const (
	OpPlaylistCreate Op[PlaylistRequest, Playlist]       = "playlist-create"
	OpPlaylistAdd    Op[PlaylistTracksRequest, Playlist] = "playlist-add"
	OpPlaylistRemove Op[PlaylistTracksRequest, Playlist] = "playlist-remove"
	OpPlaylistMove   Op[PlaylistMoveRequest, Playlist]   = "playlist-move"
)

// PlaylistTracksRequest names tracks, and a playlist that they are added to or
// taken from.
type PlaylistTracksRequest struct {
	Playlist string `json:"playlist"`
	// Tracks are CIDs, or P/N, the N-th of playlist P, from 1. What is taken out
	// may be N alone.
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

func (d *Daemon) playlistCreate(ctx context.Context, req PlaylistRequest, emit func(Event)) (Playlist, error) {
	n, err := d.net()
	if err != nil {
		return Playlist{}, err
	}
	l, err := n.publisher.Create(ctx, req.Name)
	return d.revised(l, err, emit)
}

func (d *Daemon) playlistAdd(ctx context.Context, req PlaylistTracksRequest, emit func(Event)) (Playlist, error) {
	n, err := d.net()
	if err != nil {
		return Playlist{}, err
	}
	tracks, err := n.named("", req.Tracks...)
	if err != nil {
		return Playlist{}, err
	}
	release := n.follow.Hold()
	l, err := n.publisher.Add(ctx, tracks, d.listing(req.Playlist, emit))
	release()
	return d.revised(l, err, emit)
}

// listing has a playlist list tracks, and tells how that goes.
func (d *Daemon) listing(label string, emit func(Event)) publisher.Options {
	return publisher.Options{
		Playlist: label,
		Progress: func(done, total int64) {
			emit(Event{Progress: &Progress{What: "seal", Done: done, Total: total, Unit: "bytes"}})
		},
		Clips: func(done, total int64) {
			emit(Event{Progress: &Progress{What: "previews", Done: done, Total: total, Unit: "tracks"}})
		},
	}
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

// named are tracks by their CIDs, by P/N, or by their numbers in a playlist; ""
// for none.
func (n *network) named(label string, names ...string) ([]cid.Cid, error) {
	lists := map[string]publisher.Playlist{}
	out := make([]cid.Cid, len(names))
	for i, name := range names {
		in, text := label, name
		if k := strings.LastIndexByte(name, '/'); k >= 0 {
			in, text = name[:k], name[k+1:]
		}
		k, err := strconv.Atoi(text)
		if err != nil || in == "" {
			if out[i], err = cid.Decode(name); err != nil {
				return nil, usage("%.80q is neither a track's CID nor its number; playnode playlist show %s lists them", name, cmp.Or(label, "P"))
			}
			continue
		}
		l, ok := lists[in]
		if !ok {
			if l, err = n.publisher.Playlist(in); err != nil {
				return nil, err
			}
			lists[in] = l
		}
		if k < 1 || k > len(l.Tracks) {
			return nil, usage("%q has no track %d; playnode playlist show %s lists them", in, k, in)
		}
		out[i] = l.Tracks[k-1].CID
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
