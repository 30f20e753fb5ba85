//go:build interop

package interop

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"maps"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-base32"

	"playnode/node"
	"playnode/node/embedded"
	kuborpc "playnode/node/kubo"
	"playnode/node/nodetest"
)

// open uses k as a node.
func (k *kubo) open() *kuborpc.Node {
	k.b.Helper()
	n, err := kuborpc.Open(k.b.ctx, kuborpc.Config{RPC: k.rpc()})
	k.b.ok(err)
	return n
}

// wipe leaves nothing pinned, and of blocks nothing at all.
func (k *kubo) wipe() {
	k.b.Helper()
	if all := strings.Fields(string(k.run(nil, "pin", "ls", "--type=recursive", "--quiet"))); len(all) > 0 {
		k.run(nil, append([]string{"pin", "rm"}, all...)...)
	}
	k.run(nil, "repo", "gc", "--quiet")
}

// pinLs is what `ipfs pin ls --names` prints of roots, sorted.
func (k *kubo) pinLs() string {
	k.b.Helper()
	lines := strings.Split(string(k.run(nil, "pin", "ls", "--names", "--type=recursive")), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// damage flips a bit of a block's file.
func (k *kubo) damage(c cid.Cid) {
	k.b.Helper()
	key := base32.RawStdEncoding.EncodeToString(c.Hash())
	file := filepath.Join(k.repo, "blocks", key[len(key)-3:len(key)-1], key+".data")
	data, err := os.ReadFile(file)
	k.b.ok(err)
	data[len(data)/2] ^= 1
	k.b.ok(os.Chmod(file, 0o600))
	k.b.ok(os.WriteFile(file, data, 0o600))
}

// An attached Kubo is the node that the kit wants.
func TestKuboConformance(t *testing.T) {
	b := newBench(t)
	k := b.kubo("kubo")
	t.Run("Blocks", func(t *testing.T) {
		nodetest.Blocks(t, func(*testing.T) nodetest.Store {
			k.wipe()
			return k.store()
		})
	})
	t.Run("Pinner", func(t *testing.T) {
		nodetest.Pinner(t, func(*testing.T) nodetest.PinStore {
			k.wipe()
			return k.pins()
		})
	})
	t.Run("Getter", func(t *testing.T) {
		_, id, err := ed25519.GenerateKey(nil)
		b.ok(err)
		far, err := embedded.New(b.ctx, embedded.Config{Dir: filepath.Join(b.dir, "far"), Identity: id, Network: embedded.None, Listen: []string{"/ip4/127.0.0.1/tcp/0"}})
		b.ok(err)
		defer far.Close()
		n := k.open()
		b.ok(n.Meet(b.ctx, true, far.Addrs()...))
		nodetest.Getter(t, func(*testing.T) nodetest.Source {
			k.wipe()
			return nodetest.Source{Getter: n, Waits: true, Give: func(blocks ...node.Block) { b.ok(far.Put(b.ctx, blocks...)) }}
		})
		if got := n.Traffic(); got.Received < 1<<20 || got.BySource["kubo"] != got.Received {
			t.Errorf("%+v", got)
		}
	})
}

func (k *kubo) store() nodetest.Store {
	return nodetest.Store{Blocks: k.open(), Damage: k.damage, Reopen: func() nodetest.Store {
		k.stop(os.Kill)
		k.start()
		return k.store()
	}}
}

func (k *kubo) pins() nodetest.PinStore {
	n := k.open()
	return nodetest.PinStore{Blocks: n, Pinner: n, Reopen: func() nodetest.PinStore {
		k.stop(os.Kill)
		k.start()
		return k.pins()
	}}
}

// What others have pinned in the same Kubo, under a name or none, stays so,
// whatever we pin and unpin.
func TestKuboOfOthers(t *testing.T) {
	b := newBench(t)
	k := b.kubo("kubo")
	n := k.open()
	leaf := node.NewBlock(cid.Raw, []byte("leaf"))
	named, plain := node.NewBlock(cid.Raw, []byte("named")), node.NewBlock(cid.Raw, []byte("plain"))
	b.ok(n.Put(b.ctx, leaf, named, plain))
	k.run(nil, "pin", "add", "--name", "mine", named.CID.String())
	k.run(nil, "pin", "add", plain.CID.String())
	before := k.pinLs()
	if pins, err := n.Pins(b.ctx); err != nil || len(pins) != 0 {
		t.Fatalf("theirs are ours: %v, %v", pins, err)
	}
	for _, c := range []node.Block{leaf, named, plain} {
		b.ok(n.Pin(b.ctx, node.Pin{Name: "a", Root: c.CID}))
		b.ok(n.Pin(b.ctx, node.Pin{Name: "b", Root: c.CID}))
	}
	if got := k.pinLs(); !strings.Contains(got, "mine + playnode/a + playnode/b") {
		t.Errorf("ipfs pin ls --names:\n%s", got)
	}
	for _, c := range []node.Block{leaf, named, plain} {
		b.ok(n.Delete(b.ctx, c.CID))
		if has, err := n.Has(b.ctx, c.CID); err != nil || !has {
			t.Errorf("what is pinned was deleted: %v", err)
		}
		b.ok(n.Unpin(b.ctx, node.Pin{Name: "b", Root: c.CID}))
		b.ok(n.Unpin(b.ctx, node.Pin{Name: "a", Root: c.CID}))
	}
	if after := k.pinLs(); after != before {
		t.Errorf("ipfs pin ls --names was\n%s and is\n%s", before, after)
	}
}

// A block that has rotted below pins is let go and had again, after which the
// pins are what they were; also when the process ends in between.
func TestKuboMends(t *testing.T) {
	b := newBench(t)
	k := b.kubo("kubo")
	n := k.open()
	leaf, other := node.NewBlock(cid.Raw, bytes.Repeat([]byte("leaf"), 100)), node.NewBlock(cid.Raw, []byte("other"))
	one := node.NewBlock(cid.DagCBOR, list(leaf.CID, other.CID))
	two := node.NewBlock(cid.DagCBOR, list(leaf.CID, one.CID))
	b.ok(n.Put(b.ctx, leaf, other, one, two))
	b.ok(n.Pin(b.ctx, node.Pin{Name: "one", Root: one.CID}))
	b.ok(n.Pin(b.ctx, node.Pin{Name: "two", Root: two.CID}))
	before := k.pinLs()
	for _, again := range []*kuborpc.Node{n, nil} {
		k.damage(leaf.CID)
		if data, err := n.Read(b.ctx, leaf.CID); err == nil {
			t.Fatalf("read %q", data)
		}
		if has, err := n.Has(b.ctx, leaf.CID); err != nil || has {
			t.Fatalf("what is damaged is had: %v", err)
		}
		if pins, err := n.Pins(b.ctx); err != nil || len(pins) != 0 {
			t.Fatalf("pinned with a hole: %v, %v", pins, err)
		}
		if n = again; n == nil {
			n = k.open()
		}
		b.ok(n.Put(b.ctx, leaf))
		if after := k.pinLs(); after != before {
			t.Errorf("ipfs pin ls --names was\n%s and is\n%s", before, after)
		}
	}
}

// list is a list of two links in dag-cbor.
func list(links ...cid.Cid) []byte {
	out := []byte{0x80 + byte(len(links))}
	for _, l := range links {
		out = append(append(out, 0xd8, 42, 0x58, byte(l.ByteLen()+1), 0), l.Bytes()...)
	}
	return out
}

// An archivist whose node is a stock Kubo archives a DJ's catalogue there: it is
// pinned under a clear name, and served by that Kubo; what rots is found and
// mended; a newer version takes the pin of the older; a restart finds it whole.
// Nothing but blocks, pins and records ever goes to its RPC.
func TestArchiveInKubo(t *testing.T) {
	b := newBench(t)
	files := shipped(b, "1-lamp.flac", "2-harbour.mp3")
	dj, archive := b.box("dj"), b.box("archive")
	var pub published
	b.ok(dj.JSON(b.ctx, &pub, "publish", files[0]))
	d := b.start(dj)
	k := b.kubo("kubo")
	rpc, asked := k.overheard()

	var link struct{ Link string }
	b.ok(dj.JSON(b.ctx, &link, "share", "main"))
	var held archived
	b.ok(archive.JSON(b.ctx, &held, "archive", "--once", link.Link, "--kubo", rpc))
	if held.Missing != 0 || held.Manifest != pub.Manifest {
		t.Fatalf("%+v", held)
	}
	pin := func(head string) string { return head + " recursive playnode/follow/" + pub.Name }
	if got := k.pinLs(); !strings.Contains(got, pin(pub.Manifest)) {
		t.Fatalf("ipfs pin ls --names:\n%s", got)
	}
	if _, err := os.Stat(filepath.Join(archive.Repo, "ipfs", "packs")); err == nil {
		t.Error("the archivist has a block store of its own")
	}

	// A newer version, while a daemon runs.
	a := b.start(archive, "--kubo", rpc)
	first := pub.Manifest
	b.ok(dj.JSON(b.ctx, &pub, append([]string{"publish"}, files...)...))
	b.ok(archive.JSON(b.ctx, &held, "archive", "--once", pub.Name, "--peer", d.Addrs[0]))
	if got := k.pinLs(); held.Manifest != pub.Manifest || !strings.Contains(got, pin(pub.Manifest)) || strings.Contains(got, first) {
		t.Fatalf("%+v; ipfs pin ls --names:\n%s", held, got)
	}

	// What rots below the pin is had again from the DJ.
	leaf := strings.Fields(string(k.run(nil, "refs", pub.Playlists[0].Tracks[1].CID)))[1]
	c, err := cid.Decode(leaf)
	b.ok(err)
	k.damage(c)
	var v struct{ Damaged, Repaired int }
	b.ok(archive.JSON(b.ctx, &v, "verify"))
	if v.Damaged != 1 || v.Repaired != 1 || !strings.Contains(k.pinLs(), pin(pub.Manifest)) {
		t.Errorf("%+v; ipfs pin ls --names:\n%s", v, k.pinLs())
	}
	b.ok(a.Stop())
	b.ok(d.Stop())

	// With the DJ gone and all started anew the Kubo serves it to a venue.
	k.stop(os.Interrupt)
	k.start()
	a = b.start(archive, "--kubo", rpc)
	venue := b.box("venue")
	var got archived
	b.ok(venue.JSON(b.ctx, &got, "follow", "--once", pub.Name, "--peer", a.Addrs[0]))
	if got.Manifest != pub.Manifest || got.Missing != 0 {
		t.Errorf("%+v", got)
	}
	secret, err := os.ReadDir(filepath.Join(archive.Repo, "keys"))
	b.ok(err)
	for call, body := range asked() {
		if !slices.Contains(calls, call) {
			t.Errorf("%s was called", call)
		}
		for _, s := range secret {
			key, err := os.ReadFile(filepath.Join(archive.Repo, "keys", s.Name()))
			b.ok(err)
			if len(key) >= 16 && bytes.Contains(body, key) {
				t.Errorf("%s was given the key %s", call, s.Name())
			}
		}
	}

	// Without its Kubo it says what to do.
	b.ok(a.Stop())
	rpc = k.rpc()
	k.stop(os.Interrupt)
	out, err := archive.Run(b.ctx, "archive", "--once", pub.Name, "--kubo", rpc)
	b.ok(err)
	if out.Code != 20 || !bytes.Contains(out.Stderr, []byte("ipfs daemon")) {
		t.Errorf("exit %d: %s", out.Code, out.Stderr)
	}
}

// A DJ whose node is a stock Kubo publishes into it: her newest version is pinned
// there, a collection leaves it whole, and a venue has it from her link. What she
// had published without is refused until it was taken there.
func TestPublishInKubo(t *testing.T) {
	b := newBench(t)
	files := shipped(b, "1-lamp.flac", "2-harbour.mp3")
	dj := b.box("dj")
	var pub published
	b.ok(dj.JSON(b.ctx, &pub, "publish", files[0]))
	k := b.kubo("kubo")
	out, err := dj.Run(b.ctx, "publish", files[1], "--kubo", k.rpc())
	b.ok(err)
	if out.Code != 64 || !bytes.Contains(out.Stderr, []byte("ipfs dag import")) {
		t.Errorf("exit %d: %s", out.Code, out.Stderr)
	}
	car := filepath.Join(b.dir, "move.car")
	b.run(dj.Command(b.ctx, "export", pub.Name, car), nil)
	k.run(nil, "dag", "import", car)
	first := pub.Manifest
	b.ok(dj.JSON(b.ctx, &pub, "publish", files[1], "--kubo", k.rpc()))
	if tracks := pub.Playlists[0].Tracks; len(tracks) != 2 {
		t.Fatalf("%+v", pub)
	}
	got := k.pinLs()
	if !strings.Contains(got, pub.Manifest+" recursive playnode/own/") || strings.Contains(got, first+" recursive playnode") || strings.Count(got, "playnode/own/") != 1 {
		t.Errorf("ipfs pin ls --names:\n%s", got)
	}
	k.run(nil, "repo", "gc", "--quiet")
	if !k.holds(pub.Manifest) {
		t.Error("a collection took what is published")
	}

	b.start(dj, "--kubo", k.rpc())
	var link struct{ Link string }
	b.ok(dj.JSON(b.ctx, &link, "share", "main"))
	var held archived
	b.ok(b.box("venue").JSON(b.ctx, &held, "follow", "--once", link.Link))
	if held.Manifest != pub.Manifest || held.Missing != 0 {
		t.Errorf("%+v", held)
	}
}

// calls are all that an attached Kubo is ever asked.
var calls = []string{
	"version", "id", "stats/bitswap", "repo/stat", "swarm/connect", "swarm/peering/add", "refs",
	"block/put", "block/get", "block/stat", "block/rm", "dag/import", "pin/add", "pin/ls", "pin/rm", "pin/update", "name/put", "name/get",
}

// archived is what archive and follow print.
type archived struct {
	Name, Manifest string
	Missing        int
}

// overheard is the address of its RPC by way of one who listens, and what was
// asked so far, by call.
func (k *kubo) overheard() (rpc string, asked func() map[string][]byte) {
	var mu sync.Mutex
	said := map[string][]byte{}
	proxy := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		to := strings.TrimPrefix(k.rpc(), "http://") // another one after a restart
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", to, to
		body, _ := io.ReadAll(r.In.Body)
		r.Out.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		defer mu.Unlock()
		call := strings.TrimPrefix(r.In.URL.Path, "/api/v0/")
		said[call] = append(append(said[call], body...), r.In.URL.RawQuery...)
	}})
	k.b.Cleanup(proxy.Close)
	return proxy.URL, func() map[string][]byte {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(said)
	}
}

