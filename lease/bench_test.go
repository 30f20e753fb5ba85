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
