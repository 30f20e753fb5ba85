package player

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"playnode/manifests"
)

// What is asked for is read the same way in each of its spellings, a link for people's browsers among them.
func TestAsked(t *testing.T) {
	name := newWorld(t).name()
	id, err := peer.Decode(string(name))
	if err != nil {
		t.Fatal(err)
	}
	n := manifests.Name(name)
	for asked, want := range map[string]struct{ of, label string }{
		"":                               {},
		"bar":                            {"", "bar"},
		string(name):                     {string(name), ""},
		string(name) + "/bar":            {string(name), "bar"},
		"/ipns/" + string(name) + "/bar": {string(name), "bar"},
		id.String() + "/bar":             {string(name), "bar"},
		manifests.Link{Name: n, Label: "bar"}.Web("dj.example"):               {string(name), "bar"},
		manifests.Link{DJ: new(manifests.DJ), Name: n, Label: "bar"}.String(): {string(name), "bar"},
	} {
		if of, label, err := Asked(asked); err != nil || string(of) != want.of || label != want.label {
			t.Errorf("%q is %q of %q: %v", asked, label, of, err)
		}
	}
	for _, asked := range []string{"k51bar/bar", "bar/bar", "https://dj.example/bar", "playnode://bar"} {
		if of, label, err := Asked(asked); err == nil {
			t.Errorf("%q is %q of %q", asked, label, of)
		}
	}
}
