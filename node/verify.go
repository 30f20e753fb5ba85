package node

import (
	"fmt"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
)

// Verify tells whether data is the block that c names: a CIDv1 or v0 of a
// whole sha2-256 digest, and no more than MaxBlock bytes. The error wraps
// ErrVerify.
func Verify(c cid.Cid, data []byte) error {
	if err := Verifiable(c, len(data)); err != nil {
		return err
	}
	if sum, err := c.Prefix().Sum(data); err != nil || !sum.Equals(c) {
		return fmt.Errorf("verify block %s: %w", c, ErrVerify)
	}
	return nil
}

// Verifiable tells whether some block of so many bytes may be the one that c
// names; the rest of Verify is to hash it.
func Verifiable(c cid.Cid, size int) error {
	if !c.Defined() {
		return fmt.Errorf("verify block: no CID: %w", ErrVerify)
	}
	p := c.Prefix()
	if p.MhType != multihash.SHA2_256 || p.MhLength != 32 {
		return fmt.Errorf("verify block %s: hash is not sha2-256: %w", c, ErrVerify)
	}
	if size > MaxBlock {
		return fmt.Errorf("verify block %s: %d bytes: %w", c, size, ErrVerify)
	}
	return nil
}

// NewBlock is data under its CIDv1 of the given codec, by sha2-256.
func NewBlock(codec uint64, data []byte) Block {
	sum, err := multihash.Sum(data, multihash.SHA2_256, -1)
	if err != nil {
		panic(err) // sha2-256 of whole length is always there
	}
	return Block{CID: cid.NewCidV1(codec, sum), Data: data}
}
