package publisher

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"playnode/lease"
	"playnode/manifests"
)

// ErrTerms says that a lease's terms make no sense.
var ErrTerms = errors.New("terms refused")

// Lease is one lease that the DJ granted.
type Lease struct {
	ID     manifests.LeaseID
	Device manifests.Key
	Label  string
	// From and Until are Unix seconds.
	From, Until int64
}

// Grant leases a playlist to a device (its text form) from a time for so
// long, and returns the lease and the grant file that the device takes in.
// The zero From means now. The grant verifies by itself, offline, before the
// DJ's name was ever followed.
func (p *Publisher) Grant(label, device string, from time.Time, length time.Duration, hints []string) (Lease, []byte, error) {
	l, file, err := p.grant(label, device, from, length, hints)
	if err != nil {
		return Lease{}, nil, fmt.Errorf("grant %q: %w", label, err)
	}
	return l, file, nil
}

func (p *Publisher) grant(label, device string, from time.Time, length time.Duration, hints []string) (Lease, []byte, error) {
	dev, _, err := manifests.ParseDevice(device)
	if err != nil {
		return Lease{}, nil, fmt.Errorf("%w: %w", ErrTerms, err)
	}
	if length < time.Second {
		return Lease{}, nil, fmt.Errorf("%w: a lease lasts a second or more", ErrTerms)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var row listRow
	ok, err := load(p.cfg.Store, rowList+label, &row)
	if err != nil {
		return Lease{}, nil, err
	}
	if !ok {
		return Lease{}, nil, ErrNoPlaylist
	}
	now := p.cfg.Now().Unix()
	if from.IsZero() {
		from = time.Unix(now, 0)
	}
	k := p.cfg.Keys
	t := lease.Terms{Device: *dev, From: from.Unix(), Until: from.Add(length).Unix()}
	sel, err := row.selection()
	if err != nil {
		return Lease{}, nil, err
	}
	d, err := sel.Grant(now, k.rootN(), k.publisher, t)
	if err != nil {
		return Lease{}, nil, err
	}
	d.Roots, d.Name = k.roots, k.Name()
	for _, h := range hints {
		if len(h) <= 128 && len(d.Hints) < 4 {
			d.Hints = append(d.Hints, h)
		}
	}
	file, err := lease.SealFile(d, *dev)
	if err != nil {
		return Lease{}, nil, err
	}
	g, err := manifests.DecodeGrant(d.Grant.Payload.Data)
	if err != nil {
		return Lease{}, nil, err
	}
	// Kept before it is handed out: a lease that is not known here could
	// never be renewed or revoked.
	err = p.cfg.Store.Put(rowLease+g.Lease.String(), marshal(leaseRow{
		Lease: g.Lease[:], Device: g.Dev[:], Label: label, From: g.NBF, Until: g.Exp, N: g.N, Mbox: d.Mbox[:], DeviceText: device,
	}))
	if err != nil {
		return Lease{}, nil, err
	}
	return Lease{g.Lease, g.Dev, label, g.NBF, g.Exp}, file, nil
}

// Leases lists what was granted, the last to end first.
func (p *Publisher) Leases() ([]Lease, error) {
	var out []Lease
	err := p.cfg.Store.Each(rowLease, func(key string, value []byte) error {
		var r leaseRow
		if err := json.Unmarshal(value, &r); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		out = append(out, Lease{manifests.LeaseID(r.Lease), manifests.Key(r.Device), r.Label, r.From, r.Until})
		return nil
	})
	slices.SortFunc(out, func(a, b Lease) int { return int(b.Until - a.Until) })
	return out, err
}
