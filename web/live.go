package web

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
)

// show writes a page with what its names in braces stand for. They are HTML
// already. Go's own templates call methods by names that they read: a program
// with them keeps every method of every type, a seventh more of it.
func show(w http.ResponseWriter, name string, words ...string) {
	page, err := files.ReadFile("pages/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	strings.NewReplacer(words...).WriteString(w, string(page))
}

// text is a text as HTML, also within quotes.
func text(s string) string { return html.EscapeString(s) }

func (p *pages) index(w http.ResponseWriter, _ *http.Request) {
	var list strings.Builder
	for _, s := range p.Sets() {
		fmt.Fprintf(&list, `<li><a href="/live/%s/">%s</a>`, text(url.PathEscape(s.ID())), text(s.Playlist()))
		if t := s.Title(); t != "" {
			fmt.Fprintf(&list, " <span>%s</span>", text(t))
		}
		list.WriteString("</li>\n")
	}
	sets := "<ul>\n" + list.String() + "</ul>\n"
	if list.Len() == 0 {
		sets = "<p>Nothing is on air that this box may play.</p>\n" +
			"<p>A set appears here once its DJ is on air and this box has her lease. Load the page again to see.</p>\n"
	}
	if p.Player != nil {
		sets += `<p><a href="/remote/">Drive this box's loudspeaker</a></p>` + "\n"
	}
	show(w, "index.html", "{{sets}}", sets)
}

func (p *pages) live(w http.ResponseWriter, r *http.Request) {
	s := p.set(w, r)
	if s == nil {
		return
	}
	codec := "" // while nothing of it is here
	if x, ok := newest(r.Context(), s); ok {
		codec = x.Codec
	}
	script, player := "", `<p id="state" role="status">Waiting for the set.</p>`
	switch wrap := wraps[codec]; {
	case codec != "" && wrap.ext != "":
		script = `<script src="/static/hls.light.min.js" defer></script>` + "\n"
		kind, more := "audio", ""
		if wrap.video {
			kind, more = "video", " playsinline"
		}
		player = fmt.Sprintf(`<%[1]s id="player" controls%[2]s aria-label="%[3]s, live" data-src="index.m3u8"></%[1]s>`, kind, more, text(s.Playlist())) +
			"\n" + `<p id="state" role="status">Press play to listen.</p>`
	case codec != "":
		player = fmt.Sprintf(`<p id="state" role="status" data-codec="%[1]s">Browsers do not take %[1]s; the box itself plays it.</p>`, text(codec))
	}
	show(w, "live.html", "{{playlist}}", text(s.Playlist()), "{{title}}", text(s.Title()), "{{script}}", script, "{{player}}", player+"\n")
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
