// Package ipns knows names: who may point one, where it points, and what was
// the newest record ever seen under it.
//
// What comes in: record bytes from routers, peers and disk, all hostile. What
// goes out: records whose signature is by the name's own key, and whose
// sequence is no lower than any accepted before, also across restarts. One
// whose end of life has passed by the injected clock is stale: it is never
// taken in place of one that has not ended, nor handed on unasked, and whoever
// gets one can tell (Record.Ended). What is trusted: the store
// on this box, and boxo/ipns for the record's form and signature. A router is
// trusted with nothing but availability.
//
// A name is the k51 text of an Ed25519 key. Records are the IPNS standard's,
// V1 and V2 signatures both, so that stock Kubo and gateways read them.
package ipns

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/ipfs/boxo/ipns"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// MaxRecord is the largest record, in bytes, that is read, kept or passed on.
const MaxRecord = 10 << 10

var (
	// ErrNotFound says that nobody asked had a record in time, or that none
	// is held.
	ErrNotFound = errors.New("no record found")
	// ErrInvalid says that a record is not the name's: malformed, oversized,
	// or signed by another key.
	ErrInvalid = errors.New("invalid record")
	// ErrExpired says that a record's end of life has passed.
	ErrExpired = errors.New("record expired")
	// ErrRollback says that a record is older than one accepted before.
	ErrRollback = errors.New("record older than one seen before")
)

// Name is an IPNS name in its canonical text, "k51...". The zero Name is none.
type Name string

// ParseName reads a name in any usual form: k51 text, an /ipns/ path, or a
// base58 peer id. Only Ed25519 names are taken.
func ParseName(s string) (Name, error) {
	n, err := ipns.NameFromString(s)
	if err != nil {
		return "", fmt.Errorf("parse name %.80q: %w", s, err)
	}
	k, err := n.Peer().ExtractPublicKey()
	if err != nil || k.Type() != crypto.Ed25519 {
		return "", fmt.Errorf("parse name %.80q: not an Ed25519 name", s)
	}
	return Name(n.String()), nil
}

// NameOf is the name that k may point.
func NameOf(k ed25519.PublicKey) (Name, error) {
	pk, err := crypto.UnmarshalEd25519PublicKey(k)
	if err != nil {
		return "", fmt.Errorf("name of key: %w", err)
	}
	id, err := peer.IDFromPublicKey(pk)
	if err != nil {
		return "", fmt.Errorf("name of key: %w", err)
	}
	return Name(ipns.NameFromPeer(id).String()), nil
}

// RoutingKey is the name's key in a DHT: "/ipns/" and its multihash's bytes.
func (n Name) RoutingKey() string {
	b, err := ipns.NameFromString(string(n))
	if err != nil {
		return ""
	}
	return string(b.RoutingKey())
}

// nameOfKey is the name of a routing key.
func nameOfKey(key string) (Name, error) {
	b, err := ipns.NameFromRoutingKey([]byte(key))
	if err != nil {
		return "", fmt.Errorf("name of routing key: %w", err)
	}
	return ParseName(b.String())
}

func (n Name) String() string { return string(n) }
