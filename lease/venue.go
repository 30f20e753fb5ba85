package lease

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"playnode/internal/seal"
	"playnode/manifests"
)

// Store keeps a venue's grants, keys and floors: a file of mode 0600 in a
// directory of mode 0700. Each call is one durable transaction.
type Store interface {
	Get(key string) ([]byte, error) // the caller's own; nil, nil when absent
	// Each visits the rows whose keys begin with prefix, sorted; f must not
	// call the store.
	Each(prefix string, f func(key string, value []byte) error) error
	Apply(puts map[string][]byte, deletes []string) error
}

// Config is what a Venue needs; no field may be zero.
type Config struct {
	Identity Identity
	Store    Store
	Clock    Clock
}

// Venue keeps the leases of one device. Safe for concurrent use.
type Venue struct {
	id    Identity
	store Store

	mu     sync.Mutex // guards all below, and orders writes to store
	time   clockState
	grants map[string]*held // by row
	chains map[manifests.DJ]*manifests.Chain
}

// held is a grant in force or past, without its period keys.
type held struct {
	Grant manifests.Signed
	Mbox  manifests.MailboxKey
	Name  manifests.Name
	Hints []string
	// Revoked: the selection has moved on without this lease.
	Revoked bool
	g       *manifests.Grant
}

// Lease is a grant as people see it.
type Lease struct {
	ID    manifests.LeaseID
	DJ    manifests.DJ
	Sel   manifests.SelID
	Name  manifests.Name // where the DJ's head is found
	Hints []string       // multiaddrs of peers to ask
	From  int64          // Unix seconds
	Until int64          // end of the terms, grace included
	Keys  int64          // until when there are keys, at most Until; 0 without
	// Revoked: the DJ has ended it before its time.
	Revoked bool
	Grant   manifests.Grant
	Signed  manifests.Signed // the grant's record
}

// NewVenue loads what the store holds.
func NewVenue(c Config) (*Venue, error) {
	v := &Venue{
		id: c.Identity, store: erasing{c.Store},
		time:   clockState{clock: c.Clock, djs: map[manifests.DJ]*floors{}},
		grants: map[string]*held{}, chains: map[manifests.DJ]*manifests.Chain{},
	}
	for prefix, load := range map[string]func(string, []byte) error{
		floorRow: v.time.load, highRow: v.time.load, grantRow: v.loadGrant, rootsRow: v.loadRoots,
	} {
		if err := c.Store.Each(prefix, load); err != nil {
			return nil, fmt.Errorf("load leases: %w", err)
		}
	}
	return v, nil
}

// erasing is a store whose traces in memory are erased.
type erasing struct{ Store }

func (s erasing) Get(key string) (value []byte, err error) {
	seal.Erasing(func() { value, err = s.Store.Get(key) })
	return value, err
}

func (s erasing) Each(prefix string, f func(key string, value []byte) error) (err error) {
	seal.Erasing(func() { err = s.Store.Each(prefix, f) })
	return err
}

func (s erasing) Apply(puts map[string][]byte, deletes []string) (err error) {
	seal.Erasing(func() { err = s.Store.Apply(puts, deletes) })
	return err
}

// Rows of the store. A period key is found by all that it belongs to, never
// by its selection alone: another DJ may copy bytes.
const (
	grantRow = "grant/"
	rootsRow = "roots/"
	keyRow   = "key/"
)

func grantKey(g *manifests.Grant) string {
	return fmt.Sprintf("%s%s/%s/%x", grantRow, g.DJ, g.Lease, g.GID)
}

func periodPrefix(dj manifests.DJ, sel manifests.SelID, gen uint64, gid [16]byte, unit int64) string {
	return fmt.Sprintf("%s%s/%s/%016x/%x/%d/", keyRow, dj, sel, gen, gid, unit)
}

func periodRow(prefix string, p uint64) string { return fmt.Sprintf("%s%016x", prefix, p) }

func (g *held) prefix() string {
	return periodPrefix(g.g.DJ, g.g.Sel, g.g.Gen, g.g.GID, g.g.Unit)
}

type grantJSON struct {
	Env, Payload, Mbox []byte
	Name               manifests.Name
	Hints              []string
	Revoked            bool `json:",omitempty"`
}

