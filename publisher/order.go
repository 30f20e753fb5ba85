package publisher

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
)

// rowWithdrawn begins the rows of tracks that a playlist has had and has no more,
// while another has them: by the track, and the playlist's label. Published there
// again they are sealed anew.
const rowWithdrawn = "withdrawn/"

func withdrawn(c cid.Cid, label string) string { return rowWithdrawn + c.String() + "/" + label }

// Remove takes tracks out of a playlist, with all that is said of them there, and
// publishes that: all of them, or none. Tracks that no playlist has any more are
// forgotten. It is durable when it returns.
func (p *Publisher) Remove(ctx context.Context, label string, tracks []cid.Cid) (Playlist, error) {
	return p.reorder(ctx, label, func(l Playlist) (edit, error) {
		e := edit{label: label}
		for _, c := range tracks {
			if l.find(c) < 0 {
				return e, notIn(c)
			}
			if !slices.Contains(e.drop, c) {
				e.drop = append(e.drop, c)
			}
		}
		return e, p.unroll(&e)
	})
}

// Move puts a track of a playlist at another place of it, 0 being the first, and
// publishes that. It is durable when it returns.
func (p *Publisher) Move(ctx context.Context, label string, track cid.Cid, to int) (Playlist, error) {
	return p.reorder(ctx, label, func(l Playlist) (edit, error) {
		e := edit{label: label}
		from := l.find(track)
		if from < 0 {
			return e, notIn(track)
		}
		if to < 0 || to >= len(l.Tracks) {
			return e, fmt.Errorf("%w: it has the places 1 to %d", ErrTerms, len(l.Tracks))
		}
		if from == to {
			return e, nil
		}
		for _, t := range slices.Insert(slices.Delete(slices.Clone(l.Tracks), from, from+1), to, l.Tracks[from]) {
			e.order = append(e.order, t.CID)
		}
		return e, nil
	})
}

// reorder changes which tracks a playlist has, or their order, and publishes it.
func (p *Publisher) reorder(ctx context.Context, label string, change func(Playlist) (edit, error)) (Playlist, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := p.Playlist(label)
	if err != nil {
		return Playlist{}, err
	}
	e, err := change(l)
	if err == nil {
		err = p.commit(ctx, e)
	}
	if err != nil {
		return Playlist{}, fmt.Errorf("playlist %q: %w", label, err)
	}
	return p.Playlist(label)
}

// find is a track's place; -1 where it has none.
func (l *Playlist) find(c cid.Cid) int {
	return slices.IndexFunc(l.Tracks, func(t Track) bool { return t.CID == c })
}

func notIn(c cid.Cid) error { return fmt.Errorf("%w: track %s is not in it", ErrTerms, c) }

// unroll has an edit forget that the tracks which it drops roll.
func (p *Publisher) unroll(e *edit) error {
	return p.cfg.Store.Each(rowRoll+e.label+"/", func(key string, value []byte) error {
		var r rollRow
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if slices.Contains(e.drop, r.CID) {
			e.gone = append(e.gone, key)
		}
		return nil
	})
}

// without is a playlist's order but for some tracks. It forgets by gone what the
// library has of those that no other playlist lists, and notes by puts that the
// others were withdrawn.
func (p *Publisher) without(l *listRow, lists []*listRow, drop []cid.Cid, puts map[string][]byte, gone *[]string) ([]cid.Cid, error) {
	out := map[cid.Cid]bool{}
	for _, c := range drop {
		out[c] = true
	}
	order, err := p.order(l)
	if err != nil {
		return nil, err
	}
	left := slices.DeleteFunc(order, func(c cid.Cid) bool { return out[c] })
	for _, o := range lists {
		if o.Label == l.Label {
			continue
		}
		others, err := p.order(o)
		if err != nil {
			return nil, err
		}
		for _, c := range others {
			if out[c] {
				puts[withdrawn(c, l.Label)] = marshal(c)
			}
			delete(out, c)
		}
	}
	for c := range out {
		*gone = append(*gone, rowTrack+c.String())
		for _, of := range []string{rowClip, rowWithdrawn} {
			if err := p.cfg.Store.Each(of+c.String()+"/", func(key string, _ []byte) error {
				*gone = append(*gone, key)
				return nil
			}); err != nil {
				return nil, err
			}
		}
	}
	return left, nil
}

// replace puts other tracks in place of all of the playlist's, and has gone
// name the pages that are left over.
func (l *listRow) replace(tracks []cid.Cid, puts map[string][]byte, gone *[]string) {
	pages := l.Pages
	l.Tracks, l.Pages = nil, 0
	l.add(tracks, puts)
	for i := l.Pages; i < pages; i++ {
		*gone = append(*gone, l.page(i))
	}
	l.Changed = slices.DeleteFunc(l.Changed, func(c cid.Cid) bool { return !slices.Contains(tracks, c) })
}
