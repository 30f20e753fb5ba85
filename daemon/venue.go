package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"playnode/follow"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
)

// followName follows a name or link and brings its newest version here.
func (d *Daemon) followName(ctx context.Context, req FollowRequest, emit func(Event)) (Followed, error) {
	n, err := d.net()
	if err != nil {
		return Followed{}, err
	}
	name, err := n.follow.Follow(ctx, req.Link)
	if err != nil {
		if errors.Is(err, follow.ErrVerify) {
			return Followed{}, err
		}
		return Followed{}, usage("%v", err)
	}
	n.look()
	ctx, alive, stop := patience(ctx, req.Node.timeout())
	defer stop()
	if err := d.connect(ctx, n, req.Node.Peers); err != nil && req.Once {
		return Followed{}, err
	}
	if d.manners().Rest {
		emit(Event{Note: "the line is left to others now (" + d.line().why() + "): from afar come only the beginnings, the rest later or from the LAN"})
	}
	var resolved *float64
	begun := time.Now() // by the wall: how long it takes, and not when it is
	c, err := n.follow.Sync(ctx, name, follow.Options{
		Ask: true,
		Resolved: func(ipns.Record) {
			if resolved == nil {
				ms := float64(time.Since(begun).Microseconds()) / 1000
				resolved = &ms
			}
		},
		Progress: func(p follow.Progress) {
			alive()
			emit(Event{Progress: &Progress{What: "fetch", Done: int64(p.Blocks - p.Missing), Total: int64(p.Blocks), Unit: "blocks"}})
		},
	})
	if err != nil {
		if _, held := n.follow.Newest(name); held != nil || req.Once || !errors.Is(err, follow.ErrNotFound) {
			return Followed{}, waited(ctx, err)
		}
		emit(Event{Note: "no peer answered; what is held stays in use"})
	} else {
		d.settle(c)
		n.search.changed()
		if err := c.Refusal(); err != nil { // the rest of it is accepted
			return Followed{}, err
		}
	}
	f, err := d.followed(n, name)
	if err == nil {
		f.ResolvedMs = resolved
		rec, rerr := d.device.Record()
		f.Device, err = manifests.DeviceText(rec), rerr
	}
	return f, err
}

// patience is a context that ends when alive has not been called for d.
func patience(ctx context.Context, d time.Duration) (_ context.Context, alive func(), stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := time.AfterFunc(d, func() {
		cancel(&Error{Kind: NotFound, Message: fmt.Sprintf("nothing arrived for %s", d)})
	})
	return ctx, func() { t.Reset(d) }, func() { t.Stop(); cancel(nil) }
}

// waited says that patience ran out, where that is why err came; it did on
// wrong bytes, where somebody has sent some.
func waited(ctx context.Context, err error) error {
	if e := (*Error)(nil); errors.As(context.Cause(ctx), &e) {
		kind := e.Kind
		if errors.Is(err, node.ErrVerify) {
			kind = Verify
		}
		return &Error{Kind: kind, Message: err.Error() + ": " + e.Message, cause: err}
	}
	return err
}

// connect dials peers, all at once, and fails when none can be reached.
func (d *Daemon) connect(ctx context.Context, n *network, peers []string) error {
	errs := make([]error, len(peers))
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() { errs[i] = n.node.Connect(ctx, p) })
	}
	wg.Wait()
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	if len(peers) == 0 {
		return nil
	}
	return &Error{Kind: NotFound, Message: errors.Join(errs...).Error()}
}

func (d *Daemon) followed(n *network, name ipns.Name) (Followed, error) {
	for _, s := range n.follow.Follows() {
		if s.Name == name {
			return d.followedAs(n, s), nil
		}
	}
	return Followed{}, fmt.Errorf("%s is not followed: %w", name, follow.ErrNotFound)
}

