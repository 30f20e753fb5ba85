package publisher

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
)

// Rule says how requests for an offer are approved.
type Rule string

const (
	// ByHand waits for Approve. Always approves whatever the offer allows.
	// ByHook asks a program of the DJ's, which the caller of Receive runs.
	ByHand Rule = "hand"
	Always Rule = "always"
	ByHook Rule = "hook"
)

// OfferTerms is what a lease of a playlist costs. Zero fields but Playlist,
// Price and Per have the defaults that stand beside them.
type OfferTerms struct {
	Playlist string
	Price    manifests.Price // of each Per that is begun, for each device
	Per      time.Duration
	Min, Max time.Duration // Per; a year, or Min where that is more
	Grace    time.Duration
	Window   time.Duration // as far ahead as is allowed
	Devices  int           // 16
	Stands   time.Duration // for how long requests may come: ten years
	Rule     Rule          // ByHand
	Hook     string        // with ByHook
}

// Offer is what is on offer.
type Offer struct {
	manifests.Offer
	Label string
	Rule  Rule
	Hook  string
}

// offerRow is a playlist's newest offer.
type offerRow struct {
	Label        string
	Env, Payload []byte
	Rule         Rule
	Hook         string `json:",omitempty"`
}

func (r *offerRow) offer() (Offer, error) {
	o, err := manifests.DecodeOffer(r.Payload)
	if err != nil {
		return Offer{}, fmt.Errorf("offer of %q: %w", r.Label, err)
	}
	return Offer{*o, r.Label, r.Rule, r.Hook}, nil
}

// envelope is what a manifest links to; undefined where nothing is offered.
func (r *offerRow) envelope() cid.Cid {
	if r == nil {
		return cid.Undef
	}
	return manifests.NewBlock(r.Env).CID
}

// offerRows are the newest offers by playlist.
func (p *Publisher) offerRows() (map[string]*offerRow, error) {
	out := map[string]*offerRow{}
	err := p.cfg.Store.Each(rowOffer, func(key string, value []byte) error {
		r := new(offerRow)
		if err := json.Unmarshal(value, r); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		out[r.Label] = r
		return nil
	})
	return out, err
}

// SetOffer puts a playlist on offer, in place of what was offered before, and
// publishes that. It is durable when it returns.
func (p *Publisher) SetOffer(ctx context.Context, t OfferTerms) (Offer, error) {
	o, err := p.setOffer(ctx, t)
	if err != nil {
		return Offer{}, fmt.Errorf("offer %q: %w", t.Playlist, err)
	}
	return o, nil
}

func (p *Publisher) setOffer(ctx context.Context, t OfferTerms) (Offer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list listRow
	ok, err := load(p.cfg.Store, rowList+t.Playlist, &list)
	if err != nil {
		return Offer{}, err
	}
	if !ok {
		return Offer{}, ErrNoPlaylist
	}
	sel, err := list.selection()
	if err != nil {
		return Offer{}, err
	}
	now := max(p.cfg.Now().Unix(), list.IAT)
	o := manifests.Offer{
		DJ: p.cfg.Keys.DJ(), RootN: p.cfg.Keys.rootN(), Sel: sel.Sel, N: 1, IAT: now, Exp: now + seconds(t.Stands, decade),
		Price: t.Price, Per: seconds(t.Per, 0), Grace: seconds(t.Grace, 0), Window: seconds(t.Window, 0), Devices: uint64(t.Devices),
	}
	o.Min = seconds(t.Min, o.Per)
	o.Max = seconds(t.Max, max(o.Min, 365*manifests.Day))
	if o.Devices == 0 {
		o.Devices = 16
	}
	var old offerRow
	if ok, err = load(p.cfg.Store, rowOffer+t.Playlist, &old); err != nil {
		return Offer{}, err
	} else if ok {
		was, err := old.offer()
		if err != nil {
			return Offer{}, err
		}
		o.N = was.N + 1
	}
	row := &offerRow{Label: t.Playlist, Rule: t.Rule, Hook: t.Hook}
	switch {
	case t.Rule == "":
		row.Rule = ByHand
	case t.Rule != ByHand && t.Rule != Always && t.Rule != ByHook, (t.Rule == ByHook) != (t.Hook != ""):
		return Offer{}, fmt.Errorf("%w: approval %q", ErrTerms, t.Rule)
	}
	payload, err := o.Encode()
	if err != nil {
		return Offer{}, fmt.Errorf("%w: %w", ErrTerms, err)
	}
	s, err := manifests.Sign(manifests.TypeOffer, payload, p.cfg.Keys.publisher().Private())
	if err != nil {
		return Offer{}, err
	}
	row.Env, row.Payload = s.Env.Data, s.Payload.Data
	if err := p.commit(ctx, edit{offer: row}); err != nil {
		return Offer{}, err
	}
	return row.offer()
}

func seconds(d time.Duration, or int64) int64 {
	if d == 0 {
		return or
	}
	return int64(d / time.Second)
}

// Offers lists what is on offer, by playlist.
func (p *Publisher) Offers() ([]Offer, error) {
	rows, err := p.offerRows()
	if err != nil {
		return nil, err
	}
	lists, err := p.lists()
	if err != nil {
		return nil, err
	}
	var out []Offer
	for _, l := range lists {
		if r := rows[l.Label]; r != nil {
			o, err := r.offer()
			if err != nil {
				return nil, err
			}
			out = append(out, o)
		}
	}
	return out, nil
}
