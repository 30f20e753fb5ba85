package manifests

import (
	"errors"
	"testing"
)

func TestOfferRefuses(t *testing.T) {
	for name, change := range map[string]func(*Offer){
		"root 0":                      func(o *Offer) { o.RootN = 0 },
		"no time":                     func(o *Offer) { o.Exp = o.IAT },
		"per nothing":                 func(o *Offer) { o.Per = 0 },
		"least of 0":                  func(o *Offer) { o.Min = 0 },
		"most below":                  func(o *Offer) { o.Max = o.Min - 1 },
		"most of an age":              func(o *Offer) { o.Max = maxLease + 1 },
		"no device":                   func(o *Offer) { o.Devices = 0 },
		"65 devices":                  func(o *Offer) { o.Devices = MaxDevices + 1 },
		"a window over H":             func(o *Offer) { o.Window = int64(Ahead(Week))*Week + 1 },
		"a strange coin":              func(o *Offer) { o.Price.Currency = "eur" },
		"two letters":                 func(o *Offer) { o.Price.Currency = "EU" },
		"a price that would overflow": func(o *Offer) { o.Price.Amount = MaxInt },
	} {
		o := testOffer()
		change(o)
		if _, err := o.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCostIsOfEachPeriodBegun(t *testing.T) {
	o := testOffer()
	for length, want := range map[int64]uint64{1: 2500, 30 * Day: 2500, 30*Day + 1: 5000, 90 * Day: 7500} {
		if got := o.Cost(length, 1); got != (Price{want, "EUR"}) {
			t.Errorf("%d s cost %v, want %d", length, got, want)
		}
		if got := o.Cost(length, 3); got.Amount != 3*want {
			t.Errorf("%d s on 3 devices cost %v", length, got)
		}
	}
}

func TestRequestIsItsVenues(t *testing.T) {
	venue, other := testKey(7), testKey(8)
	device := func(k int) Signed {
		key := testKey(byte(k))
		p, err := (&Device{K: pub(key)}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		s, err := Sign(TypeDevice, p, key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	good := func() *Request {
		return &Request{DJ: DJ{1}, Venue: pub(venue), Len: 60, IAT: 9, Devices: []Signed{device(7), device(9)}}
	}
	for name, c := range map[string]struct {
		typ    Type
		other  bool
		change func(*Request)
		want   error
	}{
		"good":                  {typ: TypeRequest},
		"signed by another":     {typ: TypeRequest, other: true, want: ErrUnauthorised},
		"a device twice":        {typ: TypeRequest, change: func(r *Request) { r.Devices[1] = r.Devices[0] }, want: ErrInvalid},
		"a device that is none": {typ: TypeRequest, change: func(r *Request) { r.Devices[1].Payload = r.Devices[0].Payload }, want: ErrInvalid},
	} {
		r := good()
		if c.change != nil {
			c.change(r)
		}
		p, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		key := venue
		if c.other {
			key = other
		}
		s, err := Sign(c.typ, p, key)
		if err != nil {
			t.Fatal(err)
		}
		_, devices, err := OpenRequest(s)
		if !errors.Is(err, c.want) || c.want == nil && len(devices) != 2 {
			t.Errorf("%s: %v", name, err)
		}
		pair, err := EncodeSigned(s)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := DecodeSigned(pair); err != nil || again.Env.CID != s.Env.CID || again.Payload.CID != s.Payload.CID {
			t.Errorf("%s: as a pair: %v", name, err)
		}
	}
	for _, bad := range []func(*Request){
		func(r *Request) { r.Len = 0 },
		func(r *Request) { r.Devices = nil },
		func(r *Request) { x := "a\u202e"; r.Payref = &x },
	} {
		r := good()
		bad(r)
		if _, err := r.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("encodes: %v", err)
		}
	}
	if _, err := DecodeRequestFile([]byte{0x84, 1, 0x65, 'g', 'r', 'a', 'n', 't'}); err == nil {
		t.Error("another kind of file passed")
	}
}
