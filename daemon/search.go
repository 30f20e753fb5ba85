package daemon

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/follow"
	"playnode/internal/repo"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
)

// OpSearch finds tracks.
const OpSearch Op[SearchRequest, Searched] = "search"

// SearchRequest asks for the tracks that have all words of Query, at most
// Limit of them; 0 means 25.
type SearchRequest struct {
	Query string `json:"query"`
	Limit int    `json:"limit,omitempty"`
}

const usualLimit, maxLimit = 25, 1000

// Searched is what was found, the nearest first.
type Searched struct {
	Tracks []Found `json:"tracks"`
	// Unread counts leased tracks whose metadata has not come yet.
	Unread int `json:"unread"`
}

// Found is a track that this repo may read.
type Found struct {
	CID    string `json:"cid"`
	Title  string `json:"title"`
	Artist string `json:"artist"`
	Album  string `json:"album"`
	Ms     int64  `json:"ms"`
	// Name is its DJ's, Playlists those of hers that have it.
	Name      string   `json:"name"`
	Playlists []string `json:"playlists"`
	// Source is "own" for the repo's own library, else "leased".
	Source string `json:"source"`
	// Held: all of its sound is on this box.
	Held bool `json:"held"`
	// Match is "exact", "prefix" (a word was the beginning of one) or "edit"
	// (a word was one edit away).
	Match string `json:"match"`
}

// index finds documents by the words of their titles, artists, albums and
// tags. It keeps nothing on disk. A call does all of its work or, with an
// error, none, and one works at a time; a replacement costs what differs. What
// is dropped from its last scope is erased when the call returns. A query may
// be anything.
type index interface {
	Replace(ctx context.Context, scope string, docs []*repo.Document) error
	Drop(ctx context.Context, scope string) error
	Search(ctx context.Context, query string, limit int) ([]repo.Hit, error)
	Close() error
}

// finder keeps an index of what this repo may read: its own library, and what
// its leases unlock now. The venue is asked anew before every answer, as it is
// before every track. Safe for concurrent use.
type finder struct {
	d    *Daemon
	n    *network
	kick chan struct{} // one slot: something has changed
	anew atomic.Bool   // metadata that was missing may have come

	busy   chan struct{} // one slot: held while what follows changes
	index  index         // nil until first needed
	scopes map[string]*scope
	own    cid.Cid // the head that the own scopes are of

	whole sync.Map // own tracks by CID that were seen to be all here: she keeps them
	next  atomic.Int64
}

// scope is a playlist, in the index under a key that begins with its source.
type scope struct {
	name     string
	playlist string
	version  cid.Cid                    // the manifest's payload
	docs     map[cid.Cid]*repo.Document // leased ones, by the CID of the info
	unread   int                        // infos that are not here
	sel      *follow.Selection          // to be read, with unlocked
	unlocked *lease.Unlocked
}

const own, leased = "own", "leased"

func newFinder(d *Daemon, n *network) *finder {
	return &finder{d: d, n: n, kick: make(chan struct{}, 1), busy: make(chan struct{}, 1), scopes: map[string]*scope{}}
}

// changed has run look again, and the next question if it is sooner.
func (f *finder) changed() {
	f.anew.Store(true)
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// Waits between looks: at the most, and for metadata that is still coming.
const lookEvery, lookSoon = time.Minute, 5 * time.Second

// run keeps the index up to date until ctx ends, so that a question waits for
// nothing and what has lapsed is dropped without one.
func (f *finder) run(ctx context.Context) error {
	for {
		wait := lookEvery
		unread, err := f.refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			f.d.log.Error("keep search index", "err", err)
		case unread > 0:
			wait = lookSoon
		}
		if s := time.Duration(f.next.Load()); s > 0 {
			wait = min(wait, s*time.Second)
		}
		t := time.NewTimer(wait)
		select {
		case <-f.kick:
		case <-t.C:
			f.anew.Store(true)
		case <-ctx.Done():
			t.Stop()
			return nil
		}
		t.Stop()
	}
}

// close forgets all.
func (f *finder) close() error {
	f.busy <- struct{}{}
	defer func() { <-f.busy }()
	if f.index == nil {
		return nil
	}
	return f.index.Close()
}

