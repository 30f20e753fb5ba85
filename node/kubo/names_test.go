package kubo

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

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

// lies are what something at a Kubo's address may answer to anything.
var lies = map[string]http.HandlerFunc{
	"nothing":    func(http.ResponseWriter, *http.Request) {},
	"an error":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
	"a web page": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
	"wrong types": func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"Keys":7,"Cid":7,"Ref":7,"Key":7,"ID":7}`)
	},
	"zeros for ever": func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, io.LimitReader(zeros{}, 512<<20)) },
	"a list for ever": func(w http.ResponseWriter, _ *http.Request) {
		for range 4 << 20 {
			if _, err := io.WriteString(w, `{"Cid":"bafkqaaa","Name":"playnode/x","Ref":"bafkqaaa","Key":"bafkqaaa"}`+"\n"); err != nil {
				return
			}
		}
	},
}

// A node of something that lies gives no bytes that were not asked for, is not
// filled up by answers, and has nothing pinned.
func TestHostileNode(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer s.Close()
	names, err := NewNames(s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{Names: names, log: slog.New(slog.DiscardHandler), loose: map[cid.Cid]pinned{}}
	b := node.NewBlock(cid.Raw, []byte("block"))
	for what, a := range lies {
		answer = a
		if data, err := n.Read(t.Context(), b.CID); err == nil {
			t.Errorf("%s: read %d bytes", what, len(data))
		}
		if data, err := n.Get(t.Context(), b.CID, node.Want{}); err == nil {
			t.Errorf("%s: got %d bytes", what, len(data))
		}
		if err := n.Pin(t.Context(), node.Pin{Name: "x", Root: b.CID}); err == nil && what != "nothing" {
			t.Errorf("%s: pinned", what)
		}
		if what != "nothing" && what != "a list for ever" {
			if pins, err := n.Pins(t.Context()); err == nil {
				t.Errorf("%s: pins %v", what, pins)
			}
		}
		if _, err := Open(t.Context(), Config{RPC: s.URL}); err == nil {
			t.Errorf("%s: it was taken for a Kubo", what)
		}
	}
}

// What cannot be used says what to do.
func TestOpenSaysHow(t *testing.T) {
	var header http.Header
	answer := func(w http.ResponseWriter, r *http.Request) {}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		answer(w, r)
	}))
	for want, a := range map[string]http.HandlerFunc{
		"kubo-auth": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "403 - Access Denied", http.StatusForbidden)
		},
		"update it": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"Version":"0.39.9"}`) },
	} {
		answer = a
		for auth, sent := range map[string]string{"bearer:secret": "Bearer secret", "secret": "Bearer secret", "basic:a:b": "Basic YTpi", "": ""} {
			_, err := Open(t.Context(), Config{RPC: s.URL, Auth: auth})
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret\"") || header.Get("Authorization") != sent {
				t.Errorf("%q, %q: %v", auth, header.Get("Authorization"), err)
			}
		}
	}
	s.Close()
	if _, err := Open(t.Context(), Config{RPC: s.URL}); !errors.Is(err, node.ErrNotFound) || !strings.Contains(err.Error(), "ipfs daemon") {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := Open(t.Context(), Config{RPC: "http://a:secret@127.0.0.1:5001"}); err == nil || strings.Contains(err.Error(), "secret@") {
		t.Errorf("a secret in the address: %v", err)
	}
}

func TestRecent(t *testing.T) {
	for v, want := range map[string]bool{"0.40.0": true, "0.43.1": true, "0.44.0-dev": true, "1.0.0": true, "0.39.9": false, "": false, "x.y.z": false, "0": false} {
		if recent(v) != want {
			t.Errorf("%q: %v", v, !want)
		}
	}
}