func (h *held) encode() ([]byte, error) {
	return json.Marshal(grantJSON{h.Grant.Env.Data, h.Grant.Payload.Data, h.Mbox[:], h.Name, h.Hints, h.Revoked})
}

func (v *Venue) loadGrant(row string, value []byte) error {
	var j grantJSON
	if err := json.Unmarshal(value, &j); err != nil {
		return err
	}
	h := &held{Grant: manifests.Signed{Env: manifests.NewBlock(j.Env), Payload: manifests.NewBlock(j.Payload)},
		Name: j.Name, Hints: j.Hints, Revoked: j.Revoked}
	copy(h.Mbox[:], j.Mbox)
	var err error
	h.g, err = manifests.DecodeGrant(j.Payload)
	v.grants[row] = h
	return err
}

func (v *Venue) loadRoots(row string, value []byte) error {
	var j [][2][]byte
	if err := json.Unmarshal(value, &j); err != nil {
		return err
	}
	roots := make([]manifests.Signed, len(j))
	for i, r := range j {
		roots[i] = manifests.Signed{Env: manifests.NewBlock(r[0]), Payload: manifests.NewBlock(r[1])}
	}
	c, err := manifests.VerifyChain(roots)
	if err != nil {
		return err
	}
	v.chains[c.DJ()] = c
	return nil
}

// Import takes in a grant file, and verifies all of it by the roots inside:
// no network is needed, and the DJ need not be followed yet. Taking the same
// grant in twice changes nothing. Errors wrap ErrNotYours, ErrRefused, ErrOld,
// ErrRevoked, ErrLapsed or ErrFuture; nothing is kept with one. With ErrOld
// comes the lease as it is here, by its newer grant.
func (v *Venue) Import(file []byte) (l Lease, err error) {
	seal.Erasing(func() { l, err = v.importFile(file) })
	if err != nil {
		return l, fmt.Errorf("import lease: %w", err)
	}
	return l, nil
}

