package manifests

import (
	"encoding/hex"
	"fmt"

	"github.com/ipfs/go-cid"
)

// LiveID names a live set; it is random, and unique per DJ only.
type LiveID [16]byte

// String is hexadecimal.
func (l LiveID) String() string { return hex.EncodeToString(l[:]) }

// Live is a live set's record: who may hear it, from one segment on until the
// next record. A new period or generation has a record of its own.
type Live struct {
	DJ    DJ
	RootN uint64
	Sel   SelID
	Live  LiveID
	Seq   uint64 // of the set's records, from 1
	Prev  *[32]byte
	IAT   int64
	Unit  int64  // Day or Week
	Cur   uint64 // Period(IAT, Unit)
	Gen   uint64
	GID   [16]byte
	From  uint64   // the first segment sealed under this record's key, from 0
	LID   [32]byte // this record's name, derived from LK
	Lock  []Lock   // LK for periods Cur .. Cur+Ahead(Unit)
}

func (l *Live) code(c *coder) {
	c.fields(14, func() {
		c.key("dj")
		c.fixed(l.DJ[:])
		c.key("cur")
		number(c, &l.Cur, MaxInt)
		c.key("gen")
		number(c, &l.Gen, MaxInt)
		c.key("gid")
		c.fixed(l.GID[:])
		c.key("iat")
		number(c, &l.IAT, MaxInt)
		c.key("lid")
		c.fixed(l.LID[:])
		c.key("sel")
		c.fixed(l.Sel[:])
		c.key("seq")
		number(c, &l.Seq, MaxInt)
		c.key("from")
		number(c, &l.From, MaxInt)
		c.key("live")
		c.fixed(l.Live[:])
		c.key("lock")
		list(c, &l.Lock, 1, 46, func(k *Lock) { c.fixed(k[:]) })
		c.key("prev")
		digest(c, &l.Prev)
		c.key("unit")
		number(c, &l.Unit, Week)
		c.key("rootn")
		number(c, &l.RootN, MaxInt)
	})
}

func (l *Live) check() error {
	switch {
	case l.Seq < 1 || l.RootN < 1:
		return invalid("live record of seq %d under root %d", l.Seq, l.RootN)
	case (l.Seq == 1) != (l.Prev == nil) || (l.Seq == 1) != (l.From == 0):
		return invalid("live record %d begins at segment %d", l.Seq, l.From)
	case l.Unit != Day && l.Unit != Week:
		return invalid("live record with periods of %d s", l.Unit)
	case l.Cur != Period(l.IAT, l.Unit):
		return invalid("live record of period %d is dated %d", l.Cur, l.IAT)
	case uint64(len(l.Lock)) != Ahead(l.Unit)+1:
		return invalid("live record with %d locks", len(l.Lock))
	}
	return nil
}

// Encode is the record's canonical payload.
func (l *Live) Encode() ([]byte, error) { return encode(l, MaxPayload) }

// DecodeLive reads a live record's payload; its signer is not judged.
func DecodeLive(payload []byte) (*Live, error) { return decoded[Live](payload, MaxPayload) }

// LockEnd is the Unix second at which the last of its locks ends.
func (l *Live) LockEnd() int64 { return int64(l.Cur+uint64(len(l.Lock))) * l.Unit }

// ID says which record of what this is, for errors and logs.
func (l *Live) ID() string { return fmt.Sprintf("live set %s, record %d", l.Live, l.Seq) }

// LiveHead announces one segment of a live set.
type LiveHead struct {
	DJ    DJ
	Live  LiveID
	Gen   uint64 // of the live record whose key seals it
	Cur   uint64
	Seq   uint64 // the segment's, from 0
	Seg   cid.Cid
	Final bool // the set ends with it
	// Prev is the payload digest of the head before; of the set's first
	// record for segment 0.
	Prev [32]byte
	IAT  int64
}

func (h *LiveHead) code(c *coder) {
	c.fields(9, func() {
		c.key("dj")
		c.fixed(h.DJ[:])
		c.key("cur")
		number(c, &h.Cur, MaxInt)
		c.key("gen")
		number(c, &h.Gen, MaxInt)
		c.key("iat")
		number(c, &h.IAT, MaxInt)
		c.key("seg")
		c.link(&h.Seg, codecRaw)
		c.key("seq")
		number(c, &h.Seq, MaxInt)
		c.key("live")
		c.fixed(h.Live[:])
		c.key("prev")
		c.fixed(h.Prev[:])
		c.key("final")
		c.flag(&h.Final)
	})
}

func (h *LiveHead) check() error { return nil }

// MaxLiveHead bounds a live head's payload, in bytes.
const MaxLiveHead = 512

// Encode is the head's canonical payload.
func (h *LiveHead) Encode() ([]byte, error) { return encode(h, MaxLiveHead) }

// DecodeLiveHead reads a live head's payload; its signer is not judged.
func DecodeLiveHead(payload []byte) (*LiveHead, error) {
	return decoded[LiveHead](payload, MaxLiveHead)
}

// OpenLive reads a set's signed record and judges its signer.
func (c *Chain) OpenLive(s Signed) (*Live, error) {
	l := new(Live)
	e, err := open(TypeLive, s.Env.Data, s.Payload.Data, l)
	if err == nil {
		err = c.may(e.Key(), RoleLive, l.DJ, l.RootN, l.IAT)
	}
	if err == nil && l.Gen < c.Newest().LeastGen(l.Sel) {
		err = fmt.Errorf("generation %d is below the root's: %w", l.Gen, ErrUnauthorised)
	}
	if err != nil {
		return nil, fmt.Errorf("open live record: %w", err)
	}
	return l, nil
}

// OpenLiveHead reads a signed head of the set that l, which the caller has
// verified, is the record of for that segment, and judges its signer.
func (c *Chain) OpenLiveHead(s Signed, l *Live) (*LiveHead, error) {
	h := new(LiveHead)
	if len(s.Payload.Data) > MaxLiveHead {
		return nil, fmt.Errorf("open live head: %w", invalid("payload of %d bytes", len(s.Payload.Data)))
	}
	e, err := open(TypeLiveHead, s.Env.Data, s.Payload.Data, h)
	if err == nil {
		err = c.may(e.Key(), RoleLive, h.DJ, l.RootN, h.IAT)
	}
	if err == nil && (h.Live != l.Live || h.Gen != l.Gen || h.Cur != l.Cur || h.Seq < l.From || h.IAT < l.IAT) {
		err = fmt.Errorf("segment %d of set %s is not under %s: %w", h.Seq, h.Live, l.ID(), ErrUnauthorised)
	}
	if err != nil {
		return nil, fmt.Errorf("open live head: %w", err)
	}
	return h, nil
}
