package player

import (
	"cmp"
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

// item is one track of a playlist, where it stands. Its entry is the
// catalogue's own.
type item struct {
	name   ipns.Name
	label  string
	entry  *manifests.Entry
	mixing *manifests.Mixing // its playlist's; nil of previews
	clip   *preview          // is heard in the track's place; nil: the track is
	set    *broadcast        // is heard, and no track: there is no entry then
}

// cid is the track's, as text; "" of a set.
func (it item) cid() string {
	if it.set != nil {
		return ""
	}
	return it.entry.Track.String()
}

// pass is one selection, unlocked and in its DJ's order. One of previews is
// not unlocked, and takes no lease.
type pass struct {
	name     ipns.Name
	dj       manifests.DJ
	version  cid.Cid // of the catalogue
	sel      *follow.Selection
	unlocked *lease.Unlocked
	items    []item
	order    *order // that items are; nil of previews
	ended    bool   // its lease has
}

// program is what a request asks for, in order.
type program struct {
	asked  string // by what name
	passes []*pass
	total  int
}

// at is place k.
func (g *program) at(k int) (item, *pass) {
	for _, ps := range g.passes {
		if k < len(ps.items) {
			return ps.items[k], ps
		}
		k -= len(ps.items)
	}
	panic("a place beyond the program")
}

// within is place k's in its pass.
func (g *program) within(k int) int {
	for _, ps := range g.passes {
		if k < len(ps.items) {
			break
		}
		k -= len(ps.items)
	}
	return k
}

// find is the place of track nearest to k; -1 where it has gone.
func (g *program) find(track cid.Cid, k int) int {
	best, at := -1, 0
	for _, ps := range g.passes {
		for _, it := range ps.items {
			if it.entry.Track == track && (best < 0 || max(at-k, k-at) < max(best-k, k-best)) {
				best = at
			}
			at++
		}
	}
	return best
}

// behind is the place after that of the track at pl, which may be an earlier
// program's: where it has gone, that of the first behind it which has not.
func (g *program) behind(pl place) int {
	for k := pl.k; k < pl.g.total; k++ {
		it, _ := pl.g.at(k)
		at := g.find(it.entry.Track, pl.k)
		switch {
		case at >= 0 && k == pl.k:
			return at + 1
		case at >= 0:
			return at
		}
	}
	return g.total
}

func (g *program) close() {
	for _, ps := range g.passes {
		if ps.unlocked != nil {
			ps.unlocked.Close()
		}
	}
}

// selections are what a request asks for: NAME/P, all of NAME, P of all names
// that this box has a lease of, or, without a name, all of those.
func (p *Player) selections(req Request) ([]ipns.Name, string, error) {
	n, label, err := Asked(req.Name)
	if err != nil {
		return nil, "", err
	}
	if n == "" {
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
		return names, label, nil
	}
	return []ipns.Name{n}, label, nil
}

// Asked reads a Request's Name: of whom, where "" is any name that is leased
// here, and which playlist, where "" is all of them.
func Asked(name string) (of ipns.Name, label string, err error) {
	if name == "" || IsLabel(name) {
		return "", name, nil
	}
	text, label, _ := strings.Cut(strings.TrimPrefix(name, "/ipns/"), "/")
	if strings.HasPrefix(name, "playnode://") || strings.HasPrefix(name, "https://") {
		l, err := manifests.ParseLink(name)
		if err != nil {
			return "", "", err
		}
		text, label = string(l.Name), l.Label
	}
	if of, err = ipns.ParseName(text); err != nil {
		return "", "", err
	}
	return of, label, nil
}

// IsLabel tells whether what is asked for is a playlist of any name.
func IsLabel(name string) bool {
	if name == "" || strings.Contains(name, "/") || strings.HasPrefix(name, "k51") {
		return false
	}
	_, err := ipns.ParseName(name)
	return err != nil
}

// program unlocks what a request asks for, in order. One that is not leased
// is passed over as long as another is; the error is the first one's.
func (p *Player) program(ctx context.Context, req Request) (*program, error) {
	names, label, err := p.selections(req)
	if err != nil {
		return nil, err
	}
	out := &program{asked: req.Name}
	var first, absent error
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
			out.passes = append(out.passes, ps)
			out.total += len(ps.items)
		}
		if !found {
			absent = fmt.Errorf("%s has no playlist %q: %w", n, label, follow.ErrNotFound)
		}
	}
	if len(out.passes) == 0 {
		return nil, cmp.Or(first, absent)
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
		var from, until, keys int64
		for _, l := range p.cfg.Leases.Leases() {
			if l.DJ == dj && l.Sel == s.ID && l.Until > until {
				from, until, keys = l.From, l.Until, l.Keys
			}
		}
		switch {
		case errors.Is(err, lease.ErrKeysEnded):
			return fmt.Errorf("%w: those to %q on %s, as the DJ has been away since; the lease runs until %s and goes on with her next version", lease.ErrKeysEnded, s.Label,
				time.Unix(min(keys, s.Manifest.LockEnd()), 0).UTC().Format(time.RFC1123), time.Unix(until, 0).UTC().Format(time.RFC1123))
		case errors.Is(err, lease.ErrNotYet):
			return fmt.Errorf("%w: that of %q begins %s", lease.ErrNotYet, s.Label, time.Unix(from, 0).UTC().Format(time.RFC1123))
		}
		return fmt.Errorf("%w: that of %q ended %s; %s", lease.ErrLapsed, s.Label, time.Unix(until, 0).UTC().Format(time.RFC1123), askFor)
	}
	return fmt.Errorf("%q: %w", s.Label, err)
}

