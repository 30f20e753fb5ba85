package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"playnode/node"
)

// The bytes on the disk, all numbers little-endian. A pack is its head and
// then records, each at a multiple of 64:
//
//	head    "playpack" | version u32 | number u32 | salt 16 | 0 16 | sum 16
//	record  "PNB1" | size u32 | sha2-256 32 | at u32 | batch u32 | sum 16 | bytes
//
// at is where the record is, batch where the first one is that was written
// with it: what lies before that was on the disk when this was written. A
// record's sum is keyed by the pack's salt, which never leaves this box, so
// that no block's bytes can pass for a record.
const (
	headSize  = 64
	align     = 64
	packMagic = "playpack"
	version   = 1
	recMagic  = "PNB1"
)

// errDamaged says that bytes on the disk are not those that were written.
var errDamaged = errors.New("damaged")

// digest is a block's sha2-256.
type digest [sha256.Size]byte

// salt is what a pack is known by.
type salt [16]byte

// digestOf is the digest in c, which node.Verifiable has passed.
func digestOf(c cid.Cid) (d digest) {
	h := c.KeyString() // which, unlike Hash, copies nothing
	copy(d[:], h[len(h)-len(d):])
	return d
}

// rawCID is a raw CID of d.
func rawCID(d digest) cid.Cid {
	_, c, err := cid.CidFromBytes(append([]byte{1, cid.Raw, multihash.SHA2_256, byte(len(d))}, d[:]...))
	if err != nil {
		panic(err) // there is no other sha2-256
	}
	return c
}

// place is where a record is, and how long its block: 20 bits of a pack's
// number, 22 of its offset in units of 64 bytes, 22 of its size. None is 0.
type place uint64

const (
	maxPacks = 1 << 20
	maxAt    = 1 << 28 // a record begins before that
)

func placeOf(pack uint32, at int64, size int) place {
	return place(pack)<<44 | place(at/align)<<22 | place(size)
}

func (p place) pack() uint32 { return uint32(p >> 44) }
func (p place) at() int64    { return int64(p>>22&(1<<22-1)) * align }
func (p place) size() int    { return int(p & (1<<22 - 1)) }

// takes is the room of a record with so many bytes.
func takes(size int) int64 { return (headSize + int64(size) + align - 1) / align * align }

func (p place) takes() int64 { return takes(p.size()) }

// record is what a record's head says.
type record struct {
	digest digest
	at     int64
	batch  int64
	size   int
}

// keyed is the sum of b under s, in 16 bytes.
func (s salt) keyed(b ...[]byte) []byte {
	h := sha256.New()
	h.Write(s[:])
	for _, p := range b {
		h.Write(p)
	}
	return h.Sum(nil)[:16]
}

func (r record) head(s salt) []byte {
	b := make([]byte, 0, headSize)
	b = append(b, recMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.size))
	b = append(b, r.digest[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.at))
	b = binary.LittleEndian.AppendUint32(b, uint32(r.batch))
	return append(b, s.keyed(b)...)
}

// readRecord reads a head that is at a place.
func readRecord(b []byte, at int64, s salt) (r record, ok bool) {
	r, ok = unsalted(b, at)
	return r, ok && bytes.Equal(s.keyed(b[:48]), b[48:headSize])
}

// unsalted reads what may be a head, where its sum says nothing.
func unsalted(b []byte, at int64) (r record, ok bool) {
	if len(b) < headSize || string(b[:4]) != recMagic {
		return r, false
	}
	r = record{at: int64(binary.LittleEndian.Uint32(b[40:])), batch: int64(binary.LittleEndian.Uint32(b[44:])), size: int(binary.LittleEndian.Uint32(b[4:]))}
	copy(r.digest[:], b[8:])
	return r, r.at == at && r.size >= 0 && r.size <= node.MaxBlock && r.batch <= r.at
}

// packHead is the first bytes of a pack, and of its index.
func packHead(number uint32, s salt) []byte {
	b := make([]byte, 0, headSize)
	b = append(b, packMagic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, number)
	b = append(b, s[:]...)
	b = append(b, make([]byte, 16)...)
	sum := sha256.Sum256(b)
	return append(b, sum[:16]...)
}

func readPackHead(b []byte, number uint32) (s salt, ok bool) {
	if len(b) < headSize {
		return s, false
	}
	copy(s[:], b[16:])
	return s, bytes.Equal(b[:headSize], packHead(number, s))
}
