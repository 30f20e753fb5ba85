package publisher

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ipfs/go-cid"

	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
)

// lists are all playlists, by label.
func (p *Publisher) lists() ([]*listRow, error) {
	var out []*listRow
	err := p.cfg.Store.Each(rowList, func(key string, value []byte) error {
		l := &listRow{}
		if err := json.Unmarshal(value, l); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		out = append(out, l)
		return nil
	})
	return out, err
}

// edit is what a revision is to change.
type edit struct {
	label  string            // a playlist,
	add    []cid.Cid         // the tracks that it gets,
	create bool              // also where it is new and gets none,
	drop   []cid.Cid         // those that it lists no more,
	order  []cid.Cid         // or all that it lists, where they stand otherwise,
	whole  bool              // and others are among them,
	air    *aired            // what it has on air, where that is new,
	mixing *manifests.Mixing // and how it is mixed, where that is new
	leases []*leaseRow       // new or other than they were
	anew   map[string]bool   // playlists whose keys are drawn anew, for the leases that are left
	offer  *offerRow         // new
	card   *cardRow          // new
	puts   map[string][]byte
	gone   []string // rows
}

// change is what a playlist's next revision says otherwise than its last one.
type change struct {
	more   []cid.Cid         // tracks that come last
	order  []cid.Cid         // those before; nil: as they were
	whole  bool              // they are not those that there were, or not all
	mixing *manifests.Mixing // nil: as it was
}

func (c change) none() bool { return len(c.more) == 0 && c.order == nil && c.mixing == nil }

// revise makes an edit and the catalogue's next version: a manifest for every
// playlist that is not as its last one says, and a head. Nothing is made when
// nothing differs. Blocks are durable before the rows that name them, and all
// rows change in one transaction: whatever a kill undoes was never signed for
// anyone to see. The caller holds mu.
func (p *Publisher) revise(ctx context.Context, e edit) error {
	if err := p.ready(ctx); err != nil {
		return err
	}
	label, add := e.label, e.add
	lists, err := p.lists()
	if err != nil {
		return err
	}
	puts, gone := map[string][]byte{}, slices.Clone(e.gone)
	maps.Copy(puts, e.puts)
	if len(add) > 0 || e.create {
		i := slices.IndexFunc(lists, func(l *listRow) bool { return l.Label == label })
		if i < 0 {
			l := &listRow{Label: label}
			if err := l.keep(lease.NewSelection(p.cfg.Keys.DJ(), 0)); err != nil {
				return err
			}
			lists, i = append(lists, l), len(lists)
		}
		if add, err = p.unlisted(ctx, lists[i], add); err != nil {
			return err
		}
	}
	var head headRow
	begun, err := load(p.cfg.Store, rowHead, &head)
	if err != nil {
		return err
	}
	leases, err := p.leases()
	if err != nil {
		return err
	}
	offers, err := p.offerRows()
	if err != nil {
		return err
	}
	now := max(p.cfg.Now().Unix(), p.cfg.Keys.newest().IAT)
	if e.offer != nil {
		offers[e.offer.Label] = e.offer
		puts[rowOffer+e.offer.Label] = marshal(e.offer)
	}
	if e.mixing != nil {
		puts[rowMix+label] = marshal(mixRowOf(*e.mixing))
	}
	says, err := p.cardRow()
	if err != nil {
		return err
	}
	if e.card != nil {
		says = *e.card
		puts[rowCard] = marshal(says)
	}
	for _, r := range e.leases {
		leases[manifests.LeaseID(r.Lease)] = r
		puts[rowLease+hex.EncodeToString(r.Lease)] = marshal(r)
	}
	if err := p.turnOffers(offers, now, puts); err != nil {
		return err
	}
	revised := false
	for _, l := range lists {
		s, err := l.selection()
		if err == nil && p.turned(s) {
			s = p.turn(s, l, leases, puts)
		}
		var tenants []lease.Tenant
		if err == nil {
			tenants, err = p.tenants(leases, l.Label, max(now, l.IAT))
		}
		if e.anew[l.Label] {
			s = s.Revoke()
		}
		var c change
		if l.Label == label {
			c = change{more: add, order: e.order, whole: e.whole, mixing: e.mixing}
			if e.air != nil {
				l.Live = e.air.record
			}
			if err == nil && len(e.drop) > 0 {
				var left []cid.Cid
				if left, err = p.without(l, lists, e.drop, puts, &gone); err == nil {
					err = p.withoutExcerpts(&says, puts, &gone)
				}
				if err == nil {
					c.mixing, err = p.unmixed(label, e.drop, puts)
				}
				if !e.whole {
					c.order, c.whole = left, true
				}
			}
		}
		if err == nil && c.none() && p.current(l, s, now, tenants, offers[l.Label]) {
			continue
		}
		var drawn []lease.Tenant
		if err == nil {
			drawn, err = p.reviseList(ctx, l, s, c, now, tenants, offers[l.Label])
		}
		if err != nil {
			return fmt.Errorf("playlist %q: %w", l.Label, err)
		}
		for _, t := range drawn {
			r := leases[t.Lease]
			r.take(t)
			puts[rowLease+t.Lease.String()] = marshal(r)
		}
		if c.order != nil {
			l.replace(slices.Concat(c.order, c.more), puts, &gone)
		} else {
			l.add(c.more, puts)
		}
		puts[rowList+l.Label] = marshal(l)
		revised = true
	}
	card, err := p.cardBlock(says, lists)
	if err != nil {
		return err
	}
	if !revised && begun && head.RootN == p.cfg.Keys.rootN() && head.cardIs(card) || len(lists) == 0 {
		if len(puts)+len(gone) == 0 {
			return nil
		}
		return p.cfg.Store.Apply(puts, gone) // leases that no revision carries any more; a card before all lists
	}
	if err := p.reviseHead(ctx, &head, lists, card, now); err != nil {
		return fmt.Errorf("head: %w", err)
	}
	puts[rowHead] = marshal(head)
	return p.cfg.Store.Apply(puts, gone)
}

