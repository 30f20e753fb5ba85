package main

import (
	"context"
	"fmt"

	"playnode/daemon"
	"playnode/web"
)

// speaker is a daemon's loudspeaker as pages drive it.
type speaker struct{ d *daemon.Daemon }

func (s speaker) Admits(key string) bool { return s.d.Admits(key) }

func (s speaker) Heard(ctx context.Context) (web.Heard, error) {
	return s.ctl(ctx, daemon.CtlRequest{Do: "now"})
}

func (s speaker) Do(ctx context.Context, o web.Order) (web.Heard, error) {
	if o.Do == "play" {
		if _, err := daemon.Call(ctx, s.d, daemon.OpPlay, daemon.PlayRequest{Name: o.Plays, Detach: true, Instead: true}, nil); err != nil {
			return web.Heard{}, err
		}
		return s.Heard(ctx)
	}
	return s.ctl(ctx, daemon.CtlRequest{Do: o.Do, Volume: o.Volume, Track: o.Track})
}

func (s speaker) ctl(ctx context.Context, req daemon.CtlRequest) (web.Heard, error) {
	x, err := daemon.Call(ctx, s.d, daemon.OpCtl, req, nil)
	if err != nil {
		return web.Heard{}, err
	}
	h := web.Heard{
		State: x.State, Track: x.CID, Title: x.Title, Artist: x.Artist, Live: x.Live != nil, AtMs: x.AtMs, Ms: x.Ms, Volume: x.Volume, Ceiling: x.Ceiling,
	}
	if x.Playlist != "" {
		h.Plays = x.Name + "/" + x.Playlist
	}
	if x.Next != nil {
		h.Next = byline(x.Next.Artist, x.Next.Title)
	}
	return h, nil
}

// byline is who plays what.
func byline(artist, title string) string {
	if artist == "" {
		return title
	}
	return artist + " - " + title
}

func (s speaker) Shelf(ctx context.Context) (web.Shelf, error) {
	st, err := daemon.Call(ctx, s.d, daemon.OpStatus, struct{}{}, nil)
	if err != nil {
		return web.Shelf{}, err
	}
	return shelf(st), nil
}

// shelf is what a box may play, by what it says of itself.
func shelf(st daemon.Status) web.Shelf {
	out := web.Shelf{Items: []web.Item{}, Scheduled: len(st.Schedule.Slots) > 0, Wrong: []string{}}
	tracks, missing := 0, 0
	var first web.Item // to end
	for _, f := range st.Follows {
		leased := false
		for _, l := range st.Leases {
			if l.DJ != f.DJ || !l.Held || l.State != "active" {
				continue
			}
			leased = true
			i := web.Item{Plays: f.Name + "/" + l.Playlist, Label: l.Playlist, DJ: f.DJName, Until: l.Until}
			if out.Items = append(out.Items, i); first.Label == "" || i.Until.Before(first.Until) {
				first = i
			}
		}
		if leased {
			tracks, missing = tracks+f.Tracks, missing+f.Missing
			if f.Why != "" {
				out.Wrong = append(out.Wrong, f.Why)
			}
		}
	}
	for _, a := range st.Alerts {
		if !a.Settled {
			out.Wrong = append(out.Wrong, a.Text)
		}
	}
	for _, f := range st.Faults {
		if f.Mended == nil {
			out.Wrong = append(out.Wrong, f.Message)
		}
	}
	switch {
	case first.Label == "":
		out.Wrong = append(out.Wrong, "This box has no lease that runs: nothing can be played.")
	case missing > 0:
		out.Fine = fmt.Sprintf("%d of %s are here, and the rest is on its way.", tracks-missing, plural(tracks, "track"))
	default:
		out.Fine = fmt.Sprintf("All is here: it plays on without a network until %s, when the lease of %s ends.", first.Until.Local().Format("2 January"), first.Label)
	}
	return out
}
