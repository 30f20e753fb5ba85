package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/internal/repo"
	"playnode/internal/seal"
	"playnode/player"
)

// Rows of the bucket "sound".
const (
	volumeRow = "volume" // percent, as ctl has set it last
	onRow     = "on"     // the detached request that plays, as JSON
	blockRow  = "block/" // and a CID: never played here
)

// sound is what plays here. A sink is one playback's: a second play for it
// takes it from the first, since a room has one loudspeaker and whoever asked
// last is standing in it. What was detached begins again when the sink is
// free. ctl drives the loudspeaker's.
type sound struct {
	rows *repo.Bucket
	wg   sync.WaitGroup // of detached playbacks

	mu    sync.Mutex // guards what follows
	all   []*playing // in the order of their starts
	block map[string]bool
	saved int // the volume as ctl has set it last; -1 for never
}

// playing is one playback.
type playing struct {
	*player.Playback
	sink   string
	cancel context.CancelCauseFunc
	done   chan struct{}
	track  *PlayEvent // guarded by sound.mu
}

// errTaken ends a playback whose sink another has taken.
var errTaken = errors.New("another play has taken the sink")

func openSound(d *Daemon) (*sound, error) {
	s := &sound{rows: d.repo.Bucket("sound"), block: map[string]bool{}, saved: -1}
	b, err := s.rows.Get(volumeRow)
	if err != nil {
		return nil, err
	}
	if v, err := strconv.Atoi(string(b)); err == nil {
		s.saved = v
	}
	return s, s.rows.Each(blockRow, func(key string, _ []byte) error {
		s.block[strings.TrimPrefix(key, blockRow)] = true
		return nil
	})
}

// close waits for what was detached; its context has ended.
func (s *sound) close() { s.wg.Wait() }

func (s *sound) blocked(track cid.Cid) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.block) > 0 && s.block[track.String()]
}

// isFile tells whether a sink is a file, which is written as it is.
func isFile(sink string) bool {
	return strings.HasPrefix(sink, "wav:") || strings.HasPrefix(sink, "raw:")
}

// speaker is the playback that ctl drives: the last one that was started, a
// loudspeaker's before a file's. nil where there is none.
func (s *sound) speaker() *playing {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last *playing
	for _, p := range s.all {
		if last == nil || !isFile(p.sink) || isFile(last.sink) {
			last = p
		}
	}
	return last
}

// take makes p the playback of its sink, and ends the one that was.
func (s *sound) take(p *playing) {
	s.mu.Lock()
	var old []*playing
	for _, o := range s.all {
		if o.sink == p.sink {
			old = append(old, o)
		}
	}
	s.all = append(s.all, p)
	s.mu.Unlock()
	for _, o := range old {
		o.cancel(errTaken)
		<-o.done
	}
}

// plays tells whether a sink is taken.
func (s *sound) plays(sink string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.all, func(p *playing) bool { return p.sink == sink })
}

func (s *sound) leave(p *playing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(o *playing) bool { return o == p })
	close(p.done)
}

// now is the track that is heard, and what the loudspeaker does.
func (s *sound) now() (*PlayEvent, *Sound) {
	p := s.speaker()
	if p == nil {
		return nil, nil
	}
	st := s.state(p.State())
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.track, &st
}

