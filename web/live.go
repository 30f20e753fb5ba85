package web

import (
	"bytes"
	"context"
	"encoding/json"
	"html/template"
	"net/http"
)

var templates = template.Must(template.ParseFS(files, "pages/*.html"))

// show writes a page, or an error and nothing of it.
func show(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}

func (p *pages) index(w http.ResponseWriter, _ *http.Request) { show(w, "index.html", p.Sets()) }

func (p *pages) live(w http.ResponseWriter, r *http.Request) {
	s := p.set(w, r)
	if s == nil {
		return
	}
	page := struct {
		Set
		Video, Plays bool
		Codec        string // "" while nothing of it is here
	}{Set: s}
	if x, ok := newest(r.Context(), s); ok {
		page.Codec, page.Video, page.Plays = x.Codec, wraps[x.Codec].video, wraps[x.Codec].ext != ""
	}
	show(w, "live.html", page)
}

// newest is the newest segment that is here, if any is.
func newest(ctx context.Context, s Set) (Segment, bool) {
	first, next, _ := s.Span()
	for n := next; n > first; n-- {
		if x, err := s.Segment(ctx, n-1); err == nil {
			return x, true
		}
	}
	return Segment{}, false
}

// now is what a page shows of a set while it plays.
func (p *pages) now(w http.ResponseWriter, r *http.Request) {
	s := p.set(w, r)
	if s == nil {
		return
	}
	_, begun := newest(r.Context(), s)
	_, _, ended := s.Span()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(struct {
		Title string `json:"title"`
		Begun bool   `json:"begun"` // something of it is here
		Ended bool   `json:"ended"`
	}{s.Title(), begun, ended})
}
