package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/lease"
	"playnode/manifests"
)

// rowExcerpt begins the rows of excerpts, by their ids: what opens them.
const rowExcerpt = "excerpt/"

type excerptRow struct {
	Link  string // without where it is found
	Track cid.Cid
	Text  string
	From  time.Duration
	For   time.Duration
	Made  int64 // Unix seconds
}

var (
	// ErrNoSet says that a track was no set on air, and has no keys by the second.
	ErrNoSet = errors.New("no set that was on air")
	// ErrNoExcerpt says that there is no such excerpt.
	ErrNoExcerpt = errors.New("no such excerpt")
	// ErrExcerpts says that the card has no room for more excerpts.
	ErrExcerpts = fmt.Errorf("there are %d excerpts: take one back first", manifests.MaxOpen)
)

// Excerpt is a stretch of a set that is open to who has its link.
type Excerpt struct {
	Link  manifests.OpenLink // without where it is found
	Track cid.Cid
	Text  string
	// From and For are where it begins, and how long it is: by whole segments.
	From, For time.Duration
}

// AddExcerpt leaves a stretch of a track that was a set open to all who have the
// link, and publishes it: the keys of its segments lie in a block that the link's
// key opens and the card leads to, so that whoever keeps the catalogue has it.
// It begins at the segment before from, where need be. text is what it is
// called; "" for the track's title.
func (p *Publisher) AddExcerpt(ctx context.Context, track cid.Cid, from, length time.Duration, text string) (Excerpt, error) {
	x, err := p.addExcerpt(ctx, track, from, length, text)
	if err != nil {
		return Excerpt{}, fmt.Errorf("excerpt of %s: %w", track, err)
	}
	return x, nil
}

func (p *Publisher) addExcerpt(ctx context.Context, track cid.Cid, from, length time.Duration, text string) (x Excerpt, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	row, err := p.cardRow()
	if err != nil {
		return x, err
	}
	if len(row.Open) >= manifests.MaxOpen {
		return x, ErrExcerpts
	}
	t, err := p.trackRow(track)
	if err != nil {
		return x, err
	}
	e, skipped, err := p.cutExcerpt(ctx, &t, from, length)
	if err != nil {
		return x, err
	}
	if e.Text = manifests.Clean(text, 512); e.Text == "" {
		e.Text = t.Title
	}
	key := lease.NewExcerptKey(p.cfg.Keys.DJ())
	block, err := key.Seal(e)
	if err == nil {
		err = p.put(ctx, []manifests.Block{block})
	}
	if err != nil {
		return x, err
	}
	ticks := int64(0)
	for _, part := range e.Parts {
		ticks += part.Len
	}
	x = Excerpt{Link: key.Link(), Track: track, Text: e.Text, From: skipped, For: spanOf(ticks, e.Init.Rate)}
	x.Link.Name = p.cfg.Keys.Name()
	row.leadTo(x.Link.ID, block.CID)
	puts := map[string][]byte{rowExcerpt + x.Link.ID.String(): marshal(excerptRow{x.Link.String(), track, x.Text, x.From, x.For, p.cfg.Now().Unix()})}
	return x, p.commit(ctx, edit{card: &row, puts: puts})
}

// leaveOpen has the link of an open set that is over lead to all of it, from its
// beginning: an excerpt under the set's id and key, of what begins alike, which the
// edit e puts on the card. t is the first track of it. mu is held.
func (p *Publisher) leaveOpen(ctx context.Context, e *edit, air lease.Air, runs []runRow, leaves []segmentRow, closed bool, t *trackRow) error {
	row, err := p.cardRow()
	if err != nil {
		return err
	}
	if len(row.Open) >= manifests.MaxOpen {
		p.cfg.Log.Warn("the link of a set that is over leads nowhere", "set", air.Record.Live, "err", ErrExcerpts)
		return nil
	}
	n := min(len(leaves), manifests.MaxExcerpt)
	if len(runs) > 1 {
		n = min(n, int(runs[1].From))
	}
	x := &manifests.Excerpt{Live: air.Record.Live, Init: *runs[0].Init, Text: manifests.Clean(t.Title, 512), Final: closed && n == len(leaves)}
	spans := spansOf(air, 0, uint64(n))
	for i, s := range leaves[:n] {
		for len(spans) > 1 && spans[1].From <= uint64(i) {
			spans = spans[1:]
		}
		x.Parts = append(x.Parts, manifests.Part{Digest: manifests.Digest(s.CID), Key: air.SegmentKey(uint64(i)), Len: s.Len, Gen: spans[0].Gen, Cur: spans[0].Cur})
	}
	key := air.Open.Recording()
	block, err := key.Seal(x)
	for err != nil && len(x.Parts) > manifests.MaxExcerpt/2 { // there is not room for all
		x.Parts, x.Final = x.Parts[:len(x.Parts)*15/16], false
		block, err = key.Seal(x)
	}
	ticks := int64(0)
	for _, part := range x.Parts {
		ticks += part.Len
	}
	if err != nil { // it is a track all the same
		p.cfg.Log.Warn("the link of a set that is over leads nowhere", "set", x.Live, "err", err)
		return nil
	}
	if err := p.put(ctx, []manifests.Block{block}); err != nil {
		return fmt.Errorf("leave set %s open: %w", x.Live, err)
	}
	link := key.Link()
	link.Name = p.cfg.Keys.Name()
	row.leadTo(x.Live, block.CID)
	e.card = &row
	if e.puts == nil {
		e.puts = map[string][]byte{}
	}
	e.puts[rowExcerpt+x.Live.String()] = marshal(excerptRow{link.String(), t.CID, x.Text, 0, spanOf(ticks, x.Init.Rate), p.cfg.Now().Unix()})
	return nil
}

