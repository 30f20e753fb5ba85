package manifests

import (
	"reflect"
	"strings"
	"testing"
)

// Both forms of a link say the same; a key that was cut, changed or left out is
// said to be, and shown to nobody.
func TestOpenLinks(t *testing.T) {
	l := OpenLink{DJ: DJ{1, 2}, ID: LiveID{3, 4}, Name: NewName(pub(testKey(1))), Addrs: []string{"/ip4/1.2.3.4/tcp/5/p2p/X"}, Origins: []string{"https://music.example/a"}, Key: [32]byte{5, 6}}
	for _, text := range []string{l.String(), l.Web("https://archive.example"), l.Web("http://192.168.1.5:8080/open/x"), " " + l.String() + "\n"} {
		if got, err := ParseOpenLink(text); err != nil || !reflect.DeepEqual(got, l) || !IsOpenLink(text) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	if text, key, _ := strings.Cut(l.Web("https://archive.example"), "#"); !strings.HasPrefix(text, "https://archive.example/open/"+l.DJ.String()+"/0304") || !strings.HasPrefix(key, "pnopen1") {
		t.Error(text)
	}
	whole := l.String()
	at := strings.Index(whole, "#")
	for what, bad := range map[string]string{
		"no key": whole[:at], "an empty key": whole[:at+1], "a short key": whole[:len(whole)-1], "a long key": whole + "a", "another letter": whole[:at+9] + "z" + whole[at+10:],
		"upper case": whole[:at] + strings.ToUpper(whole[at:]), "no name": strings.Replace(whole, "n=", "m=", 1), "another id": strings.Replace(whole, "/0304", "/03", 1),
		"no DJ": "playnode://open/x/" + l.ID.String() + whole[strings.Index(whole, "?"):], "a bad origin": strings.Replace(whole, "o=https", "o=ftp", 1),
		"too long": strings.Replace(whole, "?", "?x="+strings.Repeat("y", maxLink)+"&", 1), "a share link": Link{DJ: &l.DJ, Name: l.Name}.String(),
	} {
		got, err := ParseOpenLink(bad)
		if err == nil {
			t.Errorf("%s: %+v", what, got)
		} else if strings.Contains(err.Error(), whole[at+9:at+30]) {
			t.Errorf("%s: the error tells the key: %v", what, err)
		}
	}
	if IsOpenLink(string(l.Name)) || IsOpenLink("https://dweb.link/ipns/"+string(l.Name)) {
		t.Error("a name is taken for an open link")
	}
}
