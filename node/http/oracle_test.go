package http_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	stdhttp "net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	chunk "github.com/ipfs/boxo/chunker"
	oracle "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/prometheus/client_golang/prometheus"

	"playnode/node"
	"playnode/node/http"
	"playnode/node/memory"
)

// boxo's whole gateway says what a trustless gateway answers: ours gives the
// same, byte by byte, to whatever it may be asked.
func TestAnswersAreAsBoxoHasThem(t *testing.T) {
	store := blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	blocks := blockservice.New(store, nil)
	data := make([]byte, 5000)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	params := helpers.DagBuilderParams{Maxlinks: 4, RawLeaves: true, CidBuilder: cid.V1Builder{Codec: cid.DagProtobuf, MhType: 0x12}, Dagserv: merkledag.NewDAGService(blocks)}
	b, err := params.New(chunk.NewSizeSplitter(bytes.NewReader(data), 256))
	if err != nil {
		t.Fatal(err)
	}
	file, err := balanced.Layout(b)
	if err != nil {
		t.Fatal(err)
	}
	ours := memory.NewWorld().Node("gateway")
	defer ours.Close()
	link := file.Cid().Bytes()
	leaf := node.NewBlock(cid.Raw, []byte("<script>leaf</script>"))
	root := node.NewBlock(cid.DagCBOR, append(append([]byte("\xa2\x61a\xd8\x2a\x58"), byte(len(link)+1), 0), append(link, "\x61b\x01"...)...))
	missing := node.NewBlock(cid.Raw, []byte("missing"))
	keys, err := store.AllKeysChan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for c := range keys { // raw, whatever they are
		data, err := store.Get(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, codec := range []uint64{cid.Raw, cid.DagProtobuf} {
			if err := ours.Put(t.Context(), node.Block{CID: cid.NewCidV1(codec, c.Hash()), Data: data.RawData()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, b := range []node.Block{leaf, root} {
		theirs, err := block.NewBlockWithCid(b.Data, b.CID)
		if err := errors.Join(err, store.Put(t.Context(), theirs), ours.Put(t.Context(), b)); err != nil {
			t.Fatal(err)
		}
	}
	registry := prometheus.NewRegistry()
	backend, err := oracle.NewBlocksBackend(blocks, oracle.WithPrometheusRegistry(registry))
	if err != nil {
		t.Fatal(err)
	}
	handlers := []stdhttp.Handler{
		http.NewHandler(http.HandlerConfig{Blocks: ours}),
		oracle.NewHandler(oracle.Config{NoDNSLink: true, DisableHTMLErrors: true, RetrievalTimeout: time.Minute, MaxRequestDuration: time.Minute, MetricsRegistry: registry}, backend),
	}
	f, r, l := "/ipfs/"+file.Cid().String(), "/ipfs/"+root.CID.String(), "/ipfs/"+leaf.CID.String()
	paths := []string{"/", "/ipfs", "/ipfs/", "/ipfs/x", "/ipns/example.com", "/api/v0/id", f, r, l, "/ipfs/bafkqaaa?format=raw", "/ipfs/" + missing.CID.String() + "?format=raw", r + "/a?format=raw", l + "?format=tar"}
	for _, p := range []string{f, r, l} {
		paths = append(paths, p+"?format=raw", p+"?format=car", p+"?format=car&filename=ä%22.car", p+"?format=ipns-record", p+"?format=dag-json", p+"?format=json")
	}
	for _, p := range []string{f, r, r + "/a", r + "/a/", r + "/none", r + "/b", f + "/none"} {
		for _, q := range []string{"", "&dag-scope=block", "&dag-scope=entity", "&dag-scope=all", "&dag-scope=x", "&entity-bytes=x", "&dag-scope=entity&entity-bytes=300:900", "&dag-scope=entity&entity-bytes=-100:*", "&car-dups=y", "&car-dups=x", "&car-order=unk", "&car-order=x", "&car-version=1", "&car-version=2"} {
			paths = append(paths, p+"?format=car"+q)
		}
	}
	type asked struct{ method, path, header, value string }
	var all []asked
	for _, p := range paths {
		all = append(all, asked{"GET", p, "", ""})
	}
	for _, p := range []string{f, r, l, l + "?format=raw", l + "?format=car"} {
		for _, a := range []string{"text/html", "*/*", "application/vnd.ipld.raw", "application/vnd.ipld.car", "text/html, application/vnd.ipld.raw;q=.1", "application/vnd.ipld.car; version=1; order=unk; dups=y", "application/vnd.ipld.car; version=2", "application/vnd.ipld.dag-json"} {
			all = append(all, asked{"GET", p, "Accept", a})
		}
		all = append(all, asked{"HEAD", p, "", ""}, asked{"POST", p, "", ""}, asked{"OPTIONS", p, "", ""}, asked{"GET", p, "Range", "bytes=2-5"}, asked{"GET", p, "Range", "bytes=900-"},
			asked{"GET", p, "If-None-Match", "*"}, asked{"GET", p, "If-None-Match", `"x", "` + leaf.CID.String() + `.raw"`})
	}
	all = append(all, asked{"GET", "/ipfs/" + missing.CID.String() + "?format=raw", "Cache-Control", "only-if-cached"}, asked{"GET", l + "?format=raw", "Cache-Control", "only-if-cached"})
	good := 0
	for _, a := range all {
		var got [2]*stdhttp.Response
		var bodies [2][]byte
		for i, h := range handlers {
			req := httptest.NewRequest(a.method, a.path, nil)
			if a.header != "" {
				req.Header.Set(a.header, a.value)
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, req)
			got[i] = rec.Result()
			if bodies[i], err = io.ReadAll(got[i].Body); err != nil {
				t.Fatal(err)
			}
		}
		if got[0].StatusCode != got[1].StatusCode {
			t.Errorf("%v: %d %q, and boxo says %d %q", a, got[0].StatusCode, bodies[0], got[1].StatusCode, bodies[1])
			continue
		}
		if got[0].StatusCode >= 300 || a.method == "OPTIONS" {
			continue
		}
		good++
		if a.method == "GET" && !bytes.Equal(bodies[0], bodies[1]) {
			t.Errorf("%v: %d bytes, and boxo sends %d: %.300q\n%.300q", a, len(bodies[0]), len(bodies[1]), bodies[0], bodies[1])
		}
		for _, h := range []string{"Content-Type", "X-Content-Type-Options", "Cache-Control", "Content-Disposition", "X-Ipfs-Roots", "Accept-Ranges", "Content-Range", "Content-Length"} {
			if a.method == "HEAD" && h == "Content-Length" && got[0].Header.Get("Accept-Ranges") == "none" {
				continue
			}
			if x, y := got[0].Header.Get(h), got[1].Header.Get(h); x != y {
				t.Errorf("%v: %s is %q, and boxo's %q", a, h, x, y)
			}
		}
		if x, y := got[0].Header.Get("Etag"), got[1].Header.Get("Etag"); (x == "") != (y == "") || got[0].Header.Get("Content-Type") == "application/vnd.ipld.raw" && x != y {
			t.Errorf("%v: Etag is %q, and boxo's %q", a, x, y)
		}
	}
	if good < 80 {
		t.Errorf("%d of %d requests were answered", good, len(all))
	}
}
