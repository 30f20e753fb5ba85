//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A phone's browser drives a venue's loudspeaker by the link that the box gives:
// what the page shows is what the box says of itself, a stranger's title is words,
// the key is in no address that the browser asks for, and once the box has another
// key the phone is not let in. PLAYNODE_REMOTE names a file for a picture.
func TestAPhoneDrives(t *testing.T) {
	b := newBench(t)
	program := b.chromium()
	dj := b.box("dj")
	b.ok(dj.JSON(b.ctx, nil, "publish", "--playlist", "bar", b.song("first", hostile, 300), b.song("second", "Salt", 400), b.song("third", "Rope", 500)))
	b.ok(dj.JSON(b.ctx, nil, "publish", "--playlist", "late", b.song("fourth", "Ember", 600), b.song("fifth", "Ash", 700)))
	venue, venued, name := b.venue(dj, "bar", "late")
	b.ok(venue.JSON(b.ctx, nil, "play", name+"/bar", "--detach", "--volume", "60"))
	var remote struct {
		Links []string
		Key   string
	}
	b.ok(venue.JSON(b.ctx, &remote, "remote"))
	if len(remote.Links) != 1 || !strings.HasPrefix(remote.Links[0], "http://"+venued.HTTP+"/remote/#") || len(remote.Key) < 22 {
		t.Fatalf("the links are %q", remote.Links)
	}
	// All that the browser asks goes by here.
	var mu sync.Mutex
	var asked []string
	proxy := httputil.NewSingleHostReverseProxy(&neturl.URL{Scheme: "http", Host: venued.HTTP})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.String())
		mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	defer s.Close()
	var met struct {
		complaints
		Steps []struct {
			Step string
			Now  struct {
				State, CID, Playlist, Title, Artist string
				Volume                              int
				Blocked                             []string
				Next                                *struct{ Title, Artist string }
			}
			Shown struct {
				Title, Artist, Next, Percent, Play, Pressed, State string
				Images                                             int
			}
			Met bool
		}
		Address, State string
	}
	b.ok(json.Unmarshal(b.npm("remote.mjs", nil, program, s.URL+"/remote/#"+remote.Key, venue.Program, venue.Repo, os.Getenv("PLAYNODE_REMOTE")), &met))
	met.check(t, "the page", func(path string) bool { return strings.HasPrefix(path, "/remote/") && strings.HasSuffix(path, ".json") }) // that are refused at the end
	wanted := map[string]string{
		"it plays": hostile, "pause": hostile, "play": hostile, "next": "Salt", "prev": hostile, "volume": hostile, "block": "Salt", "undo": "Salt", "late": "Ember", "stop": "", "again": "", "bookmark": "", "bad link": "", "new link": "",
	}
	if len(met.Steps) != len(wanted) {
		t.Errorf("%d steps", len(met.Steps))
	}
	for _, x := range met.Steps {
		state, blocked, playlist := "playing", 0, "bar"
		switch x.Step {
		case "pause":
			state = "paused"
		case "stop":
			state, playlist = "stopped", ""
		case "block":
			blocked = 1
		case "late":
			playlist = "late"
		case "again", "bookmark", "bad link", "new link": // all that is leased, in an order of its own
			playlist = x.Now.Playlist
		}
		title := wanted[x.Step]
		if title == "" && state == "playing" {
			title = x.Now.Title
		}
		if !x.Met {
			t.Errorf("%s: the page never showed it: %+v", x.Step, x)
		}
		if x.Now.State != state || x.Now.Title != title || x.Now.Playlist != playlist || len(x.Now.Blocked) != blocked {
			t.Errorf("%s: the box says %+v", x.Step, x.Now)
		}
		if x.Shown.Title != title || x.Shown.Artist != x.Now.Artist || x.Shown.Images != 0 {
			t.Errorf("%s: the page shows %+v", x.Step, x.Shown)
		}
		if n := x.Now.Next; state == "playing" && (n == nil || x.Shown.Next != "Then: "+n.Artist+" - "+n.Title) {
			t.Errorf("%s: next is %+v, and the page shows %q", x.Step, n, x.Shown.Next)
		}
	}
	if strings.Contains(met.Address, "#") || !strings.Contains(met.State, "not let in any more") {
		t.Errorf("in the end the page at %s says %q", met.Address, met.State)
	}
	for _, path := range asked {
		if strings.Contains(path, remote.Key) {
			t.Errorf("the key was in the address %s", path)
		}
	}
}

// song is a minute's tone as an mp3 with tags.
func (b *bench) song(name, title string, hz int) string {
	b.Helper()
	file := filepath.Join(b.dir, name+".mp3")
	b.run(exec.CommandContext(b.ctx, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("sine=%d:d=60:r=44100", hz), "-c:a", "libmp3lame", "-b:a", "64k",
		"-metadata", "title="+title, "-metadata", "artist=The Testers", file), nil)
	return file
}
