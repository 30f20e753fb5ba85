package lease

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/manifests"
)

// mapStore is a Store in memory; fail, when set, refuses all writes.
type mapStore struct {
	rows map[string][]byte
	fail error
}

func newStore() *mapStore { return &mapStore{rows: map[string][]byte{}} }

func (s *mapStore) Get(key string) ([]byte, error) { return bytes.Clone(s.rows[key]), nil }

func (s *mapStore) Each(prefix string, f func(string, []byte) error) error {
	for _, k := range slices.Sorted(maps.Keys(s.rows)) {
		if strings.HasPrefix(k, prefix) {
			if err := f(k, s.rows[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *mapStore) Apply(puts map[string][]byte, deletes []string) error {
	if s.fail != nil {
		return s.fail
	}
	for k, v := range puts {
		s.rows[k] = bytes.Clone(v)
	}
	for _, k := range deletes {
		delete(s.rows, k)
	}
	return nil
}

// keys are the periods whose keys the store holds.
func (s *mapStore) keys() (out []string) {
	for _, k := range slices.Sorted(maps.Keys(s.rows)) {
		if strings.HasPrefix(k, keyRow) {
			out = append(out, k[strings.LastIndexByte(k, '/')+1:])
		}
	}
	return out
}

// testClock is set by hand.
type testClock struct {
	wall int64
	sync bool
	boot string
	up   time.Duration
}

func (c *testClock) Wall() (int64, bool)           { return c.wall, c.sync }
func (c *testClock) Boot() (string, time.Duration) { return c.boot, c.up }

// pass lets time go by on both clocks.
func (c *testClock) pass(seconds int64) {
	c.wall += seconds
	c.up += time.Duration(seconds) * time.Second
}

// start is when most tests begin: a Thursday 00:00 UTC, so a day and a week.
const start = 2976 * manifests.Week

// testDJ is a DJ with one root key, one publisher key and one selection.
type testDJ struct {
	t         *testing.T
	root, pub seal.Signing
	roots     []manifests.Signed
	chain     *manifests.Chain
	name      manifests.Name
	sel       Selection
	now       int64
	order     []Track
	mixing    manifests.Mixing
	info      map[cid.Cid][]byte
	store     map[cid.Cid][]byte
	tenants   []Tenant
}

func newDJ(t *testing.T, unit int64) *testDJ {
	d := &testDJ{t: t, now: start, info: map[cid.Cid][]byte{}, store: map[cid.Cid][]byte{}}
	d.root, d.pub = newSigning(t), newSigning(t)
	d.name = manifests.NewName(newSigning(t).Public())
	d.addRoot(&manifests.Root{N: 1, IAT: start - 1000})
	d.sel = NewSelection(d.chain.DJ(), unit)
	return d
}

func newSigning(t *testing.T) seal.Signing {
	k, err := seal.NewSigning()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// addRoot fills in r and signs it, with its own key and the last one's.
func (d *testDJ) addRoot(r *manifests.Root, also ...seal.Signing) {
	d.t.Helper()
	r.Keys, r.Thr, r.Exp = []manifests.Key{d.root.Public()}, 1, start*4
	if r.Pub == nil {
		r.Pub = []manifests.Publisher{{K: d.pub.Public(), NBF: 0, Exp: start * 4,
			Roles: []manifests.Role{manifests.RoleGrant, manifests.RoleLive, manifests.RoleManifest}}}
	}
	r.Names = [2]manifests.Name{d.name, d.name}
	payload, err := r.Encode()
	if err != nil {
		d.t.Fatal(err)
	}
	s, err := manifests.Sign(manifests.TypeRoot, payload, d.root.Private())
	if err == nil {
		d.roots = append(d.roots, s)
		d.chain, err = manifests.VerifyChain(d.roots)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// addTrack seals a made-up track into the list.
func (d *testDJ) addTrack(title string) Track {
	d.t.Helper()
	var tr Track
	rand.Read(tr.Key[:])
	tr.CID, tr.Size, tr.Sec = manifests.NewRawBlock(tr.Key[:8]).CID, 1000, 60
	b, err := SealInfo(tr.Key, tr.CID, &manifests.Info{Title: title, Codec: "wav", Rate: 44100, Channels: 2})
	if err != nil {
		d.t.Fatal(err)
	}
	tr.Info = b.CID
	d.store[b.CID] = b.Data
	d.order = append(d.order, tr)
	return tr
}

// draft is the list as it stands.
func (d *testDJ) draft() Draft {
	list := manifests.Playlist{Label: "main", Mixing: d.mixing}
	for _, tr := range d.order {
		list.Tracks = append(list.Tracks, tr.CID)
	}
	return Draft{Now: d.now, RootN: d.chain.Newest().N, Tracks: d.order, Lists: []manifests.Playlist{list}, Tenants: d.tenants, Sign: d.pub, Held: d.held}
}

// held reads the blocks of what was published.
func (d *testDJ) held(cs []cid.Cid) (out [][]byte, err error) {
	for _, c := range cs {
		if d.store[c] == nil {
			return nil, fmt.Errorf("no block %s", c)
		}
		out = append(out, d.store[c])
	}
	return out, nil
}

// publish revises, signs, and opens the result as a reader would.
func (d *testDJ) publish() *manifests.Manifest {
	d.t.Helper()
	r, next, err := d.sel.Revise(d.draft())
	if err != nil {
		d.t.Fatal(err)
	}
	return d.accept(r, next)
}

// accept signs a revision, and goes on from it.
func (d *testDJ) accept(r Revision, next Selection) *manifests.Manifest {
	d.t.Helper()
	for _, b := range r.Blocks {
		d.store[b.CID] = b.Data
	}
	for _, t := range r.Tenants {
		d.tenants[slices.IndexFunc(d.tenants, func(o Tenant) bool { return o.Lease == t.Lease })] = t
	}
	m, signed := d.sign(&r.Manifest)
	d.sel = next.Signed(signed.Payload)
	enc, err := d.sel.Encode()
	if err != nil {
		d.t.Fatal(err)
	}
	if d.sel, err = DecodeSelection(enc); err != nil {
		d.t.Fatal(err)
	}
	return m
}

func (d *testDJ) sign(m *manifests.Manifest) (*manifests.Manifest, manifests.Signed) {
	d.t.Helper()
	payload, err := m.Encode()
	if err != nil {
		d.t.Fatal(err)
	}
	s, err := manifests.Sign(manifests.TypeManifest, payload, d.pub.Private())
	if err != nil {
		d.t.Fatal(err)
	}
	opened, err := d.chain.OpenManifest(s)
	if err != nil {
		d.t.Fatal(err)
	}
	return opened, s
}

func (d *testDJ) entries(m *manifests.Manifest) []manifests.Entry {
	d.t.Helper()
	tr, err := manifests.ReadTracks(m.Tracks, d.held)
	if err != nil {
		d.t.Fatal(err)
	}
	return tr.Entries
}

// grant draws up a delivery for a device.
func (d *testDJ) grant(id Identity, t Terms) *manifests.Delivery {
	d.t.Helper()
	t.Device = manifests.Device{K: id.Sign.Public(), PK: id.Open.Public()}
	g, err := d.sel.Grant(d.now, d.chain.Newest().N, d.pub, t)
	if err != nil {
		d.t.Fatal(err)
	}
	g.Roots, g.Name = d.roots, d.name
	return g
}

// tenant takes a device in, with a grant that no mailbox carries yet.
func (d *testDJ) tenant(id Identity, until int64) *manifests.Delivery {
	d.t.Helper()
	t := Tenant{Terms: Terms{Device: manifests.Device{K: id.Sign.Public(), PK: id.Open.Public()}, From: d.now, Until: until}, Name: d.name}
	g, err := d.sel.Draw(d.now, d.chain.Newest().N, d.pub, &t)
	if err != nil {
		d.t.Fatal(err)
	}
	g.Roots = d.roots
	d.tenants = append(d.tenants, t)
	return g
}

// renew moves the end of tenant i, and draws its next grant.
func (d *testDJ) renew(i int, until int64) {
	d.t.Helper()
	t := &d.tenants[i]
	t.Until, t.N = until, t.N+1
	if _, err := d.sel.Draw(d.now, d.chain.Newest().N, d.pub, t); err != nil {
		d.t.Fatal(err)
	}
}

// boxes are the shards of a manifest.
func (d *testDJ) boxes(m *manifests.Manifest) (out [][]byte) {
	for _, c := range m.Boxes {
		out = append(out, d.store[c])
	}
	return out
}

func (d *testDJ) file(g *manifests.Delivery, id Identity) []byte {
	d.t.Helper()
	f, err := SealFile(g, manifests.Device{K: id.Sign.Public(), PK: id.Open.Public()})
	if err != nil {
		d.t.Fatal(err)
	}
	return f
}

// testVenue is a venue with its parts at hand.
type testVenue struct {
	*Venue
	t     *testing.T
	id    Identity
	store *mapStore
	clock *testClock
}

func newVenue(t *testing.T) *testVenue {
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	v := &testVenue{t: t, id: id, store: newStore(), clock: &testClock{wall: start, sync: true, boot: "b1"}}
	v.restart()
	return v
}

// restart forgets all that is not in the store.
func (v *testVenue) restart() {
	v.t.Helper()
	var err error
	if v.Venue, err = NewVenue(Config{v.id, v.store, v.clock}); err != nil {
		v.t.Fatal(err)
	}
}

// receive takes in a revision as a follower does: its mailboxes, then the
// consequence.
func (v *testVenue) receive(d *testDJ, m *manifests.Manifest) (got, revoked []Lease) {
	v.t.Helper()
	got, err := v.Receive(d.chain, m, d.boxes(m))
	if err == nil {
		revoked, err = v.Settle(m)
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return got, revoked
}

// lease imports a grant of d's.
func (v *testVenue) lease(d *testDJ, from, until int64) Lease {
	v.t.Helper()
	l, err := v.Import(d.file(d.grant(v.id, Terms{From: from, Until: until}), v.id))
	if err != nil {
		v.t.Fatal(err)
	}
	return l
}
