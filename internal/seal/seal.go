// Package seal is the only room that touches ciphers: keys as types, their
// derivation, sealed bytes, age containers and HPKE.
//
// What comes in: keys, plaintext, and sealed bytes from anyone. What goes out:
// ciphertext, or plaintext whose authenticity has been checked; never a part
// of either with an error, except that a stream of chunks gives each chunk as
// it holds. What is trusted: the standard library's and x/crypto's ciphers,
// filippo.io/age, and that the caller names the context truly.
//
// All is derived and bound under labels, each used for one purpose; SPEC.md
// has their table. Keys do not print, compare in constant time, and can be
// zeroed (Go may have copied them before: that is best effort). Everything is
// safe for concurrent use.
package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// ErrOpen says that bytes were not sealed under this key and context, or were
// changed since.
var ErrOpen = errors.New("sealed bytes do not open")

// Label names one use of a key or a context.
type Label string

// Every label, once. KDF: derives a key. AAD: binds a ciphertext. HPKE: is the
// info of a sealed blob. Hash: separates a digest.
const (
	GID      Label = "gid"      // KDF of R_gen: public name of a generation
	Period   Label = "period"   // KDF of R_gen: K_p
	RID      Label = "rid"      // KDF of MK: public name of a revision
	Lock     Label = "lock"     // KDF of K_p; AAD of the MK inside
	Track    Label = "track"    // KDF of MK; AAD of the file key inside
	Meta     Label = "meta"     // KDF of MK; AAD of a meta block
	Info     Label = "info"     // KDF of a file key; AAD of an info block
	Keys     Label = "keys"     // Hash: a grant's commitment to its keys
	Grant    Label = "grant"    // HPKE: a grant to its device
	Request  Label = "request"  // HPKE: a request to its DJ
	Mbox     Label = "mbox"     // KDF of a mailbox key: the mailbox's id
	LID      Label = "lid"      // KDF of LK: public name of a live period
	LiveLock Label = "livelock" // KDF of K_p; AAD of the LK inside
	OpenSet  Label = "open"     // KDF of an open set's key: LK
	Excerpt  Label = "excerpt"  // KDF of an excerpt's key; AAD of the excerpt
	Segment  Label = "seg"      // KDF of LK; AAD of a live segment
)

// CTX is the context string of a label and its parts, no two of which give
// the same bytes.
func CTX(l Label, x ...[]byte) []byte {
	b := append([]byte("playnode/v1/"), l...)
	b = append(b, 0)
	for _, part := range x {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	return b
}

// U64 is n as 8 bytes, big-endian.
func U64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// Key is a 32-byte secret.
type Key [32]byte

// FileKey is the 16-byte secret of one age file.
type FileKey [16]byte

// NewKey draws a key.
func NewKey() (k Key) {
	rand.Read(k[:]) // never fails: crypto/rand ends the program instead
	return k
}

// Format hides the key from every verb.
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, "(key)") }

// Format hides the key from every verb.
func (FileKey) Format(f fmt.State, _ rune) { io.WriteString(f, "(file key)") }

// MarshalText refuses: a key goes nowhere by accident.
func (Key) MarshalText() ([]byte, error) { return nil, errors.New("keys are not text") }

// MarshalText refuses: a key goes nowhere by accident.
func (FileKey) MarshalText() ([]byte, error) { return nil, errors.New("keys are not text") }

// Equal compares in constant time.
func (k Key) Equal(o Key) bool { return subtle.ConstantTimeCompare(k[:], o[:]) == 1 }

// Equal compares in constant time.
func (k FileKey) Equal(o FileKey) bool { return subtle.ConstantTimeCompare(k[:], o[:]) == 1 }

// Zero overwrites the key.
func (k *Key) Zero() { clear(k[:]) }

// Zero overwrites the key.
func (k *FileKey) Zero() { clear(k[:]) }

