package publisher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/lease"
	"playnode/manifests"
)

var (
	// ErrOnAir says that the playlist has a set on air already.
	ErrOnAir = errors.New("a set is on air there already")
	// ErrSilence says that a source ended before anything came from it.
	ErrSilence = errors.New("nothing came from the source")
)

// Cut is a stretch of a set's media: whole frames, pages or fragments.
type Cut struct {
	// Init is how the media begins: in the first cut, and where it is another
	// from here on.
	Init *manifests.MediaInit
	Len  int64 // ticks
	Open bool  // a listener can begin here
	Text string
	// Media is the receiver's; at most MaxCut bytes with Init's head.
	Media []byte
}

// MaxCut is the most media of a cut, in bytes.
const MaxCut = 768 << 10

// Source is what a DJ plays.
type Source interface {
	// Next gives the next cut as soon as it is whole; io.EOF says that the
	// source has ended.
	Next(ctx context.Context) (Cut, error)
}

// Carrier has followers hear of a set at once. Neither method waits for them;
// what it is given is on this disk already.
type Carrier interface {
	Record(ctx context.Context, record manifests.Signed) error
	Segment(ctx context.Context, head manifests.Signed, segment manifests.Block) error
}

// SetOptions is how a set goes on air.
type SetOptions struct {
	// Playlist is who may hear it, and what the set becomes a track of; it is
	// made where there is none.
	Playlist string
	// Title is the track's; "" for the date. Who hears the set is told it before
	// what the source says is on.
	Title string
	// Part is how long a track of it is about: a set that is longer becomes one
	// after the other while it is on air. 0 means 12 h.
	Part time.Duration
	// Keep, when not 0, makes the playlist a list that rolls: of the tracks that
	// such sets of it have become it keeps the newest, as many as make so much
	// sound, and gives the others up, blocks and all.
	Keep time.Duration
	// Hold, when set, keeps what is stored from being let go until release is
	// called: it is called before blocks are written that no row names for a
	// while.
	Hold func() (release func())
	// parts, when set, is called while a part becomes a track, until over is.
	parts func() (over func())
	// Open, when not nil, opens the set to all who have it; it is this DJ's, and
	// of no other set. What becomes of the set is the playlist's as ever.
	Open *lease.SetKey
	// Carrier may be nil: then followers find the set by its name alone.
	Carrier Carrier
	// Tell, when set, is told what happens, from one goroutine.
	Tell func(SetEvent)
}

// SetEvent is news of a set.
type SetEvent struct {
	Live     manifests.LiveID
	Segments uint64        // announced so far
	Length   time.Duration // of what they hold
	Bytes    int64         // of their media
	Text     string        // what is on
	Levels   *Levels       // nil where it cannot be decoded here
	// Tracks are what the set has become, once it is closed.
	Tracks []Track
}

// OnAir puts what src gives on air until it ends or ctx does, and closes the
// set: it is a track of the playlist when OnAir returns. Where the source goes
// on otherwise, as another encoder's stream does, the set goes on, and there is
// a track for each part. A set's cost does not grow with its length: what has
// become a track is forgotten. Each segment is durable here before it is
// announced. A set that a kill has left open is closed by the next OnAir or
// Publish. Those of its tracks are returned that the playlist still lists.
func (p *Publisher) OnAir(ctx context.Context, src Source, opt SetOptions) (tracks []Track, err error) {
	fail := func(err error) ([]Track, error) { return tracks, fmt.Errorf("on air: %w", err) }
	if !manifests.ValidLabel(opt.Playlist) {
		return fail(fmt.Errorf("%q: %w", opt.Playlist, ErrLabel))
	}
	if opt.Part <= 0 || opt.Part > longestPart {
		opt.Part = longestPart
	}
	if opt.Hold == nil {
		opt.Hold = func() func() { return func() {} }
	}
	unlock, ok := p.aired.try(opt.Playlist)
	if !ok {
		return fail(fmt.Errorf("playlist %q: %w", opt.Playlist, ErrOnAir))
	}
	defer unlock()
	// What is begun is ended, also when the DJ has pressed ^C.
	whole := context.WithoutCancel(ctx)
	release := opt.Hold()
	_, err = p.closeSet(whole, opt.Playlist)
	release()
	if err != nil {
		return fail(err)
	}
	var s *set
	defer func() { s.wait() }()
	for {
		cut, err := src.Next(ctx)
		if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
			p.cfg.Log.Warn("on air: the source failed", "err", err)
		}
		if err != nil && s == nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				err = ErrSilence
			}
			return fail(err)
		}
		if err != nil {
			break
		}
		if s == nil {
			s = &set{p: p, opt: opt, row: setRow{Began: p.cfg.Now().Unix(), Title: manifests.Clean(opt.Title, 480), Keep: opt.Keep}}
			s.event.Text, s.levels.opt = s.row.Title, p.cfg.Audio
			if err := s.turn(whole); err != nil {
				return fail(err)
			}
		}
		if err := s.add(whole, cut); err != nil {
			return fail(err)
		}
	}
	if err := s.end(whole); err != nil {
		return fail(err)
	}
	s.wait()
	release = opt.Hold()
	last, err := p.closeSet(whole, opt.Playlist)
	release()
	if err != nil {
		return fail(err)
	}
	tracks = last.after(s.made)
	s.event.Tracks = tracks
	s.tell()
	return tracks, nil
}

