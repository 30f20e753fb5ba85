package daemon

import (
	"context"
	"errors"
	"runtime/debug"

	"playnode/follow"
	"playnode/internal/audio"
	"playnode/lease"
	"playnode/manifests"
	"playnode/player"
)

func (d *Daemon) openPlayer(n *network) (*player.Player, error) {
	return player.New(player.Config{
		Catalogues: n.follow, Leases: d.venue, Fetch: n.fetch, Now: d.now, Audio: d.audio(), Log: d.log,
	})
}

// audio is the decoders that the settings choose.
func (d *Daemon) audio() audio.Options { return decoders(d.repo.Config.MP3) }

// decoders are those of the setting audio.mp3.
func decoders(mp3 string) audio.Options {
	if mp3 == "go-mp3" {
		return audio.Options{Engine: audio.GoMP3}
	}
	return audio.Options{}
}

// play plays until it is done, or ctx ends.
func (d *Daemon) play(ctx context.Context, req PlayRequest, emit func(Event)) (Played, error) {
	n, err := d.net()
	if err != nil {
		return Played{}, err
	}
	play := func() (Played, error) {
		return d.perform(ctx, n, req, emit, func(p player.Request, tell func(player.Event)) (player.Played, error) {
			return n.player.Play(ctx, p, tell)
		})
	}
	out, err := play()
	if KindOf(err) == NoLease && out.Samples == 0 && d.askAgain(ctx, n, emit) {
		return play()
	}
	return out, err
}

// perform has a player play with this box's settings, and tells what is heard.
func (d *Daemon) perform(ctx context.Context, n *network, req PlayRequest, emit func(Event), with func(player.Request, func(player.Event)) (player.Played, error)) (Played, error) {
	if err := d.connect(ctx, n, req.Node.Peers); err != nil {
		d.log.Warn("connect", "err", err) // what is held plays all the same
	}
	d.settleAll(n)
	if req.Sink == "" {
		req.Sink = d.repo.Config.Sink
	}
	file := len(req.Sink) > 4 && (req.Sink[:4] == "wav:" || req.Sink[:4] == "raw:")
	if req.Loudness == "" && !file {
		req.Loudness = d.repo.Config.Loudness
	}
	if req.Rate == 0 {
		req.Rate = d.repo.Config.Rate
	}
	res, err := with(player.Request{
		Name: req.Name, Sink: req.Sink, Rate: req.Rate, Once: req.Once, Loudness: req.Loudness,
		Paced: d.opt.Serve && req.Sink == "null",
	}, func(e player.Event) {
		ev := &PlayEvent{
			Event: string(e.Kind), Name: e.Name, Playlist: e.Playlist, CID: e.CID, Title: e.Title, Artist: e.Artist,
			At: e.At, Rate: e.Rate,
		}
		if e.Kind == player.Done {
			ev.Played = &Played{Samples: e.Played.Samples, Joins: e.Played.Joins, Skipped: e.Played.Skipped}
		}
		if e.Err != nil {
			ev.Kind, ev.Message = KindOf(e.Err), e.Err.Error()
		}
		d.mu.Lock()
		switch e.Kind {
		case player.NewTrack:
			d.playing = ev
		case player.Done:
			d.playing = nil
		}
		d.mu.Unlock()
		emit(Event{Play: ev})
	})
	forget()
	out := Played{Samples: res.Samples, Joins: res.Joins, Skipped: res.Skipped}
	if errors.Is(err, player.ErrSink) {
		return out, usage("%v", err)
	}
	if errors.Is(err, follow.ErrNotFound) && req.Name != "" {
		return out, &Error{Kind: NotFound, Message: err.Error() + "; follow it first: playnode follow " + req.Name, cause: err}
	}
	return out, err
}

// forget gives the memory in which keys and sound lay back to the system, as
// far as nothing else is in it.
func forget() { debug.FreeOSMemory() }

// leaseImport takes in a grant. One that came by mailbox meanwhile may be
// newer than a file: then there is nothing to take in.
func (d *Daemon) leaseImport(ctx context.Context, req ImportRequest, emit func(Event)) (Leased, error) {
	if req.Link != "" {
		n, err := d.net()
		if err != nil {
			return Leased{}, err
		}
		if req.Blob, err = d.blob(ctx, n, req.Link, manifests.BlobLease, manifests.MaxGrantFile, req.Node); err != nil {
			return Leased{}, err
		}
	}
	l, err := d.venue.Import(req.Blob)
	if errors.Is(err, lease.ErrOld) {
		emit(Event{Note: "a newer grant of this lease is here already"})
	} else if err != nil {
		return Leased{}, err
	}
	if n, err := d.net(); err == nil {
		n.search.changed()
	}
	return d.held(l), nil
}

// held is a lease as its venue sees it.
func (d *Daemon) held(l lease.Lease) Leased {
	out := d.leased(l.ID.String(), l.DJ.String(), l.Grant.Dev.String(), d.label(l), l.From, l.Until)
	// A venue's state is by the time that its leases are judged by.
	switch now := d.venue.Now(l.DJ); {
	case l.Revoked:
		out.State = "revoked"
	case now < l.From:
		out.State = "future"
	case now >= l.Until:
		out.State = "lapsed"
	default:
		out.State = "active"
	}
	return out
}

// label is a leased selection's label, where its DJ is followed here already,
// else the selection's id.
func (d *Daemon) label(l lease.Lease) string {
	n, err := d.net()
	if err != nil {
		return l.Sel.String()
	}
	for _, s := range n.follow.Follows() {
		c, err := n.follow.Newest(s.Name)
		if err != nil || c.DJ != l.DJ {
			continue
		}
		for _, sel := range c.Selections {
			if sel.ID == l.Sel {
				return sel.Label
			}
		}
	}
	return l.Sel.String()
}

// leases lists what was granted here and what is held here.
func (d *Daemon) leases(context.Context, struct{}, func(Event)) ([]Leased, error) {
	n, err := d.net()
	if err != nil {
		return nil, err
	}
	out := []Leased{}
	granted, err := n.publisher.Leases()
	if err != nil {
		return nil, err
	}
	for _, l := range granted {
		out = append(out, d.granted(l))
	}
	for _, l := range d.venue.Leases() {
		out = append(out, d.held(l))
	}
	return out, nil
}
