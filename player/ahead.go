package player

import (
	"context"
	"time"

	"github.com/ipfs/go-cid"
)

// Ahead lists the tracks that everything leased here, played over and over in
// its order, comes to within d, from the track that plays now on, which is
// given by its CID's text, or from the first. What cannot be unlocked now is
// not among them.
func (p *Player) Ahead(ctx context.Context, playing string, d time.Duration) (tracks []cid.Cid) {
	g, err := p.program(ctx, Request{})
	if err != nil {
		return nil // nothing is leased, or what is cannot be read
	}
	defer g.close()
	var items []item
	for _, ps := range g.passes {
		items = append(items, ps.items...)
	}
	first := 0
	for i, it := range items {
		if it.entry.Track.String() == playing {
			first = i
			break
		}
	}
	left := d
	for i := range items {
		if left <= 0 {
			break
		}
		e := items[(first+i)%len(items)].entry
		tracks = append(tracks, e.Track)
		left -= time.Duration(e.Sec) * time.Second
	}
	return tracks
}