// set is a set on air. Used by one goroutine.
type set struct {
	p       *Publisher
	opt     SetOptions
	row     setRow
	air     lease.Air
	event   SetEvent
	named   errgroup.Group // tells the name, meanwhile
	latest  manifests.Block
	run     runRow // the newest, which goes on
	runDue  bool   // its row is to be put
	initDue bool
	since   int // bytes of media since media's beginning was last told

	ripe    time.Duration // Length when tracks were last made of it
	parting sync.WaitGroup
	busy    atomic.Bool // tracks are being made of what was on air
	levels  levels
	made    []Track // what it has become so far; parting guards it
}

// initShare bounds what telling how media begins costs, again and again for who
// joins: a sixteenth of the media.
const initShare = 16

// turn puts out the record that the next segments are sealed under, and before
// it the revision of the playlist that opens its generation and period.
func (s *set) turn(ctx context.Context) error {
	p := s.p
	p.mu.Lock() // without a hold: rows name the blocks before a collection may take them
	defer p.mu.Unlock()
	if err := p.revise(ctx, edit{label: s.opt.Playlist, create: true}); err != nil {
		return err
	}
	_, sel, err := p.selection(s.opt.Playlist)
	if err != nil {
		return err
	}
	now := max(p.cfg.Now().Unix(), p.cfg.Keys.newest().IAT)
	if s.row.Record == nil {
		if s.air = sel.GoLive(now, p.cfg.Keys.rootN()); s.opt.Open != nil {
			s.air = sel.GoOpen(*s.opt.Open, now, p.cfg.Keys.rootN())
		}
		s.event.Live = s.air.Record.Live
	} else {
		s.air = sel.Turn(s.air, now, p.cfg.Keys.rootN(), s.row.Seq, s.latest)
	}
	payload, err := s.air.Record.Encode()
	if err != nil {
		return err
	}
	record, err := manifests.Sign(manifests.TypeLive, payload, p.cfg.Keys.publisher().Private())
	if err != nil {
		return err
	}
	if err := p.put(ctx, []manifests.Block{record.Payload, record.Env}); err != nil {
		return err
	}
	if s.row.Record == nil {
		d := manifests.Digest(record.Payload.CID)
		s.row.Prev = d[:]
	}
	s.latest, s.initDue, s.row.Record = record.Payload, true, &record.Env.CID
	if s.row.Air, err = s.air.Encode(); err != nil {
		return err
	}
	puts := map[string][]byte{rowSet + s.opt.Playlist: marshal(s.row)}
	if err := p.revise(ctx, edit{label: s.opt.Playlist, air: &aired{s.row.Record}, puts: puts}); err != nil {
		return err
	}
	if s.opt.Carrier != nil {
		if err := s.opt.Carrier.Record(ctx, record); err != nil {
			return err
		}
	}
	s.named.Go(func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err := p.announce(ctx, new(Result)); err != nil {
			p.cfg.Log.Warn("on air: the name does not say so", "err", err)
		}
		return nil
	})
	return nil
}

// turned tells whether the next segment needs another record.
func (s *set) turned() (bool, error) {
	_, sel, err := s.p.selection(s.opt.Playlist)
	if err != nil {
		return false, err
	}
	now := max(s.p.cfg.Now().Unix(), s.air.Record.IAT)
	return sel.Turned(s.air, now, s.p.cfg.Keys.rootN()), nil
}

// add seals a cut as the next segment, keeps it, and announces it.
func (s *set) add(ctx context.Context, c Cut) error {
	first := s.run.Init == nil
	anew := c.Init != nil && (first || !c.Init.Equal(s.run.Init))
	long := s.event.Length-s.ripe >= s.opt.Part && (anew || c.Open) && !s.busy.Load()
	switch {
	case first && c.Init == nil:
		return errors.New("the source does not say what it is")
	case anew:
		s.begin(c.Init, true)
	case long:
		s.begin(s.run.Init, false)
	}
	if long {
		s.part(ctx)
	}
	if turned, err := s.turned(); err != nil {
		return err
	} else if turned {
		if err := s.turn(ctx); err != nil {
			return err
		}
	}
	return s.put(ctx, c, false)
}

// begin has the next segment be the first of a run, whose stream is anew or
// goes on.
func (s *set) begin(init *manifests.MediaInit, anew bool) {
	if s.run.Init != nil {
		s.run.N++
	}
	s.run.From, s.run.Init = s.row.Seq, init
	s.runDue, s.initDue = true, true
	if anew {
		s.levels.begin(init)
	}
}

