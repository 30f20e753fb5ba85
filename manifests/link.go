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

// ParseLink reads playnode://..., k51..., k51.../P and /ipns/k51....
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
