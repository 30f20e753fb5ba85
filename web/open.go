package web

import (
	"io/fs"
	"net/http"
	"regexp"
)

// Listed gives what a box tells of a set of that id which a DJ has on air, as
// SPEC.md, section 25, has it in JSON; ok is false where nothing of it is here.
type Listed func(dj, id string) (listing []byte, ok bool)

// Open makes the handler of what is below /open/: the page of links to sets that
// are open to who has the link, for a box that has no key. The key is in the
// link's fragment, and comes here never; the page asks for sealed blocks at
// ../../ipfs/, which is not served here. Anyone may ask, under any name.
func Open(listed Listed) http.Handler {
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // it is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /open/static/", http.StripPrefix("/open/static/", http.FileServerFS(static)))
	mux.HandleFunc("GET /open/{path...}", func(w http.ResponseWriter, r *http.Request) {
		m := opened.FindStringSubmatch(r.PathValue("path"))
		if m == nil {
			http.NotFound(w, r)
			return
		}
		if m[3] == "" {
			show(w, "open.html")
			return
		}
		listing, ok := listed(m[1], m[2])
		if !ok {
			http.Error(w, "nothing of it is here", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(listing)
	})
	return plain(mux)
}

// opened are the paths below /open/: a DJ, an id, and .json for what there is.
var opened = regexp.MustCompile(`^(b[a-z2-7]{58})/([0-9a-f]{32})(\.json)?$`)

// plain tells browsers to trust a page with no more than it needs.
func plain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "+
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
