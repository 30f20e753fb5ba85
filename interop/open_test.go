//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	drive "playnode/testnet/binary"
)

// A browser plays four open sets, and of one that is over an excerpt and all of
// it, from an archivist's box, which has no key: the key is in each link's fragment, and no request has it. A block that is noise is
// gone over; a link without its key, with a damaged one, with another set's and
// of what is not on air says so.
func TestABrowserOpensALink(t *testing.T) {
	b := newBench(t)
	program := b.chromium()
	dj, archive := b.box("dj"), b.box("archive")
	var id struct{ Name string }
	b.ok(dj.JSON(b.ctx, &id, "id"))
	b.ok(archive.JSON(b.ctx, nil, "id"))
	tone := filepath.Join(b.dir, "tone.wav")
	b.ok(drive.Sound{Rate: 44100, PCM: make([]int16, 44100)}.WriteWAV(tone))
	djd := b.start(dj)
	archived := b.start(archive, "--peer", djd.Addrs[0], "--gateway", "127.0.0.1:0")
	b.ok(dj.JSON(b.ctx, nil, "publish", tone))
	b.ok(archive.JSON(b.ctx, nil, "archive", id.Name, "--once"))
	f := newForger(archived.Gateway)
	defer f.Close()
	over := b.over(dj, f.URL)
	var names, links []string
	for name, set := range aired {
		var said struct{ Web string }
		b.ok(json.Unmarshal(b.air(dj, name, set.title, set.args, "--json", "--open", "--web", f.URL), &said))
		names, links = append(names, name), append(links, said.Web)
	}
	where, key, _ := strings.Cut(links[0], "#")
	_, other, _ := strings.Cut(links[1], "#")
	at := strings.Index(where, "?") - 32
	absent := where[:at] + strings.Repeat("0", 32) + where[at+32:]
	var met struct {
		Heard  []hearing
		Silent []struct {
			complaints
			State   string
			Players int
		}
	}
	args := slices.Concat([]string{program, "7", os.Getenv("PLAYNODE_PICTURE")}, links, over, []string{"silent", where, where + "#" + key[:len(key)-1], where + "#" + other, absent + "#" + key})
	b.ok(json.Unmarshal(b.npm("browser.mjs", nil, args...), &met))
	if len(met.Heard) != len(aired)+len(over) {
		t.Fatalf("%d sets were heard, of %d on air and %d that are over", len(met.Heard), len(aired), len(over))
	}
	names = append(names, "all of a set", "an excerpt")
	for i, h := range met.Heard {
		set, ok := aired[names[i]]
		says := ""
		switch {
		case ok:
		case names[i] == "an excerpt":
			set.title, says = "A moment", "This is a stretch of a set that is over."
		default:
			set.title, says = "Last night", "The set is over: this is a recording of it."
		}
		if h.Kind != says || !ok && h.Began > 1 {
			t.Errorf("%s: the page says %q, and begins %.1f s into it", names[i], h.Kind, h.Began)
		}
		h.check(t, names[i], func(path string) bool { return strings.HasSuffix(path, ".json") }) // before it is known here
		h.sounds(t, names[i], set.title, set.film)
	}
	for i, want := range []string{"has no key", "is damaged or was cut", "does not open this set", "Nothing of this set is here"} {
		p := met.Silent[i]
		p.check(t, want, func(path string) bool { return strings.HasSuffix(path, strings.Repeat("0", 32)+".json") })
		if !strings.Contains(p.State, want) || p.Players != 0 {
			t.Errorf("%q, and not %q, with %d players", p.State, want, p.Players)
		}
	}
	if f.forged() < len(aired) {
		t.Errorf("%d blocks were forged", f.forged())
	}
	for _, l := range append(links, over...) {
		if _, key, _ := strings.Cut(l, "#"); f.saw(key) {
			t.Error("a key was sent to the box")
		}
	}
}

// over are links of an open set that was on air: its own, and that of ten seconds
// of it.
func (b *bench) over(dj drive.Box, at string) []string {
	b.Helper()
	file := filepath.Join(b.dir, "set.mp3")
	b.run(exec.CommandContext(b.ctx, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=700:d=12:r=44100", "-c:a", "libmp3lame", "-b:a", "128k", file), nil)
	out, err := dj.Run(b.ctx, "--json", "live", "gone", file, "--title", "Last night", "--open", "--web", at)
	b.ok(err)
	lines := bytes.Split(bytes.TrimSpace(out.Stdout), []byte("\n"))
	var aired struct{ Track string }
	b.ok(json.Unmarshal(lines[len(lines)-1], &aired))
	var whole, x struct{ Web string }
	b.ok(json.Unmarshal(lines[0], &whole))
	b.ok(dj.JSON(b.ctx, &x, "excerpt", "add", aired.Track, "--from", "1s", "--for", "10s", "--title", "A moment", "--web", at))
	return []string{whole.Web, x.Web}
}

// forger stands between a browser and a box, and makes noise of the fourth block
// that is asked for of every set.
type forger struct {
	*httptest.Server
	mu    sync.Mutex          // guards what follows
	of    map[string]string   // a block's set
	seen  map[string][]string // a set's blocks, as they were asked for
	asked strings.Builder     // all that came from the browser
}

func newForger(host string) *forger {
	f := &forger{of: map[string]string{}, seen: map[string][]string{}}
	proxy := httputil.NewSingleHostReverseProxy(&neturl.URL{Scheme: "http", Host: host})
	proxy.ModifyResponse = f.forge
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dump, _ := httputil.DumpRequest(r, true)
		f.mu.Lock()
		f.asked.Write(dump)
		f.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	return f
}

func (f *forger) forge(r *http.Response) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	path := r.Request.URL.Path
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if strings.HasSuffix(path, ".json") && r.StatusCode == http.StatusOK {
		var l struct{ Segments []struct{ CID string } }
		if err == nil {
			err = json.Unmarshal(body, &l)
		}
		for _, s := range l.Segments {
			f.of[s.CID] = path
		}
	}
	cid := strings.TrimPrefix(path, "/ipfs/")
	if set := f.of[cid]; set != "" {
		if !slices.Contains(f.seen[set], cid) {
			f.seen[set] = append(f.seen[set], cid)
		}
		if slices.Index(f.seen[set], cid) == 3 {
			for i := range body {
				body[i] = byte(rand.Uint32())
			}
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return err
}

// forged is of how many sets a block was.
func (f *forger) forged() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, seen := range f.seen {
		if len(seen) > 3 {
			n++
		}
	}
	return n
}

func (f *forger) saw(s string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Contains(f.asked.String(), s)
}
