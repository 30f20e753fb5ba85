package publisher

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/internal/audio"
	"playnode/internal/seal"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
)

var (
	// ErrNoPlaylist says that the DJ has no playlist of that name.
	ErrNoPlaylist = errors.New("no such playlist")
	// ErrPlaylist says that the DJ has a playlist of that name already.
	ErrPlaylist = errors.New("there is a playlist of that name already")
	// ErrLabel says that a name cannot be a playlist's.
	ErrLabel = errors.New("a playlist's name is 1 to 64 bytes of text without '/'")
	// ErrNothing says that nothing was there to publish.
	ErrNothing = errors.New("nothing could be published")
)

// Names puts a name's record out; ipns.Namer is one.
type Names interface {
	Publish(ctx context.Context, key ed25519.PrivateKey, value cid.Cid, seq uint64, eol time.Time) (rec ipns.Record, holders int, err error)
	Newest(name ipns.Name) (ipns.Record, error)
	Conflict(name ipns.Name) (ipns.Record, error)
}

// Config is what a Publisher needs. All but NameLife, Held, Read, Audio,
// Workers and Log are required.
type Config struct {
	Keys   *Keyring
	Blocks node.Putter
	Store  Store
	Names  Names
	Now    func() time.Time
	// NameLife is how long a record of the name is good for at the least; it
	// is signed anew when half of that is over. 0 means 30 days.
	NameLife time.Duration
	// Held is where Reanalyse finds sealed tracks, without which there is
	// none, and a revision the blocks of the last one, without which each is
	// made of the whole library.
	Held Held
	// Read reads a block from anywhere: whether somebody else publishes with
	// the same keys is found out by it.
	Read func(ctx context.Context, c cid.Cid) ([]byte, error)
	// Audio chooses the decoders that analyse.
	Audio audio.Options
	// Workers is how many files are worked on at once; 0 means one a core.
	Workers int
	// Log, when nil, drops everything.
	Log *slog.Logger
}

// Publisher is the DJ's journey out. Safe for concurrent use; one revision is
// made at a time.
type Publisher struct {
	cfg Config

	mu    queue // held while a revision is made
	files keyed
	aired keyed // by playlist, while a set is on air
}

// New makes a Publisher.
func New(cfg Config) (*Publisher, error) {
	if cfg.Keys == nil || cfg.Blocks == nil || cfg.Store == nil || cfg.Names == nil || cfg.Now == nil {
		return nil, errors.New("make publisher: the config is not whole")
	}
	if cfg.NameLife <= 0 {
		cfg.NameLife = 30 * 24 * time.Hour
	}
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Publisher{cfg: cfg, mu: make(queue, 1)}, nil
}

// queue is a mutex that is held while peers are waited for. Who waits for it
// waits as for them, also by a virtual clock.
type queue chan struct{}

func (q queue) Lock()   { q <- struct{}{} }
func (q queue) Unlock() { <-q }

// keyed is a mutex for each key.
type keyed struct {
	mu   sync.Mutex // guards held
	held map[string]*sync.Mutex
}

func (k *keyed) lock(key string) (unlock func()) {
	m := k.of(key)
	m.Lock()
	return m.Unlock
}

func (k *keyed) of(key string) *sync.Mutex {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil {
		k.held = map[string]*sync.Mutex{}
	}
	m := k.held[key]
	if m == nil {
		m = &sync.Mutex{}
		k.held[key] = m
	}
	return m
}

// try is lock, where nobody holds the key.
func (k *keyed) try(key string) (unlock func(), ok bool) {
	m := k.of(key)
	return m.Unlock, m.TryLock()
}

// Options is how Publish goes about it.
type Options struct {
	// Playlist is what the files are added to; required with files.
	Playlist string
	// NoArchiveKey seals new tracks to no archive key.
	NoArchiveKey bool
	// Reanalyse brings what analysis tells of earlier tracks up to date.
	Reanalyse bool
	// Progress, when set, is told the bytes worked through and their total,
	// from one goroutine at a time.
	Progress func(done, total int64)
	// Clips, when set, is told the previews made and to be made, likewise.
	Clips func(done, total int64)
}

