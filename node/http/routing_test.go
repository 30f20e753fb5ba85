package http_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	stdhttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/path"
	boxoclient "github.com/ipfs/boxo/routing/http/client"
	"github.com/ipfs/boxo/routing/http/server"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

	"playnode/node"
	"playnode/node/http"
	"playnode/node/memory"
)

// signed is a name and its record, made by boxo.
func signed(t *testing.T, seq uint64, eol time.Time) (ipns.Name, *ipns.Record, []byte) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	k, _ := crypto.UnmarshalEd25519PrivateKey(key)
	id, _ := peer.IDFromPrivateKey(k)
	rec, err := ipns.NewRecord(k, path.FromCid(node.NewBlock(cid.Raw, []byte("x")).CID), seq, eol, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ipns.MarshalRecord(rec)
	if err != nil {
		t.Fatal(err)
	}
	return ipns.NameFromPeer(id), rec, raw
}

// kept is a daemon's side of the handler, for the names that it wants.
type kept struct {
	mu    sync.Mutex
	wants map[string]bool
	m     map[string][]byte
}

func (k *kept) record(name string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if raw, ok := k.m[name]; ok {
		return raw, nil
	}
	return nil, node.ErrNotFound
}

func (k *kept) put(name string, raw []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.wants[name] {
		return http.ErrUnwanted
	}
	rec, err := ipns.UnmarshalRecord(raw)
	if n, e := ipns.NameFromString(name); err == nil && e == nil {
		err = ipns.ValidateWithName(rec, n)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", http.ErrRefused, err)
	}
	k.m[name] = raw
	return nil
}

func routingServer(t *testing.T) (*kept, *httptest.Server) {
	k := &kept{wants: map[string]bool{}, m: map[string][]byte{}}
	s := httptest.NewServer(http.NewHandler(http.HandlerConfig{Blocks: memory.NewWorld().Node("x"), Record: k.record, Put: k.put}))
	t.Cleanup(s.Close)
	return k, s
}

