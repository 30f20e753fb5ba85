package manifests

import (
	"fmt"
	"net/url"
	"strings"
)

// Link is where to find a DJ, with or without who she is:
// playnode://DJ/P?n=k51...&a=MULTIADDR.
type Link struct {
	DJ    *DJ      // nil: trust on first use
	Label string   // of a selection, "" for all
	Name  Name     // where her head is found
	Addrs []string // multiaddrs of peers to ask
}

// maxLink bounds a link's text, in bytes.
const maxLink = 4096

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
	return s
}

// Web is the form for a web page: https://GATEWAY/ipns/NAME?dj=DJ&p=P&a=..., a
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
	l = Link{DJ: &dj, Label: strings.TrimPrefix(u.Path, "/"), Addrs: q["a"]}
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
	_, path, _ := strings.Cut(rest, "/")
	if !strings.HasPrefix(path, "ipns/") {
		return parseLink("playnode://" + path)
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
	l.Label, l.Addrs = q.Get("p"), q["a"]
	l.Name, err = ParseName(strings.TrimPrefix(u.Path, "/ipns/"))
	return l, err
}
