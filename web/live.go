package web

import (
	"bytes"
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
	first, next, _ := s.Span()
	page := struct {
		Set
		Video, Plays bool
		Codec        string
	}{Set: s, Plays: true}
	if next > first {
		if x, err := s.Segment(r.Context(), next-1); err == nil {
			page.Codec, page.Video, page.Plays = x.Codec, wraps[x.Codec].video, wraps[x.Codec].ext != ""
		}
	}
	show(w, "live.html", page)
}

// now is what a page shows of a set while it plays.
func (p *pages) now(w http.ResponseWriter, r *http.Request) {
	s := p.set(w, r)
	if s == nil {
		return
	}
	_, _, ended := s.Span()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(struct {
		Title string `json:"title"`
		Ended bool   `json:"ended"`
	}{s.Title(), ended})
}
