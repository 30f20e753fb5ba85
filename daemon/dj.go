package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
	"playnode/publisher"
)

func (d *Daemon) openPublisher(n *network) (*publisher.Publisher, error) {
	read := func(ctx context.Context, c cid.Cid) ([]byte, error) {
		return n.fetch.Get(ctx, c, node.Want{Class: node.Now})
	}
	var names publisher.Names = n.names
	if d.repo.Config.Kubo != "" {
		names = pinned{n.names, d, n.node}
	}
	p, err := publisher.New(publisher.Config{
		Keys: d.keys, Blocks: n.node, Held: n.node, Read: read, Store: d.repo.Bucket("library"), Names: names, Now: d.now,
		NameLife: d.repo.Config.NameLife, Audio: d.audio(), Log: d.log,
	})
	if err != nil {
		return nil, err
	}
	return p, d.moved(n, p)
}

// moved refuses a Kubo that has not what was published from the repo's own
// store: half a catalogue would be made of it.
func (d *Daemon) moved(n *network, p *publisher.Publisher) error {
	head, _, err := p.Head()
	if err != nil || !head.Defined() || d.repo.Config.Kubo == "" {
		return err
	}
	has, err := n.node.Has(context.Background(), head)
	if err == nil && !has {
		err = usage("that Kubo has not what you have published from here: take it there first, without --kubo: playnode export %s FILE.car; then ipfs dag import FILE.car", d.keys.Name())
	}
	return err
}

// id says who this repo is.
func (d *Daemon) id(context.Context, struct{}, func(Event)) (Identity, error) {
	key, err := d.identity()
	if err != nil {
		return Identity{}, err
	}
	peer, err := peerID(key)
	if err != nil {
		return Identity{}, err
	}
	device, err := d.device.Record()
	if err != nil {
		return Identity{}, err
	}
	id := Identity{
		Name: string(d.keys.Name()), Root: d.keys.DJ().String(), Device: manifests.DeviceText(device),
		Peer: peer, Addrs: []string{}, Repo: d.repo.Dir,
	}
	d.mu.Lock()
	n := d.opened
	d.mu.Unlock()
	if n != nil && d.opt.Serve {
		id.Addrs = n.node.Addrs()
	}
	return id, nil
}

// publish brings files out under the DJ's name. It never needs the network:
// the record goes to the peers that are there, within reach seconds.
func (d *Daemon) publish(ctx context.Context, req PublishRequest, emit func(Event)) (Published, error) {
	n, err := d.net()
	if err != nil {
		return Published{}, err
	}
	if !d.opt.Serve && len(req.Node.Peers) > 0 {
		reach, cancel := context.WithTimeout(ctx, d.reach())
		d.connect(reach, n, req.Node.Peers)
		d.hear(reach, n)
		cancel()
	}
	if err := d.adopt(ctx, n, emit); err != nil {
		return Published{}, err
	}
	release := n.follow.Hold()
	res, err := n.publisher.Publish(ctx, req.Paths, publisher.Options{
		Playlist: req.Playlist, NoArchiveKey: req.NoArchiveKey, Reanalyse: req.Reanalyse,
		Progress: func(done, total int64) {
			emit(Event{Progress: &Progress{What: "seal", Done: done, Total: total, Unit: "bytes"}})
		},
		Clips: func(done, total int64) {
			emit(Event{Progress: &Progress{What: "previews", Done: done, Total: total, Unit: "tracks"}})
		},
	})
	release()
	out := published(res)
	if errors.Is(err, publisher.ErrNothing) {
		return out, nil // what was skipped says why
	}
	if err != nil {
		return out, err
	}
	n.search.changed()
	if out.Playlists, err = d.playlists(ctx, struct{}{}, emit); err != nil {
		return out, err
	}
	if err := d.refresh(ctx, n, req.Mirrors, emit); err != nil {
		return out, err
	}
	if req.WaitServed > 0 {
		wait, alive, stop := patience(ctx, req.Node.timeout())
		defer stop()
		out.Served, err = d.waitServed(wait, n, req.WaitServed, alive, emit)
		return out, err
	}
	d.unserved(emit)
	return out, nil
}

// hear asks the peers that are connected for the DJ's own names: another laptop
// may have published under them.
func (d *Daemon) hear(ctx context.Context, n *network) {
	for _, own := range d.keys.Names() {
		if name, err := ipns.ParseName(string(own)); err == nil {
			if _, err := n.names.Look(ctx, name); err != nil {
				d.log.Debug("ask for the own name", "name", name, "err", err)
			}
		}
	}
}

// reach is how long a command that only writes tries peers for.
func (d *Daemon) reach() time.Duration { return 3 * time.Second }