// Track is a published track as its DJ sees it.
type Track struct {
	CID                  cid.Cid
	Title, Artist, Album string
	Tags                 []manifests.Tag
	Samples              int64
	Rate                 int
	// Loudness is nil where nothing was measured.
	Loudness *manifests.Loudness
}

// Playlist is an ordered list of tracks, leased as one selection.
type Playlist struct {
	Label  string
	Tracks []Track
	// Mixing is how it is mixed, sealed in what venues get.
	Mixing manifests.Mixing
}

// Skipped is a file that was not published.
type Skipped struct {
	Path string
	Err  error
}

// Result is the catalogue after a publish.
type Result struct {
	// Name is what followers follow; Seq and Head are its newest head's
	// sequence and envelope.
	Name    manifests.Name
	Seq     uint64
	Head    cid.Cid
	Skipped []Skipped
	// Added counts the files that are now in the playlist, whether they came
	// by this publish or an earlier one; Sealed those sealed by this one.
	Added, Sealed int
	// Reanalysed counts the tracks whose info is new, Clips the previews made.
	Reanalysed, Clips int
	// Holders counts the peers that took the name's new record.
	Holders int
}

// Publish adds files and folders to a playlist, seals what was not sealed
// before, signs the catalogue's next version where it differs from the last,
// and puts its record out. Without paths it publishes what has changed: the
// period, or what an earlier Publish could not finish. Files that cannot be
// read are skipped. When it returns nil the version is durable here; how far
// the record got is in Holders.
func (p *Publisher) Publish(ctx context.Context, paths []string, opt Options) (Result, error) {
	var res Result
	var add []cid.Cid
	if err := p.closeSets(ctx); err != nil {
		return res, fmt.Errorf("publish: %w", err)
	}
	if len(paths) > 0 {
		if !manifests.ValidLabel(opt.Playlist) {
			return res, fmt.Errorf("publish to %q: %w", opt.Playlist, ErrLabel)
		}
		var err error
		if add, err = p.takeAll(ctx, paths, opt, &res); err != nil {
			return res, err
		}
		if len(add) == 0 {
			return res, fmt.Errorf("publish: %w", ErrNothing)
		}
	}
	if opt.Reanalyse {
		if err := p.reanalyse(ctx, opt, &res); err != nil {
			return res, fmt.Errorf("reanalyse: %w", err)
		}
	}
	if err := p.clipsFor(ctx, opt, add, &res); err != nil {
		return res, fmt.Errorf("publish: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.revise(ctx, edit{label: opt.Playlist, add: add}); err != nil {
		return res, fmt.Errorf("publish: %w", err)
	}
	if err := p.announce(ctx, &res); err != nil {
		return res, fmt.Errorf("publish: %w", err)
	}
	return res, nil
}

// takeAll takes every file of paths into the library, several at a time, and
// returns their tracks in the files' order.
func (p *Publisher) takeAll(ctx context.Context, paths []string, opt Options, res *Result) ([]cid.Cid, error) {
	found := Walk(paths, func(path string) (Place, error) { return PlaceOf(ctx, path) })
	var meter meter
	meter.tell = opt.Progress
	for _, f := range found {
		if st, err := os.Stat(f.Path); f.Err == nil && err == nil {
			meter.total += 2 * st.Size()
		}
	}
	var to seal.ArchiveRecipient
	if !opt.NoArchiveKey {
		to = p.cfg.Keys.archive().Recipient()
	}
	rows, sealed := make([]*trackRow, len(found)), make([]bool, len(found))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.cfg.Workers)
	for i := range found {
		if found[i].Err != nil {
			continue
		}
		g.Go(func() error {
			row, fresh, err := p.take(ctx, found[i].Path, opt.Playlist, to, meter.add)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.As(err, new(diskError)):
				return fmt.Errorf("publish %s: %w", filepath.Base(found[i].Path), err)
			case err != nil:
				found[i].Err = err
			default:
				rows[i], sealed[i] = &row, fresh
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var add []cid.Cid
	for i, f := range found {
		if f.Err != nil {
			res.Skipped = append(res.Skipped, Skipped(f))
			continue
		}
		add = append(add, rows[i].CID)
		res.Added++
		if sealed[i] {
			res.Sealed++
		}
	}
	return add, nil
}

// PlaceOf reads a file's tags for its place in its album.
func PlaceOf(ctx context.Context, path string) (Place, error) {
	f, err := os.Open(path)
	if err != nil {
		return Place{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Place{}, err
	}
	tags, err := audio.Describe(ctx, f, st.Size(), filepath.Base(path))
	if err != nil {
		return Place{}, err
	}
	return Place{tags.Disc, tags.Number}, nil
}

// meter adds up bytes from many goroutines.
type meter struct {
	mu          sync.Mutex // guards done and calls of tell
	done, total int64
	tell        func(done, total int64)
}

func (m *meter) add(n int64) {
	if m.tell == nil || n == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = min(m.done+n, m.total)
	m.tell(m.done, m.total)
}

// Playlists lists the DJ's playlists by label.
func (p *Publisher) Playlists() ([]Playlist, error) {
	lists, err := p.lists()
	if err != nil {
		return nil, err
	}
	rows := map[cid.Cid]*trackRow{} // all at once: one by one they take many times as long
	if err := p.cfg.Store.Each(rowTrack, func(key string, value []byte) error {
		row := new(trackRow)
		if err := json.Unmarshal(value, row); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		rows[row.CID] = row
		return nil
	}); err != nil {
		return nil, err
	}
	out := []Playlist{}
	for _, l := range lists {
		pl, err := p.playlist(l, func(c cid.Cid) (*trackRow, error) {
			if row := rows[c]; row != nil {
				return row, nil
			}
			return nil, fmt.Errorf("track %s is not in the library", c)
		})
		if err != nil {
			return nil, err
		}
		out = append(out, pl)
	}
	return out, nil
}

// Playlist finds one by its label.
func (p *Publisher) Playlist(label string) (Playlist, error) {
	var l listRow
	ok, err := load(p.cfg.Store, rowList+label, &l)
	if err == nil && !ok {
		err = ErrNoPlaylist
	}
	if err != nil {
		return Playlist{}, fmt.Errorf("playlist %q: %w", label, err)
	}
	return p.playlist(&l, func(c cid.Cid) (*trackRow, error) {
		row, err := p.trackRow(c)
		return &row, err
	})
}

func (p *Publisher) playlist(l *listRow, read func(cid.Cid) (*trackRow, error)) (Playlist, error) {
	pl := Playlist{Label: l.Label, Tracks: []Track{}}
	order, err := p.order(l)
	if err != nil {
		return pl, err
	}
	if pl.Mixing, err = p.mixing(l.Label); err != nil {
		return pl, err
	}
	for _, c := range order {
		row, err := read(c)
		if err != nil {
			return pl, err
		}
		pl.Tracks = append(pl.Tracks, Track{
			CID: row.CID, Title: row.Title, Artist: row.Artist, Album: row.Album, Tags: row.Tags,
			Samples: row.Samples, Rate: row.Rate, Loudness: row.Loudness,
		})
	}
	return pl, nil
}

// tracks are what revisions need of tracks.
func (p *Publisher) tracks(cids []cid.Cid) ([]lease.Track, error) {
	var out []lease.Track
	for _, c := range cids {
		row, err := p.trackRow(c)
		if err != nil {
			return nil, err
		}
		out = append(out, row.track())
	}
	return out, nil
}

func (p *Publisher) trackRow(c cid.Cid) (row trackRow, err error) {
	ok, err := load(p.cfg.Store, rowTrack+c.String(), &row)
	if err == nil && !ok {
		err = fmt.Errorf("track %s is not in the library", c)
	}
	return row, err
}
