package lease

import (
	"crypto/rand"
	"fmt"

	"playnode/internal/seal"
	"playnode/manifests"
)

// Wish is what a venue asks for.
type Wish struct {
	Offer manifests.Signed // of the DJ's, listed in her newest manifest
	Start int64            // Unix seconds; 0 for when it is approved
	Len   int64            // seconds; 0 for the offer's Per
	// Devices are more device records than the one that asks.
	Devices []manifests.Signed
	Payref  *string
}

// Request signs a wish at now under an offer that c judges good, and seals it
// to the DJ's request key, as a file. ErrRefused says that the offer does not
// allow it.
func (id Identity) Request(c *manifests.Chain, now int64, w Wish) (manifests.Signed, []byte, error) {
	s, file, err := id.request(c, now, w)
	if err != nil {
		return manifests.Signed{}, nil, fmt.Errorf("request lease: %w", err)
	}
	return s, file, nil
}

func (id Identity) request(c *manifests.Chain, now int64, w Wish) (s manifests.Signed, file []byte, err error) {
	o, err := c.OpenOffer(w.Offer)
	if err != nil {
		return s, nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	me, err := id.Record()
	if err != nil {
		return s, nil, err
	}
	r := manifests.Request{
		DJ: c.DJ(), Offer: manifests.Digest(w.Offer.Payload.CID), Venue: id.Sign.Public(),
		Devices: append([]manifests.Signed{me}, w.Devices...), Start: w.Start, Len: w.Len, IAT: now,
		ReplyPK: id.Open.Public(), Payref: w.Payref,
	}
	if r.Len == 0 {
		r.Len = max(o.Min, min(o.Per, o.Max))
	}
	rand.Read(r.NonceID[:])
	if err := Fits(o, &r); err != nil {
		return s, nil, err
	}
	payload, err := r.Encode()
	if err != nil {
		return s, nil, err
	}
	if s, err = manifests.Sign(manifests.TypeRequest, payload, id.Sign.Private()); err != nil {
		return s, nil, err
	}
	pair, err := manifests.EncodeSigned(s)
	if err != nil {
		return s, nil, err
	}
	padded := seal.Pad(pair, filePad)
	if len(padded) > manifests.MaxDelivery {
		return s, nil, fmt.Errorf("request of %d bytes: %w", len(padded), ErrRefused)
	}
	f := manifests.RequestFile{DJ: c.DJ()}
	req := c.Newest().Req
	if f.Blob.Enc, f.Blob.CT, err = seal.SealTo(req, requestInfo(f.DJ, req), padded); err != nil {
		return s, nil, err
	}
	file, err = f.Encode()
	return s, file, err
}

// Fits tells whether an offer allows a request, dates apart.
func Fits(o *manifests.Offer, r *manifests.Request) error {
	switch {
	case r.DJ != o.DJ:
		return fmt.Errorf("request to another DJ: %w", ErrRefused)
	case r.Len < o.Min || r.Len > o.Max:
		return fmt.Errorf("%d s, and the offer is for %d to %d s: %w", r.Len, o.Min, o.Max, ErrRefused)
	case uint64(len(r.Devices)) > o.Devices:
		return fmt.Errorf("%d devices, and the offer is for %d: %w", len(r.Devices), o.Devices, ErrRefused)
	case r.IAT >= o.Exp:
		return fmt.Errorf("the offer ended at %d: %w", o.Exp, ErrRefused)
	}
	return nil
}

// requestAge is how old a request may be, in seconds.
const requestAge = 30 * manifests.Day

// OpenRequest opens a request file of dj's with her request key, at now: it is
// signed by its venue, as are its devices by themselves, and neither older
// than 30 days nor dated over a day ahead. Whether an offer allows it is for
// Fits. Errors wrap ErrNotYours, ErrRefused or ErrFuture.
func OpenRequest(k seal.XWing, dj manifests.DJ, now int64, file []byte) (manifests.Signed, *manifests.Request, []*manifests.Device, error) {
	s, r, devices, err := openRequest(k, dj, now, file)
	if err != nil {
		return manifests.Signed{}, nil, nil, fmt.Errorf("open request: %w", err)
	}
	return s, r, devices, nil
}

func openRequest(k seal.XWing, dj manifests.DJ, now int64, file []byte) (s manifests.Signed, r *manifests.Request, devices []*manifests.Device, err error) {
	f, err := manifests.DecodeRequestFile(file)
	if err != nil {
		return s, nil, nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if f.DJ != dj {
		return s, nil, nil, fmt.Errorf("it is for DJ %s: %w", f.DJ, ErrNotYours)
	}
	padded, err := k.Open(requestInfo(dj, k.Public()), f.Blob.Enc, f.Blob.CT)
	if err != nil {
		return s, nil, nil, fmt.Errorf("%w: %w", ErrNotYours, err)
	}
	plain, err := seal.Unpad(padded, filePad)
	if err == nil {
		s, err = manifests.DecodeSigned(plain)
	}
	if err == nil {
		r, devices, err = manifests.OpenRequest(s)
	}
	switch {
	case err != nil:
		return s, nil, nil, fmt.Errorf("%w: %w", ErrRefused, err)
	case r.DJ != dj:
		return s, nil, nil, fmt.Errorf("request to another DJ: %w", ErrRefused)
	case r.IAT < now-requestAge:
		return s, nil, nil, fmt.Errorf("request dated %d is over 30 days old: %w", r.IAT, ErrRefused)
	case r.IAT > now+manifests.Day:
		return s, nil, nil, fmt.Errorf("request dated %d: %w", r.IAT, ErrFuture)
	}
	return s, r, devices, nil
}

func requestInfo(dj manifests.DJ, pk [1216]byte) []byte {
	return seal.CTX(seal.Request, dj[:], pk[:])
}
