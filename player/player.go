package player

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"playnode/follow"
	"playnode/internal/audio"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
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
}

// Config is what a Player needs. Catalogues, Leases, Fetch and Now are
// required.
type Config struct {
	Catalogues Catalogues
	Leases     Leases
	Fetch      node.Getter
	Now        func() time.Time
	// Audio chooses decoders.
	Audio audio.Options
	// Patience is how long a block may keep a track waiting before the track
	// is skipped; 0 means 5 s.
	Patience time.Duration
	Log      *slog.Logger
}

// Player plays. Safe for concurrent use; each Play is its own.
type Player struct{ cfg Config }

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
	return &Player{cfg}, nil
}

// Request is what to play, and where to.
type Request struct {
	// Name is NAME, NAME/P or a link; empty means all that is leased here.
	Name string
	// Sink is default, alsa[:dev], pulse[:dev], wav:FILE, raw:FILE, raw:- or
	// null; empty means default.
	Sink string
	// Rate in Hz; 0 means the sound card's own, or that of the first track.
	Rate int
	// Once ends after one pass; wav, raw and null then go as fast as they
	// can, unless Paced.
	Once, Paced bool
	// Loudness is "off" or a target in LUFS such as "-16"; empty means off.
	Loudness string
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
	Err  error
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

// Play plays until the end of the pass (Once), the lapse of the last lease
// asked for, or the end of ctx, and tells emit from one goroutine at a time;
// Done comes last, unless nothing was unlocked: then the sink was never
// opened. The error wraps lease's where the terms ended it, after the track
// that was playing.
func (p *Player) Play(ctx context.Context, req Request, emit func(Event)) (Played, error) {
	return p.perform(ctx, req, emit, (*session).run)
}

// perform plays what run hands out, to a sink that is opened with the first
// sample.
func (p *Player) perform(ctx context.Context, req Request, emit func(Event), run func(*session, context.Context) error) (Played, error) {
	spec, err := parseSink(req.Sink)
	if err != nil {
		return Played{}, fmt.Errorf("play: %w", err)
	}
	target, err := parseLoudness(req.Loudness)
	if err != nil {
		return Played{}, fmt.Errorf("play: %w", err)
	}
	s := &session{p: p, req: req, spec: spec, target: target, emit: emit}
	err = run(s, ctx)
	if s.mix != nil {
		if err == nil || ctx.Err() == nil {
			if derr := s.finish(ctx); err == nil {
				err = derr
			}
		}
		if cerr := s.mix.sink.Close(); err == nil {
			err = cerr
		}
		s.played.Samples = s.mix.sent
	}
	if s.told {
		s.tell(Event{Kind: Done, Played: s.played, Err: err})
	}
	if err != nil {
		return s.played, fmt.Errorf("play: %w", err)
	}
	return s.played, nil
}

func parseLoudness(s string) (target float64, err error) {
	if s == "" || s == "off" {
		return math.NaN(), nil
	}
	t, err := strconv.ParseFloat(strings.TrimSuffix(s, "LUFS"), 64)
	if err != nil || !(t >= -40 && t <= -5) {
		return 0, fmt.Errorf("loudness %q is neither off nor a target from -40 to -5 (LUFS)", s)
	}
	return t, nil
}

// session is one Play.
type session struct {
	p      *Player
	req    Request
	spec   sinkSpec
	target float64 // LUFS; NaN for off
	emit   func(Event)

	mix    *mix // nil until there is something to play
	begun  bool // the first sample was handed out
	told   bool // something happened that Done must follow
	joined bool // the track before ended whole, so that a join follows
	played Played
}

func (s *session) tell(e Event) {
	s.told = true
	if s.mix != nil {
		e.Rate = s.mix.sink.Rate()
		if e.Kind == Done {
			e.At = s.mix.sent
		} else {
			e.At = s.mix.at()
		}
	}
	s.emit(e)
}

// run plays passes until there is nothing more.
func (s *session) run(ctx context.Context) error {
	for {
		passes, err := s.p.passes(ctx, s.req)
		if err != nil {
			if s.told && lapsed(err) {
				s.tell(Event{Kind: Lapsed, Err: err})
			}
			return err
		}
		heard, err := s.pass(ctx, passes)
		for _, ps := range passes {
			ps.unlocked.Close()
		}
		if err != nil || s.req.Once {
			return err
		}
		if heard == 0 {
			return fmt.Errorf("no track of what is leased could be played: %w", node.ErrNotFound)
		}
	}
}

// lapsed tells whether the terms are why nothing more sounds.
func lapsed(err error) bool {
	return errors.Is(err, lease.ErrLapsed) || errors.Is(err, lease.ErrNoLease) || errors.Is(err, lease.ErrRevoked) || errors.Is(err, lease.ErrNotYet)
}

// opening is a deck that is being opened ahead.
type opening struct {
	deck *deck
	err  error
}

// pass plays the tracks of all passes once, each next one opened while the
// one before is heard.
func (s *session) pass(ctx context.Context, passes []pass) (heard int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	type place struct {
		it item
		ps *pass
	}
	var queue []place
	for i := range passes {
		for _, it := range passes[i].items {
			queue = append(queue, place{it, &passes[i]})
		}
	}
	open := func(i int) chan opening {
		c := make(chan opening, 1)
		if i < len(queue) {
			go func() {
				d, err := s.p.openDeck(ctx, queue[i].it, queue[i].ps.unlocked)
				c <- opening{d, err}
			}()
		} else {
			c <- opening{}
		}
		return c
	}
	next := open(0)
	defer func() { // what was opened ahead and not played
		cancel()
		if o := <-next; o.deck != nil {
			o.deck.close()
		}
	}()
	var ended error
	for i, q := range queue {
		o := <-next
		next = open(i + 1)
		// Asked anew for each track: a lease that has lapsed since starts
		// nothing.
		u, err := s.p.cfg.Leases.Unlock(q.ps.sel.Manifest)
		if err != nil {
			if o.deck != nil {
				o.deck.close()
			}
			if ended == nil {
				ended = s.p.terms(q.ps.dj, q.ps.sel, err)
				err = ended
				s.tell(Event{Kind: Lapsed, Name: q.it.name.String(), Playlist: q.it.label, Err: err})
			}
			continue
		}
		u.Close()
		if i > 0 && errors.Is(o.err, node.ErrNotFound) && ctx.Err() == nil {
			// It was asked for a track ago: it may have come since.
			o.deck, o.err = s.p.openDeck(ctx, q.it, q.ps.unlocked)
		}
		if o.err != nil {
			if ctx.Err() != nil {
				return heard, ctx.Err()
			}
			s.fail(q.it, o.err)
			continue
		}
		whole, err := s.track(ctx, o.deck, q.ps)
		o.deck.close()
		if err != nil {
			return heard, err
		}
		if whole {
			heard++
		}
	}
	return heard, ended
}

func (s *session) fail(it item, err error) {
	s.played.Skipped++
	s.joined = false
	s.p.cfg.Log.Warn("track skipped", "cid", it.entry.Track, "err", err)
	s.tell(Event{Kind: Failed, Name: it.name.String(), Playlist: it.label, CID: it.entry.Track.String(), Err: err})
}

// track hands one track to the sink. whole is false when it broke off; only
// what ends the session is an error.
func (s *session) track(ctx context.Context, d *deck, ps *pass) (whole bool, err error) {
	if s.mix == nil {
		if err := s.openSink(ctx, d.format.Rate, ps); err != nil {
			return false, err
		}
	}
	if err := s.mix.begin(d.format, gain(d.info.Loudness, d.format.Channels, s.target)); err != nil {
		return false, err
	}
	it := d.item
	about := Event{Name: it.name.String(), Playlist: it.label, CID: it.entry.Track.String(), Title: d.info.Title, Artist: d.info.Artist}
	first := true
	for {
		b, err := s.block(ctx, d)
		if err != nil {
			return false, err
		}
		if b.frames > 0 {
			if first {
				s.announce(about)
				first = false
			}
			if err := s.mix.write(b.samples[:b.frames*d.format.Channels]); err != nil {
				return false, err
			}
		}
		bad := b.err
		d.free <- b
		switch {
		case damaged(bad):
			s.fail(it, bad)
			return false, nil
		case bad != nil:
			s.joined = true
			about.Kind = EndTrack
			s.tell(about)
			return true, nil
		}
	}
}

func (s *session) announce(about Event) {
	if !s.begun {
		about.Kind = Started
		s.tell(about)
		s.begun = true
	}
	if s.joined {
		s.played.Joins++
	}
	about.Kind = NewTrack
	s.tell(about)
}

// underrunAfter is how long a loudspeaker may wait for a deck; what it has
// queued lasts longer.
const underrunAfter = 150 * time.Millisecond

// block is the deck's next. While a loudspeaker waits too long it gets
// silence, and the listener of events is told once.
func (s *session) block(ctx context.Context, d *deck) (*block, error) {
	select {
	case b := <-d.full:
		return b, nil
	default:
	}
	late := time.NewTimer(underrunAfter)
	defer late.Stop()
	if !s.spec.card() {
		late.Stop()
	}
	told := false
	for {
		select {
		case b := <-d.full:
			return b, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late.C:
			if !told {
				told = true
				s.tell(Event{Kind: Underrun, CID: d.item.entry.Track.String()})
			}
			if err := s.mix.silence(blockFrames / 4); err != nil {
				return nil, err
			}
			late.Reset(0)
		}
	}
}

// openSink opens the sink, when the first track is ready to be heard.
func (s *session) openSink(ctx context.Context, rate int, ps *pass) error {
	if s.req.Rate != 0 {
		rate = s.req.Rate
	}
	expect := int64(-1)
	if s.req.Once {
		expect = 0
		for _, it := range ps.items {
			expect += int64(it.entry.Sec+1) * int64(rate)
		}
	}
	k, err := s.spec.open(ctx, rate, s.req.Paced || !s.req.Once, expect)
	if err != nil {
		return err
	}
	s.mix = &mix{sink: k}
	return nil
}

// finish hands out the last of the resampler and lets all be heard.
func (s *session) finish(ctx context.Context) error {
	if err := s.mix.flush(); err != nil {
		return err
	}
	return s.mix.sink.Drain(ctx)
}

// gain brings a track to the target loudness, its true peak never above
// -1 dBTP (EBU R128). One channel is measured as one and heard from two
// loudspeakers: 3 LU louder.
func gain(l *manifests.Loudness, channels int, target float64) float32 {
	if l == nil || math.IsNaN(target) {
		return 1
	}
	heard := float64(l.Integrated) / 1000
	if channels == 1 {
		heard += 10 * math.Log10(2)
	}
	db := min(target-heard, -1-float64(l.Peak)/1000)
	return float32(math.Pow(10, db/20))
}