// TestBoxoClient has boxo put and get at our server.
func TestBoxoClient(t *testing.T) {
	k, s := routingServer(t)
	c, err := boxoclient.New(s.URL, boxoclient.WithHTTPClient(s.Client()), boxoclient.WithDisabledLocalFiltering(true))
	if err != nil {
		t.Fatal(err)
	}
	name, rec, raw := signed(t, 1, time.Now().Add(time.Hour))
	if _, err := c.GetIPNS(t.Context(), name); !errors.Is(err, routing.ErrNotFound) {
		t.Fatalf("a record that is not there: %v", err)
	}
	if err := c.PutIPNS(t.Context(), name, rec); err == nil || !strings.Contains(err.Error(), "403") {
		t.Fatalf("a name that is not wanted: %v", err)
	}
	k.wants[name.String()] = true
	if err := c.PutIPNS(t.Context(), name, rec); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetIPNS(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if back, _ := ipns.MarshalRecord(got); !bytes.Equal(back, raw) {
		t.Fatal("another record came back")
	}
}

// delegate is boxo's server's other half.
type delegate struct {
	server.DelegatedRouter
	mu sync.Mutex
	m  map[ipns.Name]*ipns.Record
}

func (d *delegate) GetIPNS(_ context.Context, name ipns.Name) (*ipns.Record, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r, ok := d.m[name]; ok {
		return r, nil
	}
	return nil, routing.ErrNotFound
}

func (d *delegate) PutIPNS(_ context.Context, name ipns.Name, r *ipns.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.m[name] = r
	return nil
}

func router(t *testing.T, s *httptest.Server) *http.Router {
	r, err := http.NewRouter(http.ClientConfig{URL: s.URL, HTTP: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBoxoServer puts and gets at boxo's server.
func TestBoxoServer(t *testing.T) {
	s := httptest.NewServer(server.Handler(&delegate{m: map[ipns.Name]*ipns.Record{}}))
	defer s.Close()
	r := router(t, s)
	name, _, raw := signed(t, 1, time.Now().Add(time.Hour))
	if _, err := r.Record(t.Context(), name.String()); !errors.Is(err, node.ErrNotFound) {
		t.Fatalf("a record that is not there: %v", err)
	}
	if err := r.PutRecord(t.Context(), name.String(), raw[:len(raw)-1]); err == nil {
		t.Fatal("boxo took a cut record, says our client")
	}
	if err := r.PutRecord(t.Context(), name.String(), raw); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Record(t.Context(), name.String()); err != nil || !bytes.Equal(got, raw) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

// TestRoutingRequests sends what no client of ours would.
func TestRoutingRequests(t *testing.T) {
	const kind = "application/vnd.ipfs.ipns-record"
	k, s := routingServer(t)
	name, _, raw := signed(t, 1, time.Now().Add(time.Hour))
	old, _, past := signed(t, 1, time.Now().Add(-time.Hour))
	k.wants[name.String()] = true
	k.m[old.String()] = past
	do := func(method, path, header, value string, body []byte) *stdhttp.Response {
		req, _ := stdhttp.NewRequestWithContext(t.Context(), method, s.URL+path, bytes.NewReader(body))
		if header != "" {
			req.Header.Set(header, value)
		}
		res, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ = io.ReadAll(res.Body)
		res.Body.Close()
		res.Body = io.NopCloser(bytes.NewReader(body))
		return res
	}
	at := "/routing/v1/ipns/" + name.String()
	for what, c := range map[string]struct {
		method, path, header, value string
		body                        []byte
		want                        int
	}{
		"put, no type":     {"PUT", at, "", "", raw, 406},
		"put, another":     {"PUT", at, "Content-Type", "application/json", raw, 406},
		"put, no name":     {"PUT", "/routing/v1/ipns/", "Content-Type", kind, raw, 400},
		"put, nonsense":    {"PUT", "/routing/v1/ipns/nonsense", "Content-Type", kind, raw, 400},
		"put, empty":       {"PUT", at, "Content-Type", kind, nil, 400},
		"put, oversized":   {"PUT", at, "Content-Type", kind, append(bytes.Clone(raw), make([]byte, 10<<10)...), 400},
		"put, another's":   {"PUT", at, "Content-Type", kind, past, 400},
		"put, unwanted":    {"PUT", "/routing/v1/ipns/" + old.String(), "Content-Type", kind, past, 403},
		"get, as JSON":     {"GET", at, "Accept", "application/json", nil, 406},
		"post":             {"POST", at, "Content-Type", kind, raw, 405},
		"providers":        {"GET", "/routing/v1/providers/" + node.NewBlock(cid.Raw, nil).CID.String(), "", "", nil, 404},
		"put to a gateway": {"PUT", "/ipns/" + name.String(), "Content-Type", kind, raw, 405},
	} {
		if res := do(c.method, c.path, c.header, c.value, c.body); res.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", what, res.Status, c.want)
		}
	}
	if len(k.m) != 1 {
		t.Fatalf("%d records are kept", len(k.m))
	}
	if res := do("GET", at, "", "", nil); res.StatusCode != 200 || strings.Contains(res.Header.Get("Content-Type"), kind) {
		t.Errorf("no record: %s as %s", res.Status, res.Header.Get("Content-Type"))
	}
	if res := do("PUT", at, "Content-Type", kind, raw); res.StatusCode != 200 {
		t.Fatalf("put: %s", res.Status)
	}
	res := do("GET", at, "Accept", "*/*", nil)
	body, _ := io.ReadAll(res.Body)
	if res.Header.Get("Content-Type") != kind || !bytes.Equal(body, raw) || !strings.HasPrefix(res.Header.Get("Cache-Control"), "public, max-age=60") || res.Header.Get("Etag") == "" {
		t.Errorf("get: %v, %d bytes", res.Header, len(body))
	}
	if res := do("GET", at, "If-None-Match", res.Header.Get("Etag"), nil); res.StatusCode != 304 {
		t.Errorf("the same again: %s", res.Status)
	}
	if res := do("GET", "/routing/v1/ipns/"+old.String(), "", "", nil); res.StatusCode != 200 || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a record that has ended: %s %v", res.Status, res.Header)
	}
}

// TestHostileRouter reads from servers that answer with anything.
func TestHostileRouter(t *testing.T) {
	name, _, _ := signed(t, 1, time.Now())
	for what, h := range map[string]stdhttp.HandlerFunc{
		"too much": func(w stdhttp.ResponseWriter, _ *stdhttp.Request) {
			w.Header().Set("Content-Type", "application/vnd.ipfs.ipns-record")
			w.Write(make([]byte, 1<<20))
		},
		"a page":   func(w stdhttp.ResponseWriter, _ *stdhttp.Request) { io.WriteString(w, "<html>") },
		"an error": func(w stdhttp.ResponseWriter, _ *stdhttp.Request) { w.WriteHeader(500) },
		"a loop": func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
			stdhttp.Redirect(w, r, r.URL.Path, stdhttp.StatusFound)
		},
	} {
		s := httptest.NewServer(h)
		if raw, err := router(t, s).Record(t.Context(), name.String()); !errors.Is(err, node.ErrNotFound) || raw != nil {
			t.Errorf("%s: %d bytes, %v", what, len(raw), err)
		}
		s.Close()
	}
	if _, err := http.NewRouter(http.ClientConfig{URL: "ftp://x"}); err == nil {
		t.Error("an ftp router was taken")
	}
}
