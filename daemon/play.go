package daemon

import (
	"context"
	"errors"
	"runtime/debug"

	"playnode/internal/audio"
	"playnode/lease"
	"playnode/manifests"
	"playnode/player"
)

func (d *Daemon) openPlayer(n *network) (*player.Player, error) {
	var sets player.Sets = n.air
	if d.opt.sets != nil {
		sets = d.opt.sets
	}
	return player.New(player.Config{
		Catalogues: n.follow, Leases: d.venue, Fetch: n.fetch, Coming: n.fetch.Coming, Held: n.node, Now: d.now, Audio: d.audio(), Log: d.log,
		Blocked: d.sound.blocked, Sets: sets, Schedule: d.hours.Schedule,
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

// forget has what keys and sound lay in erased, and gives that memory back to
// the system as far as nothing else is in it. What a pool held is let go by
// the second collection.
func forget() {
	for range 2 {
		debug.FreeOSMemory()
	}
}

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
	out.Held = true
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
