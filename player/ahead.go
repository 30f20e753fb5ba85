package player

import (
	"context"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
	"playnode/player/schedule"
)

// mostAhead bounds the turns of a schedule that are looked at.
const mostAhead = 500

// Ahead lists the tracks that come within d, each once, in their order, from the
// track that plays now on, which is given by its CID's text: what is scheduled,
// or, where nothing is, all that is leased here, played over and over. What
// cannot be unlocked now is not among them.
func (p *Player) Ahead(ctx context.Context, playing string, d time.Duration) (tracks []*manifests.Entry) {
	var s *schedule.Schedule
	if p.cfg.Schedule != nil {
		s = p.cfg.Schedule()
	}
	lists := map[string]*rota{}
	listed := map[cid.Cid]bool{}
	at := p.cfg.Now()
	end := at.Add(d)
	for range mostAhead {
		turn := s.At(at)
		until := turn.Until
		if until.IsZero() || until.After(end) {
			until = end
		}
		for _, c := range turn.Cues {
			l := lists[c.Playlist]
			if l == nil {
				l = p.rota(ctx, c.Playlist, playing)
				lists[c.Playlist] = l
			}
			if len(l.entries) == 0 {
				continue // another plays in its place
			}
			for _, e := range l.take(until.Sub(at)) {
				if !listed[e.Track] {
					listed[e.Track] = true
					tracks = append(tracks, e)
				}
			}
			break
		}
		if at = until; !at.Before(end) {
			break
		}
	}
	return tracks
}

// rota is a playlist that is played over and over.
type rota struct {
	entries []*manifests.Entry
	next    int
}

// rota is what is asked for, from the track that plays now on, or behind the one
// that was heard of it last; an empty one where it cannot be played.
func (p *Player) rota(ctx context.Context, asked, playing string) *rota {
	r := &rota{}
	g, err := p.program(ctx, Request{Name: asked})
	if err != nil {
		return r
	}
	defer g.close()
	heard := map[cid.Cid]bool{} // last, by any playback
	p.mu.Lock()
	for _, places := range p.places {
		if last, ok := places[asked]; ok {
			heard[last] = true
		}
	}
	p.mu.Unlock()
	now := -1
	for _, ps := range g.passes {
		for _, it := range ps.items {
			switch k := len(r.entries); {
			case now < 0 && it.entry.Track.String() == playing:
				now = k
			case heard[it.entry.Track]:
				r.next = k + 1
			}
			r.entries = append(r.entries, it.entry)
		}
	}
	if now >= 0 {
		r.next = now
	}
	return r
}

// take is what comes within so much time, at most all of it.
func (r *rota) take(d time.Duration) (out []*manifests.Entry) {
	for range r.entries {
		if d <= 0 {
			break
		}
		e := r.entries[r.next%len(r.entries)]
		out = append(out, e)
		r.next++
		d -= time.Duration(e.Sec) * time.Second
	}
	return out
}