// stale tells whether a name has moved on since.
func (p *Player) stale(g *program) bool {
	for _, ps := range g.passes {
		if c, err := p.cfg.Catalogues.Newest(ps.name); err == nil && c.Envelope != ps.version {
			return true
		}
	}
	return false
}

// unlock opens one selection's keys and order.
func (p *Player) unlock(ctx context.Context, c *follow.Catalogue, s *follow.Selection) (*pass, error) {
	u, err := p.cfg.Leases.Unlock(s.Manifest)
	if err != nil {
		p.mu.Lock()
		delete(p.orders, s.ID) // what was opened goes with the lease
		p.mu.Unlock()
		return nil, err
	}
	ps := &pass{name: c.Name, dj: c.DJ, version: c.Envelope, sel: s, unlocked: u}
	if ps.order, err = p.order(ctx, ps); err != nil {
		u.Close()
		return nil, err
	}
	ps.items = ps.order.items
	return ps, nil
}

// order is a selection's tracks as its playlists have them.
func (p *Player) order(ctx context.Context, ps *pass) (*order, error) {
	s := ps.sel
	p.mu.Lock()
	known := p.orders[s.ID]
	p.mu.Unlock()
	if known != nil && known.version == s.Envelope {
		return known, nil
	}
	var sealed [][]byte
	for _, m := range s.Manifest.Meta {
		wait, cancel := context.WithTimeout(ctx, p.cfg.Patience)
		b, err := p.cfg.Fetch.Get(wait, m, node.Want{Class: node.Now})
		cancel()
		if err != nil {
			return nil, fmt.Errorf("read playlist %q: %w", s.Label, err)
		}
		sealed = append(sealed, b)
	}
	lists, err := ps.unlocked.Playlists(sealed, s.Entries)
	if err != nil {
		return nil, err
	}
	entries := make(map[cid.Cid]*manifests.Entry, len(s.Entries))
	for i := range s.Entries {
		entries[s.Entries[i].Track] = &s.Entries[i]
	}
	var items []item
	for i := range lists {
		l := &lists[i]
		for _, t := range l.Tracks {
			items = append(items, item{name: ps.name, label: s.Label, entry: entries[t], mixing: &l.Mixing})
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orders[s.ID] = &order{version: s.Envelope, items: items}
	return p.orders[s.ID], nil
}

// Prepare opens the orders of all that is leased here, and finds out how loud
// they begin, so that a start need not.
func (p *Player) Prepare(ctx context.Context) {
	g, err := p.program(ctx, Request{})
	if err != nil {
		return
	}
	defer g.close()
	for _, ps := range g.passes {
		if len(ps.items) == 0 {
			continue
		}
		soon, cancel := context.WithTimeout(ctx, levelPatience)
		if _, err := p.level(soon, ps, 0, node.Next, false); err != nil {
			p.cfg.Log.Debug("level of the first track", "err", err)
		}
		cancel()
	}
}
