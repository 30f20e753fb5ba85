package lease

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"playnode/internal/seal"
	"playnode/manifests"
)

const mailRow = "mail/"

// mail is what a venue remembers of a selection's mailboxes: which shards it
// has looked through, and of which generation they were.
type mail struct {
	Gen    uint64
	GID    []byte
	Shards [][]byte // digests
}

func mailKey(dj manifests.DJ, sel manifests.SelID) string {
	return fmt.Sprintf("%s%s/%s", mailRow, dj, sel)
}

func (v *Venue) mail(m *manifests.Manifest) (old mail, err error) {
	b, err := v.store.Get(mailKey(m.DJ, m.Sel))
	if err == nil && b != nil {
		err = json.Unmarshal(b, &old)
	}
	return old, err
}

// of tells whether all mailboxes of m were looked through.
func (l *mail) of(m *manifests.Manifest) bool {
	if l.Gen != m.Gen || string(l.GID) != string(m.GID[:]) || len(l.Shards) != len(m.Boxes) {
		return false
	}
	for i, c := range m.Boxes {
		if d := manifests.Digest(c); string(l.Shards[i]) != string(d[:]) {
			return false
		}
	}
	return true
}

// Receive opens this device's mailboxes in a manifest that the caller has
// verified against c, and takes in the grants there; shards are all of its
// boxes, in order. Every mailbox is tried in shards that were not looked
// through before: an id finds the mailbox of a lease that is known, and no id
// one that has come since. Grants that do not hold are passed over; the error
// is the store's, or wraps ErrRefused where the shards are not the manifest's.
// It may be called before the manifest is accepted: what it takes in, the DJ
// has signed. The venue is not held up while mailboxes are tried.
func (v *Venue) Receive(c *manifests.Chain, m *manifests.Manifest, shards [][]byte) (got []Lease, err error) {
	seal.Erasing(func() { got, err = v.receive(c, m, shards) })
	if err != nil {
		return got, fmt.Errorf("open mailboxes of %s: %w", m.ID(), err)
	}
	return got, nil
}

func (v *Venue) receive(c *manifests.Chain, m *manifests.Manifest, shards [][]byte) (got []Lease, err error) {
	if len(shards) != len(m.Boxes) {
		return nil, fmt.Errorf("%d shards of %d: %w", len(shards), len(m.Boxes), ErrRefused)
	}
	old, err := v.mail(m)
	if err != nil {
		return nil, err
	}
	if old.of(m) {
		return nil, nil
	}
	next := mail{Gen: m.Gen, GID: m.GID[:]}
	tried := map[string]bool{}
	if old.Gen == m.Gen && string(old.GID) == string(m.GID[:]) {
		for _, s := range old.Shards {
			tried[string(s)] = true
		}
	}
	var mine []*manifests.Delivery
	for i, data := range shards {
		d := sha256.Sum256(data)
		if d != manifests.Digest(m.Boxes[i]) {
			return nil, fmt.Errorf("shard %d is another: %w", i, ErrRefused)
		}
		b, err := manifests.DecodeBoxShard(data)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		next.Shards = append(next.Shards, d[:])
		if tried[string(d[:])] {
			continue
		}
		for j := range b.E {
			if d, err := v.id.openMailbox(m, &b.E[j].Blob); err == nil {
				mine = append(mine, d)
			}
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if c, err = v.newest(c); err != nil {
		return nil, err
	}
	for _, d := range mine {
		if got, err = v.deliver(got, c, m, d); err != nil {
			return got, err
		}
	}
	row, err := json.Marshal(next)
	if err == nil {
		err = v.store.Apply(map[string][]byte{mailKey(m.DJ, m.Sel): row}, nil)
	}
	return got, err
}

// deliver takes in one mailbox's grant, where it holds. Only a failure to keep
// it is an error.
func (v *Venue) deliver(got []Lease, c *manifests.Chain, m *manifests.Manifest, d *manifests.Delivery) (_ []Lease, err error) {
	h := &held{Grant: d.Grant, Mbox: d.Mbox, Name: d.Name, Hints: d.Hints}
	if h.g, err = v.judge(c, d); err != nil || h.g.Sel != m.Sel || h.g.Gen != m.Gen || h.g.GID != m.GID || h.g.Unit != m.Unit {
		return got, nil
	}
	l, err := v.keep(h, d, c)
	switch {
	case err == nil:
		return append(got, l), nil
	case errors.Is(err, ErrOld), errors.Is(err, ErrRefused), errors.Is(err, ErrLapsed), errors.Is(err, ErrFuture), errors.Is(err, ErrRevoked):
		return got, nil
	}
	return got, err
}

// openMailbox opens a mailbox that was sealed to this device. Nothing in the
// result is verified yet.
func (id Identity) openMailbox(m *manifests.Manifest, b *manifests.Blob) (*manifests.Delivery, error) {
	class := boxClass(m.Unit)
	padded, err := id.Open.Open(grantInfo(m.DJ, id.Sign.Public()), b.Enc, b.CT)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotYours, err)
	}
	if len(padded) != class {
		return nil, fmt.Errorf("mailbox of %d bytes: %w", len(padded), ErrRefused)
	}
	plain, err := seal.Unpad(padded, class)
	if err == nil {
		var d *manifests.Delivery
		if d, err = manifests.DecodeDelivery(plain); err == nil && len(d.Roots) == 0 {
			return d, nil
		}
	}
	return nil, fmt.Errorf("mailbox without a grant: %w", ErrRefused)
}

// Settle draws the consequence of m, which the caller has accepted as the
// selection's newest revision and whose mailboxes Receive has all seen: leases
// of an earlier generation for which no grant came are revoked, and their keys
// erased. A revision whose mailboxes were not all seen is only late, and
// changes nothing.
func (v *Venue) Settle(m *manifests.Manifest) (revoked []Lease, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	seen, err := v.mail(m)
	if err != nil || !seen.of(m) {
		return nil, err
	}
	carried := map[manifests.LeaseID]bool{}
	for _, h := range v.grants {
		if h.g.DJ == m.DJ && h.g.Sel == m.Sel && h.g.Gen == m.Gen && h.g.GID == m.GID {
			carried[h.g.Lease] = true
		}
	}
	r := v.time.read()
	now, _ := v.time.now(m.DJ, r)
	puts := map[string][]byte{}
	for row, h := range v.grants {
		if h.g.DJ != m.DJ || h.g.Sel != m.Sel || h.Revoked || carried[h.g.Lease] || now >= h.g.End() ||
			slices.Compare([]uint64{h.g.RootN, h.g.Gen}, []uint64{m.RootN, m.Gen}) >= 0 {
			continue
		}
		gone := *h
		gone.Revoked = true
		if puts[row], err = gone.encode(); err != nil {
			return nil, err
		}
	}
	if len(puts) == 0 {
		return nil, nil
	}
	if err := v.store.Apply(puts, nil); err != nil {
		return nil, fmt.Errorf("settle %s: %w", m.ID(), err)
	}
	for _, row := range slices.Sorted(maps.Keys(puts)) {
		v.grants[row].Revoked = true
		revoked = append(revoked, v.grants[row].lease())
	}
	return revoked, v.sweep(r)
}
