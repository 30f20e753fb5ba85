package manifests

import (
	"fmt"
	"net/url"
	"path"
	"strings"
)

// Link is where to find a DJ, with or without who she is:
// playnode://DJ/P?n=k51...&a=MULTIADDR&o=URL.
type Link struct {
	DJ      *DJ      // nil: trust on first use
	Label   string   // of a selection, "" for all
	Name    Name     // where her head is found
	Addrs   []string // multiaddrs of peers to ask
	Origins []string // URLs of trustless gateways or mirrors to ask; see ValidOrigin
}

const (
	// maxLink bounds a link's text, in bytes.
	maxLink = 4096
	// MaxOrigins bounds the origins of a link, maxOrigin each of them in bytes.
	MaxOrigins = 4
	maxOrigin  = 256
)

// ValidOrigin tells whether s may stand as an origin in a link: an http or
// https URL as Go's net/url writes it, of visible ASCII, with a host, and
// without user, query, fragment and a slash at its end. Where its host leads
// to is for whoever dials it to judge.
func ValidOrigin(s string) bool {
	if len(s) > maxOrigin || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.Opaque == "" && u.User == nil &&
		!strings.ContainsAny(s, "?#\\") && !strings.HasSuffix(s, "/") && path.Clean("/"+u.Path) == "/"+strings.TrimPrefix(u.Path, "/") && u.String() == s
}

// String is the shareable form; without a DJ it is NAME or NAME/P.
func (l Link) String() string {
	if l.DJ == nil {
		if l.Label == "" {
			return string(l.Name)
		}
		return string(l.Name) + "/" + l.Label
	}
	s := "playnode://" + l.DJ.String()
	if l.Label != "" {
		s += "/" + url.PathEscape(l.Label)
	}
	s += "?n=" + string(l.Name)
	for _, a := range l.Addrs {
		s += "&a=" + url.QueryEscape(a)
	}
	for _, o := range l.Origins {
		s += "&o=" + url.QueryEscape(o)
	}
	return s
}

// Web is the form for a web page: https://GATEWAY/ipns/NAME?dj=DJ&p=P&a=...&o=..., a
// path that any trustless gateway at that host resolves; what follows the
// question mark is for us.
func (l Link) Web(gateway string) string {
	q := url.Values{}
	if l.DJ != nil {
		q.Set("dj", l.DJ.String())
	}
	if l.Label != "" {
		q.Set("p", l.Label)
	}
	for _, a := range l.Addrs {
		q.Add("a", a)
	}
	for _, o := range l.Origins {
		q.Add("o", o)
	}
	u := url.URL{Scheme: "https", Host: gateway, Path: "/ipns/" + string(l.Name), RawQuery: q.Encode()}
	return u.String()
}

// ParseLink reads playnode://..., k51..., k51.../P, /ipns/k51..., Web's form,
// and https://HOST/DJ/P?n=NAME.
func ParseLink(s string) (Link, error) {
	l, err := parseLink(strings.TrimSpace(s))
	if err != nil {
		return Link{}, fmt.Errorf("parse link: %w", err)
	}
	if l.Label != "" && !ValidLabel(l.Label) {
		return Link{}, fmt.Errorf("parse link: label %q: %w", l.Label, ErrInvalid)
	}
	if len(l.Origins) > MaxOrigins {
		return Link{}, fmt.Errorf("parse link: %d origins: %w", len(l.Origins), ErrInvalid)
	}
	for _, o := range l.Origins {
		if !ValidOrigin(o) {
			return Link{}, fmt.Errorf("parse link: origin %.80q: %w", o, ErrInvalid)
		}
	}
	return l, nil
}

func parseLink(s string) (l Link, err error) {
	if len(s) > maxLink {
		return l, invalid("text of %d bytes", len(s))
	}
	if web, ok := strings.CutPrefix(s, "https://"); ok {
		return parseWeb(s, web)
	}
	if !strings.HasPrefix(s, "playnode://") {
		name, label, _ := strings.Cut(strings.TrimPrefix(s, "/ipns/"), "/")
		l.Label = label
		l.Name, err = ParseName(name)
		return l, err
	}
	u, err := url.Parse(s)
	if err != nil {
		return l, invalid("%v", err)
	}
	if u.User != nil || u.Fragment != "" {
		return l, invalid("link with a user or a fragment")
	}
	dj, err := ParseDJ(u.Host)
	if err != nil {
		return l, err
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return l, invalid("%v", err)
	}
	l = Link{DJ: &dj, Label: strings.TrimPrefix(u.Path, "/"), Addrs: q["a"], Origins: q["o"]}
	if len(l.Addrs) > 16 {
		return l, invalid("link with %d addresses", len(l.Addrs))
	}
	if len(q["n"]) != 1 {
		return l, invalid("link with %d names", len(q["n"]))
	}
	l.Name, err = ParseName(q.Get("n"))
	return l, err
}

// parseWeb reads the https forms; the host is nobody's business here.
func parseWeb(s, rest string) (l Link, err error) {
	_, after, _ := strings.Cut(rest, "/")
	if !strings.HasPrefix(after, "ipns/") {
		return parseLink("playnode://" + after)
	}
	u, err := url.Parse(s)
	if err != nil {
		return l, invalid("%v", err)
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return l, invalid("%v", err)
	}
	if u.User != nil || u.Fragment != "" || len(q["dj"]) > 1 || len(q["p"]) > 1 || len(q["a"]) > 16 {
		return l, invalid("link %.80q", s)
	}
	if len(q["dj"]) == 1 {
		dj, err := ParseDJ(q.Get("dj"))
		if err != nil {
			return l, err
		}
		l.DJ = &dj
	}
	l.Label, l.Addrs, l.Origins = q.Get("p"), q["a"], q["o"]
	l.Name, err = ParseName(strings.TrimPrefix(u.Path, "/ipns/"))
	return l, err
}
