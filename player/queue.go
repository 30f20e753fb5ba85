package player

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
)

// item is one place in the queue.
type item struct {
	name  ipns.Name
	label string
	entry manifests.Entry
}

// pass is one selection, unlocked and in its DJ's order.
type pass struct {
	name     ipns.Name
	dj       manifests.DJ
	sel      *follow.Selection
	unlocked *lease.Unlocked
	items    []item
}

// selections are what a request asks for: NAME/P, all of NAME, or, without a
// name, all that this box has a lease for.
func (p *Player) selections(req Request) ([]ipns.Name, string, error) {
	if req.Name == "" {
		var names []ipns.Name
		for _, l := range p.cfg.Leases.Leases() {
			n, err := ipns.ParseName(string(l.Name))
			if err == nil && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
		if len(names) == 0 {
			return nil, "", fmt.Errorf("%w here; %s", lease.ErrNoLease, askFor)
		}
		return names, "", nil
	}
	text, label, _ := strings.Cut(strings.TrimPrefix(req.Name, "/ipns/"), "/")
	if strings.HasPrefix(req.Name, "playnode://") {
		l, err := manifests.ParseLink(req.Name)
		if err != nil {
			return nil, "", err
		}
		text, label = string(l.Name), l.Label
	}
	n, err := ipns.ParseName(text)
	if err != nil {
		return nil, "", err
	}
	return []ipns.Name{n}, label, nil
}

// passes unlocks what a request asks for, in order. One that is not leased is
// passed over as long as another is; the error is the first one's.
func (p *Player) passes(ctx context.Context, req Request) ([]pass, error) {
	names, label, err := p.selections(req)
	if err != nil {
		return nil, err
	}
	var out []pass
	var first error
	note := func(err error) {
		if first == nil || errors.Is(first, lease.ErrNoLease) && !errors.Is(err, lease.ErrNoLease) {
			first = err
		}
	}
	for _, n := range names {
		c, err := p.cfg.Catalogues.Newest(n)
		if err != nil {
			note(err)
			continue
		}
		found := false
		for i := range c.Selections {
			s := &c.Selections[i]
			if label != "" && s.Label != label {
				continue
			}
			found = true
			ps, err := p.unlock(ctx, c, s)
			if err != nil {
				note(p.terms(c.DJ, s, err))
				continue
			}
			out = append(out, ps)
		}
		if !found {
			note(fmt.Errorf("%s has no playlist %q: %w", n, label, follow.ErrNotFound))
		}
	}
	if len(out) == 0 {
		return nil, first
	}
	return out, nil
}

// askFor says how a venue comes by a lease.
const askFor = "ask the DJ for one, giving this box's device (playnode id), then: playnode lease import FILE"

// terms puts the reason why a selection stays locked into words.
func (p *Player) terms(dj manifests.DJ, s *follow.Selection, err error) error {
	switch {
	case errors.Is(err, lease.ErrNoLease):
		return fmt.Errorf("%w here for %q; %s", lease.ErrNoLease, s.Label, askFor)
	case errors.Is(err, lease.ErrRevoked):
		return fmt.Errorf("%w: that of %q; %s", lease.ErrRevoked, s.Label, askFor)
	case errors.Is(err, lease.ErrLapsed), errors.Is(err, lease.ErrNotYet):
		var from, until int64
		for _, l := range p.cfg.Leases.Leases() {
			if l.DJ == dj && l.Sel == s.ID && l.Until > until {
				from, until = l.From, l.Until
			}
		}
		if errors.Is(err, lease.ErrNotYet) {
			return fmt.Errorf("%w: that of %q begins %s", lease.ErrNotYet, s.Label, time.Unix(from, 0).UTC().Format(time.RFC1123))
		}
		return fmt.Errorf("%w: that of %q ended %s; %s", lease.ErrLapsed, s.Label, time.Unix(until, 0).UTC().Format(time.RFC1123), askFor)
	}
	return fmt.Errorf("%q: %w", s.Label, err)
}

// unlock opens one selection's keys and order.
func (p *Player) unlock(ctx context.Context, c *follow.Catalogue, s *follow.Selection) (pass, error) {
	u, err := p.cfg.Leases.Unlock(s.Manifest)
	if err != nil {
		return pass{}, err
	}
	var sealed [][]byte
	for _, m := range s.Manifest.Meta {
		wait, cancel := context.WithTimeout(ctx, p.cfg.Patience)
		b, err := p.cfg.Fetch.Get(wait, m, node.Want{Class: node.Now})
		cancel()
		if err != nil {
			return pass{}, fmt.Errorf("read playlist %q: %w", s.Label, err)
		}
		sealed = append(sealed, b)
	}
	lists, err := u.Playlists(sealed, s.Entries)
	if err != nil {
		return pass{}, err
	}
	entries := make(map[cid.Cid]manifests.Entry, len(s.Entries))
	for _, e := range s.Entries {
		entries[e.Track] = e
	}
	ps := pass{name: c.Name, dj: c.DJ, sel: s, unlocked: u}
	for _, l := range lists {
		for _, t := range l.Tracks {
			ps.items = append(ps.items, item{c.Name, s.Label, entries[t]})
		}
	}
	return ps, nil
}