func (s *sound) state(st player.State) Sound {
	out := Sound{
		State: st.State, Name: st.Name, Playlist: st.Playlist, CID: st.CID, Title: st.Title, Artist: st.Artist,
		AtMs: st.At.Milliseconds(), Ms: st.Length.Milliseconds(), Volume: st.Volume, Ceiling: st.Ceiling,
		Sink: st.Sink, Rate: st.Rate, DelayMs: st.Delay.Milliseconds(), Underruns: st.Underruns, StartUs: st.Start.Microseconds(), Blocked: []string{},
		Live: receptionOf(st.Live),
	}
	if n := st.Next; n != nil {
		out.Next = &Coming{n.CID, n.Title, n.Artist}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.block {
		out.Blocked = append(out.Blocked, c)
	}
	slices.Sort(out.Blocked)
	return out
}

// stopped is the state of a box that plays nothing.
func (d *Daemon) stopped() Sound {
	return d.sound.state(player.State{State: "stopped", Volume: *d.volume(), Ceiling: d.repo.Config.VolumeCeiling})
}

// volume is what a loudspeaker begins with.
func (d *Daemon) volume() *int {
	d.sound.mu.Lock()
	defer d.sound.mu.Unlock()
	v := d.repo.Config.Volume
	if d.sound.saved >= 0 {
		v = d.sound.saved
	}
	v = min(v, d.repo.Config.VolumeCeiling)
	return &v
}

// play plays until it is done, or ctx ends; what is detached goes on.
func (d *Daemon) play(ctx context.Context, req PlayRequest, emit func(Event)) (Played, error) {
	n, err := d.ready(ctx, &req)
	if err != nil {
		return Played{}, err
	}
	if req.Name == "" && !req.Once {
		d.sayGap(emit)
	}
	if p := d.sound.speaker(); req.Instead && p != nil && !isFile(p.sink) {
		req.Sink = p.sink
	}
	if !req.Detach {
		held := len(d.venue.Leases())
		out, err := d.playNow(ctx, n, req, emit, n.player.Open)
		if KindOf(err) != NoLease || out.Samples > 0 {
			return out, err
		}
		// A lease may have come by mailbox since.
		if len(d.venue.Leases()) > held || d.askAgain(ctx, n, emit) {
			return d.playNow(ctx, n, req, emit, n.player.Open)
		}
		return out, err
	}
	if !d.opt.Serve {
		return Played{}, usage("--detach needs a daemon on this repo: playnode daemon")
	}
	on, err := json.Marshal(req)
	if err != nil {
		return Played{}, err
	}
	p, err := d.open(n.player.Open, d.filled(req), nil)
	if err != nil {
		return Played{}, err
	}
	kept := make(chan struct{})
	d.detach(n, p, kept) // the sound does not wait for the disk
	defer close(kept)
	d.kept("remember what plays", d.sound.rows.Put(onRow, on))
	return Played{}, nil
}

// ready has all that a playback may want, and the volume that it asks for.
func (d *Daemon) ready(ctx context.Context, req *PlayRequest) (*network, error) {
	n, err := d.net()
	if err != nil {
		return nil, err
	}
	if err := d.connect(ctx, n, req.Node.Peers); err != nil {
		d.log.Warn("connect", "err", err) // what is held plays all the same
	}
	d.settleAll(n)
	if req.Volume != nil && !isFile(req.Sink) { // kept as ctl's is
		if _, err := d.saveVolume(*req.Volume); err != nil {
			return nil, err
		}
		req.Volume = nil
	}
	return n, nil
}

// kept tells of a disk that has not taken what was to outlive this process, as
// one that is full. The music goes on.
func (d *Daemon) kept(what string, err error) {
	n, nerr := d.net()
	switch {
	case nerr != nil && err != nil:
		d.log.Error(what, "err", err)
	case nerr != nil:
	case err != nil:
		n.player.Fault("disk", fmt.Errorf("%s: %w", what, err))
	default:
		n.player.Mend("disk")
	}
}

// filled is a request with the settings where it says nothing.
func (d *Daemon) filled(req PlayRequest) PlayRequest {
	cfg := d.repo.Config
	if req.Sink == "" {
		req.Sink = cfg.Sink
	}
	if !isFile(req.Sink) {
		if req.Loudness == "" {
			req.Loudness = cfg.Loudness
		}
		if req.Crossfade == nil && !req.ByPlaylist {
			req.Crossfade, req.ByPlaylist = cfg.Crossfade, cfg.Crossfade == nil
		}
		if req.Volume == nil {
			req.Volume = d.volume()
		}
	}
	if req.Rate == 0 {
		req.Rate = cfg.Rate
	}
	if req.Latency == 0 {
		req.Latency = cfg.Latency
	}
	if req.Live == "" {
		req.Live = cfg.Live
	}
	return req
}

// opener makes a playback; player.Player has several.
type opener func(player.Request, func(player.Event)) (*player.Playback, error)

// open makes the playback of a filled request.
func (d *Daemon) open(with opener, req PlayRequest, emit func(Event)) (*playing, error) {
	p := &playing{sink: req.Sink, done: make(chan struct{})}
	r := player.Request{
		Name: req.Name, Sink: req.Sink, Rate: req.Rate, Once: req.Once, Loudness: req.Loudness, From: req.From, Latency: req.Latency,
		Volume: req.Volume, Ceiling: d.repo.Config.VolumeCeiling, Stay: req.Detach,
		Paced: d.opt.Serve && req.Sink == "null",
	}
	if isFile(req.Sink) {
		r.Ceiling = 100
	}
	switch req.Live {
	case "", repo.LiveAuto:
	case repo.LiveOff:
		r.Live = player.PassSets
	default:
		return nil, usage("live is %s or %s, and not %q", repo.LiveAuto, repo.LiveOff, req.Live)
	}
	if req.Crossfade != nil {
		r.Crossfade = *req.Crossfade
	} else {
		r.Mixed = req.ByPlaylist
	}
	var err error
	p.Playback, err = with(r, func(e player.Event) {
		ev := playEvent(e)
		d.sound.mu.Lock()
		switch e.Kind {
		case player.NewTrack, player.OnAir:
			p.track = ev
		case player.Done:
			p.track = nil
		}
		d.sound.mu.Unlock()
		if emit != nil {
			emit(Event{Play: ev})
		}
	})
	if errors.Is(err, player.ErrSink) {
		return nil, usage("%v", err)
	}
	return p, err
}

func playEvent(e player.Event) *PlayEvent {
	ev := &PlayEvent{
		Event: string(e.Kind), Name: e.Name, Playlist: e.Playlist, CID: e.CID, Title: e.Title, Artist: e.Artist,
		At: e.At, Rate: e.Rate, Cut: e.Cut, Set: e.Set,
	}
	if r := e.Reception; r != nil {
		lag, buffer := r.Lag.Milliseconds(), r.Buffer.Milliseconds()
		ev.Lag, ev.Buffer, ev.Missing, ev.Recorded = &lag, &buffer, r.Missing, r.Recorded
		if r.Recorded {
			ev.Lag = nil
		}
	}
	if e.Kind == player.Done {
		ev.Played = &Played{Samples: e.Played.Samples, Joins: e.Played.Joins, Skipped: e.Played.Skipped}
	}
	if e.Err != nil {
		ev.Kind, ev.Message = KindOf(e.Err), e.Err.Error()
	}
	return ev
}

// playNow runs a request for whoever waits for it.
func (d *Daemon) playNow(ctx context.Context, n *network, req PlayRequest, emit func(Event), with opener) (Played, error) {
	p, err := d.open(with, d.filled(req), emit)
	if err != nil {
		return Played{}, err
	}
	res, err := d.run(ctx, p)
	d.goOn(n, p.sink)
	if errors.Is(err, player.ErrSink) {
		return res, usage("%v", err)
	}
	if errors.Is(err, follow.ErrNotFound) && req.Name != "" && !player.IsLabel(req.Name) {
		return res, &Error{Kind: NotFound, Message: err.Error() + "; follow it first: playnode follow " + req.Name, cause: err}
	}
	return res, err
}

// run is a playback's life.
func (d *Daemon) run(ctx context.Context, p *playing) (Played, error) {
	ctx, p.cancel = context.WithCancelCause(ctx)
	defer p.cancel(nil)
	d.sound.take(p)
	defer d.sound.leave(p)
	var res player.Played
	var err error
	seal.Erasing(func() { res, err = p.Run(ctx) })
	forget()
	if err != nil && errors.Is(context.Cause(ctx), errTaken) {
		err = &Error{Kind: Failed, Message: fmt.Sprintf("%v: %s", errTaken, p.sink), cause: errTaken}
	}
	return Played{Samples: res.Samples, Joins: res.Joins, Skipped: res.Skipped}, err
}

// detach runs a playback for as long as the daemon does. kept is closed when
// it has been remembered.
func (d *Daemon) detach(n *network, p *playing, kept <-chan struct{}) {
	d.sound.wg.Go(func() {
		_, err := d.run(d.life, p)
		<-kept
		if d.life.Err() == nil && !errors.Is(err, errTaken) { // it is over
			if err != nil {
				d.log.Error("play", "err", err)
			}
			d.kept("forget what played", d.sound.rows.Delete(onRow))
		}
	})
}

// keepSound goes on with what was playing when the daemon ended, and has what
// is leased ready to play.
func (d *Daemon) keepSound(ctx context.Context, n *network) error {
	defer n.follow.OnNewer(func(*follow.Catalogue) { n.player.Prepare(ctx) })()
	d.goOn(n, "")
	n.player.Prepare(ctx)
	<-ctx.Done()
	return nil
}

// goOn starts again what was detached, on its sink, or on any.
func (d *Daemon) goOn(n *network, sink string) {
	if !d.opt.Serve || d.life.Err() != nil {
		return
	}
	b, err := d.sound.rows.Get(onRow)
	if err == nil && b == nil {
		return
	}
	var req PlayRequest
	if err == nil {
		err = json.Unmarshal(b, &req)
	}
	req = d.filled(req)
	if err == nil && (sink == "" || sink == req.Sink) && !d.sound.plays(req.Sink) {
		var p *playing
		if p, err = d.open(n.player.Open, req, nil); err == nil {
			kept := make(chan struct{})
			close(kept)
			d.detach(n, p, kept)
		}
	}
	if err != nil {
		d.log.Error("go on playing", "err", err)
	}
}

func faults(all []player.Fault) []Fault {
	out := []Fault{}
	for _, f := range all {
		x := Fault{Kind: f.Kind, CID: f.Track, Message: f.Message, Since: f.Since, Last: f.Last, Times: f.Times}
		if !f.Mended.IsZero() {
			x.Mended = &f.Mended
		}
		out = append(out, x)
	}
	return out
}