func (d *Daemon) followedAs(n *network, s follow.Status) Followed {
	f := Followed{
		Name: s.Name.String(), DJ: s.DJ, Seq: s.Seq,
		Tracks: s.Progress.Tracks, Held: s.Progress.Held, Missing: s.Progress.Tracks - s.Progress.Held,
		Selections: []string{}, Playlists: []OnOffer{},
	}
	if s.Envelope.Defined() {
		f.Manifest, f.Issued = s.Envelope.String(), instant(s.Issued)
	}
	if c, err := n.follow.Newest(s.Name); err == nil {
		for _, sel := range c.Selections {
			f.Selections = append(f.Selections, sel.Label)
		}
		if c.Card != nil {
			f.DJName, f.About = c.Card.Name, c.Card.About
		}
		f.Playlists = d.onOffer(n, c)
		if c.Stale(d.now()) {
			t := time.Unix(c.Head.Exp, 0).UTC()
			f.Stale = &t
		}
	}
	if rec, err := n.names.Newest(s.Name); err == nil {
		f.Record = &NameRecord{Seq: rec.Seq, End: rec.EOL.UTC()}
	}
	if s.Err != nil && f.Missing > 0 {
		f.Why = s.Err.Error()
	}
	return f
}

func (d *Daemon) follows(_ context.Context, _ struct{}, _ func(Event)) ([]Followed, error) {
	n, err := d.net()
	if err != nil {
		return nil, err
	}
	out := []Followed{}
	for _, s := range n.follow.Follows() {
		out = append(out, d.followedAs(n, s))
	}
	return out, nil
}

func (d *Daemon) unfollow(ctx context.Context, req UnfollowRequest, emit func(Event)) (struct{}, error) {
	n, err := d.net()
	if err != nil {
		return struct{}{}, err
	}
	name, err := ipns.ParseName(req.Name)
	if err != nil {
		return struct{}{}, usage("%v", err)
	}
	defer n.search.changed()
	if err := n.follow.Unfollow(ctx, name); err != nil {
		return struct{}{}, err
	}
	n.air.leaves(name)
	if err := n.archivist.Forget(ctx, name); err != nil {
		emit(Event{Note: fmt.Sprintf("the Pinning Service may still have it: %v", err)})
	}
	return struct{}{}, nil
}

// status is the whole box on one page.
func (d *Daemon) status(ctx context.Context, _ struct{}, emit func(Event)) (Status, error) {
	n, err := d.net()
	if err != nil {
		return Status{}, err
	}
	id, err := d.id(ctx, struct{}{}, emit)
	if err != nil {
		return Status{}, err
	}
	s := Status{Name: id.Name, Peer: id.Peer, Peers: len(n.node.Connected())}
	if s.Follows, err = d.follows(ctx, struct{}{}, emit); err != nil {
		return Status{}, err
	}
	if s.Leases, err = d.leases(ctx, struct{}{}, emit); err != nil {
		return Status{}, err
	}
	pins, err := n.node.Pins(ctx)
	if err != nil {
		return Status{}, err
	}
	s.Alerts = alerts(n)
	s.Storage.Pins, s.Storage.Limit = len(pins), d.repo.Config.StoreLimit
	if s.Storage.Used, err = n.node.Used(ctx); err != nil {
		return Status{}, err
	}
	s.Reach = n.reach()
	s.Traffic, s.Served = d.traffic(n), n.servedBy(d.repo.Config.Copies)
	s.Line, s.Today = d.line(), d.countToday(n)
	s.Playing, s.Sound = d.sound.now()
	s.Faults = faults(n.player.Faults())
	s.Carries = n.air.carries()
	s.Schedule, err = d.schedule(ctx, struct{}{}, emit)
	return s, err
}

func (d *Daemon) traffic(n *network) Traffic {
	t := n.node.Traffic()
	x := n.fetch.Swarm()
	web := d.handed.Load()
	out := Traffic{
		Sent: t.Sent + x.Sent + web, ByWay: map[string]int64{"playnodes": x.Sent, n.node.Source(): t.Sent, "http": web}, Received: t.Received + x.Received, BySource: map[string]int64{},
		Duplicate: x.Duplicate, Referred: x.Referred, Rescued: x.Rescued, Liars: x.Liars,
	}
	for name, c := range n.fetch.Counts() {
		if name != "local" {
			out.BySource[name] = c.Bytes
		}
	}
	return out
}
