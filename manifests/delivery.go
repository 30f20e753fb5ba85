package manifests

import (
	"fmt"
	"io"
)

// PeriodKey is K_p as a delivery carries it. It does not print.
type PeriodKey [32]byte

// Format hides the key from every verb.
func (PeriodKey) Format(f fmt.State, _ rune) { io.WriteString(f, "(period key)") }

// MailboxKey is the secret that finds a lease's mailbox. It does not print.
type MailboxKey [32]byte

// Format hides the key from every verb.
func (MailboxKey) Format(f fmt.State, _ rune) { io.WriteString(f, "(mailbox key)") }

// MaxDelivery is the largest padded plaintext of a sealed grant, in bytes.
const MaxDelivery = 256 << 10

// Delivery is the plaintext of a sealed grant: the signed terms, the keys
// that they commit to, and what verifies them offline.
type Delivery struct {
	Grant Signed
	Keys  []PeriodKey
	Mbox  MailboxKey
	Roots []Signed // 1..newest; none in a mailbox
	Name  Name
	Hints []string // multiaddrs
}

func (d *Delivery) code(c *coder) {
	c.fields(7, func() {
		c.key("env")
		c.block(&d.Grant.Env, maxEnv)
		c.key("keys")
		list(c, &d.Keys, 0, 64, func(k *PeriodKey) { c.fixed(k[:]) })
		c.key("mbox")
		c.fixed(d.Mbox[:])
		c.key("name")
		c.text((*string)(&d.Name), 1, 80)
		c.key("hints")
		list(c, &d.Hints, 0, 4, func(h *string) { c.text(h, 1, 128) })
		c.key("roots")
		list(c, &d.Roots, 0, maxChain, func(s *Signed) {
			c.tuple(2)
			c.block(&s.Env, maxEnv)
			c.block(&s.Payload, MaxPayload)
		})
		c.key("payload")
		c.block(&d.Grant.Payload, MaxPayload)
	})
}

// block codes a whole dag-cbor block as a byte string.
func (c *coder) block(b *Block, max int) {
	c.bytes(&b.Data, 1, max)
	if c.reading && c.err == nil {
		*b = NewBlock(b.Data)
	}
}

func (d *Delivery) check() error {
	if !d.Name.valid() {
		return invalid("grant from %q, which is no IPNS name", string(d.Name))
	}
	return nil
}

// Encode is the delivery's canonical plaintext, before padding.
func (d *Delivery) Encode() ([]byte, error) { return encode(d, MaxDelivery-4) }

// DecodeDelivery reads an opened delivery, without its padding. Nothing in
// it is verified yet.
func DecodeDelivery(data []byte) (*Delivery, error) {
	return decoded[Delivery](data, MaxDelivery-4)
}

// Blob is a delivery sealed by HPKE to one device.
type Blob struct {
	Enc [1120]byte
	CT  []byte
}

func (b *Blob) code(c *coder) {
	c.tuple(4)
	v, kem := 1, XWing
	if number(c, &v, 1); v != 1 {
		c.fail("blob of version %d", v)
	}
	if number(c, &kem, 1<<16-1); kem != XWing {
		c.fail("blob for KEM 0x%04x", kem)
	}
	c.fixed(b.Enc[:])
	c.bytes(&b.CT, 16, MaxDelivery+16)
}

func (b *Blob) check() error { return nil }

// GrantFile is a blob on its way outside a manifest: as a file, or a block
// that a link names. A device that never followed the DJ learns here whose
// grant it is, without which the blob does not open.
type GrantFile struct {
	DJ   DJ
	Blob Blob
}

func (g *GrantFile) code(c *coder) {
	c.tuple(3)
	v := 1
	if number(c, &v, 1); v != 1 {
		c.fail("grant file of version %d", v)
	}
	c.fixed(g.DJ[:])
	g.Blob.code(c)
}

func (g *GrantFile) check() error { return nil }

// Encode is the file's canonical bytes.
func (g *GrantFile) Encode() ([]byte, error) { return encode(g, MaxBlock) }

// DecodeGrantFile reads a grant file.
func DecodeGrantFile(data []byte) (*GrantFile, error) { return decoded[GrantFile](data, MaxBlock) }

// BoxEntry is one mailbox: a blob under an id that only its lease can derive.
type BoxEntry struct {
	ID   [16]byte
	Blob Blob
}

// Boxes is how many mailboxes a shard has, real ones and dummies.
const Boxes = 64

// BoxShard is exactly Boxes mailboxes.
type BoxShard struct {
	Salt [16]byte
	E    []BoxEntry // sorted by ID
}

func (s *BoxShard) code(c *coder) {
	c.fields(2, func() {
		c.key("e")
		list(c, &s.E, Boxes, Boxes, func(e *BoxEntry) {
			c.tuple(2)
			c.fixed(e.ID[:])
			e.Blob.code(c)
		})
		c.key("salt")
		c.fixed(s.Salt[:])
	})
}

func (s *BoxShard) check() error {
	if !ascending(s.E, func(e *BoxEntry) []byte { return e.ID[:] }) {
		return invalid("mailboxes are not sorted")
	}
	for _, e := range s.E {
		if n := len(e.Blob.CT); n != len(s.E[0].Blob.CT) || n != 2048+16 && n != 4096+16 {
			return invalid("mailbox of %d bytes", n)
		}
	}
	return nil
}

// Class is the size of the shard's plaintexts, in bytes; all shards of a
// manifest must have the same.
func (s *BoxShard) Class() int { return len(s.E[0].Blob.CT) - 16 }

// Encode is the shard's canonical block.
func (s *BoxShard) Encode() ([]byte, error) { return encode(s, MaxBlock) }

// DecodeBoxShard reads a shard.
func DecodeBoxShard(data []byte) (*BoxShard, error) { return decoded[BoxShard](data, MaxBlock) }
