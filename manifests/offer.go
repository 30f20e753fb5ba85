package manifests

import "fmt"

const (
	// maxLease bounds how long one offer or request may run, in seconds.
	maxLease = 10 * 366 * Day
	// maxGrace bounds an offer's grace, in seconds.
	maxGrace = 366 * Day
	// MaxDevices is how many devices one request may list.
	MaxDevices = 64
)

// Offer is what a lease of a selection costs, on which terms. Lengths are in
// seconds.
type Offer struct {
	DJ      DJ
	RootN   uint64
	Sel     SelID
	N       uint64 // grows with each offer of the selection under one root
	IAT     int64
	Exp     int64 // requests dated later are refused
	Price   Price // of one Per, for each device
	Per     int64
	Min     int64 // least length
	Max     int64 // greatest length
	Devices uint64
	Window  int64 // how far ahead keys are sent; 0 as far as is allowed
	Grace   int64
	Terms   *[32]byte // digest of the words that both sides agree to
}

func (o *Offer) code(c *coder) {
	c.fields(14, func() {
		c.key("W")
		number(c, &o.Window, Ahead(Week)*Week)
		c.key("n")
		number(c, &o.N, MaxInt)
		c.key("dj")
		c.fixed(o.DJ[:])
		c.key("exp")
		number(c, &o.Exp, MaxInt)
		c.key("iat")
		number(c, &o.IAT, MaxInt)
		c.key("max")
		number(c, &o.Max, maxLease)
		c.key("min")
		number(c, &o.Min, maxLease)
		c.key("per")
		number(c, &o.Per, maxLease)
		c.key("sel")
		c.fixed(o.Sel[:])
		c.key("grace")
		number(c, &o.Grace, maxGrace)
		c.key("price")
		o.Price.code(c)
		c.key("rootn")
		number(c, &o.RootN, MaxInt)
		c.key("terms")
		digest(c, &o.Terms)
		c.key("devices")
		number(c, &o.Devices, MaxDevices)
	})
}

func (o *Offer) check() error {
	switch {
	case o.RootN < 1:
		return invalid("offer under root 0")
	case o.IAT >= o.Exp:
		return invalid("offer ends before it begins")
	case o.Per < 1 || o.Min < 1 || o.Max < o.Min:
		return invalid("offer of %d to %d s, per %d s", o.Min, o.Max, o.Per)
	case o.Devices < 1:
		return invalid("offer for no device")
	case o.Price.Amount > MaxInt/maxLease/MaxDevices:
		return invalid("offer at a price of %d", o.Price.Amount)
	}
	return o.Price.check()
}

// Cost is the price of a lease of length seconds for so many devices: of each
// Per that is begun.
func (o *Offer) Cost(length int64, devices int) Price {
	return Price{o.Price.Amount * uint64((length+o.Per-1)/o.Per) * uint64(devices), o.Price.Currency}
}

// Encode is the offer's canonical payload.
func (o *Offer) Encode() ([]byte, error) { return encode(o, MaxPayload) }

// DecodeOffer reads an offer's payload; its signer is not judged.
func DecodeOffer(payload []byte) (*Offer, error) { return decoded[Offer](payload, MaxPayload) }

// OpenOffer reads a signed offer and judges its signer.
func (c *Chain) OpenOffer(s Signed) (*Offer, error) {
	o := new(Offer)
	e, err := open(TypeOffer, s.Env.Data, s.Payload.Data, o)
	if err == nil {
		err = c.may(e.Key(), RoleManifest, o.DJ, o.RootN, o.IAT)
	}
	if err != nil {
		return nil, fmt.Errorf("open offer: %w", err)
	}
	return o, nil
}

func (p *Price) check() error {
	for _, r := range p.Currency {
		if r < 'A' || r > 'Z' {
			return invalid("price in %q", p.Currency)
		}
	}
	return nil
}

// Request is a venue's, for a lease on an offer's terms.
type Request struct {
	DJ      DJ
	Offer   [32]byte // digest of the offer's payload
	Venue   Key      // who asks and signs
	Devices []Signed // device records, one lease each
	Start   int64    // Unix seconds; 0 for when it is approved
	Len     int64    // seconds
	IAT     int64
	NonceID [16]byte
	ReplyPK [1216]byte // X-Wing key of the venue's, for an answer
	Payref  *string
}

