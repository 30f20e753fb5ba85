package http_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	stdhttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	"github.com/ipfs/go-cid"
	"github.com/ipld/go-car/v2"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"playnode/node"
	"playnode/node/http"
	"playnode/node/memory"
	"playnode/node/nodetest"
)

func TestMain(m *testing.M) {
	// boxo's routing client, the oracle, brings a worker that never ends.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// gateway serves a memory node's blocks, and lies where told to.
type gateway struct {
	*memory.Node
	*httptest.Server
	mu   sync.Mutex
	lies map[string][]byte
}

func newGateway(t *testing.T, record func(string) ([]byte, error)) *gateway {
	g := &gateway{Node: memory.NewWorld().Node("gateway"), lies: map[string][]byte{}}
	h := http.NewHandler(http.HandlerConfig{Blocks: g.Node, Record: record})
	g.Server = httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		g.mu.Lock()
		lie, ok := g.lies[strings.TrimPrefix(r.URL.Path, "/ipfs/")]
		g.mu.Unlock()
		if ok {
			w.Write(lie)
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { g.Server.Close(); g.Node.Close() })
	return g
}

func client(t *testing.T, g *gateway) *http.Client {
	c, err := http.NewClient(http.ClientConfig{URL: g.URL, HTTP: g.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	nodetest.Getter(t, func(t *testing.T) nodetest.Source {
		g := newGateway(t, nil)
		return nodetest.Source{
			Getter: client(t, g),
			Give:   func(blocks ...node.Block) { g.Put(context.Background(), blocks...) },
			Lie: func(c cid.Cid, wrong []byte) {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.lies[c.String()] = wrong
			},
		}
	})
}

func TestClientTellsLiesFromAbsence(t *testing.T) {
	g := newGateway(t, nil)
	b := node.NewBlock(cid.Raw, []byte("block"))
	if _, err := client(t, g).Get(t.Context(), b.CID, node.Want{}); !errors.Is(err, node.ErrNotFound) || errors.Is(err, node.ErrVerify) {
		t.Fatalf("absent: %v", err)
	}
	g.lies[b.CID.String()] = []byte("other")
	if _, err := client(t, g).Get(t.Context(), b.CID, node.Want{}); !errors.Is(err, node.ErrVerify) {
		t.Fatalf("wrong: %v", err)
	}
	for _, bad := range []string{"", "gateway.example", "ftp://x", "http://x/?a=b"} {
		if _, err := http.NewClient(http.ClientConfig{URL: bad}); err == nil {
			t.Errorf("URL %q was taken", bad)
		}
	}
}

// TestTrustlessOnly asks for whatever a browser might.
func TestTrustlessOnly(t *testing.T) {
	g := newGateway(t, nil)
	page := node.NewBlock(cid.Raw, []byte("<script>alert(1)</script>"))
	g.Put(t.Context(), page)
	get := func(path, accept string) (int, stdhttp.Header, []byte) {
		req, _ := stdhttp.NewRequestWithContext(t.Context(), "GET", g.URL+path, nil)
		if accept != "" {
			req.Header.Set("Accept", accept)
		}
		res, err := g.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, res.Header, body
	}
	for _, p := range []string{"/ipfs/" + page.CID.String(), "/ipfs/" + page.CID.String() + "?format=dag-json", "/ipns/example.com", "/", "/api/v0/id"} {
		if code, _, body := get(p, "text/html"); code < 400 || bytes.Contains(body, page.Data) {
			t.Errorf("%s: %d %q", p, code, body)
		}
	}
	code, h, body := get("/ipfs/"+page.CID.String(), "application/vnd.ipld.raw")
	if code != 200 || !bytes.Equal(body, page.Data) || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Type") != "application/vnd.ipld.raw" {
		t.Errorf("raw: %d %v %q", code, h, body)
	}
}

// TestCAR has an independent reader take a graph of all three codecs.
func TestCAR(t *testing.T) {
	g := newGateway(t, nil)
	leaf := node.NewBlock(cid.Raw, []byte("leaf"))
	l := leaf.CID.Bytes()
	root := node.NewBlock(cid.DagCBOR, append([]byte{0x81, 0xd8, 42, 0x58, byte(len(l) + 1), 0}, l...))
	g.Put(t.Context(), leaf, root)
	res, err := g.Client().Get(g.URL + "/ipfs/" + root.CID.String() + "?format=car")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r, err := car.NewBlockReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got []cid.Cid
	for {
		b, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Cid())
	}
	if len(got) != 2 || got[0] != root.CID || got[1] != leaf.CID {
		t.Fatalf("CAR holds %v", got)
	}
}

func TestRecord(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	k, _ := crypto.UnmarshalEd25519PrivateKey(key)
	id, _ := peer.IDFromPrivateKey(k)
	name := ipns.NameFromPeer(id).String()
	block := node.NewBlock(cid.Raw, []byte("x"))
	rec, err := ipns.NewRecord(k, path.FromCid(block.CID), 1, time.Unix(1, 0), time.Minute) // long past: served all the same
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := ipns.MarshalRecord(rec)
	g := newGateway(t, func(n string) ([]byte, error) {
		if n != name {
			return nil, node.ErrNotFound
		}
		return raw, nil
	})
	g.Put(t.Context(), block)
	c := client(t, g)
	if got, err := c.Record(t.Context(), name); err != nil || !bytes.Equal(got, raw) {
		t.Fatalf("Record = %d bytes, %v", len(got), err)
	}
	_, other, _ := ed25519.GenerateKey(nil)
	k, _ = crypto.UnmarshalEd25519PrivateKey(other)
	id, _ = peer.IDFromPrivateKey(k)
	if _, err := c.Record(t.Context(), ipns.NameFromPeer(id).String()); !errors.Is(err, node.ErrNotFound) {
		t.Fatalf("Record of another name = %v", err)
	}
}
