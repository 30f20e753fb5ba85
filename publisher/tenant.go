package publisher

import (
	"encoding/json"
	"fmt"

	"playnode/lease"
	"playnode/manifests"
)

// leaseRow is a lease that was granted: its terms, and its newest grant.
type leaseRow struct {
	Lease, Device []byte
	Label         string
	From, Until   int64
	Grace, Window int64 `json:",omitempty"`
	N             uint64
	Mbox          []byte
	DeviceText    string
	Venue         []byte           `json:",omitempty"`
	Req           []byte           `json:",omitempty"`
	Price         *manifests.Price `json:",omitempty"`
	Payref        *string          `json:",omitempty"`
	Hints         []string         `json:",omitempty"`
	Env, Payload  []byte
	Revoked       bool `json:",omitempty"`

	device *manifests.Device // DeviceText's, once it was read
}

// leases are all leases that were ever granted, by id.
func (p *Publisher) leases() (map[manifests.LeaseID]*leaseRow, error) {
	out := map[manifests.LeaseID]*leaseRow{}
	err := p.cfg.Store.Each(rowLease, func(key string, value []byte) error {
		r := new(leaseRow)
		if err := json.Unmarshal(value, r); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		if len(r.Lease) != 16 || len(r.Device) != 32 || len(r.Mbox) != 32 {
			return fmt.Errorf("read %s: fields of the wrong length", key)
		}
		out[manifests.LeaseID(r.Lease)] = r
		return nil
	})
	return out, err
}

// tenant is the lease as a revision carries it.
func (r *leaseRow) tenant(name manifests.Name) (lease.Tenant, error) {
	if r.device == nil {
		var err error
		if r.device, _, err = manifests.ParseDevice(r.DeviceText); err != nil {
			return lease.Tenant{}, err
		}
	}
	t := lease.Tenant{Name: name, Hints: r.Hints, Terms: lease.Terms{
		Device: *r.device, From: r.From, Until: r.Until, Grace: r.Grace, Window: r.Window, N: r.N, Price: r.Price, Payref: r.Payref,
	}}
	copy(t.Lease[:], r.Lease)
	copy(t.Mbox[:], r.Mbox)
	copy(t.Venue[:], r.Venue)
	if len(r.Req) == 32 {
		t.Req = (*[32]byte)(r.Req)
	}
	if r.Payload != nil {
		t.Grant = signedRow{r.Env, r.Payload}.signed()
	} else if r.Lease != nil {
		t.N++ // the grant that was handed out is not kept: the next one takes its place
	}
	return t, nil
}

// take notes a grant that was drawn.
func (r *leaseRow) take(t lease.Tenant) {
	r.Lease, r.Device, r.Mbox, r.Venue = t.Lease[:], t.Device.K[:], t.Mbox[:], t.Venue[:]
	r.N, r.Env, r.Payload = t.N, t.Grant.Env.Data, t.Grant.Payload.Data
}

// lease is the row as its DJ sees it.
func (r *leaseRow) lease() Lease {
	return Lease{
		ID: manifests.LeaseID(r.Lease), Device: manifests.Key(r.Device), Label: r.Label,
		From: r.From, Until: r.Until + r.Grace, Revoked: r.Revoked,
	}
}

// tenants are the leases of a playlist that a revision is to carry.
func (p *Publisher) tenants(rows map[manifests.LeaseID]*leaseRow, label string, now int64) ([]lease.Tenant, error) {
	var live []*leaseRow
	for _, r := range rows {
		if r.Label == label && !r.Revoked && now < r.Until+r.Grace {
			live = append(live, r)
		}
	}
	out := make([]lease.Tenant, len(live))
	name := p.cfg.Keys.Name()
	return out, each(len(live), func(i int) (err error) {
		if out[i], err = live[i].tenant(name); err != nil {
			return fmt.Errorf("lease %x: %w", live[i].Lease, err)
		}
		return nil
	})
}
