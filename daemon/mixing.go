package daemon

import (
	"context"
	"time"

	"playnode/publisher"
)

// Operations of how a playlist is mixed.
const (
	OpPlaylistSet Op[MixRequest, Playlist] = "playlist-set"
	OpPlaylistCue Op[CueRequest, Playlist] = "playlist-cue"
)

// MixRequest says how a playlist's tracks follow each other; what is left out
// stays as it is.
type MixRequest struct {
	Playlist string `json:"playlist"`
	// Crossfade is up to 30 s; 0 is none.
	Crossfade *time.Duration `json:"crossfade,omitempty"`
	// Gain is "track" or "album".
	Gain string `json:"gain,omitempty"`
}

// CueRequest says what is heard of a track where it is crossfaded; what is
// left out stays as it is.
type CueRequest struct {
	Playlist string `json:"playlist"`
	// Track is a CID, or the track's number in the playlist, from 1.
	Track string         `json:"track"`
	In    *time.Duration `json:"in,omitempty"`
	Out   *time.Duration `json:"out,omitempty"`
	// Clear forgets what was said before.
	Clear bool `json:"clear,omitempty"`
}

// Cue is what is heard of a track where it is crossfaded: from In to before
// Out, in sample frames; null is where the DJ says nothing.
type Cue struct {
	In    *int64 `json:"in"`
	InMs  *int64 `json:"inMs"`
	Out   *int64 `json:"out"`
	OutMs *int64 `json:"outMs"`
}

func (d *Daemon) playlistSet(ctx context.Context, req MixRequest, emit func(Event)) (Playlist, error) {
	n, err := d.net()
	if err != nil {
		return Playlist{}, err
	}
	t := publisher.MixTerms{Playlist: req.Playlist, Fade: req.Crossfade}
	if req.Gain != "" {
		album := req.Gain == "album"
		if !album && req.Gain != "track" {
			return Playlist{}, usage("gain %.20q is neither track nor album", req.Gain)
		}
		t.Album = &album
	}
	l, err := n.publisher.SetMixing(ctx, t)
	return d.revised(l, err, emit)
}

func (d *Daemon) playlistCue(ctx context.Context, req CueRequest, emit func(Event)) (Playlist, error) {
	n, err := d.net()
	if err != nil {
		return Playlist{}, err
	}
	t := publisher.CueTerms{Playlist: req.Playlist, In: req.In, Out: req.Out, Clear: req.Clear}
	tracks, err := n.named(req.Playlist, req.Track)
	if err != nil {
		return Playlist{}, err
	}
	t.Track = tracks[0]
	l, err := n.publisher.SetCue(ctx, t)
	return d.revised(l, err, emit)
}

// cueOf is what a playlist says of a track; nil for nothing.
func cueOf(l publisher.Playlist, t publisher.Track) *Cue {
	q, ok := l.Mixing.Cues[t.CID]
	if !ok {
		return nil
	}
	ms := func(n *int64) *int64 {
		if n == nil {
			return nil
		}
		v := *n * 1000 / int64(max(1, t.Rate))
		return &v
	}
	return &Cue{In: q.In, InMs: ms(q.In), Out: q.Out, OutMs: ms(q.Out)}
}
