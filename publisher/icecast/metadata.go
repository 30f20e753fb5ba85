package icecast

import (
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"playnode/internal/audio/tags"
)

// metadata takes a title for the source of a mount: mode=updinfo, song, or artist and title, in the
// charset that the request names, else UTF-8 where it is that, else Latin-1.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.Method != http.MethodGet || q.Get("mode") != "updinfo" {
		refuse(w, http.StatusBadRequest, "only mode=updinfo is known")
		return
	}
	s.mu.Lock()
	x := s.live[q.Get("mount")]
	s.mu.Unlock()
	if x == nil {
		refuse(w, http.StatusBadRequest, "the mount has no source")
		return
	}
	text := func(name string) string {
		v := q.Get(name)
		switch strings.ToLower(q.Get("charset")) {
		case "iso-8859-1", "latin1", "latin-1":
			v = latin1(v)
		}
		return tags.Clean(v)
	}
	title := text("song")
	if title == "" {
		artist := text("artist")
		if title = text("title"); artist != "" && title != "" {
			title = tags.Clean(artist + " - " + title)
		}
	}
	x.update(title)
	w.Header().Set("Content-Type", "text/xml")
	io.WriteString(w, `<?xml version="1.0"?>`+"\n<iceresponse><message>Metadata update successful</message><return>1</return></iceresponse>\n")
}

// latin1 reads a string's bytes as ISO-8859-1.
func latin1(s string) string {
	b := make([]byte, 0, 2*len(s))
	for i := range len(s) {
		b = utf8.AppendRune(b, rune(s[i]))
	}
	return string(b)
}
