package kubo

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"playnode/node"
)

// What a real Kubo says is tested with one, in interop; here is what something
// else at its address may say.
func TestHostileRPC(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer s.Close()
	n, err := NewNames(s.URL+"/", "")
	if err != nil {
		t.Fatal(err)
	}
	for what, a := range map[string]http.HandlerFunc{
		"an error":      func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		"ten megabytes": func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, io.LimitReader(zeros{}, 10<<20)) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
	} {
		answer = a
		if _, err := n.Record(t.Context(), "k51"); !errors.Is(err, node.ErrNotFound) {
			t.Errorf("%s, asked for a record: %v", what, err)
		}
		if err := n.PutRecord(t.Context(), "k51", []byte("r")); !errors.Is(err, node.ErrNotFound) {
			t.Errorf("%s, given a record: %v", what, err)
		}
	}
	var got []byte
	answer = func(w http.ResponseWriter, r *http.Request) {
		f, _, err := r.FormFile("record")
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v0/name/put" || r.URL.Query().Get("arg") != "k51&x" {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			return
		}
		got, _ = io.ReadAll(f)
	}
	if err := n.PutRecord(t.Context(), "k51&x", []byte("record")); err != nil || !bytes.Equal(got, []byte("record")) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestNewNames(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:5001", "/ip4/127.0.0.1/tcp/5001", "ftp://x", "http://", "http://x?y", "http://x#y"} {
		if _, err := NewNames(bad, ""); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:5001") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
