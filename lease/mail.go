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

// fewShards is as many as are tried whole although the lease's own mailbox
// was found: about a second's work for a small computer.
const fewShards = 16

// mail is what a venue remembers of a selection's mailboxes: which shards it
// has looked through, and of which generation they were.
type mail struct {
	Gen    uint64
	GID    []byte
	Shards [][]byte // digests
	All    bool     // every mailbox was tried, not those alone that ids named
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
// boxes, in order. A lease's mailbox is found by its id; a device that finds
// none tries every mailbox that it has not tried before, as do all where
// there are not many: another lease may have come. Grants that do not hold are
// passed over; the error is the store's, or wraps ErrRefused where the shards
// are not the manifest's. It may be called before the manifest is accepted:
// what it takes in, the DJ has signed.
func (v *Venue) Receive(c *manifests.Chain, m *manifests.Manifest, shards [][]byte) ([]Lease, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	got, err := v.receive(c, m, shards)
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
	if c, err = v.newest(c); err != nil {
		return nil, err
	}
	next := mail{Gen: m.Gen, GID: m.GID[:]}
	tried := map[string]bool{}
	if old.Gen == m.Gen && string(old.GID) == string(m.GID[:]) {
		for _, s := range old.Shards {
			tried[string(s)] = true
		}
	}
	boxes := make([]*manifests.BoxShard, len(shards))
	for i, data := range shards {
		d := sha256.Sum256(data)
		if d != manifests.Digest(m.Boxes[i]) {
			return nil, fmt.Errorf("shard %d is another: %w", i, ErrRefused)
		}
		if boxes[i], err = manifests.DecodeBoxShard(data); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
		next.Shards = append(next.Shards, d[:])
	}
	missing, opened := true, map[[16]byte]bool{}
	for _, row := range slices.Sorted(maps.Keys(v.grants)) {
		h := v.grants[row]
		if h.g.DJ != m.DJ || h.g.Sel != m.Sel {
			continue
		}
		found := false
		for i, b := range boxes {
			at, ok := slices.BinarySearchFunc(b.E, boxID(h.Mbox, m, b.Salt), func(e manifests.BoxEntry, id [16]byte) int {
				return slices.Compare(e.ID[:], id[:])
			})
			if !ok {
				continue
			}
			found = true
			opened[b.E[at].ID] = true
			if !tried[string(next.Shards[i])] {
				if got, err = v.deliver(got, c, m, &b.E[at].Blob); err != nil {
					return got, err
				}
			}
		}
		missing = missing && !found
	}
	next.All = missing || len(boxes) <= fewShards
	if next.All {
		for i, b := range boxes {
			for j := range b.E {
				if old.All && tried[string(next.Shards[i])] {
					break
				}
				if opened[b.E[j].ID] {
					continue
				}
				if got, err = v.deliver(got, c, m, &b.E[j].Blob); err != nil {
					return got, err
				}
			}
		}
	}
	row, err := json.Marshal(next)
	if err == nil {
		err = v.store.Apply(map[string][]byte{mailKey(m.DJ, m.Sel): row}, nil)
	}
	return got, err
}

// deliver takes in one mailbox's grant, where it is this device's and holds.
// Only a failure to keep it is an error.
func (v *Venue) deliver(got []Lease, c *manifests.Chain, m *manifests.Manifest, b *manifests.Blob) ([]Lease, error) {
	d, err := v.id.openMailbox(m, b)
	if err != nil {
		return got, nil
	}
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
			h.g.Gen >= m.Gen || h.g.RootN > m.RootN {
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