// What has grown is pinned by what is new in it alone, and with a hole in that
// not at all; the version before stays pinned until it is let go.
func TestKuboPinsWhatHasGrown(t *testing.T) {
	b := newBench(t)
	k := b.kubo("kubo")
	rpc, asked := k.overheard()
	n, err := kuborpc.Open(b.ctx, kuborpc.Config{RPC: rpc})
	b.ok(err)
	leaf := func(s string) node.Block { return node.NewBlock(cid.Raw, []byte(s)) }
	old, twin, fresh := leaf("old"), leaf("twin"), leaf("fresh")
	kept, was, is := node.NewBlock(cid.DagCBOR, list(old.CID, twin.CID)), node.NewBlock(cid.DagCBOR, list(old.CID)), node.NewBlock(cid.DagCBOR, list(old.CID, fresh.CID))
	one, two := node.NewBlock(cid.DagCBOR, list(kept.CID, was.CID)), node.NewBlock(cid.DagCBOR, list(kept.CID, is.CID))
	b.ok(n.Put(b.ctx, old, twin, kept, was, one))
	b.ok(n.Pin(b.ctx, node.Pin{Name: "a", Root: one.CID}))
	b.ok(n.Put(b.ctx, is, two))
	if err := n.Pin(b.ctx, node.Pin{Name: "a", Root: two.CID}); !errors.Is(err, node.ErrNotFound) {
		t.Fatalf("pinned with a hole: %v", err)
	}
	b.ok(n.Put(b.ctx, fresh))
	before := bytes.Count(asked()["refs"], []byte("arg="))
	b.ok(n.Pin(b.ctx, node.Pin{Name: "a", Root: two.CID}))
	if walked := bytes.Count(asked()["refs"], []byte("arg=")) - before; walked != 0 || len(asked()["pin/update"]) == 0 {
		t.Errorf("%d graphs were walked", walked)
	}
	b.ok(n.Unpin(b.ctx, node.Pin{Name: "a", Root: one.CID}))
	if pins, err := n.Pins(b.ctx); err != nil || len(pins) != 1 || pins[0] != (node.Pin{Name: "a", Root: two.CID}) {
		t.Errorf("%v, %v", pins, err)
	}
	// Under another name as well it is pinned as ever, and what grows out of it too.
	b.ok(n.Pin(b.ctx, node.Pin{Name: "b", Root: two.CID}))
	b.ok(n.Pin(b.ctx, node.Pin{Name: "b", Root: one.CID}))
	if got := k.pinLs(); !strings.Contains(got, two.CID.String()+" recursive playnode/a + playnode/b") || !strings.Contains(got, one.CID.String()+" recursive playnode/b") {
		t.Errorf("ipfs pin ls --names:\n%s", got)
	}
}
