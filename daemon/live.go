package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"playnode/internal/audio/segment"
	"playnode/lease"
	"playnode/manifests"
	"playnode/publisher"
	"playnode/publisher/icecast"
)

// The operations of a set. Live runs until its source ends or LiveEnd ends it.
const (
	OpLive    Op[LiveRequest, Aired]       = "live"
	OpLiveEnd Op[LiveEndRequest, struct{}] = "live-end"
)

// LiveRequest puts a set on air: what comes to a door for Icecast sources, or a
// file at its own pace.
type LiveRequest struct {
	Playlist string `json:"playlist"`
	Title    string `json:"title,omitempty"`
	// File (absolute) is played at its own pace; else sources are taken at
	// Icecast, an address, on Mount, "" for any, with User and Password, which
	// is made up where it is "".
	File     string `json:"file,omitempty"`
	Icecast  string `json:"icecast,omitempty"`
	Mount    string `json:"mount,omitempty"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	// Once ends the set when the first source has left; else its encoder may
	// come back.
	Once bool `json:"once,omitempty"`
	// Open has the set heard by all who have the link that is told first, and
	// not only by those who lease Playlist. At is the origin of a box whose
	// gateway serves the page of such links; "" for none.
	Open bool   `json:"open,omitempty"`
	At   string `json:"at,omitempty"`
	// Segment is how long a segment should be; 0 means a second.
	Segment time.Duration `json:"segment,omitempty"`
	// Part is how long a track of a long set is; 0 means 12 h, and with Keep an
	// hour, or as long as Keep. Keep is how much of what was on air so stays in
	// the playlist; 0 means all.
	Part time.Duration `json:"part,omitempty"`
	Keep time.Duration `json:"keep,omitempty"`
}

const (
	// leastPart is the shortest part: each is a version of the catalogue. mostPart
	// is the longest: what opens a track's segments has a block's room.
	leastPart, mostPart = 10 * time.Minute, 12 * time.Hour
	// usualPart is how long one is where the playlist rolls.
	usualPart = time.Hour
)

// LiveEndRequest ends the set of a playlist.
type LiveEndRequest struct {
	Playlist string `json:"playlist"`
}

// LiveEvent is news of a set on air.
type LiveEvent struct {
	// Link opens the set, Web does in a browser; they are told once, before all
	// else. They are secrets of whoever is to hear it.
	Link string `json:"link,omitempty"`
	Web  string `json:"web,omitempty"`
	// Door is where sources are taken, told once, before there is a Set.
	Door     string `json:"door,omitempty"`
	Password string `json:"password,omitempty"`
	Set      string `json:"set,omitempty"`
	Segments uint64 `json:"segments"`
	Ms       int64  `json:"ms"`
	Bytes    int64  `json:"bytes"`
	Text     string `json:"text,omitempty"`
	// Levels is how loud it comes in; null where it cannot be decoded here.
	Levels *Levels `json:"levels,omitempty"`
}

// Levels is how loud a set comes in.
type Levels struct {
	// Peak is the highest sample of the last segment in dBFS, -100 for none, LUFS the
	// loudness of the last three seconds, -70 for less.
	Peak float64 `json:"peak"`
	LUFS float64 `json:"lufs"`
	// Clipped counts the places where the sound is cut off at full scale,
	// SilentMs is how long there has been none.
	Clipped  int64 `json:"clipped"`
	SilentMs int64 `json:"silentMs"`
}

// Aired is a set that has ended.
type Aired struct {
	Set      string `json:"set"`
	Segments uint64 `json:"segments"`
	// Track is the first of Tracks, and as a rule the only one.
	Track  string  `json:"track"`
	Tracks []Track `json:"tracks"`
}

func (d *Daemon) live(ctx context.Context, req LiveRequest, emit func(Event)) (Aired, error) {
	out := Aired{Tracks: []Track{}}
	if (req.File == "") == (req.Icecast == "") {
		return out, usage("a set comes from a file, or from sources at an address")
	}
	if req.Segment != 0 && (req.Segment < 500*time.Millisecond || req.Segment > 2*time.Second) {
		return out, usage("a segment is from 500ms to 2s")
	}
	if req.Keep > 0 && req.Part == 0 {
		req.Part = min(usualPart, req.Keep)
	}
	if req.Part != 0 && (req.Part < leastPart || req.Part > mostPart) || req.Keep < 0 || req.Keep > 0 && req.Keep < req.Part {
		return out, usage("a part is from %s to %s, and what is kept at least a part", leastPart, mostPart)
	}
	open, err := d.openSet(req)
	if err != nil {
		return out, err
	}
	n, err := d.net()
	if err != nil {
		return out, err
	}
	if err := d.adopt(ctx, n, emit); err != nil {
		return out, err
	}
	ctx, end, err := d.airs(ctx, req.Playlist)
	if err != nil {
		return out, err
	}
	defer end()
	if l := d.line(); d.manners().Keep {
		emit(Event{Note: "your line is left to others (" + l.why() + "): one listener is given the set, and passes it on"})
	}
	if open != nil {
		link, web := d.openLink(open.Link(), req.At)
		emit(Event{Live: &LiveEvent{Link: link, Web: web}})
		switch all, err := n.publisher.Excerpts(); {
		case req.Keep > 0:
		case err == nil && len(all) >= manifests.MaxOpen:
			emit(Event{Note: "once the set is over its link leads nowhere: " + publisher.ErrExcerpts.Error()})
		default:
			emit(Event{Note: "once the set is over its link plays it from its beginning; playnode excerpt rm takes that back. " + needsThis})
		}
	}
	streams, serve, err := d.door(ctx, req, emit)
	if err != nil {
		return out, err
	}
	g, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(ctx)
	g.Go(func() error { return serve(serving) })
	mouth := &mouthpiece{a: n.air}
	defer mouth.end()
	var tracks []publisher.Track
	g.Go(func() error {
		defer stop()
		var err error
		tracks, err = n.publisher.OnAir(ctx, publisher.NewFeed(publisher.FeedConfig{Streams: streams, Target: req.Segment, Log: d.log}), publisher.SetOptions{
			Playlist: req.Playlist, Title: req.Title, Part: req.Part, Keep: req.Keep, Hold: n.follow.Hold, Carrier: mouth, Open: open,
			Tell: func(e publisher.SetEvent) {
				out.Set, out.Segments = e.Live.String(), e.Segments
				emit(Event{Live: &LiveEvent{Set: out.Set, Segments: e.Segments, Ms: e.Length.Milliseconds(), Bytes: e.Bytes, Text: e.Text, Levels: levelsOf(e.Levels)}})
			},
		})
		return err
	})
	if err := g.Wait(); err != nil {
		return out, err
	}
	for _, t := range tracks {
		out.Tracks = append(out.Tracks, trackOf(t))
	}
	if len(tracks) > 0 {
		out.Track = tracks[0].CID.String()
	}
	n.search.changed()
	return out, d.refresh(context.WithoutCancel(ctx), n, nil, emit)
}

// openSet draws what opens a set to who has its link, if it is to be open.
func (d *Daemon) openSet(req LiveRequest) (*lease.SetKey, error) {
	if !req.Open {
		if req.At != "" {
			return nil, usage("a page is of a set that is open")
		}
		return nil, nil
	}
	if req.At != "" {
		if err := validOrigin(req.At); err != nil {
			return nil, err
		}
	}
	k := lease.NewSetKey(d.keys.DJ())
	return &k, nil
}

func levelsOf(l *publisher.Levels) *Levels {
	if l == nil {
		return nil
	}
	tenth := func(v float64) float64 { return math.Round(v*10) / 10 }
	return &Levels{Peak: tenth(l.Peak), LUFS: tenth(l.LUFS), Clipped: l.Clipped, SilentMs: l.Silent.Milliseconds()}
}

// airs gives a set a context that LiveEnd ends.
func (d *Daemon) airs(ctx context.Context, label string) (context.Context, func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.onAir[label] != nil {
		return nil, nil, usage("a set of %q is on air already", label)
	}
	ctx, cancel := context.WithCancel(ctx)
	if d.onAir == nil {
		d.onAir = map[string]context.CancelFunc{}
	}
	d.onAir[label] = cancel
	return ctx, func() {
		cancel()
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.onAir, label)
	}, nil
}

func (d *Daemon) liveEnd(_ context.Context, req LiveEndRequest, _ func(Event)) (struct{}, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	end := d.onAir[req.Playlist]
	if end == nil {
		return struct{}{}, usage("no set of %q is on air", req.Playlist)
	}
	end()
	return struct{}{}, nil
}

// door is where a set comes in; serve runs until its context ends.
func (d *Daemon) door(ctx context.Context, req LiveRequest, emit func(Event)) (_ publisher.Streams, serve func(context.Context) error, _ error) {
	if req.File != "" {
		f, err := os.Open(req.File)
		if err != nil {
			return nil, nil, usage("%s cannot be read: %v", filepath.Base(req.File), errors.Unwrap(err))
		}
		paced := segment.Pace(f, segment.Wall{})
		return publisher.One(paced), func(ctx context.Context) error {
			<-ctx.Done()
			paced.Close()
			return f.Close()
		}, nil
	}
	if req.Password == "" {
		req.Password = strings.ToLower(rand.Text()[:12])
	}
	srv, err := icecast.New(icecast.Config{User: req.User, Password: req.Password, Mount: req.Mount, Sources: 1})
	if err != nil {
		return nil, nil, usage("%v", err)
	}
	l, err := icecast.Listen(ctx, req.Icecast)
	if err != nil {
		return nil, nil, usage("%v: is it taken, or no address of this machine?", err)
	}
	emit(Event{Live: &LiveEvent{Door: l.Addr().String(), Password: req.Password}})
	return &sources{srv: srv, once: req.Once, emit: emit}, func(ctx context.Context) error { return srv.Serve(ctx, l) }, nil
}

// sources are an Icecast door's, one after another.
type sources struct {
	srv  *icecast.Server
	once bool
	emit func(Event)
	came int
}

func (s *sources) Next(ctx context.Context) (publisher.Stream, error) {
	if s.once && s.came > 0 {
		return nil, io.EOF
	}
	if s.came > 0 {
		s.emit(Event{Note: "the source has left; it may come back"})
	}
	x, err := s.srv.Accept(ctx)
	if err != nil {
		return nil, err
	}
	s.came++
	return titled{x}, nil
}

// titled is a source with the titles that came beside it.
type titled struct{ *icecast.Source }

func (t titled) Titles() (out []string) {
	for _, u := range t.Updates() {
		out = append(out, manifests.Clean(u.Title, 512))
	}
	return out
}
