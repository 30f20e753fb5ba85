package lease

import (
	"fmt"
	"runtime"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/manifests"
)

// Amend is what a revision changes of the last one. Under the same MK it costs
// what it touches, however large the selection is.
type Amend struct {
	// Tracks are new ones, which come last in the last list, in this order,
	// and those of which something but the key is another.
	Tracks []Track
	// Mixing, when not nil, is how the playlist List is mixed from now on, and
	// Order its tracks: those that it had, each once, but for Tracks.
	Mixing *manifests.Mixing
	Order  []cid.Cid
	List   string
}

// Listed tells which of tracks the last revision lists; held is a Draft's.
func (s Selection) Listed(tracks []cid.Cid, held func([]cid.Cid) ([][]byte, error)) (map[cid.Cid]bool, error) {
	return manifests.ListedTracks(s.Tracks, tracks, held)
}

// amend makes the tracks' and the lists' blocks of the last revision's.
func (r *Revision) amend(n *Selection, old Selection, d Draft) error {
	if d.Held == nil || !old.Tracks.Defined() || len(old.Meta) == 0 {
		return ErrWhole
	}
	same := n.MK.Equal(old.MK)
	var a *manifests.Amended
	var err error
	switch entries := n.entries(d.Amend.Tracks); {
	case !same:
		a, err = n.rewrap(old, entries, d.Held)
	case len(entries) > 0:
		a, err = manifests.AmendTracks(old.Tracks, entries, d.Held)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrWhole, err)
	case a == nil:
		n.Tracks, r.Manifest.Tracks = old.Tracks, old.Tracks
		a = &manifests.Amended{}
	case a.Clash:
		return ErrWhole
	default:
		r.cover(n, a.Blocks)
	}
	return r.amendMeta(n, old, a.New, d, same)
}

// amendMeta lists the last revision's meta blocks, sealed anew where MK is
// another, with another order and mixing where there are such, and has the added
// tracks follow.
func (r *Revision) amendMeta(n *Selection, old Selection, added []cid.Cid, d Draft, same bool) error {
	from := 0
	if same && d.Amend.Mixing == nil && d.Amend.Order == nil {
		if from = len(old.Meta) - 1; len(added) == 0 {
			from++
		}
	}
	open, err := old.openMeta(old.Meta[from:], d.Held)
	if err == nil && d.Amend.Order != nil {
		open = manifests.Reorder(open, d.Amend.List, d.Amend.Order)
	}
	if err == nil && d.Amend.Mixing != nil {
		open, err = manifests.Remix(open, d.Amend.List, *d.Amend.Mixing)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWhole, err)
	}
	for _, b := range old.Meta[:from] {
		r.list(n, b)
	}
	if last := len(open) - 1; len(added) > 0 {
		if open[last].Kind != manifests.KindOrder {
			return ErrWhole
		}
		open = append(open[:last], manifests.ContinueOrder(open[last], added)...)
	}
	if err := r.sealAll(n, old, open, same); err != nil {
		return fmt.Errorf("seal playlists: %w", err)
	}
	return nil
}

// rewrap is what the last revision lists, and entries, under n's MK. The file
// keys are those that the old MK opens.
func (n *Selection) rewrap(old Selection, entries []manifests.Entry, held func([]cid.Cid) ([][]byte, error)) (*manifests.Amended, error) {
	t, err := manifests.ReadTracks(old.Tracks, held)
	if err != nil {
		return nil, err
	}
	var g errgroup.Group
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		part := t.Entries[w*len(t.Entries)/workers : (w+1)*len(t.Entries)/workers]
		g.Go(func() error {
			u := old.unlocked()
			defer u.Close()
			for i := range part {
				k, err := u.FileKey(part[i])
				if err != nil {
					return err
				}
				part[i].Wrap = n.wrap(part[i].Track, k)
				k.Zero()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return manifests.PutTracks(t.Entries, entries)
}

// unlocked is the last revision as whoever holds its MK sees it.
func (s Selection) unlocked() *Unlocked { return &Unlocked{dj: s.DJ, sel: s.Sel, mk: s.MK} }

// openMeta opens meta blocks of the last revision.
func (s Selection) openMeta(blocks []MetaBlock, held func([]cid.Cid) ([][]byte, error)) ([]*manifests.Meta, error) {
	cids := make([]cid.Cid, len(blocks))
	for i, b := range blocks {
		cids[i] = b.CID
	}
	sealed, err := held(cids)
	if err != nil {
		return nil, err
	}
	if len(sealed) != len(cids) {
		return nil, fmt.Errorf("%d meta blocks of %d", len(sealed), len(cids))
	}
	u := s.unlocked()
	defer u.Close()
	return u.meta(sealed)
}