// part makes tracks of what lies before the run that now begins, meanwhile.
func (s *set) part(ctx context.Context) {
	s.ripe = s.event.Length
	s.busy.Store(true)
	row, air, before := s.row, s.air, s.run.From
	over := func() {}
	if s.opt.parts != nil {
		over = s.opt.parts()
	}
	s.parting.Go(func() {
		defer over()
		defer s.busy.Store(false)
		defer s.opt.Hold()() // here: what is on air does not wait while others collect
		made, err := s.p.partSet(ctx, s.opt.Playlist, row, air, before)
		if err != nil { // the next one makes them
			s.p.cfg.Log.Warn("on air: no track was made yet of what was", "err", err)
			return
		}
		s.made = made.after(s.made)
	})
}

// wait waits for what goes on meanwhile; s may be nil.
func (s *set) wait() {
	if s != nil {
		s.parting.Wait()
		s.named.Wait()
	}
}

// end announces the set's end.
func (s *set) end(ctx context.Context) error { return s.put(ctx, Cut{}, true) }

func (s *set) put(ctx context.Context, c Cut, final bool) error {
	now := s.p.cfg.Now()
	text := s.says(manifests.Clean(c.Text, 512))
	seg := &manifests.Segment{At: s.row.At, Len: c.Len, UTC: now.UnixMilli(), Open: c.Open, Text: text, Media: c.Media}
	if s.initDue || s.since >= initShare*len(s.run.Init.Head) {
		seg.Init, s.since = s.run.Init, 0
		if text == "" { // who joins is told what is on as well
			seg.Text = s.event.Text
		}
	}
	s.since += len(c.Media)
	sealed, err := s.air.Seal(s.row.Seq, final, seg)
	if err != nil {
		return err
	}
	l := &s.air.Record
	h := manifests.LiveHead{DJ: l.DJ, Live: l.Live, Gen: l.Gen, Cur: l.Cur, Seq: s.row.Seq, Seg: sealed.CID, Final: final,
		Prev: [32]byte(s.row.Prev), IAT: max(now.Unix(), l.IAT)}
	payload, err := h.Encode()
	if err != nil {
		return err
	}
	head, err := manifests.Sign(manifests.TypeLiveHead, payload, s.p.cfg.Keys.publisher().Private())
	if err != nil {
		return err
	}
	// Nothing links to a head: it is announced, and not kept.
	if err := s.p.put(ctx, []manifests.Block{sealed}); err != nil {
		return err
	}
	puts := map[string][]byte{segmentRowKey(l.Live, s.row.Seq): marshal(segmentRow{sealed.CID, len(sealed.Data), len(c.Media), c.Len})}
	if s.runDue {
		puts[runRowKey(l.Live, s.run.N)] = marshal(s.run)
	}
	d := manifests.Digest(head.Payload.CID)
	s.row.Seq, s.row.At, s.row.Prev, s.row.Closed = s.row.Seq+1, s.row.At+c.Len, d[:], final
	s.event.Length += time.Duration(float64(c.Len) / float64(s.run.Init.Rate) * float64(time.Second))
	puts[rowSet+s.opt.Playlist] = marshal(s.row)
	if err := s.p.cfg.Store.Apply(puts, nil); err != nil {
		return err
	}
	s.initDue, s.runDue = false, false
	if s.opt.Carrier != nil {
		if err := s.opt.Carrier.Segment(ctx, head, sealed); err != nil {
			return err
		}
	}
	s.event.Levels = s.levels.take(c.Media) // listeners have it by now
	s.event.Segments, s.event.Bytes = s.row.Seq, s.event.Bytes+int64(len(c.Media))
	if text != "" {
		s.event.Text = text
	}
	s.tell()
	return nil
}

// says is what listeners are told is on, where a source says what: the set's
// title before it.
func (s *set) says(text string) string {
	if text == "" || s.row.Title == "" || text == s.row.Title {
		return text
	}
	return manifests.Clean(s.row.Title+": "+text, 512)
}

func (s *set) tell() {
	if s.opt.Tell != nil {
		s.opt.Tell(s.event)
	}
}

// The rows of what is no track yet: a set by its playlist, which is written with
// each segment and does not grow, its runs by their numbers, and its segments
// by theirs.
const (
	rowSet     = "set/"
	rowRun     = "run/"
	rowSegment = "segment/"
)

type setRow struct {
	Air    []byte // the set's secrets
	Record *cid.Cid
	Title  string        // of the track; "" for the date
	Keep   time.Duration // as SetOptions has it
	Began  int64         // Unix seconds
	Seq    uint64        // the next segment's
	At     int64         // ticks so far
	Prev   []byte        // digest of the newest head, or of the first record
	Closed bool
}

// runRow is from which segment on media begins so; each run becomes a track.
type runRow struct {
	N    int // from 0, in the set
	From uint64
	Init *manifests.MediaInit
}

type segmentRow struct {
	CID           cid.Cid
	Sealed, Media int   // bytes
	Len           int64 // ticks
}

func runRowKey(l manifests.LiveID, n int) string { return fmt.Sprintf("%s%s/%08x", rowRun, l, n) }

func segmentRowKey(l manifests.LiveID, seq uint64) string {
	return fmt.Sprintf("%s%s/%08x", rowSegment, l, seq)
}

// aired is the record that a playlist's manifest links to from now on; nil for
// none.
type aired struct{ record *cid.Cid }
