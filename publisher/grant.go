package publisher

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

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
	files, err := p.draw([]*leaseRow{row}, now)
	if err != nil {
		return Granted{}, err
	}
	if err := p.commit(ctx, edit{leases: []*leaseRow{row}}); err != nil {
		return Granted{}, err
	}
	return Granted{row.lease(), files[0]}, nil
}

// draw draws the rows' grants, as files in the rows' order, on all cores; a
// playlist's keys are read once.
func (p *Publisher) draw(rows []*leaseRow, now int64) ([][]byte, error) {
	type source struct {
		lease.Selection
		at int64
	}
	sources := map[string]source{}
	for _, r := range rows {
		if _, ok := sources[r.Label]; ok {
			continue
		}
		list, s, err := p.selection(r.Label)
		if err != nil {
			return nil, err
		}
		sources[r.Label] = source{s, max(now, list.IAT)}
	}
	k := p.cfg.Keys
	rootN, roots, name, sign := k.rootN(), k.roots(), k.Name(), k.publisher()
	files := make([][]byte, len(rows))
	return files, each(len(rows), func(i int) error {
		r, from := rows[i], sources[rows[i].Label]
		t, err := r.tenant(name)
		if err != nil {
			return err
		}
		d, err := from.Draw(from.at, rootN, sign, &t)
		if err != nil {
			return err
		}
		r.take(t)
		d.Roots = roots
		files[i], err = lease.SealFile(d, t.Device)
		return err
	})
}

// selection reads a playlist, with its last revision's secrets.
func (p *Publisher) selection(label string) (list listRow, s lease.Selection, err error) {
	ok, err := load(p.cfg.Store, rowList+label, &list)
	if err == nil && !ok {
		err = ErrNoPlaylist
	}
	if err == nil {
		s, err = list.selection()
	}
	return list, s, err
}

// each calls f for 0 to n-1, several at a time, and returns the first error.
func each(n int, f func(i int) error) error {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		g.Go(func() error { return f(i) })
	}
	return g.Wait()
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
	for _, r := range rows {
		if r.Revoked {
			return nil, fmt.Errorf("%w: lease %x was revoked; grant a new one", ErrTerms, r.Lease)
		}
		r.Until = max(r.Until, now) + int64(length/time.Second)
		r.Env, r.Payload = nil, nil // the next one's number is one more
	}
	files, err := p.draw(rows, now)
	if err != nil {
		return nil, err
	}
	out := make([]Granted, len(rows))
	for i, r := range rows {
		out[i] = Granted{r.lease(), files[i]}
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
