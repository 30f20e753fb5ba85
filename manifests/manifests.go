// Package manifests is what a DJ's keys vouch for, in canonical bytes: roots,
// heads, selections' manifests, grants, devices, and the blocks that they
// cover.
//
// What comes in: bytes from anyone. What goes out: records whose every byte
// is the only encoding of what they say, signed by keys that a verified chain
// of roots allows. What is trusted: nothing but the identity ([DJ]) that the
// caller brings, and the arithmetic of SHA-256 and Ed25519.
//
// A record is a dag-cbor map with exactly the listed fields. Decoding refuses
// whatever encoding would not have produced; SPEC.md has every byte. All
// functions are safe for concurrent use; records are plain data, changed by
// nobody after decoding.
package manifests

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"
	"github.com/multiformats/go-multihash"
)

var (
	// ErrInvalid says that bytes are not a record: not canonical, over a
	// cap, a field out of its range, a signature or digest that fails.
	ErrInvalid = errors.New("invalid record")
	// ErrUnauthorised says that a record is whole but its signer may not
	// sign it: not the root's key, out of its role or time, another root.
	ErrUnauthorised = errors.New("signer may not sign this")
	// ErrFork says that two different roots claim one place in the chain.
	ErrFork = errors.New("two roots with one number")
)

// Sizes that bound what is read, in bytes.
const (
	MaxPayload = 256 << 10 // a signed record
	MaxBlock   = 1 << 20   // a covered block
	maxEnv     = 4 << 10   // an envelope: 16 signatures take 1.7 KiB
)

// MaxInt is the largest integer in a record.
const MaxInt = 1<<53 - 1

// Codecs of the links that records hold.
const (
	codecRaw     = cid.Raw
	codecDagPB   = cid.DagProtobuf
	codecDagCBOR = cid.DagCBOR
)

// Block is bytes under the CID that they hash to. Its fields are those of
// node.Block, so that either converts to the other.
type Block struct {
	CID  cid.Cid
	Data []byte
}

// NewBlock names dag-cbor bytes by their CID (v1, sha2-256).
func NewBlock(data []byte) Block { return newBlock(codecDagCBOR, data) }

// NewRawBlock names raw bytes by their CID (v1, raw, sha2-256).
func NewRawBlock(data []byte) Block { return newBlock(codecRaw, data) }

// RawCID names a raw block by its digest.
func RawCID(digest [32]byte) cid.Cid { return digestCID(codecRaw, digest) }

func newBlock(codec uint64, data []byte) Block {
	return Block{digestCID(codec, sha256.Sum256(data)), data}
}

func digestCID(codec uint64, d [32]byte) cid.Cid {
	mh, err := multihash.Encode(d[:], multihash.SHA2_256)
	if err != nil {
		panic(err) // a 32-byte digest always encodes
	}
	return cid.NewCidV1(codec, mh)
}

// Digest is the 32-byte sha2-256 digest inside c, which must be one that a
// record may hold.
func Digest(c cid.Cid) (d [32]byte) {
	b := c.KeyString() // which, unlike Hash, copies nothing
	copy(d[:], b[len(b)-32:])
	return d
}

// PlainCID tells whether c is what records may link: version 1, sha2-256,
// 36 bytes, of one of the codecs.
func PlainCID(c cid.Cid, codecs ...uint64) bool {
	if !c.Defined() || c.ByteLen() != 36 {
		return false
	}
	p := c.Prefix()
	if p.Version != 1 || p.MhType != multihash.SHA2_256 || p.MhLength != 32 {
		return false
	}
	for _, k := range codecs {
		if p.Codec == k {
			return true
		}
	}
	return len(codecs) == 0
}

// DJ is an identity that never changes: the sha2-256 digest of the payload
// of root 1.
type DJ [32]byte

// CID is the CID of root 1's payload.
func (d DJ) CID() cid.Cid { return digestCID(codecDagCBOR, d) }

// String is the base32 CID of root 1, as links show it.
func (d DJ) String() string { return d.CID().String() }

// ParseDJ reads the form that String writes, and no other.
func ParseDJ(s string) (DJ, error) {
	c, err := cid.Decode(s)
	if err != nil || !PlainCID(c, codecDagCBOR) || c.String() != s {
		return DJ{}, fmt.Errorf("DJ %q is not the base32 CID of a root: %w", s, ErrInvalid)
	}
	return DJ(Digest(c)), nil
}

// SelID names a selection; it is random, and unique per DJ only.
type SelID [16]byte

// String is hexadecimal.
func (s SelID) String() string { return hex.EncodeToString(s[:]) }

// LeaseID names a lease for its whole life, renewals included.
type LeaseID [16]byte

// String is hexadecimal.
func (l LeaseID) String() string { return hex.EncodeToString(l[:]) }

// Key is an Ed25519 public key.
type Key [32]byte

// String is lower-case base32, without padding.
func (k Key) String() string { return base32Lower.EncodeToString(k[:]) }

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Name is an IPNS name of an Ed25519 key, in its text form "k51...".
type Name string

// ParseName reads a base36 IPNS name, with or without "/ipns/" before it.
func ParseName(s string) (Name, error) {
	if len(s) > 6 && s[:6] == "/ipns/" {
		s = s[6:]
	}
	if n := Name(s); n.valid() {
		return n, nil
	}
	return "", fmt.Errorf("name %q is not an Ed25519 IPNS name (k51...): %w", s, ErrInvalid)
}

// NewName is the IPNS name of a public key.
func NewName(k Key) Name {
	pb := append([]byte{0x08, 0x01, 0x12, 0x20}, k[:]...) // libp2p's PublicKey{Type: Ed25519, Data: k}
	mh, err := multihash.Encode(pb, multihash.IDENTITY)
	if err != nil {
		panic(err)
	}
	s, err := cid.NewCidV1(cid.Libp2pKey, mh).StringOfBase(multibase.Base36)
	if err != nil {
		panic(err)
	}
	return Name(s)
}

func (n Name) valid() bool {
	if len(n) > 80 {
		return false
	}
	c, err := cid.Decode(string(n))
	if err != nil || c.Version() != 1 || c.Type() != cid.Libp2pKey || c.ByteLen() != 40 {
		return false
	}
	var k Key
	copy(k[:], c.Bytes()[8:])
	return NewName(k) == n
}
