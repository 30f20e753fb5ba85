package lease

import (
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/internal/seal"
	"playnode/manifests"
)

// Tenant is a lease as its DJ keeps it: its terms, and the newest grant that
// was drawn of them.
type Tenant struct {
	Terms                  // N is the grant's
	Grant manifests.Signed // zero: none was drawn of these terms yet
	Name  manifests.Name   // where the device finds the DJ's head
	Hints []string         // multiaddrs
}

// Draw draws and signs a tenant's grant at now, and notes it there, with
// what was left to be drawn of its terms.
func (s Selection) Draw(now int64, rootN uint64, key seal.Signing, t *Tenant) (*manifests.Delivery, error) {
	d, err := s.Grant(now, rootN, key, t.Terms)
	if err != nil {
		return nil, err
	}
	g, err := manifests.DecodeGrant(d.Grant.Payload.Data)
	if err != nil {
		return nil, err
	}
	t.Lease, t.Venue, t.Mbox, t.Grant = g.Lease, g.Aud, d.Mbox, d.Grant
	d.Name, d.Hints = t.Name, t.Hints
	return d, nil
}

// delivery is the tenant's grant with its keys, as its device gets it.
func (s Selection) delivery(t Tenant) (*manifests.Delivery, error) {
	g, err := manifests.DecodeGrant(t.Grant.Payload.Data)
	if err != nil {
		return nil, err
	}
	d := &manifests.Delivery{Grant: t.Grant, Mbox: t.Mbox, Name: t.Name, Hints: t.Hints}
	for i := range uint64(g.Keys()) {
		d.Keys = append(d.Keys, manifests.PeriodKey(periodKey(s.R, s.DJ, s.Sel, s.Gen, s.Unit, g.Win.First+i)))
	}
	return d, nil
}

// File is the tenant's newest grant, sealed as a file with the DJ's roots.
// ErrRefused says that the selection's keys are others by now.
func (s Selection) File(t Tenant, roots []manifests.Signed) ([]byte, error) {
	d, err := s.delivery(t)
	if err != nil {
		return nil, err
	}
	g, err := manifests.DecodeGrant(t.Grant.Payload.Data)
	if err != nil {
		return nil, err
	}
	if g.GID != s.GID() {
		return nil, fmt.Errorf("lease %s is of other keys: %w", t.Lease, ErrRefused)
	}
	d.Roots = roots
	return SealFile(d, t.Device)
}

// refresh draws a tenant's grant anew where the one there is of another
// period, generation or root: each brings the keys of the window as it is
// then, and none that are past.
func (s Selection) refresh(m *manifests.Manifest, key seal.Signing, t *Tenant) (drawn bool, err error) {
	if t.Grant.Payload.Data != nil {
		g, err := manifests.DecodeGrant(t.Grant.Payload.Data)
		if err != nil {
			return false, err
		}
		if g.RootN == m.RootN && g.Gen == m.Gen && g.GID == m.GID && manifests.Period(g.IAT, g.Unit) == m.Cur {
			return false, nil
		}
		t.N++
	}
	_, err = s.Draw(m.IAT, m.RootN, key, t)
	return true, err
}

// live tells whether a mailbox still carries the lease at now.
func (t *Tenant) live(now int64) bool { return now < t.Until+t.Grace }

// Box is a shard of mailboxes of the last revision, and who has one in it;
// its other mailboxes are dummies.
type Box struct {
	CID   cid.Cid
	Seats []Seat
}

// Seat is a lease in a shard, and which of its grants lies there.
type Seat struct {
	Lease manifests.LeaseID
	N     uint64
}

// Carries tells whether the last revision's mailboxes hold the newest grant
// of every lease that is live at now.
func (s Selection) Carries(now int64, tenants []Tenant) bool {
	seats := map[Seat]bool{}
	for _, b := range s.Boxes {
		for _, x := range b.Seats {
			seats[x] = true
		}
	}
	return !slices.ContainsFunc(tenants, func(t Tenant) bool { return t.live(now) && !seats[Seat{t.Lease, t.N}] })
}