// refresh makes the index what this repo may read now: first it drops what it
// may read no longer, then it reads what is new. It tells how many leased
// tracks' metadata is not here yet.
func (f *finder) refresh(ctx context.Context) (unread int, err error) {
	select {
	case f.busy <- struct{}{}:
		defer func() { <-f.busy }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if f.index == nil {
		if f.index, err = repo.NewIndex(context.WithoutCancel(ctx)); err != nil {
			return 0, err
		}
	}
	anew := f.anew.Swap(false)
	open := f.unlocked()
	defer func() {
		if anew && err != nil {
			f.anew.Store(true)
		}
		for _, s := range open {
			s.unlocked.Close()
		}
	}()
	for key := range f.scopes {
		if strings.HasPrefix(key, leased) && open[key] == nil {
			if err := f.drop(ctx, key); err != nil {
				return 0, err
			}
		}
	}
	if err := f.readOwn(ctx); err != nil {
		return 0, err
	}
	for key, s := range open {
		if old := f.scopes[key]; old != nil && old.version == s.version && (old.unread == 0 || !anew) {
			unread += old.unread
			continue
		}
		if err := f.read(ctx, key, s); err != nil {
			return 0, err
		}
		unread += s.unread
	}
	return unread, nil
}

func (f *finder) drop(ctx context.Context, key string) error {
	// Not to be cut short: it ends what a lease allowed.
	if err := f.index.Drop(context.WithoutCancel(ctx), key); err != nil {
		return err
	}
	delete(f.scopes, key)
	return nil
}

// unlocked are the selections that a lease opens now, by key, and sets when
// the next of them may lapse.
func (f *finder) unlocked() map[string]*scope {
	has := map[manifests.SelID]bool{}
	for _, l := range f.d.venue.Leases() {
		has[l.Sel] = true
	}
	open := map[string]*scope{}
	var next int64
	for _, s := range f.n.follow.Follows() {
		c, err := f.n.follow.Newest(s.Name)
		if err != nil {
			continue
		}
		for i := range c.Selections {
			sel := &c.Selections[i]
			if !has[sel.ID] {
				continue
			}
			u, err := f.d.venue.Unlock(sel.Manifest)
			if err != nil {
				f.d.log.Debug("not searched", "playlist", sel.Label, "err", err)
				continue
			}
			left := max(1, min(u.Until, u.Period)-f.d.venue.Now(c.DJ))
			if next == 0 || left < next {
				next = left
			}
			open[leased+"/"+c.Name.String()+"/"+sel.ID.String()] = &scope{
				name: c.Name.String(), playlist: sel.Label, version: sel.Payload, sel: sel, unlocked: u,
			}
		}
	}
	f.next.Store(next)
	return open
}

// read opens what a selection's tracks say of themselves, as far as it is
// here, several at a time; what was opened before, and is the same block, is
// not opened again.
func (f *finder) read(ctx context.Context, key string, s *scope) error {
	var known map[cid.Cid]*repo.Document
	if old := f.scopes[key]; old != nil {
		known = old.docs
	}
	entries := s.sel.Entries
	docs := make([]*repo.Document, len(entries))
	g, work := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.GOMAXPROCS(0)) // half of them wait for the disk
	for i, e := range entries {
		if d, ok := known[e.Info]; ok {
			docs[i] = d
			continue
		}
		g.Go(func() error {
			if work.Err() != nil {
				return work.Err()
			}
			sealed, err := f.n.node.Read(work, e.Info)
			if errors.Is(err, node.ErrNotFound) {
				return nil // it is read when it has come
			}
			if err != nil {
				return err
			}
			info, err := s.unlocked.Info(e, sealed)
			if err != nil {
				f.d.log.Warn("not searched", "track", e.Track, "err", err)
				info = &manifests.Info{} // it will not open another time either
			}
			docs[i] = document(s.name, e.Track, info)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("read titles of %q: %w", s.playlist, err)
	}
	var all []*repo.Document
	var infos []cid.Cid
	for i, d := range docs {
		if d == nil {
			s.unread++
			continue
		}
		all, infos = append(all, d), append(infos, entries[i].Info)
	}
	if err := f.index.Replace(ctx, key, all); err != nil {
		return err
	}
	s.docs = make(map[cid.Cid]*repo.Document, len(all))
	for i, d := range all { // the index's own
		s.docs[infos[i]] = d
	}
	f.scopes[key] = &scope{name: s.name, playlist: s.playlist, version: s.version, docs: s.docs, unread: s.unread}
	return nil
}

// values are what tags say, for searching.
func values(tags []manifests.Tag) string {
	var all []string
	for _, t := range tags {
		all = append(all, t.Value)
	}
	return strings.Join(all, "\n")
}

// document is a track of a DJ's as the index knows it: under bytes that the
// catalogue has, too.
func document(name string, track cid.Cid, i *manifests.Info) *repo.Document {
	return &repo.Document{
		Owner: name, ID: track.KeyString(), Title: i.Title, Artist: i.Artist, Album: i.Album, Tags: values(i.Tags),
		Ms: i.Samples * 1000 / int64(max(1, i.Rate)),
	}
}

// readOwn reads the DJ's own library where its head is another than before.
func (f *finder) readOwn(ctx context.Context) error {
	name, err := ipns.ParseName(string(f.d.keys.Name()))
	if err != nil {
		return err
	}
	rec, err := f.n.names.Newest(name)
	if err != nil || rec.Value == f.own {
		return nil // nothing was published, or nothing since
	}
	lists, err := f.n.publisher.Playlists()
	if err != nil {
		return fmt.Errorf("read the library: %w", err)
	}
	want := map[string]bool{}
	owner := name.String()
	for _, l := range lists {
		var docs []*repo.Document
		for _, t := range l.Tracks {
			docs = append(docs, &repo.Document{
				Owner: owner, ID: t.CID.KeyString(), Title: t.Title, Artist: t.Artist, Album: t.Album, Tags: values(t.Tags),
				Ms: t.Samples * 1000 / int64(max(1, t.Rate)),
			})
		}
		key := own + "/" + l.Label
		if err := f.index.Replace(ctx, key, docs); err != nil {
			return err
		}
		want[key] = true
		f.scopes[key] = &scope{name: owner, playlist: l.Label}
	}
	for key := range f.scopes {
		if strings.HasPrefix(key, own) && !want[key] {
			if err := f.drop(ctx, key); err != nil {
				return err
			}
		}
	}
	f.own = rec.Value
	return nil
}

// search answers one question.
func (d *Daemon) search(ctx context.Context, req SearchRequest, _ func(Event)) (Searched, error) {
	n, err := d.net()
	if err != nil {
		return Searched{}, err
	}
	if strings.TrimSpace(req.Query) == "" {
		return Searched{}, usage("a search wants a word")
	}
	if req.Limit < 0 || req.Limit > maxLimit {
		return Searched{}, usage("--limit is 1 to %d", maxLimit)
	}
	if req.Limit == 0 {
		req.Limit = usualLimit
	}
	return n.search.search(ctx, req)
}

func (f *finder) search(ctx context.Context, req SearchRequest) (Searched, error) {
	unread, err := f.refresh(ctx)
	if err != nil {
		return Searched{}, err
	}
	hits, err := f.index.Search(ctx, req.Query, req.Limit)
	if err != nil {
		return Searched{}, err
	}
	held := map[string]bool{} // names of which all is here
	for _, s := range f.n.follow.Follows() {
		held[s.Name.String()] = s.Whole
	}
	out := Searched{Tracks: []Found{}, Unread: unread}
	for _, h := range hits {
		c, err := cid.Cast([]byte(h.ID))
		if err != nil {
			return Searched{}, fmt.Errorf("search: %w", err)
		}
		t := Found{CID: c.String(), Title: h.Title, Artist: h.Artist, Album: h.Album, Ms: h.Ms, Name: h.Owner, Source: leased, Match: h.Match.String(), Playlists: f.playlists(h.Scopes)}
		if strings.HasPrefix(h.Scopes[len(h.Scopes)-1], own) {
			t.Source = own
		}
		t.Held = held[h.Owner] || f.held(ctx, c, t.Source == own)
		out.Tracks = append(out.Tracks, t)
	}
	return out, nil
}

// playlists are the labels of scopes, each once.
func (f *finder) playlists(keys []string) []string {
	f.busy <- struct{}{}
	defer func() { <-f.busy }()
	out := []string{}
	for _, k := range keys {
		if s := f.scopes[k]; s != nil {
			out = append(out, s.playlist)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// held tells whether all of a sealed file is here. What its DJ holds stays.
func (f *finder) held(ctx context.Context, track cid.Cid, keeps bool) bool {
	if _, ok := f.whole.Load(track); ok {
		return true
	}
	if !f.reaches(ctx, track, 8) {
		return false
	}
	if keeps {
		f.whole.Store(track, true)
	}
	return true
}

// reaches tells whether a block and all below it are here, depth levels down
// at the most.
func (f *finder) reaches(ctx context.Context, c cid.Cid, depth int) bool {
	if c.Type() == cid.Raw {
		ok, err := f.n.node.Has(ctx, c)
		return ok && err == nil
	}
	data, err := f.n.node.Read(ctx, c)
	if err != nil || depth == 0 {
		return false
	}
	links, err := node.Links(c, data)
	return err == nil && !slices.ContainsFunc(links, func(l cid.Cid) bool { return !f.reaches(ctx, l, depth-1) })
}
