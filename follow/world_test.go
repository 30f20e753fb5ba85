package follow_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	chunk "github.com/ipfs/boxo/chunker"
	mdtest "github.com/ipfs/boxo/ipld/merkledag/test"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"go.uber.org/goleak"

	"playnode/fetch"
	"playnode/follow"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
	"playnode/node/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a Store in memory.
type store struct {
	mu  sync.Mutex
	m   map[string][]byte
	cut *cut
}

func (s *store) Get(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[key], nil
}

func (s *store) Put(key string, value []byte) error {
	return s.Apply(map[string][]byte{key: value}, nil)
}

func (s *store) Each(prefix string, f func(string, []byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(s.m)) {
		if strings.HasPrefix(k, prefix) {
			if err := f(k, s.m[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *store) Apply(puts map[string][]byte, deletes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	made, err := s.cut.write()
	if made {
		maps.Copy(s.m, puts)
		for _, k := range deletes {
			delete(s.m, k)
		}
	}
	return err
}

// now is when these tests take place.
var now = time.Unix(1_800_000_000, 0)

// box is one follower's machine.
type box struct {
	*memory.Node
	names  *ipns.Namer
	fetch  *fetch.Scheduler
	follow *follow.Follower
	states [2]*store
	clock  func() time.Time
	every  time.Duration
}

func open(t *testing.T, n *memory.Node, states [2]*store) *box {
	t.Helper()
	return openAt(t, n, states, func() time.Time { return now }, 0)
}

// openAt is open with a clock, and with how often peers are asked.
func openAt(t *testing.T, n *memory.Node, states [2]*store, clock func() time.Time, every time.Duration) *box {
	t.Helper()
	names, err := ipns.New(ipns.Config{Store: states[0], Now: clock, Peers: n})
	if err != nil {
		t.Fatal(err)
	}
	b := &box{Node: n, names: names, states: states, clock: clock, every: every}
	b.fetch = fetch.New(fetch.Config{Local: n, Sources: []fetch.Source{{Name: "memory", Getter: n}}, Now: clock})
	b.follow, err = follow.New(follow.Config{
		Names: names, Fetch: b.fetch, Blocks: n, Pinner: n, Held: n, Store: states[1], Now: clock, Peers: n,
		Every: every, Spare: every,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newBox(t *testing.T, w *memory.World, name string) *box {
	t.Helper()
	n := w.Node(name)
	t.Cleanup(func() { n.Close() })
	return open(t, n, [2]*store{{m: map[string][]byte{}}, {m: map[string][]byte{}}})
}

// restart is the same box after a new start.
func (b *box) restart(t *testing.T) *box {
	t.Helper()
	return openAt(t, b.Node, b.states, b.clock, b.every)
}

// dj is a DJ with keys, whose records are as honest as a test leaves them.
type dj struct {
	t        *testing.T
	box      *box
	root     ed25519.PrivateKey
	pub      ed25519.PrivateKey
	ipns     ed25519.PrivateKey
	name     ipns.Name
	roots    []manifests.Signed
	id       manifests.DJ
	rng      *rand.ChaCha8
	headSeq  uint64
	lastHead manifests.Head
}

func key(seed string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte(seed), 32)[:32])
}

func pubKey(k ed25519.PrivateKey) manifests.Key { return manifests.Key(k.Public().(ed25519.PublicKey)) }

func newDJ(t *testing.T, b *box, seed string) *dj {
	t.Helper()
	d := &dj{t: t, box: b, root: key(seed + "r"), pub: key(seed + "p"), ipns: key(seed + "i"), rng: rand.NewChaCha8([32]byte([]byte(strings.Repeat(seed, 32)[:32])))}
	d.name = must(ipns.NameOf(d.ipns.Public().(ed25519.PublicKey)))
	r := d.newRoot()
	s := must(manifests.Sign("root", must(r.Encode()), d.root))
	d.roots = []manifests.Signed{s}
	d.id = manifests.DJ(manifests.Digest(s.Payload.CID))
	return d
}

func (d *dj) newRoot() *manifests.Root {
	r := &manifests.Root{
		N: 1, Keys: []manifests.Key{pubKey(d.root)}, Thr: 1, IAT: now.Unix() - 1000, Exp: now.Unix() + 1e7,
		Pub:   []manifests.Publisher{{K: pubKey(d.pub), Roles: []manifests.Role{manifests.RoleManifest}, Exp: now.Unix() + 1e7}},
		Names: [2]manifests.Name{manifests.Name(d.name), manifests.NewName(pubKey(key("backup")))},
	}
	d.rng.Read(r.Req[:])
	return r
}

// nextRoot replaces the root; edit changes it before it is signed.
func (d *dj) nextRoot(edit func(*manifests.Root)) {
	d.t.Helper()
	r := d.newRoot()
	last := d.roots[len(d.roots)-1]
	prev := manifests.Digest(last.Payload.CID)
	r.N, r.DJ, r.Prev = uint64(len(d.roots)+1), &d.id, &prev
	if edit != nil {
		edit(r)
	}
	d.roots = append(d.roots, must(manifests.Sign("root", must(r.Encode()), d.root)))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (d *dj) put(blocks ...manifests.Block) {
	d.t.Helper()
	for _, b := range blocks {
		if err := d.box.Put(context.Background(), node.Block(b)); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *dj) bytes(n int) []byte {
	b := make([]byte, n)
	d.rng.Read(b)
	return b
}

// track stores size bytes as a UnixFS file of boxo's making.
func (d *dj) track(size int, leaf int64) manifests.Entry {
	d.t.Helper()
	dag := mdtest.Mock()
	params := helpers.DagBuilderParams{
		Maxlinks: 3, RawLeaves: true, Dagserv: dag,
		CidBuilder: cid.V1Builder{Codec: cid.DagProtobuf, MhType: multihash.SHA2_256},
	}
	h := must(params.New(chunk.NewSizeSplitter(bytes.NewReader(d.bytes(size)), leaf)))
	root := must(balanced.Layout(h))
	for todo := []cid.Cid{root.Cid()}; len(todo) > 0; todo = todo[1:] {
		n := must(dag.Get(context.Background(), todo[0]))
		d.put(manifests.Block{CID: n.Cid(), Data: n.RawData()})
		for _, l := range n.Links() {
			todo = append(todo, l.Cid)
		}
	}
	info := manifests.NewRawBlock(d.bytes(200))
	d.put(info)
	e := manifests.Entry{Track: root.Cid(), Size: uint64(size), Sec: 3, Info: info.CID}
	d.rng.Read(e.Wrap[:])
	return e
}

// manifest stores a signed manifest of one selection.
func (d *dj) manifest(sel byte, seq uint64, entries []manifests.Entry, edit func(*manifests.Manifest)) (manifests.Signed, *manifests.Manifest) {
	d.t.Helper()
	blocks := must(manifests.BuildTracks(entries))
	d.put(blocks...)
	shard := manifests.BoxShard{}
	for i := range manifests.Boxes {
		e := manifests.BoxEntry{ID: [16]byte{byte(i)}}
		d.rng.Read(e.Blob.Enc[:])
		e.Blob.CT = d.bytes(2048 + 16)
		shard.E = append(shard.E, e)
	}
	box := manifests.NewBlock(must(shard.Encode()))
	meta := manifests.NewRawBlock(d.bytes(1000))
	d.put(box, meta)
	m := &manifests.Manifest{
		DJ: d.id, RootN: uint64(len(d.roots)), Sel: manifests.SelID{sel}, Seq: seq, IAT: now.Unix(),
		Exp: now.Unix() + 1e5, Unit: manifests.Week, Cur: manifests.Period(now.Unix(), manifests.Week), Gen: 1,
		Lock:   make([]manifests.Lock, manifests.Ahead(manifests.Week)+1),
		Tracks: blocks[0].CID, Meta: []cid.Cid{meta.CID}, Boxes: []cid.Cid{box.CID},
	}
	if edit != nil {
		edit(m)
	}
	s := must(manifests.Sign("manifest", must(m.Encode()), d.pub))
	d.put(s.Env, s.Payload)
	return s, m
}

// head stores a signed head over manifests and returns its envelope.
func (d *dj) head(signed []manifests.Signed, ms []*manifests.Manifest, edit func(*manifests.Head)) cid.Cid {
	d.t.Helper()
	d.headSeq++
	h := manifests.Head{DJ: d.id, RootN: uint64(len(d.roots)), Seq: d.headSeq, IAT: now.Unix(), Exp: now.Unix()}
	for _, r := range d.roots {
		d.put(r.Env, r.Payload)
		h.Roots = append(h.Roots, r.Env.CID)
	}
	for i, m := range ms {
		h.Sels = append(h.Sels, manifests.Listed{Sel: m.Sel, Label: string(rune('a' + m.Sel[0])), Manifest: signed[i].Env.CID})
		h.Exp = max(h.Exp, m.Exp)
	}
	slices.SortFunc(h.Sels, func(a, b manifests.Listed) int { return cmp.Compare(a.Label, b.Label) })
	if edit != nil {
		edit(&h)
	}
	d.lastHead = h
	s := must(manifests.Sign("head", must(h.Encode()), d.pub))
	d.put(s.Env, s.Payload)
	return s.Env.CID
}

// point publishes the name's record.
func (d *dj) point(envelope cid.Cid) ipns.Record {
	d.t.Helper()
	rec, _, err := d.box.names.Publish(d.t.Context(), d.ipns, envelope, 0, now.Add(30*24*time.Hour))
	if err != nil {
		d.t.Fatal(err)
	}
	return rec
}

// publish makes one selection of entries the whole of what d says.
func (d *dj) publish(seq uint64, entries ...manifests.Entry) cid.Cid {
	d.t.Helper()
	s, m := d.manifest(0, seq, entries, nil)
	envelope := d.head([]manifests.Signed{s}, []*manifests.Manifest{m}, nil)
	d.point(envelope)
	return envelope
}
