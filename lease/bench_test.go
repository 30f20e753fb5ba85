package lease

import (
	"fmt"
	"testing"

	"playnode/manifests"
)

// newBenchDJ has n tracks and one revision behind her.
func newBenchDJ(b *testing.B, n int) *testDJ {
	t := &testing.T{}
	d := newDJ(t, 0)
	for i := range n {
		tr := Track{CID: manifests.NewRawBlock(fmt.Append(nil, i)).CID, Size: 1000, Sec: 60, Info: manifests.NewRawBlock(fmt.Append(nil, -i-1)).CID}
		d.order = append(d.order, tr)
	}
	d.publish()
	if t.Failed() {
		b.Fatal("no revision")
	}
	return d
}

// A new period: every wrap, lock and mailbox anew.
func BenchmarkRevise(b *testing.B) {
	for _, n := range []int{100, 2_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := newBenchDJ(b, n)
			for b.Loop() {
				d.now += manifests.Week
				if _, _, err := d.sel.Revise(d.draft()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Granting 400 leases, sealed as files.
func BenchmarkGrant400(b *testing.B) {
	d := newBenchDJ(b, 10)
	id, err := NewIdentity()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for range 400 {
			d.file(d.grant(id, Terms{From: start, Until: start + 30*manifests.Day}), id)
		}
	}
}

// leased gives d n live leases, on as many devices as it takes to be honest
// about sealing; the last revision carries them.
func leased(b *testing.B, d *testDJ, n int) {
	ids := make([]Identity, min(n, 40))
	for i := range ids {
		var err error
		if ids[i], err = NewIdentity(); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		d.tenant(ids[i%len(ids)], start+year)
	}
	d.publish()
}

// blockBytes is how much of a revision a venue fetches anew.
func blockBytes(r Revision) (n int) {
	for _, x := range r.Blocks {
		n += len(x.Data)
	}
	return n
}

// Every lease renewed, in one revision that carries them.
func BenchmarkRenew(b *testing.B) {
	for _, n := range []int{40, 400, 4_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := newBenchDJ(b, 100)
			leased(b, d, n)
			until, size := int64(start+year), 0
			for b.Loop() {
				until += 30 * manifests.Day
				for i := range d.tenants {
					d.renew(i, until)
				}
				r, _, err := d.sel.Revise(d.draft())
				if err != nil || len(r.Tenants) != 0 {
					b.Fatal(err)
				}
				size = blockBytes(r)
			}
			b.ReportMetric(float64(size), "B/venue")
		})
	}
}

// One lease of many revoked: all others sealed under fresh keys.
func BenchmarkRevokeOne(b *testing.B) {
	for _, n := range []int{40, 400, 4_000} {
		for _, tracks := range []int{100, 2_000} {
			b.Run(fmt.Sprintf("%d-of-%d-tracks", n, tracks), func(b *testing.B) {
				d := newBenchDJ(b, tracks)
				leased(b, d, n)
				size := 0
				for b.Loop() {
					draft := d.draft()
					draft.Tenants = draft.Tenants[1:]
					r, _, err := d.sel.Revoke().Revise(draft)
					if err != nil || len(r.Tenants) != n-1 {
						b.Fatal(err)
					}
					size = blockBytes(r)
				}
				b.ReportMetric(float64(size), "B/venue")
			})
		}
	}
}

// A period turns: 2,000 tracks and 400 leases.
func BenchmarkRotate(b *testing.B) {
	d := newBenchDJ(b, 2_000)
	leased(b, d, 400)
	size := 0
	for b.Loop() {
		d.now += manifests.Week
		r, _, err := d.sel.Revise(d.draft())
		if err != nil {
			b.Fatal(err)
		}
		size = blockBytes(r)
	}
	b.ReportMetric(float64(size), "B/venue")
}

// A venue looks through the mailboxes of 400 leases for its own.
func BenchmarkReceive400(b *testing.B) {
	d := newBenchDJ(b, 10)
	leased(b, d, 399)
	v := newVenue(&testing.T{})
	d.tenant(v.id, start+year)
	m := d.publish()
	for b.Loop() {
		v.store.rows = map[string][]byte{}
		v.restart()
		if got, err := v.Receive(d.chain, m, d.boxes(m)); err != nil || len(got) != 1 {
			b.Fatal(got, err)
		}
	}
}
