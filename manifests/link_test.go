package manifests

import (
	"slices"
	"strings"
	"testing"
)

// TestLinkOrigins has links carry origins, and refuses what is none.
func TestLinkOrigins(t *testing.T) {
	dj, name := DJ{1, 2}, NewName(pub(testKey(1)))
	good := []string{"https://music.example", "http://192.168.1.20:8080/a%20b/c", "http://[fd00::1]:80", "https://x.example/~anna"}
	l := Link{DJ: &dj, Name: name, Label: "bar", Addrs: []string{"/ip4/1.2.3.4/tcp/5"}, Origins: good}
	for _, text := range []string{l.String(), l.Web("dweb.link"), strings.Replace(l.String(), "playnode://", "https://x.example/", 1)} {
		if got, err := ParseLink(text); err != nil || !slices.Equal(got.Origins, good) || got.String() != l.String() {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	l.Origins = append(good, "https://one.more")
	if got, err := ParseLink(l.String()); err == nil {
		t.Errorf("%d origins: %+v", len(l.Origins), got)
	}
	for _, bad := range []string{"", "music.example", "ftp://music.example", "file:///etc/passwd", "http://", "https:///x", "https://u@music.example",
		"https://u:p@music.example", "https://music.example/", "https://music.example?q", "https://music.example?", "https://music.example#f", "https://music.example#",
		"HTTPS://music.example", "https://music.example/ x", "https://music.example/\u202e", "https://music.example/..", "https://music.example/a/../b", "https://music.example//a",
		"https://music.example\\x", "http:music.example", "https://" + strings.Repeat("x", 256), "https://music.example/\n", "http://:80"} {
		l.Origins = []string{bad}
		if got, err := ParseLink(l.String()); err == nil {
			t.Errorf("origin %q: %+v", bad, got)
		}
	}
}