func published(res publisher.Result) Published {
	out := Published{
		Name: string(res.Name), Seq: res.Seq, Playlists: []Playlist{}, Skipped: []Skipped{},
		Added: res.Added, Sealed: res.Sealed, Reanalysed: res.Reanalysed, Previews: res.Clips, Holders: res.Holders,
	}
	if res.Head.Defined() {
		out.Manifest = res.Head.String()
	}
	for _, s := range res.Skipped {
		out.Skipped = append(out.Skipped, Skipped{Path: s.Path, Why: s.Err.Error()})
	}
	return out
}

func playlistOf(p publisher.Playlist) Playlist {
	out := Playlist{Name: p.Label, CrossfadeMs: p.Mixing.Fade, Gain: "track", Tracks: []Track{}}
	if p.Mixing.Album {
		out.Gain = "album"
	}
	for _, t := range p.Tracks {
		x := trackOf(t)
		x.Cue = cueOf(p, t)
		out.Tracks = append(out.Tracks, x)
	}
	return out
}

func trackOf(t publisher.Track) Track {
	x := Track{
		CID: t.CID.String(), Title: t.Title, Artist: t.Artist, Album: t.Album,
		Ms: t.Samples * 1000 / int64(max(1, t.Rate)), Samples: t.Samples, Rate: t.Rate,
	}
	if l := t.Loudness; l != nil {
		x.LUFS, x.Peak = thousandth(l.Integrated), thousandth(l.Peak)
	}
	return x
}

func thousandth(n int) *float64 {
	v := float64(n) / 1000
	return &v
}

func (d *Daemon) playlists(context.Context, struct{}, func(Event)) ([]Playlist, error) {
	n, err := d.net()
	if err != nil {
		return nil, err
	}
	all, err := n.publisher.Playlists()
	if err != nil {
		return nil, err
	}
	out := []Playlist{}
	for _, p := range all {
		out = append(out, playlistOf(p))
	}
	return out, nil
}

func (d *Daemon) playlist(_ context.Context, req PlaylistRequest, _ func(Event)) (Playlist, error) {
	n, err := d.net()
	if err != nil {
		return Playlist{}, err
	}
	p, err := n.publisher.Playlist(req.Name)
	if err != nil {
		return Playlist{}, err
	}
	return playlistOf(p), nil
}

// share makes the link of a playlist.
func (d *Daemon) share(ctx context.Context, req ShareRequest, emit func(Event)) (Shared, error) {
	if _, err := d.playlist(ctx, PlaylistRequest{Name: req.Name}, emit); err != nil {
		return Shared{}, err
	}
	if len(req.Origins) > manifests.MaxOrigins {
		return Shared{}, usage("a link has at most %d origins", manifests.MaxOrigins)
	}
	for _, o := range req.Origins {
		if err := validOrigin(o); err != nil {
			return Shared{}, err
		}
	}
	dj := d.keys.DJ()
	l := manifests.Link{DJ: &dj, Label: req.Name, Name: d.keys.Name(), Origins: req.Origins}
	if !req.NoAddrs {
		l.Addrs = d.hints()
	}
	return Shared{Link: l.String(), Web: l.Web(req.Web)}, nil
}

// hints are a few addresses at which this daemon can be found.
func (d *Daemon) hints() []string {
	d.mu.Lock()
	n := d.opened
	d.mu.Unlock()
	if n == nil || !d.opt.Serve {
		return nil
	}
	addrs := n.node.Addrs()
	return addrs[:min(4, len(addrs))]
}

func (d *Daemon) leased(id, dj, device, label string, from, until int64) Leased {
	out := Leased{
		Lease: id, DJ: dj, Device: device, Playlist: label,
		From: time.Unix(from, 0).UTC(), Until: time.Unix(until, 0).UTC(), State: "active",
	}
	switch now := d.now().Unix(); {
	case now < from:
		out.State = "future"
	case now >= until:
		out.State = "lapsed"
	}
	return out
}

func (d *Daemon) keysArchive(context.Context, struct{}, func(Event)) (ArchiveKey, error) {
	var out ArchiveKey
	for _, a := range d.keys.Archives() {
		out.Identities = append(out.Identities, a.Reveal())
	}
	out.Identity = out.Identities[0]
	return out, nil
}

// keepPublished publishes anew what the passing of time changes: the period,
// and the record before its end; and has the mirrors follow.
func (d *Daemon) keepPublished(ctx context.Context, n *network) error {
	ticks, stop := d.opt.Ticks(time.Minute)
	defer stop()
	for {
		err := d.adopt(ctx, n, func(e Event) { d.log.Warn(e.Note) })
		if err == nil {
			release := n.follow.Hold()
			_, err = n.publisher.Publish(ctx, nil, publisher.Options{})
			release()
		}
		if err == nil {
			err = d.endLinks(ctx, n)
		}
		if err == nil && d.lags(n) {
			err = d.refresh(ctx, n, nil, func(Event) {})
		}
		if err != nil && ctx.Err() == nil {
			d.log.Error("publish anew", "err", err)
		}
		select {
		case <-ticks:
		case <-ctx.Done():
			return nil
		}
	}
}
