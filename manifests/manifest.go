package manifests

import (
	"fmt"

	"github.com/ipfs/go-cid"
)

// Units of a lease's period, in seconds. Weeks begin on Thursday 00:00 UTC.
const (
	Day  = 86400
	Week = 604800
)

// Ahead is H: how many periods after its own a manifest can be unlocked in,
// so that a DJ may sleep for 45 days.
func Ahead(unit int64) uint64 { return uint64((45*Day + unit - 1) / unit) }

// Period is floor(t/unit).
func Period(t, unit int64) uint64 { return uint64(t / unit) }

// Lock is MK sealed under one period's key.
type Lock [48]byte

// Manifest is one revision of a selection: what is leased.
type Manifest struct {
	DJ     DJ
	RootN  uint64
	Sel    SelID
	Seq    uint64 // from 1 under each root
	Prev   *[32]byte
	IAT    int64
	Exp    int64
	Unit   int64    // Day or Week
	Cur    uint64   // Period(IAT, Unit)
	Gen    uint64   // generation of period keys
	GID    [16]byte // their public name
	RID    [32]byte // this revision's, derived from MK
	Lock   []Lock   // for periods Cur .. Cur+Ahead(Unit)
	Tracks cid.Cid  // spine
	Meta   []cid.Cid
	Boxes  []cid.Cid
	Offers []cid.Cid
	Live   *cid.Cid
}

func (m *Manifest) code(c *coder) {
	c.fields(18, func() {
		c.key("dj")
		c.fixed(m.DJ[:])
		c.key("cur")
		number(c, &m.Cur, MaxInt)
		c.key("exp")
		number(c, &m.Exp, MaxInt)
		c.key("gen")
		number(c, &m.Gen, MaxInt)
		c.key("gid")
		c.fixed(m.GID[:])
		c.key("iat")
		number(c, &m.IAT, MaxInt)
		c.key("rid")
		c.fixed(m.RID[:])
		c.key("sel")
		c.fixed(m.Sel[:])
		c.key("seq")
		number(c, &m.Seq, MaxInt)
		c.key("live")
		optionalLink(c, &m.Live, codecDagCBOR)
		c.key("lock")
		list(c, &m.Lock, 1, 46, func(l *Lock) { c.fixed(l[:]) })
		c.key("meta")
		list(c, &m.Meta, 0, 4096, func(l *cid.Cid) { c.link(l, codecRaw) })
		c.key("prev")
		digest(c, &m.Prev)
		c.key("unit")
		number(c, &m.Unit, Week)
		c.key("boxes")
		list(c, &m.Boxes, 1, 1024, func(l *cid.Cid) { c.link(l, codecDagCBOR) })
		c.key("rootn")
		number(c, &m.RootN, MaxInt)
		c.key("offers")
		list(c, &m.Offers, 0, 64, func(l *cid.Cid) { c.link(l, codecDagCBOR) })
		c.key("tracks")
		c.link(&m.Tracks, codecDagCBOR)
	})
}

func (m *Manifest) check() error {
	switch {
	case m.Seq < 1 || m.RootN < 1:
		return invalid("manifest of seq %d under root %d", m.Seq, m.RootN)
	case m.Unit != Day && m.Unit != Week:
		return invalid("manifest with periods of %d s", m.Unit)
	case m.Cur != Period(m.IAT, m.Unit):
		return invalid("manifest of period %d is dated %d", m.Cur, m.IAT)
	case uint64(len(m.Lock)) != Ahead(m.Unit)+1:
		return invalid("manifest with %d locks", len(m.Lock))
	}
	return nil
}

// Encode is the manifest's canonical payload.
func (m *Manifest) Encode() ([]byte, error) { return encode(m, MaxPayload) }

// DecodeManifest reads a manifest's payload; its signer is not judged.
func DecodeManifest(payload []byte) (*Manifest, error) {
	return decoded[Manifest](payload, MaxPayload)
}

// LockEnd is the Unix second at which the last of its locks ends.
func (m *Manifest) LockEnd() int64 { return int64(m.Cur+uint64(len(m.Lock))) * m.Unit }

// ID says which revision of what this is, for errors and logs.
func (m *Manifest) ID() string {
	return fmt.Sprintf("selection %s, root %d, seq %d", m.Sel, m.RootN, m.Seq)
}
