package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"playnode/lease"
	"playnode/manifests"
)

var (
	// ErrTerms says that a lease's terms make no sense.
	ErrTerms = errors.New("terms refused")
	// ErrNoSuchLease says that no lease of that id was granted here.
	ErrNoSuchLease = errors.New("no such lease")
)

// Lease is one lease that the DJ granted.
type Lease struct {
	ID     manifests.LeaseID
	Device manifests.Key
	Label  string
	// From and Until, grace included, are Unix seconds.
	From, Until int64
	Revoked     bool
}

// Terms is what a DJ leases, to whom, and for how long.
type Terms struct {
	Playlist string
	Device   string        // its text form
	From     time.Time     // zero: now
	For      time.Duration // a second or more
	Hints    []string      // addresses of the DJ's; long ones and all after the fourth are left out
}

// Granted is a lease, and the file that its device takes in.
type Granted struct {
	Lease
	File []byte
}

// announcing is how long holders of a new record are waited for; it is put on
// beyond that.
const announcing = 3 * time.Second

// Grant leases a playlist to a device, and returns the lease and the grant
// file that the device takes in: it verifies by itself, offline, before the
// DJ's name was ever followed. The next revision, which is published here and
// now, carries the grant as well. The lease is durable when it returns.
func (p *Publisher) Grant(ctx context.Context, t Terms) (Granted, error) {
	g, err := p.grant(ctx, t)
	if err != nil {
		return Granted{}, fmt.Errorf("grant %q: %w", t.Playlist, err)
	}
	return g, nil
}

func (p *Publisher) grant(ctx context.Context, t Terms) (Granted, error) {
	dev, _, err := manifests.ParseDevice(t.Device)
	if err != nil {
		return Granted{}, fmt.Errorf("%w: %w", ErrTerms, err)
	}
	if t.For < time.Second {
		return Granted{}, fmt.Errorf("%w: a lease lasts a second or more", ErrTerms)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.settled(ctx); err != nil {
		return Granted{}, err
	}
	now := p.cfg.Now().Unix()
	if t.From.IsZero() {
		t.From = time.Unix(now, 0)
	}
	row := &leaseRow{Device: dev.K[:], Label: t.Playlist, DeviceText: t.Device, From: t.From.Unix(), Until: t.From.Add(t.For).Unix()}
	for _, h := range t.Hints {
		if len(h) <= 128 && len(row.Hints) < 4 {
			row.Hints = append(row.Hints, h)
		}
	}
	file, err := p.draw(row, now)
	if err != nil {
		return Granted{}, err
	}
	if err := p.commit(ctx, edit{leases: []*leaseRow{row}}); err != nil {
		return Granted{}, err
	}
	return Granted{row.lease(), file}, nil
}

// draw draws a lease's grant, as a file.
func (p *Publisher) draw(row *leaseRow, now int64) ([]byte, error) {
	var list listRow
	ok, err := load(p.cfg.Store, rowList+row.Label, &list)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrNoPlaylist
	}
	sel, err := list.selection()
	if err != nil {
		return nil, err
	}
	k := p.cfg.Keys
	t, err := row.tenant(k.Name())
	if err != nil {
		return nil, err
	}
	d, err := sel.Draw(max(now, list.IAT), k.rootN(), k.publisher(), &t)
	if err != nil {
		return nil, err
	}
	row.take(t)
	d.Roots = k.roots()
	return lease.SealFile(d, t.Device)
}

// commit makes and announces the revision that an edit asks for. How far the
// announcement gets is no error: the daemon tells it again.
func (p *Publisher) commit(ctx context.Context, e edit) error {
	if err := p.revise(ctx, e); err != nil {
		return err
	}
	if err := p.announce(ctx, new(Result)); err != nil {
		p.cfg.Log.Warn("announce leases", "err", err)
	}
	return nil
}

// Renew lengthens leases: each keeps its id, and ends so much later than it
// would have, or than now where it has lapsed. One revision carries all of
// them; the files are for whom it does not reach. All are renewed, or none.
func (p *Publisher) Renew(ctx context.Context, ids []manifests.LeaseID, length time.Duration) ([]Granted, error) {
	out, err := p.renew(ctx, ids, length)
	if err != nil {
		return nil, fmt.Errorf("renew: %w", err)
	}
	return out, nil
}

func (p *Publisher) renew(ctx context.Context, ids []manifests.LeaseID, length time.Duration) ([]Granted, error) {
	if length < time.Second {
		return nil, fmt.Errorf("%w: a lease is renewed for a second or more", ErrTerms)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.settled(ctx); err != nil {
		return nil, err
	}
	rows, err := p.pick(ids)
	if err != nil {
		return nil, err
	}
	now := p.cfg.Now().Unix()
	out := make([]Granted, len(rows))
	for i, r := range rows {
		if r.Revoked {
			return nil, fmt.Errorf("%w: lease %x was revoked; grant a new one", ErrTerms, r.Lease)
		}
		r.Until = max(r.Until, now) + int64(length/time.Second)
		r.Env, r.Payload = nil, nil // the next one's number is one more
		if out[i].File, err = p.draw(r, now); err != nil {
			return nil, fmt.Errorf("lease %x: %w", r.Lease, err)
		}
		out[i].Lease = r.lease()
	}
	return out, p.commit(ctx, edit{leases: rows})
}

// pick reads leases by id, each once.
func (p *Publisher) pick(ids []manifests.LeaseID) ([]*leaseRow, error) {
	all, err := p.leases()
	if err != nil {
		return nil, err
	}
	var out []*leaseRow
	for _, id := range ids {
		r, ok := all[id]
		if !ok {
			return nil, fmt.Errorf("lease %s: %w", id, ErrNoSuchLease)
		}
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out, nil
}

// Revoke ends leases before their time: their selections move on to fresh
// keys, which all other leases are given by mailbox. A venue that sees the
// revision stops after its current track; one that does not plays on to the
// end of the keys that it has.
func (p *Publisher) Revoke(ctx context.Context, ids []manifests.LeaseID) ([]Lease, error) {
	out, err := p.revoke(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("revoke: %w", err)
	}
	return out, nil
}

func (p *Publisher) revoke(ctx context.Context, ids []manifests.LeaseID) ([]Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rows, err := p.pick(ids)
	if err != nil {
		return nil, err
	}
	e := edit{leases: rows, anew: map[string]bool{}}
	now := p.cfg.Now().Unix()
	var out []Lease
	for _, r := range rows {
		if !r.Revoked && now < r.Until+r.Grace {
			e.anew[r.Label] = true
		}
		r.Revoked = true
		out = append(out, r.lease())
	}
	return out, p.commit(ctx, e)
}

// Leases lists what was granted, the last to end first.
func (p *Publisher) Leases() ([]Lease, error) {
	rows, err := p.leases()
	if err != nil {
		return nil, err
	}
	var out []Lease
	for _, r := range rows {
		out = append(out, r.lease())
	}
	slices.SortFunc(out, func(a, b Lease) int {
		if a.Until != b.Until {
			return int(b.Until - a.Until)
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return out, nil
}
