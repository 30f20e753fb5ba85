package http_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	stdhttp "net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	boxo "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"playnode/node"
	"playnode/node/http"
	"playnode/node/memory"
	"playnode/node/nodetest"
)

// graph is a root over n leaves, one of them linked twice.
func graph(n int) (root node.Block, leaves []node.Block) {
	var links []cid.Cid
	var sizes []uint64
	for i := range n {
		b := node.NewBlock(cid.Raw, bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 1000))
		leaves, links, sizes = append(leaves, b), append(links, b.CID), append(sizes, 2000)
	}
	return nodetest.Branch(boxo.NewFSNode(boxo.TFile), append(links, links[0]), append(sizes, 2000)), leaves
}

// carOf is what a gateway sends.
func carOf(blocks ...node.Block) []byte {
	header := []byte("\xa2\x65roots\x80\x67version\x01")
	out := append(binary.AppendUvarint(nil, uint64(len(header))), header...)
	for _, b := range blocks {
		id := b.CID.Bytes()
		out = append(binary.AppendUvarint(out, uint64(len(id)+len(b.Data))), id...)
		out = append(out, b.Data...)
	}
	return out
}

func streamed(c *http.Client, ctx context.Context, root cid.Cid) (got []cid.Cid, err error) {
	err = c.Stream(ctx, root, func(b node.Block) error { got = append(got, b.CID); return node.Verify(b.CID, b.Data) })
	return got, err
}

func TestStream(t *testing.T) {
	g := newGateway(t, nil)
	root, leaves := graph(50)
	top := node.NewBlock(cid.DagCBOR, append([]byte{0x81, 0xd8, 42, 0x58, 37, 0}, root.CID.Bytes()...))
	if err := g.Put(t.Context(), append(leaves, root, top)...); err != nil {
		t.Fatal(err)
	}
	got, err := streamed(client(t, g), t.Context(), top.CID)
	if err != nil || len(got) != 52 || got[0] != top.CID || got[1] != root.CID || got[2] != leaves[0].CID || got[51] != leaves[49].CID {
		t.Fatalf("%d blocks, %v", len(got), err)
	}
	if got, err := streamed(client(t, g), t.Context(), leaves[3].CID); err != nil || len(got) != 1 {
		t.Fatalf("a leaf: %v, %v", got, err)
	}
	// What is not all there ends as not found, and f's error is the caller's.
	g.Delete(t.Context(), leaves[30].CID)
	if got, err := streamed(client(t, g), t.Context(), top.CID); !errors.Is(err, node.ErrNotFound) || len(got) != 32 {
		t.Fatalf("with a leaf missing: %d blocks, %v", len(got), err)
	}
	if err := client(t, g).Stream(t.Context(), top.CID, func(node.Block) error { return io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := client(t, g).Stream(ctx, top.CID, func(node.Block) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// TestHostileStream has gateways send what nobody asked for.
func TestHostileStream(t *testing.T) {
	root, leaves := graph(3)
	stranger := node.NewBlock(cid.Raw, []byte("anything"))
	forged := node.Block{CID: leaves[1].CID, Data: []byte("other")}
	identity := must(cid.NewPrefixV1(cid.Raw, multihash.IDENTITY).Sum([]byte("x")))
	odd := nodetest.Branch(boxo.NewFSNode(boxo.TFile), []cid.Cid{identity}, []uint64{1})
	torn := node.NewBlock(cid.DagProtobuf, []byte{0xff})
	large := binary.AppendUvarint(carOf(root), node.MaxBlock+65)
	for name, c := range map[string]struct {
		root cid.Cid
		body []byte
		want error // node.ErrVerify where the gateway is at fault for sure
	}{
		"a block that nothing links": {root.CID, carOf(root, stranger), node.ErrVerify},
		"another root":               {root.CID, carOf(stranger), node.ErrVerify},
		"other bytes":                {root.CID, carOf(root, leaves[0], forged), node.ErrVerify},
		"cut":                        {root.CID, carOf(root, leaves[0], leaves[1])[:3000], node.ErrNotFound},
		"an end too early":           {root.CID, carOf(root, leaves[0]), node.ErrNotFound},
		"nothing":                    {root.CID, nil, node.ErrNotFound},
		"a header without end":       {root.CID, []byte{0xff, 0xff, 0xff, 0x7f}, node.ErrNotFound},
		"a section without end":      {root.CID, large, node.ErrNotFound},
		"an empty section":           {root.CID, append(carOf(root), 0), node.ErrNotFound},
		"no CID":                     {root.CID, append(carOf(root), 3, 1, 2, 3), node.ErrNotFound},
		"repeats without end":        {root.CID, carOf(slices.Repeat([]node.Block{root}, 100)...), node.ErrNotFound},
		"its maker's odd links":      {odd.CID, carOf(odd), node.ErrNotFound},
		"its maker's torn node":      {torn.CID, carOf(torn), node.ErrNotFound},
	} {
		s := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
			w.Header().Set("Content-Type", "application/vnd.ipld.car; version=1")
			w.Write(c.body)
		}))
		got, err := streamed(must(http.NewClient(http.ClientConfig{URL: s.URL, HTTP: s.Client()})), t.Context(), c.root)
		if !errors.Is(err, c.want) || errors.Is(err, node.ErrVerify) != (c.want == node.ErrVerify) || len(got) > 2 {
			t.Errorf("%s: %d blocks, %v", name, len(got), err)
		}
		s.Close()
	}
}

// TestHostOfFiles gives blocks and records, and is asked for a CAR once.
func TestHostOfFiles(t *testing.T) {
	root, _ := graph(3)
	var asked atomic.Int32
	for _, status := range []int{stdhttp.StatusOK, stdhttp.StatusNotAcceptable} {
		s := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
			if r.URL.Query().Get("format") == "car" {
				asked.Add(1)
				w.WriteHeader(status)
			}
			w.Write(root.Data)
		}))
		asked.Store(0)
		c := must(http.NewClient(http.ClientConfig{URL: s.URL, HTTP: s.Client()}))
		for range 3 {
			if got, err := streamed(c, t.Context(), root.CID); !errors.Is(err, node.ErrNotFound) || errors.Is(err, node.ErrVerify) || len(got) > 0 {
				t.Fatalf("%d: %v, %v", status, got, err)
			}
		}
		if data, err := c.Get(t.Context(), root.CID, node.Want{}); err != nil || !bytes.Equal(data, root.Data) {
			t.Fatal(err)
		}
		if asked.Load() != 1 {
			t.Errorf("%d: asked for a CAR %d times", status, asked.Load())
		}
		s.Close()
	}
}

