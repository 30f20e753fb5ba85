package lease

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"playnode/internal/seal"
	"playnode/manifests"
)

// Unlock opens a manifest that the caller has verified, at the time that the
// box has for this DJ. It erases what has lapsed first. Errors wrap
// ErrNoLease, ErrNotYet, ErrLapsed, ErrRevoked, ErrRefused or ErrFuture.
func (v *Venue) Unlock(m *manifests.Manifest) (u *Unlocked, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	seal.Erasing(func() { u, err = v.unlock(m) })
	if err != nil {
		return nil, fmt.Errorf("unlock %s: %w", m.ID(), err)
	}
	return u, nil
}

func (v *Venue) unlock(m *manifests.Manifest) (*Unlocked, error) {
	now, err := v.judged(m.DJ, m.RootN, m.IAT)
	if err != nil {
		return nil, err
	}
	best := ErrNoLease
	for _, row := range slices.Sorted(maps.Keys(v.grants)) {
		h := v.grants[row]
		if h.g.DJ != m.DJ || h.g.Sel != m.Sel {
			continue
		}
		u, err := v.open(h, m, now)
		if err == nil {
			return u, v.retire(h)
		}
		if rank(err) > rank(best) {
			best = err
		}
	}
	return nil, best
}

// judged takes in a verified record's date, erases what has lapsed, and is the
// time that the DJ's leases are judged by.
func (v *Venue) judged(dj manifests.DJ, rootN uint64, iat int64) (int64, error) {
	if err := v.accept(dj, rootN, iat, iat); err != nil {
		return 0, err
	}
	r := v.time.read()
	now, _ := v.time.now(dj, r)
	return now, v.sweep(r)
}

// rank orders why several grants did not open: the nearest miss is told.
func rank(err error) int {
	for i, e := range []error{ErrNoLease, ErrRevoked, ErrLapsed, ErrBehind, ErrNotYet, ErrRefused} {
		if errors.Is(err, e) {
			return i
		}
	}
	return 9
}

// locks is what manifests and live records have alike: a key under each of
// some periods' keys.
type locks struct {
	rootN, gen, cur uint64
	gid             [16]byte
	unit            int64
	lock            []manifests.Lock
}

// periodFor is the period at now and its key, where the grant's terms, its
// keys and l allow. The period has a lock in l.
func (v *Venue) periodFor(h *held, l locks, now int64) (uint64, seal.Key, error) {
	fail := func(err error) (uint64, seal.Key, error) { return 0, seal.Key{}, err }
	g := h.g
	switch {
	case h.Revoked:
		return fail(fmt.Errorf("lease %s: %w", g.Lease, ErrRevoked))
	case now >= g.End():
		return fail(fmt.Errorf("lease %s ended at %d: %w", g.Lease, g.End(), ErrLapsed))
	case slices.Compare([]uint64{g.RootN, g.Gen}, []uint64{l.rootN, l.gen}) > 0 && g.GID != l.gid:
		return fail(ErrBehind)
	case g.Gen != l.gen || g.GID != l.gid || g.Unit != l.unit:
		return fail(ErrRevoked)
	case now < g.NBF:
		return fail(fmt.Errorf("lease %s begins at %d: %w", g.Lease, g.NBF, ErrNotYet))
	}
	p := manifests.Period(now, l.unit)
	if p < l.cur || p-l.cur >= uint64(len(l.lock)) {
		return fail(fmt.Errorf("the locks end at %d: %w", int64(l.cur+uint64(len(l.lock)))*l.unit, ErrKeysEnded))
	}
	if g.Win == nil || p < g.Win.First {
		return fail(fmt.Errorf("no key for this period yet: %w", ErrNotYet))
	}
	kp, err := v.store.Get(periodRow(h.prefix(), p))
	if err != nil {
		return fail(err)
	}
	if kp == nil || p > g.Win.Last { // another lease's, where there is one
		return fail(fmt.Errorf("no key for this period any more: %w", ErrKeysEnded))
	}
	defer clear(kp)
	if len(kp) != 32 {
		return fail(fmt.Errorf("stored period key of %d bytes: %w", len(kp), ErrRefused))
	}
	return p, seal.Key(kp), nil
}

func (v *Venue) open(h *held, m *manifests.Manifest, now int64) (*Unlocked, error) {
	p, kp, err := v.periodFor(h, locks{m.RootN, m.Gen, m.Cur, m.GID, m.Unit, m.Lock}, now)
	if err != nil {
		return nil, err
	}
	defer kp.Zero()
	key, aad := lockFor(kp, m, p)
	mk, err := seal.OpenOnce(key, m.Lock[p-m.Cur][:], aad)
	if err != nil || len(mk) != 32 {
		return nil, fmt.Errorf("the lock does not open: %w", ErrRefused)
	}
	defer clear(mk)
	u := &Unlocked{dj: m.DJ, sel: m.Sel, mk: seal.Key(mk),
		Until: min(h.g.End(), int64(h.g.Win.Last+1)*h.g.Unit, m.LockEnd()), Period: int64(p+1) * m.Unit}
	if rid(u.mk, m) != m.RID {
		return nil, fmt.Errorf("the lock holds another revision's key: %w", ErrRefused)
	}
	return u, nil
}