// current tells whether a playlist's last manifest says what is so at now.
func (p *Publisher) current(l *listRow, s lease.Selection, now int64, tenants []lease.Tenant, offer *offerRow) bool {
	now = max(now, l.IAT)
	return l.Env != nil && s.RootN == p.cfg.Keys.rootN() && s.Gen == s.MKGen &&
		s.Cur == manifests.Period(now, s.Unit) && len(l.Changed) == 0 && sameLink(l.Live, l.Shown) && l.offered() == offer.envelope() && s.Carries(now, tenants)
}

// sameLink tells whether two links are one.
func sameLink(a, b *cid.Cid) bool { return a == b || a != nil && b != nil && *a == *b }

// unlisted are those of tracks, each once, that a playlist does not have yet.
func (p *Publisher) unlisted(ctx context.Context, l *listRow, tracks []cid.Cid) (out []cid.Cid, err error) {
	s, err := l.selection()
	if err != nil {
		return nil, err
	}
	have := map[cid.Cid]bool{}
	if l.Env != nil {
		have, err = s.Listed(tracks, p.held(ctx))
	}
	if err != nil { // its blocks are not here
		all, err := p.order(l)
		if err != nil {
			return nil, err
		}
		have = make(map[cid.Cid]bool, len(all))
		for _, c := range all {
			have[c] = true
		}
	}
	for _, c := range tracks {
		if !have[c] {
			have[c] = true
			out = append(out, c)
		}
	}
	return out, nil
}

