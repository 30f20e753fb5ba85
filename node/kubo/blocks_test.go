package kubo

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// inCAR are the blocks of a CAR, whose bytes are verified.
func inCAR(t *testing.T, r io.Reader) (all []node.Block) {
	in := bufio.NewReader(r)
	for first := true; ; first = false {
		size, err := binary.ReadUvarint(in)
		if err == io.EOF {
			return all
		}
		part := make([]byte, size)
		if _, err := io.ReadFull(in, part); err != nil {
			t.Fatal(err)
		}
		if first {
			continue
		}
		n, c, err := cid.CidFromBytes(part)
		if err == nil {
			err = node.Verify(c, part[n:])
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, node.Block{CID: c, Data: part[n:]})
	}
}

// Many blocks go as one CAR, few and what Kubo does not import one by one; an
// answer that does not count them all is an error. What a real Kubo does with
// them is tested with one, in interop.
func TestPutMany(t *testing.T) {
	var imported func(w http.ResponseWriter, blocks []node.Block)
	var calls []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := strings.TrimPrefix(r.URL.Path, "/api/v0/")
		calls = append(calls, what)
		switch what {
		case "block/stat":
			http.Error(w, `{"Message":"block was not found locally (offline): ipld: could not find it"}`, http.StatusInternalServerError)
		case "dag/import":
			f, _, err := r.FormFile("car")
			if err != nil || r.URL.Query().Get("pin-roots") != "false" {
				t.Errorf("%s: %v", r.URL, err)
				return
			}
			imported(w, inCAR(t, f))
		case "block/put":
			if err := r.ParseMultipartForm(1 << 20); err != nil {
				t.Error(err)
			}
			for _, f := range r.MultipartForm.File["data"] {
				file, _ := f.Open()
				data, _ := io.ReadAll(file)
				fmt.Fprintf(w, "{\"Key\":%q}\n", node.NewBlock(cid.Raw, data).CID)
			}
		}
	}))
	defer s.Close()
	names, err := NewNames(s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{Names: names, log: slog.New(slog.DiscardHandler), loose: map[cid.Cid]pinned{}}
	var all []node.Block
	for i := range many {
		all = append(all, node.NewBlock(cid.Raw, fmt.Append(nil, "block ", i)))
	}
	for _, c := range []struct {
		what   string
		blocks []node.Block
		answer string
		calls  string
		failed error // nil: none; errAny: some
	}{
		{"all of them", all, `{"Stats":{"BlockCount":8,"BlockBytesCount":1}}`, "block/stat dag/import", nil},
		{"one twice", append([]node.Block{all[0]}, all...), `{"Stats":{"BlockCount":8}}`, "block/stat dag/import", nil},
		{"one too few", all, `{"Stats":{"BlockCount":7}}`, "block/stat dag/import", errAny},
		{"no count", all, `{}`, "block/stat dag/import", errAny},
		{"nothing", all, ``, "block/stat dag/import", errAny},
		{"a web page", all, `<html>`, "block/stat dag/import", errAny},
		{"not of its codec", all, "X-Stream-Error: import failed at block: cbor", "block/stat dag/import block/put", nil},
		{"a full disk", all, "X-Stream-Error: write: no space left on device", "block/stat dag/import", node.ErrNoSpace},
		{"few", all[1:], "", "block/stat block/put", nil},
		{"none", nil, "", "", nil},
	} {
		calls = nil
		imported = func(w http.ResponseWriter, blocks []node.Block) {
			if len(blocks) != len(all) {
				t.Errorf("%s: %d blocks in the CAR", c.what, len(blocks))
			}
			if late, ok := strings.CutPrefix(c.answer, "X-Stream-Error: "); ok {
				w.Header().Set("Trailer", "X-Stream-Error")
				w.WriteHeader(http.StatusOK)
				w.Header().Set("X-Stream-Error", late)
				return
			}
			io.WriteString(w, c.answer)
		}
		err := n.Put(t.Context(), c.blocks...)
		if got := strings.Join(calls, " "); got != c.calls {
			t.Errorf("%s: asked %s", c.what, got)
		}
		if c.failed == nil && err != nil || c.failed == errAny && err == nil || c.failed != nil && c.failed != errAny && !errors.Is(err, c.failed) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

var errAny = errors.New("any")
