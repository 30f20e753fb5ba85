package player

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/internal/audio"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
	"playnode/player/schedule"
)

// Catalogues gives the newest verified version of a name, from disk alone;
// follow.Follower is one.
type Catalogues interface {
	Newest(name ipns.Name) (*follow.Catalogue, error)
}

// Leases unlock manifests; lease.Venue is one.
type Leases interface {
	Unlock(m *manifests.Manifest) (*lease.Unlocked, error)
	Leases() []lease.Lease
	Tuner
}

// Tuner opens a set's records, which the caller has verified; a lease.SetKey is
// one.
type Tuner interface {
	Tune(l *manifests.Live) (*lease.Tuned, error)
}

// Held tells which blocks are on this box; node.Blocks is one.
type Held interface {
	Has(ctx context.Context, c cid.Cid) (bool, error)
}

// Config is what a Player needs. Catalogues, Leases, Fetch and Now are
// required.
type Config struct {
	Catalogues Catalogues
	Leases     Leases
	Fetch      node.Getter
	Now        func() time.Time
	// Sets brings what is on air; nil means that nothing is.
	Sets Sets
	// Held is asked before a track begins on a loudspeaker: one of which less
	// than 30 s is here gives way to one that is; nil means that all is held.
	Held Held
	// Audio chooses decoders.
	Audio audio.Options
	// Schedule is what plays when, for who asks for nothing by name; another one
	// after each change. nil, and an empty one, are for all that is leased.
	Schedule func() *schedule.Schedule
	// Blocked tells of tracks that are never played here; nil means none.
	Blocked func(track cid.Cid) bool
	// Coming tells whether bytes of a block that is asked for are coming; nil
	// means that nobody knows.
	Coming func(c cid.Cid) bool
	// Patience is how long a block of which nothing comes may keep a track
	// waiting before the track is skipped; 0 means 5 s. Where a loudspeaker falls silent the next good
	// track plays sooner than that.
	Patience time.Duration
	Log      *slog.Logger
}

// Player plays. Safe for concurrent use; each Playback is its own.
type Player struct {
	cfg  Config
	open func(context.Context, sinkSpec, sinkWant) (Sink, error)

	mu     sync.Mutex // guards what follows
	orders map[manifests.SelID]*order
	places map[*Playback]map[string]cid.Cid // the track begun last of what the schedule asked each for
	faults []Fault
}

// New makes a Player.
func New(cfg Config) (*Player, error) {
	if cfg.Catalogues == nil || cfg.Leases == nil || cfg.Fetch == nil || cfg.Now == nil {
		return nil, errors.New("make player: the config is not whole")
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 5 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	open := func(ctx context.Context, s sinkSpec, w sinkWant) (Sink, error) { return s.open(ctx, w) }
	return &Player{cfg: cfg, open: open, orders: map[manifests.SelID]*order{}, places: map[*Playback]map[string]cid.Cid{}}, nil
}

// Request is what to play, and where to.
type Request struct {
	// Name is NAME, NAME/P, a link, or P of any name that is leased here; empty
	// means what is scheduled, and where nothing is, all that is leased here.
	Name string
	// Sink is default, alsa[:dev], pulse[:dev], wav:FILE, raw:FILE, raw:- or
	// null; empty means default.
	Sink string
	// Rate in Hz; 0 means the sound card's own, or that of the first track.
	Rate int
	// Latency is how much sound a loudspeaker has in advance; 0 means 200 ms.
	Latency time.Duration
	// Once ends after one pass, of what is scheduled now where there is no Name;
	// wav, raw and null then go as fast as they
	// can, unless Paced.
	Once, Paced bool
	// Stay waits out what would end a playback: a lease that has lapsed, a
	// catalogue that holds nothing playable, a sink that does not open.
	Stay bool
	// From begins so far into the first pass.
	From time.Duration
	// Live is what becomes of sets that go on air. Where only they are heard,
	// the playback ends with the one it hears; Wait has it wait for one, and for
	// the playlist. Once, and without Wait, nothing is waited for.
	Live Hear
	Wait bool
	// Loudness is "off" or a target in LUFS such as "-16"; empty means off.
	Loudness string
	// Crossfade is how long a track is laid over the one before; 0 means
	// never. Mixed has what the playlist says in its place; between two
	// playlists, the less of both.
	Crossfade time.Duration
	Mixed     bool
	// Volume is in percent, at most Ceiling; nil means all of that. A Ceiling
	// of 0 means 100.
	Volume  *int
	Ceiling int
}

// Kind says what an Event tells.
type Kind string

const (
	// Started is the first sample of all; NewTrack the first of a track,
	// EndTrack the one after its last.
	Started  Kind = "start"
	NewTrack Kind = "track"
	EndTrack Kind = "end"
	// Underrun is silence that had to be put in; Lapsed the end of a lease;
	// Failed a track that could not be played whole; Done the end.
	Underrun Kind = "underrun"
	Lapsed   Kind = "lapse"
	Failed   Kind = "error"
	Done     Kind = "done"
	// OnAir says how a set is heard: when it begins to be, where something
	// else is on or something is missing, and now and then.
	OnAir Kind = "live"
)

// Event is one thing that was heard, or not.
type Event struct {
	Kind           Kind
	Name, Playlist string
	CID            string
	Title, Artist  string
	// At is in sample frames since the first, at Rate.
	At   int64
	Rate int
	// Cut comes with EndTrack: it was ended before its last sample.
	Cut bool
	// Set is that which is heard, in place of a track; Reception comes with
	// OnAir.
	Set       string
	Reception *Reception
	Err       error
	// Played comes with Done.
	Played Played
}

// Played is what was handed to a sink: frames, gapless joins of tracks, and
// tracks that were skipped or not heard to their end.
type Played struct {
	Samples int64
	Joins   int
	Skipped int
}

// Play opens a Playback and runs it.
func (p *Player) Play(ctx context.Context, req Request, emit func(Event)) (Played, error) {
	b, err := p.Open(req, emit)
	if err != nil {
		return Played{}, err
	}
	return b.Run(ctx)
}
