package manifests

import (
	"crypto/sha256"
	"fmt"
)

// XWing is the only KEM, by its HPKE number.
const XWing = 0x647a

// Device says which keys a playing box has; it is signed with K. A new PK
// means a new K.
type Device struct {
	K  Key
	PK [1216]byte // X-Wing public key
}

func (d *Device) code(c *coder) {
	c.fields(3, func() {
		c.key("k")
		c.fixed(d.K[:])
		c.key("pk")
		c.fixed(d.PK[:])
		c.key("kem")
		kem := XWing
		if number(c, &kem, 1<<16-1); kem != XWing {
			c.fail("device with KEM 0x%04x", kem)
		}
	})
}

func (d *Device) check() error {
	if !strongKey(d.K) {
		return invalid("device with a weak key")
	}
	return nil
}

// Encode is the device's canonical payload.
func (d *Device) Encode() ([]byte, error) { return encode(d, MaxPayload) }

// PKH is the digest by which a grant names the device's X-Wing key.
func (d *Device) PKH() [32]byte { return sha256.Sum256(d.PK[:]) }

// OpenDevice reads a signed device record: it must be signed by its own key.
func OpenDevice(s Signed) (*Device, error) {
	d := new(Device)
	e, err := open(TypeDevice, s.Env.Data, s.Payload.Data, d)
	if err == nil && e.Key() != d.K {
		err = fmt.Errorf("signed by %s: %w", e.Key(), ErrUnauthorised)
	}
	if err != nil {
		return nil, fmt.Errorf("open device: %w", err)
	}
	return d, nil
}

const devicePrefix = "pndev1"

// DeviceText is the text form of a signed device record.
func DeviceText(s Signed) string {
	b := append(append([]byte(nil), s.Env.Data...), s.Payload.Data...)
	sum := sha256.Sum256(b)
	return devicePrefix + base32Lower.EncodeToString(append(b, sum[:4]...))
}

// ParseDevice reads the text form, and opens the record.
func ParseDevice(text string) (*Device, Signed, error) {
	s, err := splitDevice(text)
	if err != nil {
		return nil, Signed{}, fmt.Errorf("parse device: %w", err)
	}
	d, err := OpenDevice(s)
	if err != nil {
		return nil, Signed{}, fmt.Errorf("parse device: %w", err)
	}
	return d, s, nil
}

func splitDevice(text string) (Signed, error) {
	if len(text) > 4096 || len(text) < len(devicePrefix) || text[:len(devicePrefix)] != devicePrefix {
		return Signed{}, invalid("text is not a device (%s...)", devicePrefix)
	}
	b, err := base32Lower.DecodeString(text[len(devicePrefix):])
	if err != nil || len(b) < 4 || base32Lower.EncodeToString(b) != text[len(devicePrefix):] {
		return Signed{}, invalid("text is not base32")
	}
	b, check := b[:len(b)-4], b[len(b)-4:]
	if sum := sha256.Sum256(b); string(sum[:4]) != string(check) {
		return Signed{}, invalid("text is damaged, its checksum differs")
	}
	_, payload, err := openEnvelopePrefix(b)
	if err != nil {
		return Signed{}, err
	}
	return Signed{NewBlock(b[:len(b)-len(payload)]), NewBlock(payload)}, nil
}

// Window is the periods, first and last, whose keys come with a grant.
type Window struct{ First, Last uint64 }

// Price is an amount in minor units of an ISO 4217 currency.
type Price struct {
	Amount   uint64
	Currency string
}

// Grant is the terms of one lease for one device.
type Grant struct {
	DJ      DJ
	RootN   uint64
	Aud     Key      // the venue's key
	Dev     Key      // the device's key
	PKH     [32]byte // of the X-Wing key that it is sealed to
	Sel     SelID
	Gen     uint64
	GID     [16]byte
	Unit    int64
	Lease   LeaseID
	N       uint64 // grows with every renewal under one root
	IAT     int64
	NBF     int64
	Exp     int64
	Grace   int64    // seconds after Exp
	Win     *Window  // nil: no keys yet
	KC      [32]byte // commits to the mailbox secret and the keys
	Req     *[32]byte
	Price   *Price
	Payref  *string
	NonceID [16]byte
}

