package publisher

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"playnode/internal/seal"
	"playnode/lease"
	"playnode/manifests"
)

// NewRoot is what Rotate needs beside the keys that are here.
type NewRoot struct {
	// Root is the root key, where it is kept elsewhere.
	Root *seal.Signing
	// Found is what was published since the backup that this repo was
	// restored from; nil otherwise, or when the DJ says that it is nothing.
	Found *Known
}

// Rotated is what a new root has done.
type Rotated struct {
	Result
	RootN uint64
	// Leases go on through their mailboxes. Requests that waited for an
	// answer are of the former root, and have to be made again.
	Leases, Requests int
	Adopted
}

// Rotate signs the next root, for the day that a publisher key was stolen or
// may have been: it has a publisher key, a request key, an archive identity
// and, where the root key is here, a root key that nobody has seen; every
// selection gets fresh keys and mailboxes under it, and whatever the former
// publisher key signs from now on is worth nothing. The root is durable before
// anything is published under it: a Rotate that was interrupted after it is
// finished by the next Publish. keys is the keys' store.
func (p *Publisher) Rotate(ctx context.Context, keys Store, o NewRoot) (Rotated, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.rotate(ctx, keys, o)
	if err != nil {
		return r, fmt.Errorf("make a new root: %w", err)
	}
	return r, nil
}

func (p *Publisher) rotate(ctx context.Context, keys Store, o NewRoot) (out Rotated, err error) {
	if _, here := p.cfg.Keys.Roots(); !here && o.Root == nil {
		return out, ErrNoRoot
	}
	if out.Adopted, err = p.adopt(o.Found, true); err != nil {
		return out, err
	}
	lists, err := p.lists()
	if err != nil {
		return out, err
	}
	var gens []manifests.LeastGen
	for _, l := range lists {
		s, err := l.selection()
		if err != nil {
			return out, err
		}
		gens = append(gens, manifests.LeastGen{Sel: s.Sel, Gen: max(s.Gen, s.MKGen+1)})
	}
	slices.SortFunc(gens, func(a, b manifests.LeastGen) int { return slices.Compare(a.Sel[:], b.Sel[:]) })
	var known *manifests.Chain
	if o.Found != nil {
		known = o.Found.Chain
	}
	now := p.cfg.Now().Unix()
	if err := p.cfg.Keys.rotate(keys, now, o.Root, known, gens); err != nil {
		return out, err
	}
	out.RootN = p.cfg.Keys.rootN()
	if err := p.revise(ctx, edit{}); err != nil {
		return out, fmt.Errorf("root %d is made and not yet published: %w", out.RootN, err)
	}
	leases, err := p.leases()
	if err != nil {
		return out, err
	}
	for _, l := range leases {
		if !l.Revoked && now < l.Until+l.Grace {
			out.Leases++
		}
	}
	requests, err := p.Requests()
	if err != nil {
		return out, err
	}
	for _, r := range requests {
		if r.State == Pending {
			out.Requests++
		}
	}
	return out, p.announce(ctx, &out.Result)
}

// turned tells whether a selection's last revision is of a former root.
func (p *Publisher) turned(s lease.Selection) bool {
	return s.Seq > 0 && s.RootN != p.cfg.Keys.rootN()
}

// turn takes a playlist over to the newest root: with keys and mailboxes that
// are fresh, and dated anew.
func (p *Publisher) turn(s lease.Selection, l *listRow, leases map[manifests.LeaseID]*leaseRow, puts map[string][]byte) lease.Selection {
	l.IAT = p.cfg.Keys.newest().IAT
	if least := p.cfg.Keys.newest().LeastGen(s.Sel); s.Gen < least || s.Gen == s.MKGen {
		s.Gen = max(s.Gen, least-1)
		s = s.Revoke()
	}
	for id, r := range leases {
		if r.Label != l.Label || r.Revoked {
			continue
		}
		rand.Read(r.Mbox)
		puts[rowLease+id.String()] = marshal(r)
	}
	return s
}

// turnOffers signs what is on offer anew, where a former root did.
func (p *Publisher) turnOffers(offers map[string]*offerRow, now int64, puts map[string][]byte) error {
	for label, row := range offers {
		o, err := manifests.DecodeOffer(row.Payload)
		if err != nil {
			return fmt.Errorf("offer of %q: %w", label, err)
		}
		if o.RootN == p.cfg.Keys.rootN() {
			continue
		}
		o.RootN, o.N, o.IAT = p.cfg.Keys.rootN(), o.N+1, now
		payload, err := o.Encode()
		if err != nil {
			return fmt.Errorf("offer of %q: %w", label, err)
		}
		s, err := manifests.Sign(manifests.TypeOffer, payload, p.cfg.Keys.publisher().Private())
		if err != nil {
			return fmt.Errorf("offer of %q: %w", label, err)
		}
		row.Env, row.Payload = s.Env.Data, s.Payload.Data
		puts[rowOffer+label] = marshal(row)
	}
	return nil
}

// settled finishes a change of roots that was interrupted, before a grant is
// drawn under keys that no longer count.
func (p *Publisher) settled(ctx context.Context) error {
	lists, err := p.lists()
	if err != nil {
		return err
	}
	for _, l := range lists {
		s, err := l.selection()
		if err != nil {
			return err
		}
		if p.turned(s) {
			return p.revise(ctx, edit{})
		}
	}
	return nil
}