// held reads blocks of the last revision, which are here as a rule.
func (p *Publisher) held(ctx context.Context) func([]cid.Cid) ([][]byte, error) {
	return func(cs []cid.Cid) ([][]byte, error) {
		if p.cfg.Held == nil {
			return nil, errors.New("no blocks to read")
		}
		out := make([][]byte, len(cs))
		for i, c := range cs {
			var err error
			if out[i], err = p.cfg.Held.Read(ctx, c); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
}

// reviseList makes and signs a playlist's next revision, which has a change, and
// returns the leases for which it drew grants. It is made of the last one's
// blocks, or, where they are not enough, of all of the playlist's rows.
func (p *Publisher) reviseList(ctx context.Context, l *listRow, s lease.Selection, c change, now int64, tenants []lease.Tenant, offer *offerRow) ([]lease.Tenant, error) {
	d := lease.Draft{
		// A clock that was set back must not make a manifest older than the
		// last: followers would refuse it.
		Now: max(now, l.IAT), RootN: p.cfg.Keys.rootN(),
		Amend: &lease.Amend{Mixing: c.mixing, Order: c.order, List: l.Label}, Held: p.held(ctx),
		Tenants: tenants, Sign: p.cfg.Keys.publisher(), Live: l.Live,
	}
	if offer != nil {
		d.Offers = []cid.Cid{offer.envelope()}
	}
	var err error
	if d.Amend.Tracks, err = p.tracks(slices.Concat(c.more, l.Changed)); err != nil {
		return nil, err
	}
	var rev lease.Revision
	var next lease.Selection
	if err = lease.ErrWhole; !c.whole {
		rev, next, err = s.Revise(d)
	}
	if errors.Is(err, lease.ErrWhole) {
		d.Amend = nil
		order := c.order
		if order == nil {
			if order, err = p.order(l); err != nil {
				return nil, err
			}
		}
		order = slices.Concat(order, c.more)
		list := manifests.Playlist{Label: l.Label, Tracks: order}
		if c.mixing != nil {
			list.Mixing = *c.mixing
		} else if list.Mixing, err = p.mixing(l.Label); err != nil {
			return nil, err
		}
		d.Lists = []manifests.Playlist{list}
		if d.Tracks, err = p.tracks(order); err != nil {
			return nil, err
		}
		rev, next, err = s.Revise(d)
	}
	if err != nil {
		return nil, err
	}
	payload, err := rev.Manifest.Encode()
	if err != nil {
		return nil, err
	}
	m, err := manifests.Sign(manifests.TypeManifest, payload, p.cfg.Keys.publisher().Private())
	if err != nil {
		return nil, err
	}
	if offer != nil {
		rev.Blocks = append(rev.Blocks, manifests.NewBlock(offer.Payload), manifests.NewBlock(offer.Env))
		l.Offer = &d.Offers[0]
	}
	if err := p.put(ctx, append(rev.Blocks, m.Payload, m.Env)); err != nil {
		return nil, err
	}
	l.Env, l.IAT, l.Exp, l.Changed, l.Shown = &m.Env.CID, rev.Manifest.IAT, rev.Manifest.Exp, nil, l.Live
	return rev.Tenants, l.keep(next.Signed(m.Payload))
}

func (p *Publisher) reviseHead(ctx context.Context, row *headRow, lists []*listRow, card *manifests.Block, now int64) error {
	k := p.cfg.Keys
	h := manifests.Head{DJ: k.DJ(), RootN: k.rootN(), Seq: row.Seq + 1, IAT: max(now, row.IAT), Roots: k.rootLinks()}
	if row.RootN == k.rootN() {
		d := [32]byte(row.Digest)
		h.Prev = &d
	} else {
		h.Seq, h.IAT = 1, now
	}
	for _, l := range lists {
		s, err := l.selection()
		if err != nil {
			return err
		}
		h.Sels = append(h.Sels, manifests.Listed{Sel: s.Sel, Label: l.Label, Manifest: *l.Env})
		h.Exp, h.IAT = max(h.Exp, l.Exp), max(h.IAT, l.IAT)
	}
	slices.SortFunc(h.Sels, func(a, b manifests.Listed) int { return slices.Compare(a.Sel[:], b.Sel[:]) })
	if card != nil {
		h.Card = &card.CID
	}
	payload, err := h.Encode()
	if err != nil {
		return err
	}
	s, err := manifests.Sign(manifests.TypeHead, payload, k.publisher().Private())
	if err != nil {
		return err
	}
	blocks := []manifests.Block{s.Payload, s.Env}
	if card != nil {
		blocks = append(blocks, *card)
	}
	for _, r := range k.roots() {
		blocks = append(blocks, r.Payload, r.Env)
	}
	if err := p.put(ctx, blocks); err != nil {
		return err
	}
	d := manifests.Digest(s.Payload.CID)
	*row = headRow{RootN: h.RootN, Seq: h.Seq, Digest: d[:], Env: s.Env.CID, IAT: h.IAT, Exp: h.Exp, Card: h.Card}
	return nil
}

func (p *Publisher) put(ctx context.Context, blocks []manifests.Block) error {
	out := make([]node.Block, len(blocks))
	for i, b := range blocks {
		out[i] = node.Block(b)
	}
	return p.cfg.Blocks.Put(ctx, out...)
}