func (g *Grant) code(c *coder) {
	c.fields(21, func() {
		c.key("n")
		number(c, &g.N, MaxInt)
		c.key("dj")
		c.fixed(g.DJ[:])
		c.key("kc")
		c.fixed(g.KC[:])
		c.key("aud")
		c.fixed(g.Aud[:])
		c.key("dev")
		c.fixed(g.Dev[:])
		c.key("exp")
		number(c, &g.Exp, MaxInt)
		c.key("gen")
		number(c, &g.Gen, MaxInt)
		c.key("gid")
		c.fixed(g.GID[:])
		c.key("iat")
		number(c, &g.IAT, MaxInt)
		c.key("nbf")
		number(c, &g.NBF, MaxInt)
		c.key("pkh")
		c.fixed(g.PKH[:])
		c.key("req")
		digest(c, &g.Req)
		c.key("sel")
		c.fixed(g.Sel[:])
		c.key("win")
		if c.present(g.Win != nil) {
			if c.reading {
				g.Win = new(Window)
			}
			c.tuple(2)
			number(c, &g.Win.First, MaxInt)
			number(c, &g.Win.Last, MaxInt)
		}
		c.key("unit")
		number(c, &g.Unit, Week)
		c.key("grace")
		number(c, &g.Grace, MaxInt)
		c.key("lease")
		c.fixed(g.Lease[:])
		c.key("nonce")
		c.fixed(g.NonceID[:])
		c.key("price")
		if c.present(g.Price != nil) {
			if c.reading {
				g.Price = new(Price)
			}
			g.Price.code(c)
		}
		c.key("rootn")
		number(c, &g.RootN, MaxInt)
		c.key("payref")
		if c.present(g.Payref != nil) {
			if c.reading {
				g.Payref = new(string)
			}
			c.text(g.Payref, 0, 64)
		}
	})
}

func (p *Price) code(c *coder) {
	c.tuple(2)
	number(c, &p.Amount, MaxInt)
	c.text(&p.Currency, 3, 3)
}

// Windows is the exact range of periods whose keys a grant may carry: first,
// and one past the last, for a rolling window of w seconds. They are equal or
// crossed where it may carry none.
func (g *Grant) windows(w int64) (first, end uint64) {
	first = max(Period(g.NBF, g.Unit), Period(g.IAT, g.Unit))
	if g.Exp+g.Grace < 1 {
		return first, 0
	}
	last := min(Period(g.Exp+g.Grace-1, g.Unit), Period(g.IAT, g.Unit)+uint64((w+g.Unit-1)/g.Unit))
	return first, last + 1
}

// WindowFor is what Win must be for a rolling window of w seconds.
func (g *Grant) WindowFor(w int64) *Window {
	first, end := g.windows(w)
	if first >= end {
		return nil
	}
	return &Window{first, end - 1}
}

func (g *Grant) check() error {
	switch {
	case g.Unit != Day && g.Unit != Week:
		return invalid("grant with periods of %d s", g.Unit)
	case g.NBF >= g.Exp:
		return invalid("grant ends before it begins")
	case g.Exp+g.Grace > MaxInt:
		return invalid("grant with %d s of grace", g.Grace)
	case !strongKey(g.Dev) || !strongKey(g.Aud):
		return invalid("grant to a weak key")
	case g.RootN < 1:
		return invalid("grant under root 0")
	}
	if g.Price != nil {
		if err := g.Price.check(); err != nil {
			return err
		}
	}
	if g.Payref != nil && Clean(*g.Payref, 64) != *g.Payref {
		return invalid("payref is not clean text")
	}
	if g.Win == nil {
		return nil
	}
	first, end := g.windows(int64(Ahead(g.Unit)) * g.Unit)
	if g.Win.First != first || g.Win.Last < first || g.Win.Last >= end {
		return invalid("grant with keys for periods %d to %d", g.Win.First, g.Win.Last)
	}
	return nil
}

// Keys is how many period keys come with the grant.
func (g *Grant) Keys() int {
	if g.Win == nil {
		return 0
	}
	return int(g.Win.Last - g.Win.First + 1)
}

// End is the Unix second from which on the grant unlocks nothing.
func (g *Grant) End() int64 { return g.Exp + g.Grace }

// Encode is the grant's canonical payload.
func (g *Grant) Encode() ([]byte, error) { return encode(g, MaxPayload) }

// DecodeGrant reads a grant's payload; its signer is not judged.
func DecodeGrant(payload []byte) (*Grant, error) { return decoded[Grant](payload, MaxPayload) }
