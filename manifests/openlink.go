package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// OpenLink leads to what a DJ has left open to all who have the link: a set
// that is on air, or a stretch of one that was. Its text is as secret as its
// Key: in a web page's link that is the fragment, which browsers send to nobody.
type OpenLink struct {
	DJ   DJ
	ID   LiveID // the set's, or the stretch's
	Name Name   // where her head is found
	// Addrs and Origins are as in a Link.
	Addrs, Origins []string
	Key            [32]byte
}

const (
	openScheme = "playnode://open/"
	openPath   = "/open/"
	openPrefix = "pnopen1"
)

// path is DJ/ID?n=NAME&a=...&o=...#KEY.
func (l OpenLink) path() string {
	s := l.DJ.String() + "/" + l.ID.String() + "?n=" + string(l.Name)
	for _, a := range l.Addrs {
		s += "&a=" + url.QueryEscape(a)
	}
	for _, o := range l.Origins {
		s += "&o=" + url.QueryEscape(o)
	}
	sum := sha256.Sum256(l.Key[:])
	return s + "#" + openPrefix + base32Lower.EncodeToString(append(l.Key[:], sum[:4]...))
}

// String is playnode://open/DJ/ID?n=NAME&a=...&o=...#KEY.
func (l OpenLink) String() string { return openScheme + l.path() }

// Web is the form that browsers open, at a box that serves such pages under
// the origin at; see ValidOrigin.
func (l OpenLink) Web(at string) string { return at + openPath + l.path() }

// IsOpenLink tells whether s begins like either form.
func IsOpenLink(s string) bool {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, openScheme) {
		return true
	}
	where, _, _ := strings.Cut(s, "#")
	where, _, _ = strings.Cut(where, "?")
	return (strings.HasPrefix(where, "https://") || strings.HasPrefix(where, "http://")) && strings.Contains(where, openPath)
}

// ParseOpenLink reads both forms. Of the one for browsers the host is nobody's
// business here. An error tells nothing of the key.
func ParseOpenLink(s string) (OpenLink, error) {
	l, err := parseOpenLink(strings.TrimSpace(s))
	if err != nil {
		return OpenLink{}, fmt.Errorf("parse open link: %w", err)
	}
	return l, nil
}

func parseOpenLink(s string) (l OpenLink, err error) {
	if len(s) > maxLink {
		return l, invalid("text of %d bytes", len(s))
	}
	if !IsOpenLink(s) {
		return l, invalid("it does not begin with %s", openScheme)
	}
	where, key, _ := strings.Cut(s, "#")
	if key == "" { // whatever else is wrong with it: its key may stand where it may be told
		return l, invalid("it has no key: the part behind the # (%s...) is missing, or the # was written as %%23", openPrefix)
	}
	path, query, _ := strings.Cut(where, "?")
	at := strings.LastIndex(path, openPath)
	dj, id, _ := strings.Cut(path[at+len(openPath):], "/")
	if l.DJ, err = ParseDJ(dj); err != nil {
		return l, err
	}
	if b, err := hex.DecodeString(id); err != nil || len(b) != len(l.ID) || hex.EncodeToString(b) != id {
		return l, invalid("%.80q is no set's id", id)
	} else {
		l.ID = LiveID(b)
	}
	q, err := url.ParseQuery(query)
	if err != nil || len(q["n"]) != 1 || len(q["a"]) > 16 || len(q["o"]) > MaxOrigins {
		return l, invalid("its name, addresses or origins")
	}
	l.Addrs, l.Origins = q["a"], q["o"]
	for _, o := range l.Origins {
		if !ValidOrigin(o) {
			return l, invalid("origin %.80q", o)
		}
	}
	if l.Name, err = ParseName(q.Get("n")); err != nil {
		return l, err
	}
	text, ok := strings.CutPrefix(key, openPrefix)
	b, err := base32Lower.DecodeString(text)
	if !ok || err != nil || len(b) != len(l.Key)+4 || base32Lower.EncodeToString(b) != text {
		return l, invalid("it has no key: the part behind the # (%s...) is missing or was cut", openPrefix)
	}
	if sum := sha256.Sum256(b[:len(l.Key)]); string(sum[:4]) != string(b[len(l.Key):]) {
		return l, invalid("its key is damaged, the checksum differs")
	}
	l.Key = [32]byte(b[:len(l.Key)])
	return l, nil
}
