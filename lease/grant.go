package lease

import (
	"crypto/rand"
	"fmt"

	"playnode/internal/seal"
	"playnode/manifests"
)

// Terms is what a DJ grants a device.
type Terms struct {
	Device manifests.Device
	Venue  manifests.Key // zero: the device itself
	From   int64         // Unix seconds; the grant holds from here
	Until  int64         // to here,
	Grace  int64         // and so many seconds more
	Window int64         // how far ahead keys are sent, in seconds; 0 means as far as is allowed
	Lease  manifests.LeaseID
	N      uint64               // one more than that of the lease's last grant; 0 for its first
	Mbox   manifests.MailboxKey // zero: drawn
	Req    *[32]byte
	Price  *manifests.Price
	Payref *string
}

// Grant draws up and signs a grant at now. The result is not yet sealed. A
// zero Lease is drawn.
func (s Selection) Grant(now int64, rootN uint64, key seal.Signing, t Terms) (*manifests.Delivery, error) {
	h := int64(manifests.Ahead(s.Unit)) * s.Unit
	if t.Window == 0 {
		t.Window = h
	}
	if t.Window < 0 || t.Window > h {
		return nil, fmt.Errorf("grant: a window of %d s is not within 0..%d: %w", t.Window, h, ErrRefused)
	}
	if t.Venue == (manifests.Key{}) {
		t.Venue = t.Device.K
	}
	if t.Lease == (manifests.LeaseID{}) {
		rand.Read(t.Lease[:])
	}
	if t.Mbox == (manifests.MailboxKey{}) {
		rand.Read(t.Mbox[:])
	}
	g := manifests.Grant{
		DJ: s.DJ, RootN: rootN, Aud: t.Venue, Dev: t.Device.K, PKH: t.Device.PKH(),
		Sel: s.Sel, Gen: s.Gen, GID: s.GID(), Unit: s.Unit, Lease: t.Lease, N: t.N,
		IAT: now, NBF: t.From, Exp: t.Until, Grace: t.Grace, Req: t.Req, Price: t.Price, Payref: t.Payref,
	}
	rand.Read(g.NonceID[:])
	g.Win = g.WindowFor(t.Window)
	d := &manifests.Delivery{Mbox: t.Mbox}
	for i := range uint64(g.Keys()) {
		d.Keys = append(d.Keys, manifests.PeriodKey(periodKey(s.R, s.DJ, s.Sel, s.Gen, s.Unit, g.Win.First+i)))
	}
	g.KC = commit(d.Mbox, d.Keys)
	payload, err := g.Encode()
	if err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	d.Grant, err = manifests.Sign(manifests.TypeGrant, payload, key.Private())
	return d, err
}

// filePad is what a grant outside a mailbox is padded to a multiple of.
const filePad = 4096

// SealFile seals a delivery to its device, as the bytes of a grant file. The
// delivery must have the DJ's roots, 1 to the newest, and her name.
func SealFile(d *manifests.Delivery, dev manifests.Device) ([]byte, error) {
	plain, err := d.Encode()
	if err != nil {
		return nil, fmt.Errorf("seal grant: %w", err)
	}
	if len(d.Roots) == 0 {
		return nil, fmt.Errorf("seal grant: it has no roots: %w", ErrRefused)
	}
	padded := seal.Pad(plain, filePad)
	if len(padded) > manifests.MaxDelivery {
		return nil, fmt.Errorf("seal grant: %d bytes are over %d", len(padded), manifests.MaxDelivery)
	}
	f := manifests.GrantFile{DJ: manifests.Digest(d.Roots[0].Payload.CID)}
	f.Blob.Enc, f.Blob.CT, err = seal.SealTo(dev.PK, grantInfo(f.DJ, dev.K), padded)
	if err != nil {
		return nil, fmt.Errorf("seal grant: %w", err)
	}
	return f.Encode()
}

// Identity is a playing box's own keys.
type Identity struct {
	Sign seal.Signing
	Open seal.XWing
}

// NewIdentity draws a device's keys.
func NewIdentity() (id Identity, err error) {
	if id.Sign, err = seal.NewSigning(); err == nil {
		id.Open, err = seal.NewXWing()
	}
	return id, err
}

// Record is the device's signed record, which DJs lease to.
func (id Identity) Record() (manifests.Signed, error) {
	d := manifests.Device{K: id.Sign.Public(), PK: id.Open.Public()}
	payload, err := d.Encode()
	if err != nil {
		return manifests.Signed{}, err
	}
	return manifests.Sign(manifests.TypeDevice, payload, id.Sign.Private())
}

// open opens a blob that was sealed to this device as a DJ's grant. The
// result is a delivery of the right form, none of which is verified yet.
func (id Identity) open(f *manifests.GrantFile) (*manifests.Delivery, error) {
	if len(f.Blob.CT) > manifests.MaxDelivery+16 {
		return nil, fmt.Errorf("grant of %d bytes: %w", len(f.Blob.CT), ErrRefused)
	}
	padded, err := id.Open.Open(grantInfo(f.DJ, id.Sign.Public()), f.Blob.Enc, f.Blob.CT)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotYours, err)
	}
	plain, err := seal.Unpad(padded, filePad)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	d, err := manifests.DecodeDelivery(plain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return d, nil
}