// boxes seals the revision's mailboxes: all of them where again is false,
// else those shards in which a lease is new or has a newer grant. A new one
// takes a dummy's place; a lease that ended becomes one when its shard is
// next sealed.
func (r *Revision) boxes(n *Selection, old Selection, d Draft, again bool) error {
	tenants := slices.DeleteFunc(slices.Clone(d.Tenants), func(t Tenant) bool { return !t.live(d.Now) })
	drawn := make([]bool, len(tenants))
	var g errgroup.Group
	g.SetLimit(4)
	for i := range tenants {
		g.Go(func() (err error) {
			t := &tenants[i]
			if drawn[i], err = n.refresh(&r.Manifest, d.Sign, t); err != nil {
				return fmt.Errorf("grant of lease %s: %w", t.Lease, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	live := map[manifests.LeaseID]Tenant{}
	var order []manifests.LeaseID
	for i, t := range tenants {
		if drawn[i] {
			r.Tenants = append(r.Tenants, t)
		}
		live[t.Lease] = t
		order = append(order, t.Lease)
	}
	slices.SortFunc(order, func(a, b manifests.LeaseID) int { return slices.Compare(a[:], b[:]) })
	var seats [][]Seat
	dirty := map[int]bool{}
	placed := map[manifests.LeaseID]bool{}
	if again {
		for i, b := range old.Boxes {
			var kept []Seat
			for _, x := range b.Seats {
				if t, ok := live[x.Lease]; ok {
					dirty[i] = dirty[i] || t.N != x.N
					placed[x.Lease] = true
					kept = append(kept, Seat{x.Lease, t.N})
				}
			}
			seats = append(seats, kept)
		}
	}
	if len(seats) == 0 {
		seats, dirty[0] = append(seats, nil), true
	}
	for _, id := range order {
		if placed[id] {
			continue
		}
		i := slices.IndexFunc(seats, func(s []Seat) bool { return len(s) < manifests.Boxes })
		if i < 0 {
			i, seats = len(seats), append(seats, nil)
		}
		seats[i] = append(seats[i], Seat{id, live[id].N})
		dirty[i] = true
	}
	blocks := make([]manifests.Block, len(seats))
	for i := range dirty {
		if !dirty[i] {
			continue
		}
		g.Go(func() (err error) {
			tenants := make([]Tenant, len(seats[i]))
			for j, x := range seats[i] {
				tenants[j] = live[x.Lease]
			}
			blocks[i], err = n.shard(&r.Manifest, tenants)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, b := range blocks {
		if b.Data == nil {
			n.Boxes = append(n.Boxes, old.Boxes[i])
		} else {
			r.Blocks = append(r.Blocks, b)
			n.Boxes = append(n.Boxes, Box{b.CID, seats[i]})
		}
		r.Manifest.Boxes = append(r.Manifest.Boxes, n.Boxes[i].CID)
	}
	return nil
}

// boxClass is the size of a mailbox's plaintext: a grant of a week's periods
// fits 2048 bytes, one of days' 4096.
func boxClass(unit int64) int {
	if unit == manifests.Week {
		return 2048
	}
	return 4096
}

// boxID is a lease's mailbox in a shard of that salt.
func boxID(mbox manifests.MailboxKey, m *manifests.Manifest, salt [16]byte) (id [16]byte) {
	k := seal.Key(mbox).Derive(seal.Mbox, m.DJ[:], m.Sel[:], seal.U64(m.Gen), seal.U64(m.Cur), salt[:])
	copy(id[:], k[:])
	return id
}

// shard is a shard of the tenants' mailboxes and as many dummies as fill it.
func (s Selection) shard(m *manifests.Manifest, tenants []Tenant) (manifests.Block, error) {
	var b manifests.BoxShard
	rand.Read(b.Salt[:])
	for _, t := range tenants {
		e, err := s.mailbox(m, t, b.Salt)
		if err != nil {
			return manifests.Block{}, fmt.Errorf("mailbox of lease %s: %w", t.Lease, err)
		}
		b.E = append(b.E, e)
	}
	for len(b.E) < manifests.Boxes {
		e, err := dummy(boxClass(s.Unit))
		if err != nil {
			return manifests.Block{}, err
		}
		b.E = append(b.E, e)
	}
	slices.SortFunc(b.E, func(x, y manifests.BoxEntry) int { return slices.Compare(x.ID[:], y.ID[:]) })
	data, err := b.Encode()
	return manifests.NewBlock(data), err
}

func (s Selection) mailbox(m *manifests.Manifest, t Tenant, salt [16]byte) (e manifests.BoxEntry, err error) {
	d, err := s.delivery(t)
	if err != nil {
		return e, err
	}
	plain, err := d.Encode()
	if err != nil {
		return e, err
	}
	class := boxClass(s.Unit)
	if len(plain)+4 > class {
		return e, fmt.Errorf("a grant of %d bytes is over %d: %w", len(plain), class, ErrRefused)
	}
	e.ID = boxID(t.Mbox, m, salt)
	e.Blob.Enc, e.Blob.CT, err = seal.SealTo(t.Device.PK, grantInfo(s.DJ, t.Device.K), seal.Pad(plain, class))
	return e, err
}

// dummy is a mailbox of nobody's: a real seal of random bytes, to a key that
// is thrown away.
func dummy(class int) (e manifests.BoxEntry, err error) {
	rand.Read(e.ID[:])
	to, err := seal.NewXWing()
	if err != nil {
		return e, err
	}
	plain := make([]byte, class)
	rand.Read(plain)
	e.Blob.Enc, e.Blob.CT, err = seal.SealTo(to.Public(), seal.CTX(seal.Grant, plain[:32], plain[32:64]), plain)
	return e, err
}

// Carried tells whether a revision's mailboxes have one of that lease's;
// shards are all of them. A DJ who restores a backup asks, so that no lease
// comes back that was revoked since.
func Carried(mbox manifests.MailboxKey, m *manifests.Manifest, shards [][]byte) (bool, error) {
	for _, data := range shards {
		b, err := manifests.DecodeBoxShard(data)
		if err != nil {
			return false, err
		}
		id := boxID(mbox, m, b.Salt)
		if slices.ContainsFunc(b.E, func(e manifests.BoxEntry) bool { return e.ID == id }) {
			return true, nil
		}
	}
	return false, nil
}

// After is the selection as the revision after m has to continue it, when
// the one here is older: its counters are above m's, and its keys fresh.
func (s Selection) After(m *manifests.Manifest, payload [32]byte) Selection {
	if m.RootN == s.RootN && m.Seq > s.Seq {
		s.Seq, s.Prev = m.Seq, &payload
	}
	s.Gen = max(s.Gen, m.Gen)
	return s.Revoke()
}
