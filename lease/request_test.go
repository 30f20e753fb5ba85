package lease

import (
	"bytes"
	"testing"

	"playnode/internal/seal"
	"playnode/manifests"
)

// offer signs what d offers.
func (d *testDJ) offer(change func(*manifests.Offer)) manifests.Signed {
	d.t.Helper()
	o := &manifests.Offer{DJ: d.chain.DJ(), RootN: d.chain.Newest().N, Sel: d.sel.Sel, IAT: d.now, Exp: d.now + 60*manifests.Day,
		Price: manifests.Price{Amount: 2500, Currency: "EUR"}, Per: 30 * manifests.Day, Min: manifests.Day, Max: year, Devices: 2}
	if change != nil {
		change(o)
	}
	p, err := o.Encode()
	if err != nil {
		d.t.Fatal(err)
	}
	s, err := manifests.Sign(manifests.TypeOffer, p, d.pub.Private())
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// newRequestDJ has a request key in her root.
func newRequestDJ(t *testing.T) (*testDJ, seal.XWing) {
	k, err := seal.NewXWing()
	if err != nil {
		t.Fatal(err)
	}
	d := newDJ(t, 0)
	d.roots = nil
	d.addRoot(&manifests.Root{N: 1, IAT: start - 1000, Req: k.Public()})
	d.sel.DJ = d.chain.DJ()
	return d, k
}

func TestRequestReachesItsDJAlone(t *testing.T) {
	d, k := newRequestDJ(t)
	v, ref := newVenue(t), "invoice 7"
	s, file, err := v.id.Request(d.chain, start, Wish{Offer: d.offer(nil), Payref: &ref})
	if err != nil {
		t.Fatal(err)
	}
	got, r, devices, err := OpenRequest(k, d.chain.DJ(), start, file)
	if err != nil {
		t.Fatal(err)
	}
	if got.Payload.CID != s.Payload.CID || r.Len != 30*manifests.Day || *r.Payref != ref || len(devices) != 1 || devices[0].K != v.id.Sign.Public() {
		t.Errorf("%+v", r)
	}
	if bytes.Contains(file, []byte(ref)) {
		t.Error("the request is in clear")
	}
	other, err := seal.NewXWing()
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, err = OpenRequest(other, d.chain.DJ(), start, file)
	wantErr(t, "another key", err, ErrNotYours)
	_, _, _, err = OpenRequest(k, manifests.DJ{1}, start, file)
	wantErr(t, "another DJ", err, ErrNotYours)
	_, _, _, err = OpenRequest(k, d.chain.DJ(), start+30*manifests.Day+1, file)
	wantErr(t, "over 30 days old", err, ErrRefused)
	if _, _, _, err = OpenRequest(k, d.chain.DJ(), start+30*manifests.Day, file); err != nil {
		t.Error("30 days old: ", err)
	}
	_, _, _, err = OpenRequest(k, d.chain.DJ(), start-manifests.Day-1, file)
	wantErr(t, "from the future", err, ErrFuture)
	for i := range file {
		if i%97 == 0 {
			bad := bytes.Clone(file)
			bad[i] ^= 1
			if _, _, _, err := OpenRequest(k, d.chain.DJ(), start, bad); err == nil {
				t.Fatalf("byte %d changed, and it opens", i)
			}
		}
	}
}

func TestRequestBeyondItsOffer(t *testing.T) {
	d, _ := newRequestDJ(t)
	v := newVenue(t)
	two, err := newVenue(t).id.Record()
	if err != nil {
		t.Fatal(err)
	}
	three, err := newVenue(t).id.Record()
	if err != nil {
		t.Fatal(err)
	}
	stranger := newDJ(t, 0)
	for name, w := range map[string]Wish{
		"too short":         {Offer: d.offer(nil), Len: manifests.Day - 1},
		"too long":          {Offer: d.offer(nil), Len: year + 1},
		"three devices":     {Offer: d.offer(nil), Devices: []manifests.Signed{two, three}},
		"an ended offer":    {Offer: d.offer(func(o *manifests.Offer) { o.Exp = o.IAT + 1 })},
		"a stranger's":      {Offer: stranger.offer(nil)},
		"a forged one":      {Offer: stranger.offer(func(o *manifests.Offer) { o.DJ = d.chain.DJ() })},
		"no offer, a grant": {Offer: d.grant(v.id, Terms{From: start, Until: start + 9}).Grant},
	} {
		_, _, err := v.id.Request(d.chain, start+2, w)
		wantErr(t, name, err, ErrRefused)
	}
	if _, _, err := v.id.Request(d.chain, start, Wish{Offer: d.offer(nil), Devices: []manifests.Signed{two}, Len: year}); err != nil {
		t.Error(err)
	}
}
