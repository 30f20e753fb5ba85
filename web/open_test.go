package web

import (
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

// The page of links is for anyone, under any name, and the same whatever it is
// the page of; it comes whole, with all that its script imports, and trusts
// nothing but its own box.
func TestThePageOfALink(t *testing.T) {
	dj, id := "b"+strings.Repeat("a", 58), strings.Repeat("0f", 16)
	var asked []string
	h := Open(func(d, i string) ([]byte, bool) {
		asked = append(asked, d+"/"+i)
		return []byte(`{"next":7}`), i == id
	})
	get := func(url string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", url, nil)
		r.Host = "archive.example"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	at := "/open/" + dj + "/" + id
	page := get(at + "?n=k51").Body.String()
	if !strings.Contains(page, "../static/open.js") || strings.Contains(page, dj) || len(asked) != 0 {
		t.Errorf("asked %q\n%s", asked, page)
	}
	if inline := regexp.MustCompile(`(?i)<script(>| [^>]*>[^<])| on[a-z]+=| style=`).FindString(page); inline != "" {
		t.Errorf("the page has %q in it", inline)
	}
	if w := get(at + ".json"); w.Body.String() != `{"next":7}` || w.Header().Get("Content-Type") != "application/json" || asked[0] != dj+"/"+id {
		t.Errorf("%s, asked %q", w.Body, asked)
	}
	for url, want := range map[string]int{
		at: 200, at + "/": 404, at + ".txt": 404, at + "0": 404, "/open/" + dj + "/" + strings.Repeat("0", 32) + ".json": 404, "/open/x/" + id: 404, "/open/": 404,
		"/open/" + strings.ToUpper(dj) + "/" + id: 404, "/open/static/nothing.js": 404, "/open/static/../web.go": 404,
	} {
		w := get(url)
		got := w.Code
		if got/100 == 3 {
			got = 404
		}
		if csp := w.Header().Get("Content-Security-Policy"); got != want || !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || w.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %d, want %d; %q", url, got, want, csp)
		}
	}
	// Every file that the page and its scripts name is served, and is a script to who goes by types.
	imports := regexp.MustCompile(`(?m)^import .* from ['"](\.[^'"]+)['"];?$`)
	todo, seen := []string{"open.js", "hls.light.min.js"}, map[string]bool{}
	for len(todo) > 0 {
		f := todo[0]
		todo = todo[1:]
		if seen[f] {
			continue
		}
		seen[f] = true
		w := get("/open/static/" + f)
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") {
			t.Errorf("%s: %d, %s", f, w.Code, w.Header().Get("Content-Type"))
		}
		for _, m := range imports.FindAllStringSubmatch(w.Body.String(), -1) {
			todo = append(todo, path.Join(path.Dir(f), m[1]))
		}
	}
	if len(seen) < 12 {
		t.Errorf("%d scripts", len(seen))
	}
	for _, l := range []string{"ciphers", "hashes"} {
		if w := get("/open/static/noble/" + l + "/LICENSE.txt"); !strings.Contains(w.Body.String(), "MIT License") {
			t.Errorf("no licence of %s", l)
		}
	}
}