// TestAllow judges what is dialled, redirects too.
func TestAllow(t *testing.T) {
	b := node.NewBlock(cid.Raw, []byte("block"))
	var served atomic.Int32
	s := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) { served.Add(1); w.Write(b.Data) }))
	defer s.Close()
	no := errors.New("not there")
	c := must(http.NewClient(http.ClientConfig{URL: s.URL, Allow: func(a netip.Addr) error {
		if a != netip.MustParseAddr("127.0.0.1") {
			return fmt.Errorf("judged %s", a)
		}
		return no
	}}))
	if _, err := c.Get(t.Context(), b.CID, node.Want{}); !errors.Is(err, no) || served.Load() != 0 {
		t.Fatalf("%v, served %d", err, served.Load())
	}
	c = must(http.NewClient(http.ClientConfig{URL: s.URL, Allow: func(netip.Addr) error { return nil }}))
	if data, err := c.Get(t.Context(), b.CID, node.Want{}); err != nil || !bytes.Equal(data, b.Data) {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// counted counts what is read of a store.
type counted struct {
	*memory.Node
	reads atomic.Int64
}

func (c *counted) Read(ctx context.Context, id cid.Cid) ([]byte, error) {
	c.reads.Add(1)
	return c.Node.Read(ctx, id)
}

// TestCARIsStreamed has a reader who takes nothing after the first block: of
// 32 MiB no more is read than buffers on the way hold.
func TestCARIsStreamed(t *testing.T) {
	store := &counted{Node: memory.NewWorld().Node("large")}
	defer store.Close()
	var links []cid.Cid
	var sizes []uint64
	const leaves, leaf = 32, 1 << 20
	for i := range leaves {
		b := node.NewBlock(cid.Raw, bytes.Repeat([]byte{byte(i)}, leaf))
		if err := store.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		links, sizes = append(links, b.CID), append(sizes, leaf)
	}
	root := nodetest.Branch(boxo.NewFSNode(boxo.TFile), links, sizes)
	if err := store.Put(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.NewHandler(http.HandlerConfig{Blocks: store}))
	s.Start()
	defer s.Close()
	c := must(http.NewClient(http.ClientConfig{URL: s.URL, HTTP: s.Client()}))
	stop := errors.New("stop")
	n := 0
	err := c.Stream(t.Context(), root.CID, func(node.Block) error {
		if n++; n == 2 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	s.CloseClientConnections()
	s.Close() // waits for the handler to end
	if got := store.reads.Load(); got > leaves*2/3 {
		t.Errorf("%d of %d blocks were read for a reader of 2", got, leaves+1)
	}
}

// TestGatewayConditions has HEAD, ranges and If-None-Match as the trustless
// gateway's specification wants them.
func TestGatewayConditions(t *testing.T) {
	g := newGateway(t, nil)
	b := node.NewBlock(cid.Raw, []byte("0123456789"))
	absent := node.NewBlock(cid.Raw, []byte("absent"))
	g.Put(t.Context(), b)
	ask := func(method string, c cid.Cid, header ...string) (*stdhttp.Response, []byte) {
		req := must(stdhttp.NewRequestWithContext(t.Context(), method, g.URL+"/ipfs/"+c.String()+"?format=raw", nil))
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res := must(g.Client().Do(req))
		defer res.Body.Close()
		return res, must(io.ReadAll(res.Body))
	}
	res, body := ask("HEAD", b.CID)
	tag := res.Header.Get("Etag")
	if res.StatusCode != 200 || len(body) != 0 || res.ContentLength != 10 || tag == "" {
		t.Errorf("HEAD: %s, %d bytes of %d, Etag %q", res.Status, len(body), res.ContentLength, tag)
	}
	if res, _ := ask("HEAD", absent.CID); res.StatusCode != 404 {
		t.Errorf("HEAD of what is absent: %s", res.Status)
	}
	if res, body := ask("GET", b.CID, "If-None-Match", tag); res.StatusCode != 304 || len(body) != 0 {
		t.Errorf("If-None-Match: %s", res.Status)
	}
	if res, body := ask("GET", b.CID, "Range", "bytes=2-4"); res.StatusCode != 206 || string(body) != "234" {
		t.Errorf("Range: %s %q", res.Status, body)
	}
	if res, _ := ask("POST", b.CID); res.StatusCode < 400 {
		t.Errorf("POST: %s", res.Status)
	}
	if res, _ := ask("GET", b.CID); !bytes.Contains([]byte(res.Header.Get("Cache-Control")), []byte("immutable")) {
		t.Errorf("Cache-Control %q", res.Header.Get("Cache-Control"))
	}
}