func (r *Request) code(c *coder) {
	c.fields(10, func() {
		c.key("dj")
		c.fixed(r.DJ[:])
		c.key("iat")
		number(c, &r.IAT, MaxInt)
		c.key("len")
		number(c, &r.Len, maxLease)
		c.key("nonce")
		c.fixed(r.NonceID[:])
		c.key("offer")
		c.fixed(r.Offer[:])
		c.key("start")
		number(c, &r.Start, MaxInt)
		c.key("venue")
		c.fixed(r.Venue[:])
		c.key("payref")
		if c.present(r.Payref != nil) {
			if c.reading {
				r.Payref = new(string)
			}
			c.text(r.Payref, 0, 64)
		}
		c.key("devices")
		list(c, &r.Devices, 1, MaxDevices, func(s *Signed) {
			c.tuple(2)
			c.block(&s.Env, maxEnv)
			c.block(&s.Payload, MaxPayload)
		})
		c.key("replyPk")
		c.fixed(r.ReplyPK[:])
	})
}

func (r *Request) check() error {
	switch {
	case !strongKey(r.Venue):
		return invalid("request of a weak key")
	case r.Len < 1:
		return invalid("request for no time")
	case r.Payref != nil && Clean(*r.Payref, 64) != *r.Payref:
		return invalid("payref is not clean text")
	}
	return nil
}

// Encode is the request's canonical payload.
func (r *Request) Encode() ([]byte, error) { return encode(r, MaxPayload) }

// DecodeRequest reads a request's payload; its signer is not judged.
func DecodeRequest(payload []byte) (*Request, error) { return decoded[Request](payload, MaxPayload) }

// OpenRequest reads a signed request, which must be signed by its venue, and
// its devices, each signed by itself and listed once.
func OpenRequest(s Signed) (*Request, []*Device, error) {
	r := new(Request)
	e, err := open(TypeRequest, s.Env.Data, s.Payload.Data, r)
	if err == nil && e.Key() != r.Venue {
		err = fmt.Errorf("signed by %s: %w", e.Key(), ErrUnauthorised)
	}
	var devices []*Device
	seen := map[Key]bool{}
	for i := 0; err == nil && i < len(r.Devices); i++ {
		var d *Device
		if d, err = OpenDevice(r.Devices[i]); err == nil && seen[d.K] {
			err = invalid("device %s twice", d.K)
		}
		if err == nil {
			seen[d.K] = true
			devices = append(devices, d)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open request: %w", err)
	}
	return r, devices, nil
}

// EncodeSigned is a signed record as one block: [envelope, payload].
func EncodeSigned(s Signed) ([]byte, error) { return encode((*signedPair)(&s), MaxDelivery-4) }

// DecodeSigned reads what EncodeSigned wrote; nothing is verified.
func DecodeSigned(data []byte) (Signed, error) {
	p, err := decoded[signedPair](data, MaxDelivery-4)
	if err != nil {
		return Signed{}, err
	}
	return Signed(*p), nil
}

type signedPair Signed

func (s *signedPair) code(c *coder) {
	c.tuple(2)
	c.block(&s.Env, maxEnv)
	c.block(&s.Payload, MaxPayload)
}

func (s *signedPair) check() error { return nil }

// requestKind stands in a request file, so that none is taken for a grant.
const requestKind = "request"

// RequestFile is a request sealed to its DJ's request key, on its way.
type RequestFile struct {
	DJ   DJ
	Blob Blob
}

func (r *RequestFile) code(c *coder) {
	c.tuple(4)
	v, kind := 1, requestKind
	if number(c, &v, 1); v != 1 {
		c.fail("request file of version %d", v)
	}
	if c.text(&kind, 1, 16); kind != requestKind {
		c.fail("file with a %q, not a request", kind)
	}
	c.fixed(r.DJ[:])
	r.Blob.code(c)
}

func (r *RequestFile) check() error { return nil }

// Encode is the file's canonical bytes.
func (r *RequestFile) Encode() ([]byte, error) { return encode(r, MaxBlock) }

// DecodeRequestFile reads a request file.
func DecodeRequestFile(data []byte) (*RequestFile, error) {
	return decoded[RequestFile](data, MaxBlock)
}
