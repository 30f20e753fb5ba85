package daemon

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"playnode/follow"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
	"playnode/publisher"
)

// leaseGrant leases a playlist to a device.
func (d *Daemon) leaseGrant(ctx context.Context, req GrantRequest, emit func(Event)) (Granted, error) {
	n, err := d.net()
	if err != nil {
		return Granted{}, err
	}
	device, err := d.deviceText(ctx, n, req.Device, req.Node)
	if err != nil {
		return Granted{}, err
	}
	t := publisher.Terms{Playlist: req.Playlist, Device: device, For: req.For, Hints: d.hints()}
	if req.From != 0 {
		t.From = time.Unix(req.From, 0)
	}
	g, err := n.publisher.Grant(ctx, t)
	if err != nil {
		return Granted{}, terms(err)
	}
	out := Granted{Leased: d.granted(g.Lease), Blob: g.File}
	if req.Link {
		out.Link, err = d.leaseLink(ctx, n, out.Lease, g.File, emit)
	}
	return out, err
}

// leaseRenew lengthens leases that were granted here.
func (d *Daemon) leaseRenew(ctx context.Context, req RenewRequest, _ func(Event)) ([]Granted, error) {
	n, err := d.net()
	if err != nil {
		return nil, err
	}
	ids, err := leaseIDs(req.Leases)
	if err != nil {
		return nil, err
	}
	got, err := n.publisher.Renew(ctx, ids, req.For)
	if err != nil {
		return nil, terms(err)
	}
	out := []Granted{}
	for _, g := range got {
		out = append(out, Granted{Leased: d.granted(g.Lease), Blob: g.File})
	}
	return out, nil
}

// leaseRevoke ends leases that were granted here.
func (d *Daemon) leaseRevoke(ctx context.Context, req RevokeRequest, _ func(Event)) ([]Leased, error) {
	n, err := d.net()
	if err != nil {
		return nil, err
	}
	ids, err := leaseIDs(req.Leases)
	if err != nil {
		return nil, err
	}
	gone, err := n.publisher.Revoke(ctx, ids)
	if err != nil {
		return nil, terms(err)
	}
	out := []Leased{}
	for _, l := range gone {
		out = append(out, d.granted(l))
	}
	return out, nil
}

// terms makes refused terms a question of usage.
func terms(err error) error {
	if errors.Is(err, publisher.ErrTerms) || errors.Is(err, publisher.ErrNoSuchLease) || errors.Is(err, publisher.ErrNoRequest) {
		return usage("%v", err)
	}
	return err
}

func leaseIDs(texts []string) ([]manifests.LeaseID, error) {
	var out []manifests.LeaseID
	for _, s := range texts {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != len(manifests.LeaseID{}) {
			return nil, usage("%.80q is no lease's id; playnode lease ls shows them", s)
		}
		out = append(out, manifests.LeaseID(b))
	}
	return out, nil
}

// granted is a lease as its DJ sees it.
func (d *Daemon) granted(l publisher.Lease) Leased {
	out := d.leased(l.ID.String(), d.keys.DJ().String(), l.Device.String(), l.Label, l.From, l.Until)
	if l.Revoked {
		out.State = "revoked"
	}
	return out
}

// believe raises the time of a DJ's leases by what she has signed since, and
// opens this box's mailboxes, all of which are here. A head dated in the
// future, or shards that are none, refuse the version.
func (d *Daemon) believe(blocks node.Blocks, c *follow.Catalogue) error {
	err := d.believed(blocks, c)
	if errors.Is(err, lease.ErrFuture) || errors.Is(err, lease.ErrRefused) {
		return fmt.Errorf("%w: %w", follow.ErrVerify, err)
	}
	return err
}

func (d *Daemon) believed(blocks node.Blocks, c *follow.Catalogue) error {
	if err := d.venue.Accept(c.Chain, c.Head.IAT); err != nil {
		return err
	}
	for _, s := range c.Selections {
		var shards [][]byte
		for _, b := range s.Manifest.Boxes {
			data, err := blocks.Read(context.Background(), b)
			if err != nil {
				return fmt.Errorf("mailboxes of %q: %w", s.Label, err)
			}
			shards = append(shards, data)
		}
		got, err := d.venue.Receive(c.Chain, s.Manifest, shards)
		if err != nil {
			return err
		}
		for _, l := range got {
			d.log.Info("lease by mailbox", "lease", l.ID, "playlist", s.Label, "until", time.Unix(l.Until, 0).UTC(), "keys", time.Unix(l.Keys, 0).UTC())
		}
	}
	return nil
}

// settle ends the leases that an accepted version says are revoked.
func (d *Daemon) settle(c *follow.Catalogue) {
	for _, s := range c.Selections {
		gone, err := d.venue.Settle(s.Manifest)
		if err != nil {
			d.log.Error("settle leases", "playlist", s.Label, "err", err)
		}
		for _, l := range gone {
			d.log.Warn("lease revoked", "lease", l.ID, "playlist", s.Label)
		}
	}
}

// settleAll does so for all that is followed: the process may have ended
// between accepting a version and settling it.
func (d *Daemon) settleAll(n *network) {
	for _, f := range n.follow.Follows() {
		if c, err := n.follow.Newest(f.Name); err == nil {
			d.settle(c)
		}
	}
}