// Derive is KDF(k, label, x...).
func (k Key) Derive(l Label, x ...[]byte) Key {
	defer k.Zero() // this copy, which HKDF has moved to the heap
	return derive(k[:], l, x)
}

// Derive is KDF(k, label, x...).
func (k FileKey) Derive(l Label, x ...[]byte) Key {
	defer k.Zero()
	return derive(k[:], l, x)
}

func derive(s []byte, l Label, x [][]byte) Key {
	b, err := hkdf.Key(sha256.New, s, nil, string(CTX(l, x...)), 32)
	if err != nil {
		panic(err) // only lengths can fail, and they are fixed
	}
	defer clear(b)
	return Key(b)
}

// Hash is SHA-256(CTX(label, x...)).
func Hash(l Label, x ...[]byte) [32]byte {
	b := CTX(l, x...) // x may be keys
	defer clear(b)
	return sha256.Sum256(b)
}

// SealOnce seals with nonce 0, for keys that seal one message ever: those
// derived for Lock, Track and LiveLock.
func SealOnce(k Key, plaintext, aad []byte) []byte {
	return chacha(k).Seal(nil, make([]byte, chacha20poly1305.NonceSize), plaintext, aad)
}

// OpenOnce opens what SealOnce sealed.
func OpenOnce(k Key, sealed, aad []byte) ([]byte, error) {
	p, err := chacha(k).Open(nil, make([]byte, chacha20poly1305.NonceSize), sealed, aad)
	if err != nil {
		return nil, ErrOpen
	}
	return p, nil
}

// Seal pads plaintext and seals it under a random nonce, which comes first.
func Seal(k Key, plaintext, aad []byte) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, SealedSize(len(plaintext)))
	rand.Read(nonce)
	p := Pad(plaintext, padTo)
	defer clear(p)
	return xchacha(k).Seal(nonce, nonce, p, aad)
}

// SealedSize is how many bytes Seal makes of n.
func SealedSize(n int) int {
	return chacha20poly1305.NonceSizeX + (n+4+padTo-1)/padTo*padTo + chacha20poly1305.Overhead
}

// Open opens what Seal sealed, and takes its padding off.
func Open(k Key, sealed, aad []byte) ([]byte, error) {
	const n = chacha20poly1305.NonceSizeX
	if len(sealed) < n {
		return nil, ErrOpen
	}
	p, err := xchacha(k).Open(nil, sealed[:n], sealed[n:], aad)
	if err != nil {
		return nil, ErrOpen
	}
	return Unpad(p, padTo)
}

func chacha(k Key) cipher.AEAD {
	a, err := chacha20poly1305.New(k[:])
	if err != nil {
		panic(err) // the key has the right length
	}
	return a
}

func xchacha(k Key) cipher.AEAD {
	a, err := chacha20poly1305.NewX(k[:])
	if err != nil {
		panic(err) // the key has the right length
	}
	return a
}

// padTo is what sealed metadata is padded to a multiple of.
const padTo = 1024

// Pad is u32be(len b) || b || zeros, to the next multiple of size.
func Pad(b []byte, size int) []byte {
	p := make([]byte, (len(b)+4+size-1)/size*size)
	binary.BigEndian.PutUint32(p, uint32(len(b)))
	copy(p[4:], b)
	return p
}

// Unpad takes padding off; what Pad would not have made is refused.
func Unpad(p []byte, size int) ([]byte, error) {
	if len(p) == 0 || len(p)%size != 0 {
		return nil, fmt.Errorf("padded to %d bytes: %w", len(p), ErrOpen)
	}
	n := int64(binary.BigEndian.Uint32(p))
	if want := (n + 4 + int64(size) - 1) / int64(size) * int64(size); want != int64(len(p)) {
		return nil, fmt.Errorf("padding of the wrong length: %w", ErrOpen)
	}
	for _, z := range p[4+n:] {
		if z != 0 {
			return nil, fmt.Errorf("padding that is not zero: %w", ErrOpen)
		}
	}
	return p[4 : 4+n], nil
}