// leadTo has the card lead to an excerpt's block.
func (r *cardRow) leadTo(id manifests.LiveID, block cid.Cid) {
	if r.Open = maps.Clone(r.Open); r.Open == nil { // it is shared with the row as it was
		r.Open = map[string]cid.Cid{}
	}
	r.Open[id.String()] = block
}

func spanOf(ticks int64, rate int) time.Duration {
	return time.Duration(float64(ticks) / float64(rate) * float64(time.Second))
}

// cutExcerpt finds the segments of a stretch, and where in the track they begin.
func (p *Publisher) cutExcerpt(ctx context.Context, row *trackRow, from, length time.Duration) (*manifests.Excerpt, time.Duration, error) {
	t := row.track()
	sealed, err := p.cfg.Held.Read(ctx, row.Info)
	if err != nil {
		return nil, 0, fmt.Errorf("read info: %w", err)
	}
	info, err := lease.OpenInfo(t.Key, manifests.Entry{Track: t.CID, Info: t.Info, Size: t.Size, Sec: t.Sec}, sealed)
	if err != nil {
		return nil, 0, err
	}
	if info.Recorded == nil {
		return nil, 0, ErrNoSet
	}
	f, err := openHeld(ctx, p.cfg.Held, row.CID, row.Size)
	if err != nil {
		return nil, 0, err
	}
	read := func(i int) ([]byte, error) { return p.cfg.Held.Read(ctx, f.tree.Leaves[i].CID) }
	first, err := read(0)
	if err != nil {
		return nil, 0, err
	}
	r, n := info.Recorded, len(f.tree.Leaves)
	begin, err := lease.OpenRecorded(p.cfg.Keys.DJ(), r, r.First, r.First+uint64(n-1), first)
	if err != nil || begin.Init == nil {
		return nil, 0, fmt.Errorf("its first segment: %w", errors.Join(err, lease.ErrRefused))
	}
	ticks := func(d time.Duration) int64 { return int64(d.Seconds() * float64(begin.Init.Rate)) }
	e, err := lease.Cut(p.cfg.Keys.DJ(), r, n, ticks(from), max(1, ticks(length)), read)
	if err != nil {
		return nil, 0, err
	}
	at, err := read(int(e.First - r.First))
	if err != nil {
		return nil, 0, err
	}
	s, err := lease.OpenRecorded(p.cfg.Keys.DJ(), r, e.First, r.First+uint64(n-1), at)
	if err != nil {
		return nil, 0, err
	}
	return e, spanOf(s.At-begin.At, begin.Init.Rate), nil
}

// Excerpts lists what is open, the oldest first.
func (p *Publisher) Excerpts() ([]Excerpt, error) {
	var rows []excerptRow
	if err := p.cfg.Store.Each(rowExcerpt, func(_ string, value []byte) error {
		var r excerptRow
		err := json.Unmarshal(value, &r)
		rows = append(rows, r)
		return err
	}); err != nil {
		return nil, fmt.Errorf("list excerpts: %w", err)
	}
	slices.SortStableFunc(rows, func(a, b excerptRow) int { return int(a.Made - b.Made) })
	var out []Excerpt
	for _, r := range rows {
		l, err := manifests.ParseOpenLink(r.Link)
		if err != nil {
			return nil, fmt.Errorf("list excerpts: %w", err)
		}
		out = append(out, Excerpt{l, r.Track, r.Text, r.From, r.For})
	}
	return out, nil
}

// RemoveExcerpt takes an excerpt back: its link leads nowhere from the next
// version on. Who has opened it has its keys, and may have kept them.
func (p *Publisher) RemoveExcerpt(ctx context.Context, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	id = strings.ToLower(id)
	row, err := p.cardRow()
	if err == nil && !row.Open[id].Defined() {
		err = ErrNoExcerpt
	}
	if err != nil {
		return fmt.Errorf("excerpt %.80q: %w", id, err)
	}
	row.Open = maps.Clone(row.Open)
	delete(row.Open, id)
	if err := p.commit(ctx, edit{card: &row, gone: []string{rowExcerpt + id}}); err != nil {
		return fmt.Errorf("excerpt %s: %w", id, err)
	}
	return nil
}

// ExcerptBlock is where the block of an excerpt is; false where there is no such
// excerpt.
func (p *Publisher) ExcerptBlock(id manifests.LiveID) (cid.Cid, bool) {
	row, err := p.cardRow()
	if err != nil {
		return cid.Undef, false
	}
	block := row.Open[id.String()]
	return block, block.Defined()
}

// withoutExcerpts takes those off the card whose tracks the library forgets by
// gone: nobody keeps what their links would open.
func (p *Publisher) withoutExcerpts(row *cardRow, puts map[string][]byte, gone *[]string) error {
	open := maps.Clone(row.Open)
	err := p.cfg.Store.Each(rowExcerpt, func(key string, value []byte) error {
		var r excerptRow
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if slices.Contains(*gone, rowTrack+r.Track.String()) {
			delete(open, strings.TrimPrefix(key, rowExcerpt))
			*gone = append(*gone, key)
		}
		return nil
	})
	if err == nil && len(open) != len(row.Open) {
		row.Open = open
		puts[rowCard] = marshal(*row)
	}
	return err
}