func (v *Venue) importFile(file []byte) (Lease, error) {
	f, err := manifests.DecodeGrantFile(file)
	if err != nil {
		return Lease{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	d, err := v.id.open(f)
	if err != nil {
		return Lease{}, err
	}
	chain, err := manifests.VerifyChain(d.Roots)
	if err != nil {
		return Lease{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if chain.DJ() != f.DJ {
		return Lease{}, fmt.Errorf("roots of another DJ: %w", ErrRefused)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	judge, err := v.newest(chain)
	if err != nil {
		return Lease{}, err
	}
	h := &held{Grant: d.Grant, Mbox: d.Mbox, Name: d.Name, Hints: d.Hints}
	if h.g, err = v.judge(judge, d); err != nil {
		return Lease{}, err
	}
	return v.keep(h, d, judge)
}

// newest is the longer of the chain at hand and the one known.
func (v *Venue) newest(c *manifests.Chain) (*manifests.Chain, error) {
	known := v.chains[c.DJ()]
	if known == nil {
		return c, nil
	}
	follows, err := c.Follows(known)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if !follows {
		return known, nil
	}
	return c, nil
}

// judge verifies an opened delivery against a DJ's roots and this device.
func (v *Venue) judge(c *manifests.Chain, d *manifests.Delivery) (*manifests.Grant, error) {
	g, err := c.OpenGrant(d.Grant)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	me := manifests.Device{K: v.id.Sign.Public(), PK: v.id.Open.Public()}
	switch {
	case g.Dev != me.K || g.PKH != me.PKH():
		return nil, ErrNotYours
	case len(d.Keys) != g.Keys():
		return nil, fmt.Errorf("grant with %d keys for %d periods: %w", len(d.Keys), g.Keys(), ErrRefused)
	case commit(d.Mbox, d.Keys) != g.KC:
		return nil, fmt.Errorf("grant with other keys than were signed: %w", ErrRefused)
	case !c.Newest().HasName(d.Name):
		return nil, fmt.Errorf("grant from a name that the root does not list: %w", ErrRefused)
	}
	return g, nil
}

// keep persists a grant that was judged by root, with its keys, floors and
// those roots, in one transaction, and then believes it.
func (v *Venue) keep(h *held, d *manifests.Delivery, root *manifests.Chain) (Lease, error) {
	g := h.g
	if newer, err := v.supersedes(h); err != nil {
		return newer, err
	}
	r := v.time.read()
	before := v.time.snapshot(g.DJ)
	undo := func() { v.time.restore(g.DJ, before) }
	if err := v.time.accept(g.DJ, root.Newest().N, root.Newest().IAT, g.IAT, r); err != nil {
		return Lease{}, err
	}
	now, _ := v.time.now(g.DJ, r)
	if now >= g.End() {
		undo()
		return Lease{}, fmt.Errorf("grant ended at %d: %w", g.End(), ErrLapsed)
	}
	puts, err := v.time.rows(r)
	if err != nil {
		undo()
		return Lease{}, err
	}
	for i := range d.Keys {
		if p := g.Win.First + uint64(i); p >= manifests.Period(now, g.Unit) {
			puts[periodRow(h.prefix(), p)] = d.Keys[i][:]
		}
	}
	defer clear(d.Keys) // the store has them
	if puts[grantKey(g)], err = h.encode(); err == nil && v.chains[g.DJ] != root {
		puts[rootsRow+g.DJ.String()], err = encodeRoots(root)
	}
	if err == nil {
		err = v.store.Apply(puts, nil)
	}
	if err != nil {
		undo()
		return Lease{}, fmt.Errorf("keep grant: %w", err)
	}
	v.chains[g.DJ], v.grants[grantKey(g)] = root, h
	return h.lease(), nil
}

// supersedes tells whether h may take its lease's place: of one lease only
// the highest (root, n) counts. With ErrOld comes the one that does.
func (v *Venue) supersedes(h *held) (newer Lease, err error) {
	for _, row := range slices.Sorted(maps.Keys(v.grants)) {
		o := v.grants[row]
		if o.g.DJ != h.g.DJ || o.g.Lease != h.g.Lease {
			continue
		}
		switch c := compareTerms(o.g, h.g); {
		case o.Revoked && o.g.GID == h.g.GID:
			return Lease{}, fmt.Errorf("lease %s: %w", h.g.Lease, ErrRevoked)
		case c == 0 && o.Grant.Payload.CID != h.Grant.Payload.CID:
			return Lease{}, fmt.Errorf("two grants %d of lease %s: %w", h.g.N, h.g.Lease, ErrRefused)
		case c > 0:
			newer, err = o.lease(), fmt.Errorf("grant %d of lease %s: %w", h.g.N, h.g.Lease, ErrOld)
		}
	}
	return newer, err
}

func compareTerms(a, b *manifests.Grant) int {
	return slices.Compare([]uint64{a.RootN, a.N}, []uint64{b.RootN, b.N})
}

func (h *held) lease() Lease {
	l := Lease{ID: h.g.Lease, DJ: h.g.DJ, Sel: h.g.Sel, Name: h.Name, Hints: h.Hints,
		From: h.g.NBF, Until: h.g.End(), Revoked: h.Revoked, Grant: *h.g, Signed: h.Grant}
	if h.g.Win != nil {
		l.Keys = min(l.Until, int64(h.g.Win.Last+1)*h.g.Unit)
	}
	return l
}

// Leases lists the leases here as their newest grants have them, lapsed ones
// included, by DJ and id.
func (v *Venue) Leases() []Lease {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []Lease
	for _, row := range slices.Sorted(maps.Keys(v.grants)) { // a lease's rows are neighbours
		h := v.grants[row]
		l := h.lease()
		if n := len(out); n == 0 || out[n-1].DJ != l.DJ || out[n-1].ID != l.ID {
			out = append(out, l)
		} else if compareTerms(&out[n-1].Grant, h.g) < 0 {
			out[n-1] = l
		}
	}
	return out
}

// Now is the time that a DJ's leases are judged by, in Unix seconds.
func (v *Venue) Now(dj manifests.DJ) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	t, _ := v.time.now(dj, v.time.read())
	return t
}

// Accept raises a DJ's floor of time by a verified record of hers, dated iat,
// under the newest root of c, and remembers that root: what former ones vouch
// for no longer counts. ErrFuture or ErrRefused refuses the record. Persisted
// on return.
func (v *Venue) Accept(c *manifests.Chain, iat int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	newest, err := v.newest(c)
	if err != nil {
		return err
	}
	if newest != c && newest.Newest().N > c.Newest().N {
		return fmt.Errorf("record under root %d of DJ %s, root %d is known: %w", c.Newest().N, c.DJ(), newest.Newest().N, ErrRefused)
	}
	if known := v.chains[c.DJ()]; known != nil && known.Newest().N < c.Newest().N {
		row, err := encodeRoots(c)
		if err == nil {
			err = v.store.Apply(map[string][]byte{rootsRow + c.DJ().String(): row}, nil)
		}
		if err != nil {
			return fmt.Errorf("keep root %d: %w", c.Newest().N, err)
		}
		v.chains[c.DJ()] = c
	}
	return v.accept(c.DJ(), c.Newest().N, c.Newest().IAT, iat)
}

func encodeRoots(c *manifests.Chain) ([]byte, error) {
	roots := c.Signed()
	j := make([][2][]byte, len(roots))
	for i, s := range roots {
		j[i] = [2][]byte{s.Env.Data, s.Payload.Data}
	}
	return json.Marshal(j)
}

func (v *Venue) accept(dj manifests.DJ, rootN uint64, rootIAT, iat int64) error {
	r := v.time.read()
	before := v.time.snapshot(dj)
	if err := v.time.accept(dj, rootN, rootIAT, iat, r); err != nil {
		return err
	}
	if same(before, v.time.djs[dj]) {
		return nil
	}
	if err := v.persist(r); err != nil {
		v.time.restore(dj, before)
		return err
	}
	return nil
}

// Persist writes the floors as they stand. A daemon calls it at least every
// 10 minutes while playing, and when it stops.
func (v *Venue) Persist() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.persist(v.time.read())
}

func (v *Venue) persist(r reading) error {
	puts, err := v.time.rows(r)
	if err == nil {
		err = v.store.Apply(puts, nil)
	}
	if err != nil {
		return fmt.Errorf("persist time floors: %w", err)
	}
	return nil
}

// Sweep erases the keys of past periods, and all period keys of lapsed
// grants; grants and mailbox keys stay. Where a DJ's time rests on a date that
// no synchronised clock has confirmed, the box's own clock must agree first.
func (v *Venue) Sweep() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sweep(v.time.read())
}

func (v *Venue) sweep(r reading) error {
	live := map[string]uint64{} // least period still wanted, by key prefix
	known := map[string]bool{}  // prefixes that a grant is here for
	for _, h := range v.grants {
		_, firm := v.time.now(h.g.DJ, r)
		known[h.prefix()] = true
		if firm < h.g.End() && !h.Revoked {
			live[h.prefix()] = manifests.Period(firm, h.g.Unit)
		}
	}
	var gone []string
	err := v.store.Each(keyRow, func(row string, _ []byte) error {
		prefix := row[:strings.LastIndexByte(row, '/')+1]
		if !known[prefix] {
			return nil
		}
		if least, ok := live[prefix]; !ok || row < periodRow(prefix, least) {
			gone = append(gone, row)
		}
		return nil
	})
	if err == nil && len(gone) > 0 {
		var puts map[string][]byte
		if puts, err = v.time.rows(r); err == nil { // the floor that justifies it lands with it
			err = v.store.Apply(puts, gone)
		}
	}
	if err != nil {
		return fmt.Errorf("erase keys: %w", err)
	}
	return nil
}

// retire forgets grants of the lease that h has taken the place of, with
// their keys: an older generation's were kept until the newer one opened a
// manifest.
func (v *Venue) retire(h *held) error {
	var gone []string
	wanted := map[string]bool{}
	for row, o := range v.grants {
		if o.g.DJ == h.g.DJ && o.g.Lease == h.g.Lease && compareTerms(o.g, h.g) < 0 {
			gone = append(gone, row)
		} else {
			wanted[o.prefix()] = true
		}
	}
	if len(gone) == 0 {
		return nil
	}
	deletes := slices.Clone(gone)
	for _, row := range gone {
		if p := v.grants[row].prefix(); !wanted[p] {
			if err := v.store.Each(p, func(key string, _ []byte) error { deletes = append(deletes, key); return nil }); err != nil {
				return fmt.Errorf("forget older grants: %w", err)
			}
		}
	}
	if err := v.store.Apply(nil, deletes); err != nil {
		return fmt.Errorf("forget older grants: %w", err)
	}
	for _, row := range gone {
		delete(v.grants, row)
	}
	return nil
}
