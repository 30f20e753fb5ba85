package publisher

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/lease"
	"playnode/manifests"
)

// rowWithdrawn begins the rows of tracks that a playlist has had and has no more,
// while another has them: by the track, and the playlist's label. Published there
// again they are sealed anew; the row says as which track, or as none yet by being
// the track itself.
const rowWithdrawn = "withdrawn/"

func withdrawn(c cid.Cid, label string) string { return rowWithdrawn + c.String() + "/" + label }

// Create makes a playlist without tracks, and publishes it: it can be shared, leased
// and offered. It is durable when it returns.
func (p *Publisher) Create(ctx context.Context, label string) (Playlist, error) {
	if !manifests.ValidLabel(label) {
		return Playlist{}, fmt.Errorf("create %q: %w", label, ErrLabel)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	there, err := load(p.cfg.Store, rowList+label, new(listRow))
	if there {
		err = ErrPlaylist
	}
	if err == nil {
		err = p.commit(ctx, edit{label: label, create: true})
	}
	if err != nil {
		return Playlist{}, fmt.Errorf("create %q: %w", label, err)
	}
	return p.Playlist(label)
}

// Add has a playlist list tracks of the library behind those that it has, and
// publishes that: all of them, or none. They are the very tracks that other
// playlists list, for which nothing is sealed or sent again, but for those that
// were withdrawn from it: these are sealed anew, from the blocks that are here. A
// track that it has already stays where it is. It is durable when it returns.
func (p *Publisher) Add(ctx context.Context, tracks []cid.Cid, opt Options) (Playlist, error) {
	return p.list(ctx, tracks, opt, func(l Playlist, tracks []cid.Cid) (edit, error) {
		return edit{label: l.Label, add: tracks}, nil
	})
}

// Replace is Add for a playlist that is to have these tracks, in this order, and no
// others: those go as by Remove.
func (p *Publisher) Replace(ctx context.Context, tracks []cid.Cid, opt Options) (Playlist, error) {
	return p.list(ctx, tracks, opt, func(l Playlist, tracks []cid.Cid) (edit, error) {
		e := edit{label: l.Label, order: tracks, whole: true}
		stays := make(map[cid.Cid]bool, len(tracks))
		for _, c := range tracks {
			stays[c] = true
		}
		var had []cid.Cid
		for _, t := range l.Tracks {
			if had = append(had, t.CID); !stays[t.CID] {
				e.drop = append(e.drop, t.CID)
			}
		}
		if slices.Equal(had, tracks) {
			return edit{label: l.Label}, nil
		}
		return e, p.unroll(&e)
	})
}

// list changes which tracks a playlist has, given them as it may list them, each
// once.
func (p *Publisher) list(ctx context.Context, tracks []cid.Cid, opt Options, change func(Playlist, []cid.Cid) (edit, error)) (Playlist, error) {
	l, err := p.Playlist(opt.Playlist)
	if err != nil {
		return Playlist{}, err
	}
	have := make(map[cid.Cid]bool, len(l.Tracks))
	for _, t := range l.Tracks {
		have[t.CID] = true
	}
	all, fresh, err := p.listable(ctx, tracks, have, opt)
	if err == nil {
		err = p.clipsFor(ctx, opt, fresh, new(Result))
	}
	if err != nil {
		return Playlist{}, fmt.Errorf("playlist %q: %w", opt.Playlist, err)
	}
	return p.reorder(ctx, opt.Playlist, func(l Playlist) (edit, error) {
		for _, c := range fresh {
			if now, err := p.fit(c, opt.Playlist); err != nil || now != c {
				return edit{}, cmp.Or(err, fmt.Errorf("track %s was taken out meanwhile", c))
			}
		}
		return change(l, all)
	})
}

// listable are tracks as a playlist that has some of them may list them, each once,
// and those of them that it has not: sealed anew, where they were withdrawn.
func (p *Publisher) listable(ctx context.Context, tracks []cid.Cid, have map[cid.Cid]bool, opt Options) (all, fresh []cid.Cid, err error) {
	meter := meter{tell: opt.Progress}
	rows := make([]*trackRow, len(tracks))
	for i, c := range tracks {
		rows[i] = new(trackRow)
		ok, err := load(p.cfg.Store, rowTrack+c.String(), rows[i])
		if err == nil && !ok {
			err = fmt.Errorf("%w: track %s is in none of your playlists; publish its file", ErrTerms, c)
		}
		if err != nil {
			return nil, nil, err
		}
		if fits, err := p.fit(c, opt.Playlist); err == nil && !fits.Defined() {
			meter.total += int64(rows[i].Size)
		}
	}
	seen := make(map[cid.Cid]bool, len(tracks))
	for _, row := range rows {
		c := row.CID
		if !have[c] {
			if c, err = p.fit(c, opt.Playlist); err == nil && !c.Defined() {
				c, err = p.reseal(ctx, row, opt.Playlist, meter.add)
			}
		}
		if err != nil {
			return nil, nil, fmt.Errorf("add track %s: %w", row.CID, err)
		}
		if seen[c] {
			continue
		}
		seen[c] = true
		if all = append(all, c); !have[c] {
			fresh = append(fresh, c)
		}
	}
	return all, fresh, nil
}

// fit is what a playlist may list for a track: the track itself, or what it was
// sealed as anew since it was withdrawn; undefined where that is to be done.
func (p *Publisher) fit(c cid.Cid, label string) (cid.Cid, error) {
	for {
		var anew cid.Cid
		ok, err := load(p.cfg.Store, withdrawn(c, label), &anew)
		if err != nil || !ok {
			return c, err
		}
		ok, err = load(p.cfg.Store, rowTrack+anew.String(), new(trackRow))
		if err != nil || !ok || anew == c {
			return cid.Undef, err
		}
		c = anew
	}
}

// reseal seals a track of the library anew, for a playlist from which it was
// withdrawn: to the archive key of now, unless it had none.
func (p *Publisher) reseal(ctx context.Context, row *trackRow, label string, count func(int64)) (cid.Cid, error) {
	defer p.files.lock(rowTrack + row.CID.String())()
	if c, err := p.fit(row.CID, label); err != nil || c.Defined() {
		return c, err // somebody has done it meanwhile
	}
	if p.cfg.Held == nil {
		return cid.Undef, errors.New("no blocks to read")
	}
	t := row.track()
	sealed, err := p.cfg.Held.Read(ctx, row.Info)
	if err != nil {
		return cid.Undef, fmt.Errorf("read info: %w", err)
	}
	info, err := lease.OpenInfo(t.Key, manifests.Entry{Track: t.CID, Info: t.Info, Size: t.Size, Sec: t.Sec}, sealed)
	if err != nil {
		return cid.Undef, err
	}
	f, err := openHeld(ctx, p.cfg.Held, row.CID, row.Size)
	if err != nil {
		return cid.Undef, err
	}
	plain, size, err := lease.OpenTrack(p.cfg.Keys.DJ(), t.Key, info, f, f.tree.Size)
	if err != nil {
		return cid.Undef, err
	}
	begin := make([]byte, min(f.tree.Size, 128))
	if _, err := f.ReadAt(begin, 0); err != nil {
		return cid.Undef, err
	}
	var to seal.ArchiveRecipient
	if !seal.Unarchived(begin) {
		to = p.cfg.Keys.archive().Recipient()
	}
	fresh := *row
	var key seal.FileKey
	if fresh.CID, key, fresh.Size, err = p.sealBytes(ctx, io.NewSectionReader(plain, 0, size), size, to, count); err != nil {
		return cid.Undef, err
	}
	info.Recorded = nil // what was a set is a file now
	block, err := lease.SealInfo(key, fresh.CID, info)
	if err != nil {
		return cid.Undef, err
	}
	if err := p.put(ctx, []manifests.Block{block}); err != nil {
		return cid.Undef, err
	}
	fresh.Info, fresh.Key = block.CID, key[:]
	return fresh.CID, p.cfg.Store.Apply(map[string][]byte{
		rowTrack + fresh.CID.String(): marshal(fresh), withdrawn(row.CID, label): marshal(fresh.CID),
	}, nil)
}

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
