package manifests

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
)

// Type says what kind of record an envelope signs.
type Type string

// All types of format version 1.
const (
	TypeRoot     Type = "root"
	TypeHead     Type = "head"
	TypeManifest Type = "manifest"
	TypeGrant    Type = "grant"
	TypeOffer    Type = "offer"
	TypeRequest  Type = "request"
	TypeDevice   Type = "device"
	TypeLive     Type = "live"
	TypeLiveHead Type = "live/head"
)

func (t Type) known() bool {
	switch t {
	case TypeRoot, TypeHead, TypeManifest, TypeGrant, TypeOffer, TypeRequest, TypeDevice, TypeLive, TypeLiveHead:
		return true
	}
	return false
}

// Sig is one signature with its key.
type Sig struct {
	K Key
	S [64]byte
}

// Envelope is a signed record's outside. One that OpenEnvelope returned has
// only valid signatures; who may have made them is for a [Chain] to judge.
type Envelope struct {
	Type Type
	// Payload is the record's identity. The envelope's own CID is not: more
	// than one envelope can sign one payload.
	Payload cid.Cid
	Sigs    []Sig
}

func (e *Envelope) code(c *coder) {
	c.fields(4, func() {
		c.key("p")
		c.link(&e.Payload, codecDagCBOR)
		c.key("t")
		c.text((*string)(&e.Type), 1, 16)
		c.key("v")
		v := 1
		if number(c, &v, 1); v != 1 {
			c.fail("envelope of version %d", v)
		}
		c.key("sigs")
		list(c, &e.Sigs, 1, 16, func(s *Sig) {
			c.fields(2, func() {
				c.key("k")
				c.fixed(s.K[:])
				c.key("s")
				c.fixed(s.S[:])
			})
		})
	})
}

func (e *Envelope) check() error {
	if !e.Type.known() {
		return invalid("envelope of unknown type %.20q", string(e.Type))
	}
	if e.Type != TypeRoot && len(e.Sigs) != 1 {
		return invalid("%s with %d signatures", e.Type, len(e.Sigs))
	}
	if !ascending(e.Sigs, func(s *Sig) []byte { return s.K[:] }) {
		return invalid("signatures are not sorted by key")
	}
	return nil
}

// Signed is a record as it travels: envelope and payload, two blocks.
type Signed struct{ Env, Payload Block }

// Sign wraps a payload, which must be the canonical encoding of a record of
// type t, in an envelope with one signature a key.
func Sign(t Type, payload []byte, keys ...ed25519.PrivateKey) (Signed, error) {
	p := NewBlock(payload)
	e := Envelope{Type: t, Payload: p.CID}
	msg := signedBytes(t, p.CID)
	for _, k := range keys {
		e.Sigs = append(e.Sigs, Sig{Key(k.Public().(ed25519.PublicKey)), [64]byte(ed25519.Sign(k, msg))})
	}
	slices.SortFunc(e.Sigs, func(a, b Sig) int { return bytes.Compare(a.K[:], b.K[:]) })
	data, err := encode(&e, maxEnv)
	if err != nil {
		return Signed{}, fmt.Errorf("sign %s: %w", t, err)
	}
	r := newRecord(t)
	if r == nil {
		return Signed{}, fmt.Errorf("sign %s: %w", t, ErrInvalid)
	}
	if _, err := open(t, data, payload, r); err != nil {
		return Signed{}, fmt.Errorf("sign %s: %w", t, err)
	}
	return Signed{NewBlock(data), p}, nil
}

// OpenEnvelope reads an envelope and checks every signature in it.
func OpenEnvelope(data []byte) (*Envelope, error) {
	e, rest, err := openEnvelopePrefix(data)
	if err == nil && len(rest) != 0 {
		err = invalid("%d bytes after the envelope", len(rest))
	}
	if err != nil {
		return nil, fmt.Errorf("open envelope: %w", err)
	}
	return e, nil
}

func openEnvelopePrefix(data []byte) (*Envelope, []byte, error) {
	var e Envelope
	head := data[:min(len(data), maxEnv)]
	rest, err := decodePrefix(head, maxEnv, &e)
	if err != nil {
		return nil, nil, err
	}
	msg := signedBytes(e.Type, e.Payload)
	for _, s := range e.Sigs {
		if !verify(s.K, msg, s.S) {
			return nil, nil, invalid("signature by %s does not hold", s.K)
		}
	}
	return &e, data[len(head)-len(rest):], nil
}

// Key is the signer of a record with one signature.
func (e *Envelope) Key() Key { return e.Sigs[0].K }

// SignedBy tells whether k is among the signers.
func (e *Envelope) SignedBy(k Key) bool {
	return slices.ContainsFunc(e.Sigs, func(s Sig) bool { return s.K == k })
}

// signedBytes is what each signature is over.
func signedBytes(t Type, p cid.Cid) []byte {
	b := []byte("playnode/v1\x00")
	b = append(binary.AppendUvarint(b, uint64(len(t))), t...)
	pb := p.Bytes()
	return append(binary.AppendUvarint(b, uint64(len(pb))), pb...)
}

// newRecord is an empty record of type t, or nil for an unknown one.
func newRecord(t Type) record {
	switch t {
	case TypeRoot:
		return new(Root)
	case TypeHead:
		return new(Head)
	case TypeManifest:
		return new(Manifest)
	case TypeGrant:
		return new(Grant)
	case TypeDevice:
		return new(Device)
	case TypeOffer:
		return new(Offer)
	case TypeRequest:
		return new(Request)
	case TypeLive:
		return new(Live)
	case TypeLiveHead:
		return new(LiveHead)
	}
	return nil
}

// open reads an envelope of type t and the payload that it signs into r. Who
// signed is not yet judged.
func open(t Type, env, payload []byte, r record) (*Envelope, error) {
	e, err := OpenEnvelope(env)
	if err != nil {
		return nil, err
	}
	if e.Type != t {
		return nil, invalid("envelope of a %s where a %s belongs", e.Type, t)
	}
	if len(payload) > MaxPayload {
		return nil, invalid("payload of %d bytes", len(payload))
	}
	if Digest(e.Payload) != sha256.Sum256(payload) {
		return nil, invalid("payload is not the one that was signed")
	}
	if err := decode(payload, MaxPayload, r); err != nil {
		return nil, err
	}
	return e, nil
}

// verify is RFC 8032's cofactorless check, strict about keys: Go's own
// already wants S < L and compares R as bytes, which makes it canonical, but
// takes keys of small order and keys that are not reduced.
func verify(k Key, msg []byte, sig [64]byte) bool {
	return strongKey(k) && ed25519.Verify(k[:], msg, sig[:])
}

// strongKey tells whether k's y is below 2^255-19 and is not that of one of
// the eight points of small order, with either sign.
func strongKey(k Key) bool {
	y := k
	y[31] &= 0x7f
	if y[31] == 0x7f && y[0] >= 0xed && bytes.Count(y[1:31], []byte{0xff}) == 30 {
		return false
	}
	return !slices.Contains(smallOrder[:], y)
}

// smallOrder is y, little-endian, of the points of order 1, 2, 4 and 8 (two).
var smallOrder = [...]Key{
	{1},
	{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	{},
	{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
	{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
}
