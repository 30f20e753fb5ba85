package pinning

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

var root = node.NewBlock(cid.Raw, []byte("root")).CID

// What a real service says is tested with one, in interop; here is what a
// stranger one may.
func TestHostileService(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer(w, r)
	}))
	defer srv.Close()
	s, err := New(Config{URL: srv.URL + "/", Token: "secret", Owner: "me"})
	if err != nil {
		t.Fatal(err)
	}
	for what, a := range map[string]http.HandlerFunc{
		"an error":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		"a web page": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"spaces for ever": func(w http.ResponseWriter, _ *http.Request) {
			for range 64 {
				io.WriteString(w, strings.Repeat(" ", 1<<20))
			}
		},
		"no token taken": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, "{}")
		},
	} {
		answer = a
		check := func(err error) {
			t.Helper()
			if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "pinning-token") != (what == "no token taken") {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err := s.Copies(t.Context(), "x")
		check(err)
		_, err = s.Of(t.Context(), root)
		check(err)
		_, err = s.Add(t.Context(), node.Pin{Name: "x", Root: root}, nil)
		check(err)
		if what != "a web page" && what != "spaces for ever" { // whose text nobody reads here
			check(s.Remove(t.Context(), "1"))
		}
	}

	// It answers for what was not asked for, and never comes to an end.
	page := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(`{"requestid":"%d","status":"pinned","created":%q,"pin":{"cid":%q,"name":"other"},"delegates":[]}`, i, time.Unix(1, 0).Format(time.RFC3339), node.NewBlock(cid.Raw, []byte{1}).CID))
		}
		return fmt.Sprintf(`{"count":2000000000,"results":[%s]}`, strings.Join(all, ","))
	}
	answer = func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			io.WriteString(w, `{"requestid":"1","status":"pinned","created":"2026-01-01T00:00:00Z","pin":{"cid":"bafkqaaa"},"delegates":[]}`)
			return
		}
		io.WriteString(w, page(3))
	}
	if all, err := s.Copies(t.Context(), "x"); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if all, err := s.Of(t.Context(), root); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if c, err := s.Add(t.Context(), node.Pin{Name: "x", Root: root}, nil); err == nil {
		t.Errorf("%+v", c)
	}
	if _, err := s.Add(t.Context(), node.Pin{Name: strings.Repeat("x", 256), Root: root}, nil); err == nil {
		t.Error("a name of 256 bytes")
	}
}

// What is asked for is what the standard says, and ours is told from others'.
func TestRequest(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("authorized by %q", r.Header.Get("Authorization"))
		}
		if r.Method == http.MethodDelete {
			http.NotFound(w, r)
			return
		}
		var pin struct {
			CID, Name string
			Origins   []string
			Meta      map[string]string
		}
		if err := json.NewDecoder(r.Body).Decode(&pin); err != nil || pin.CID != root.String() || pin.Name != "x" || len(pin.Origins) != maxOrigins || pin.Meta[ownerKey] != "me" {
			t.Errorf("%+v, %v", pin, err)
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"requestid":"1","status":"queued","created":"2026-01-01T00:00:00Z","pin":{"cid":%q,"name":"x","meta":{"app_id":"playnode","archivist":"me"}},"delegates":["/d"]}`, root)
	}))
	defer srv.Close()
	s, err := New(Config{URL: srv.URL, Token: " secret\n", Owner: "me"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Add(t.Context(), node.Pin{Name: "x", Root: root}, make([]string, 30))
	if err != nil || !c.Ours || c.State != node.CopyQueued || c.ID != "1" || len(c.Delegates) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if err := s.Remove(t.Context(), "gone"); err != nil {
		t.Error(err)
	}
	srv.Close()
	if _, err := s.Of(t.Context(), root); !errors.Is(err, node.ErrNotFound) || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestNew(t *testing.T) {
	for _, bad := range []string{"", "pins.example", "ftp://x", "http://", "http://x?y", "http://a:secret@x"} {
		if _, err := New(Config{URL: bad, Owner: "me"}); err == nil || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
