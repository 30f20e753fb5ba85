package seal

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"io"
	"strings"
)

// Sizes of X-Wing and of what it encapsulates, in bytes.
const (
	XWingPublicSize = 1216
	XWingEncSize    = 1120
)

// XWing is a private key that blobs are sealed to by HPKE: X-Wing
// (ML-KEM-768 and X25519), HKDF-SHA256, ChaCha20-Poly1305.
type XWing struct{ k hpke.PrivateKey }

// NewXWing draws a key.
func NewXWing() (XWing, error) {
	k, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return XWing{}, fmt.Errorf("draw X-Wing key: %w", err)
	}
	return XWing{k}, nil
}

// Format hides the key from every verb.
func (XWing) Format(f fmt.State, _ rune) { io.WriteString(f, "(X-Wing key)") }

// Public is the public key.
func (x XWing) Public() (p [XWingPublicSize]byte) {
	copy(p[:], x.k.PublicKey().Bytes())
	return p
}

// Open opens what SealTo sealed to this key under the same info.
func (x XWing) Open(info []byte, enc [XWingEncSize]byte, ct []byte) ([]byte, error) {
	r, err := hpke.NewRecipient(enc[:], x.k, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info)
	if err != nil {
		return nil, ErrOpen
	}
	p, err := r.Open(nil, ct)
	if err != nil {
		return nil, ErrOpen
	}
	return p, nil
}

// SealTo seals plaintext to a public key. It authenticates no sender.
func SealTo(public [XWingPublicSize]byte, info, plaintext []byte) (enc [XWingEncSize]byte, ct []byte, err error) {
	pk, err := hpke.MLKEM768X25519().NewPublicKey(public[:])
	if err != nil {
		return enc, nil, fmt.Errorf("seal to X-Wing key: %w", err)
	}
	e, s, err := hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info)
	if err == nil {
		ct, err = s.Seal(nil, plaintext)
	}
	if err != nil {
		return enc, nil, fmt.Errorf("seal to X-Wing key: %w", err)
	}
	copy(enc[:], e)
	return enc, ct, nil
}

// Text forms of private keys carry a prefix, so that none is mistaken for
// another.
const (
	signingPrefix = "pnsign1"
	xwingPrefix   = "pnxwing1"
)

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Reveal is the private key as text, which ParseXWing reads.
func (x XWing) Reveal() string {
	b, err := x.k.Bytes()
	if err != nil {
		panic(err) // keys of ours always have a seed
	}
	return xwingPrefix + base32Lower.EncodeToString(b)
}

// ParseXWing reads a private key's text form.
func ParseXWing(text string) (XWing, error) {
	seed, err := parseSeed(text, xwingPrefix)
	if err != nil {
		return XWing{}, err
	}
	k, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return XWing{}, fmt.Errorf("parse X-Wing key: %w", err)
	}
	return XWing{k}, nil
}

// Signing is an Ed25519 private key.
type Signing struct{ k ed25519.PrivateKey }

// NewSigning draws a key.
func NewSigning() (Signing, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	return Signing{k}, err
}

// Format hides the key from every verb.
func (Signing) Format(f fmt.State, _ rune) { io.WriteString(f, "(signing key)") }

// Public is the public key.
func (s Signing) Public() [32]byte { return [32]byte(s.k.Public().(ed25519.PublicKey)) }

// Private is the key as crypto/ed25519 signs with it; it prints.
func (s Signing) Private() ed25519.PrivateKey { return s.k }

// Reveal is the private key as text, which ParseSigning reads.
func (s Signing) Reveal() string { return signingPrefix + base32Lower.EncodeToString(s.k.Seed()) }

// ParseSigning reads a private key's text form.
func ParseSigning(text string) (Signing, error) {
	seed, err := parseSeed(text, signingPrefix)
	if err != nil {
		return Signing{}, err
	}
	return Signing{ed25519.NewKeyFromSeed(seed)}, nil
}

func parseSeed(text, prefix string) ([]byte, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), prefix)
	b, err := base32Lower.DecodeString(rest)
	if !ok || err != nil || len(b) != 32 || base32Lower.EncodeToString(b) != rest {
		return nil, fmt.Errorf("text is not a key that begins with %s", prefix)
	}
	return b, nil
}
