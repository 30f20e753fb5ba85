// Package lease is the terms and the keys: what a DJ draws, locks and grants,
// and what a venue keeps, unlocks and loses.
//
// What comes in: on the DJ's side her secrets and a playlist's tracks; on the
// venue's side sealed grants from anyone and manifests that the caller has
// verified against the DJ's roots. What goes out: on the DJ's side manifests
// ready to sign and sealed grants; on the venue's side file keys and opened
// metadata, for as long as a grant's terms, its period key and the box's idea
// of the time allow. What is trusted: the device's own key, the store (a
// 0600 file in a 0700 directory), and of the clock no more than SPEC.md says.
//
// No function here asks what time it is: a DJ's caller passes it, a venue has
// a [Clock].
package lease

import (
	"errors"

	"playnode/internal/seal"
	"playnode/manifests"
)

var (
	// ErrNoLease says that no grant here is for this selection.
	ErrNoLease = errors.New("no lease")
	// ErrNotYet says that the lease, or its keys, begin later.
	ErrNotYet = errors.New("lease has not begun")
	// ErrLapsed says that the lease, its keys or the manifest's locks ended.
	ErrLapsed = errors.New("lease has lapsed")
	// ErrKeysEnded says that the lease runs on, and that there are no keys or
	// locks for the time that it is, as its DJ has been away for long. It is
	// an ErrLapsed.
	ErrKeysEnded error = keysEnded{}
	// ErrRevoked says that the selection has moved to a generation for which
	// no grant is here.
	ErrRevoked = errors.New("lease was revoked")
	// ErrBehind says that a lease is for a later generation than the revision
	// at hand: a newer revision is to be fetched.
	ErrBehind = errors.New("the catalogue held here is older than the lease; follow it again")
	// ErrNotYours says that a grant is sealed or addressed to another device.
	ErrNotYours = errors.New("grant is for another device")
	// ErrOld says that a newer grant of the same lease is here.
	ErrOld = errors.New("a newer grant of this lease is here")
	// ErrBeyond says that a set has not what was asked for of it.
	ErrBeyond = errors.New("beyond what there is")
	// ErrRefused says that a grant or manifest breaks a rule of its format.
	ErrRefused = errors.New("refused")
	// ErrWhole says that a revision cannot be made of the last one's blocks:
	// they are not held, or two tracks' names clash. All tracks are needed.
	ErrWhole = errors.New("the last revision is not enough to go on from")
	// ErrFuture says that a record is dated over a day after now.
	ErrFuture = errors.New("dated in the future")
)

type keysEnded struct{}

func (keysEnded) Error() string        { return "the lease's keys have ended" }
func (keysEnded) Is(target error) bool { return target == ErrLapsed }

// The contexts of SPEC.md, in one place for both sides.

func gid(r seal.Key, dj manifests.DJ, sel manifests.SelID, gen uint64) (g [16]byte) {
	k := r.Derive(seal.GID, dj[:], sel[:], seal.U64(gen))
	copy(g[:], k[:])
	return g
}

func periodKey(r seal.Key, dj manifests.DJ, sel manifests.SelID, gen uint64, unit int64, p uint64) seal.Key {
	return r.Derive(seal.Period, dj[:], sel[:], seal.U64(gen), seal.U64(uint64(unit)), seal.U64(p))
}

// rid is the public name of the revision whose MK, counters and selection m
// has.
func rid(mk seal.Key, m *manifests.Manifest) [32]byte {
	return [32]byte(mk.Derive(seal.RID, m.DJ[:], m.Sel[:], seal.U64(m.Gen), seal.U64(m.Cur), seal.U64(m.Seq)))
}

// lockFor is the key and the context of m's lock for period p.
func lockFor(kp seal.Key, m *manifests.Manifest, p uint64) (seal.Key, []byte) {
	return kp.Derive(seal.Lock, m.RID[:]),
		seal.CTX(seal.Lock, m.DJ[:], m.Sel[:], seal.U64(m.Gen), seal.U64(uint64(m.Unit)), seal.U64(p))
}

func trackFor(mk seal.Key, dj manifests.DJ, sel manifests.SelID, track []byte) (seal.Key, []byte) {
	return mk.Derive(seal.Track, dj[:], sel[:], track), seal.CTX(seal.Track, dj[:], sel[:], track)
}

func metaFor(mk seal.Key, dj manifests.DJ, sel manifests.SelID) (seal.Key, []byte) {
	return mk.Derive(seal.Meta, dj[:], sel[:]), seal.CTX(seal.Meta, dj[:], sel[:])
}

func infoFor(k seal.FileKey, track []byte) (seal.Key, []byte) {
	return k.Derive(seal.Info, track), seal.CTX(seal.Info, track)
}

func grantInfo(dj manifests.DJ, dev manifests.Key) []byte {
	return seal.CTX(seal.Grant, dj[:], dev[:])
}

func commit(mbox manifests.MailboxKey, keys []manifests.PeriodKey) [32]byte {
	x := [][]byte{mbox[:]}
	for i := range keys {
		x = append(x, keys[i][:])
	}
	return seal.Hash(seal.Keys, x...)
}
