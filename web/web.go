// Package web is the pages: what people drive and hear with a browser.
//
// What comes in: requests of anyone who reaches the listener, hostile, and sets
// and the loudspeaker from the roles by the interfaces below. What goes out: pages
// that need nothing from elsewhere, and sound and pictures as HLS, of what this box
// may play and nothing else; for who has a key of their own, a page that opens it
// with them; and to the loudspeaker, what who has its key wants. What is trusted:
// what a Set and a Player give; titles are a stranger's, and escaped.
package web

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ErrGone says that a segment is not held any more, or not yet.
var ErrGone = errors.New("the segment is not here")

// Set is a set on air that may be heard here. Safe for concurrent use.
type Set interface {
	// ID names the set, in letters and digits.
	ID() string
	// Title is what is on, Playlist what it is leased as.
	Title() string
	Playlist() string
	// Span tells that segments from first up to, and without, next can be had,
	// and whether none will follow.
	Span() (first, next uint64, ended bool)
	// Segment opens one; ErrGone where it is outside of Span. The caller does
	// not change it.
	Segment(ctx context.Context, n uint64) (Segment, error)
}

// Segment is an opened segment, with the header that holds for it.
type Segment struct {
	Codec string // as a set says it
	Rate  int    // ticks a second
	Head  []byte
	Media []byte
	// At and Len are in ticks.
	At, Len int64
}

// Config is what pages are made of.
type Config struct {
	// Sets are those that may be heard now.
	Sets func() []Set
	// Player is this box's loudspeaker; nil where nobody drives it from a page.
	Player Player
	// Hosts are names that this box may be called by, beside its addresses and
	// localhost.
	Hosts []string
}

//go:embed all:static pages
var files embed.FS

// New makes the handler of all pages. It answers to addresses, localhost and
// the names it was given, and to no other: a page elsewhere cannot reach it
// under a name of its own.
func New(c Config) http.Handler {
	p := &pages{c}
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // it is embedded
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.index)
	mux.HandleFunc("GET /live/{set}/{$}", p.live)
	mux.HandleFunc("GET /live/{set}/now.json", p.now)
	mux.HandleFunc("GET /live/{set}/index.m3u8", p.playlist)
	mux.HandleFunc("GET /live/{set}/{file}", p.segment)
	if c.Player != nil {
		mux.HandleFunc("GET /remote/{$}", p.remote)
		mux.HandleFunc("GET /remote/now.json", p.driven(p.heard))
		mux.HandleFunc("GET /remote/shelf.json", p.driven(p.shelf))
		mux.HandleFunc("POST /remote/order", p.driven(p.order))
	}
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	return careful(c.Hosts, http.NewCrossOriginProtection().Handler(mux))
}

type pages struct{ Config }

func (p *pages) set(w http.ResponseWriter, r *http.Request) Set {
	id := r.PathValue("set")
	sets := p.Sets()
	i := slices.IndexFunc(sets, func(s Set) bool { return s.ID() == id })
	if i < 0 {
		http.Error(w, "no such set is on air here", http.StatusNotFound)
		return nil
	}
	return sets[i]
}

// careful refuses strange hosts.
func careful(hosts []string, next http.Handler) http.Handler {
	return plain(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !known(hosts, r.Host) {
			http.Error(w, "this box is not called that: use its address", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	}))
}

func known(hosts []string, host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return true
	}
	return slices.Contains(hosts, host)
}
