//go:build interop

package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	drive "playnode/testnet/binary"
)

// hostile is a title that a page must show, and not obey.
const hostile = `<img src=x onerror=alert(1)> "&amp;'`

// aired are the sets of this test, each by a playlist of its name.
var aired = map[string]struct {
	args  []string // of ffmpeg
	title string   // that the stream says itself
	film  bool
}{
	"tape": {args: []string{"-f", "lavfi", "-i", "sine=300:r=44100", "-c:a", "libmp3lame", "-b:a", "128k", "-f", "mp3"}},
	"disc": {args: []string{"-f", "lavfi", "-i", "sine=400:r=48000", "-c:a", "libopus", "-b:a", "96k", "-f", "ogg"}, title: hostile},
	"wave": {args: []string{"-f", "lavfi", "-i", "sine=500:r=44100", "-c:a", "flac", "-f", "flac"}, title: hostile},
	"film": {args: []string{"-f", "lavfi", "-i", "testsrc2=s=640x360:r=10", "-re", "-f", "lavfi", "-i", "sine=600:r=48000", "-c:v", "libx264", "-preset", "ultrafast",
		"-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "mpegts"}, film: true},
}

// A listener's browser plays four sets on air from the page of a box that has
// their lease, one with its picture. A segment that is noise and one that is
// refused are gone over; a title is words; the page asks for nothing elsewhere,
// breaks no policy of its own, and is one that all can use, as far as axe can
// tell. PLAYNODE_PICTURE names a file for a picture of the film's page.
func TestABrowserListens(t *testing.T) {
	b := newBench(t)
	program := b.chromium()
	dj := b.box("dj")
	tone := filepath.Join(b.dir, "tone.wav")
	b.ok(drive.Sound{Rate: 44100, PCM: make([]int16, 44100)}.WriteWAV(tone))
	for name := range aired {
		b.ok(dj.JSON(b.ctx, nil, "publish", "--playlist", name, tone))
	}
	_, venued, _ := b.venue(dj, slices.Collect(maps.Keys(aired))...)
	for name, set := range aired {
		b.air(dj, name, set.title, set.args)
	}
	s := newSpoiler(venued.HTTP)
	defer s.Close()
	b.listed(s.URL, len(aired))

	var met struct {
		complaints
		Heard []hearing
	}
	b.ok(json.Unmarshal(b.npm("browser.mjs", nil, program, "7", os.Getenv("PLAYNODE_PICTURE"), s.URL+"/"), &met))
	met.check(t, "the list", s.refused)
	if len(met.Heard) != len(aired) {
		t.Errorf("%d sets were heard, of %d", len(met.Heard), len(aired))
	}
	for _, h := range met.Heard {
		h.check(t, h.Playlist, s.refused)
		set, ok := aired[h.Playlist]
		if !ok {
			t.Errorf("a page of %q", h.Playlist)
		}
		h.sounds(t, h.Playlist, set.title, set.film)
	}
	if got := s.spoilt(); len(got) != len(aired) {
		t.Errorf("spoilt were %v, want one segment of each set", got)
	}
}

// hearing is what a browser met on the page of a set.
type hearing struct {
	complaints
	Playlist, Title, Kind, State, Element string
	Images, Width                         int
	Seconds, Began                        float64
	Sound, Frames                         []int
}

// sounds wants a set heard, and seen where it is a film.
func (h hearing) sounds(t *testing.T, name, title string, film bool) {
	t.Helper()
	t.Logf("%s: %.1f s, %d bytes of sound, %d pictures, %q", name, h.Seconds, h.Sound[1], h.Frames[1], h.State)
	if h.Title != title || h.Images != 0 || h.State != "Playing." {
		t.Errorf("the page of %q says %q and %q, with %d images", name, h.Title, h.State, h.Images)
	}
	if h.Seconds < 7 || h.Sound[0] == 0 || h.Sound[1] <= h.Sound[0] {
		t.Errorf("%s: %.1f s, bytes of sound %d", name, h.Seconds, h.Sound)
	}
	if film && (h.Element != "video" || h.Width != 640 || h.Frames[0] == 0 || h.Frames[1] <= h.Frames[0]) || !film && h.Element != "audio" {
		t.Errorf("%s: <%s>, %d wide, pictures %d", name, h.Element, h.Width, h.Frames)
	}
}

// complaints are what a browser holds against a page.
type complaints struct {
	Errors []struct{ Text, URL string }
	// Strange are requests for what is not the box's.
	Strange, Axe []string
}

// check has none but of what was refused on purpose.
func (c complaints) check(t *testing.T, page string, refused func(path string) bool) {
	t.Helper()
	for _, e := range c.Errors {
		if u, err := neturl.Parse(e.URL); err == nil && refused(u.Path) {
			continue // that a browser says so is right
		}
		t.Errorf("%s: %s: %s", page, e.URL, e.Text)
	}
	if len(c.Strange)+len(c.Axe) > 0 {
		t.Errorf("%s: requests elsewhere %q, axe %q", page, c.Strange, c.Axe)
	}
}

// air puts on a set of playlist that ffmpeg makes, until the test ends. It gives
// what live says first, where flags have it say something.
func (b *bench) air(dj drive.Box, playlist, title string, args []string, flags ...string) (first []byte) {
	b.Helper()
	source := exec.CommandContext(b.ctx, "ffmpeg", append(append([]string{"-v", "error", "-re"}, args...), "-metadata", "title="+title, "-flush_packets", "1", "-")...)
	live := dj.Command(b.ctx, append([]string{"live", playlist, "--stdin"}, flags...)...)
	var said bytes.Buffer
	live.Stderr = &said
	says, err := live.StdoutPipe()
	b.ok(err)
	out, err := source.StdoutPipe()
	b.ok(err)
	live.Stdin = out
	b.ok(source.Start())
	b.ok(live.Start())
	r := bufio.NewReader(says)
	if len(flags) > 0 {
		first, err = r.ReadBytes('\n')
		b.ok(err)
	}
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		io.Copy(io.Discard, r)
	}()
	b.Cleanup(func() {
		source.Process.Kill()
		source.Wait()
		<-rest
		if err := live.Wait(); err != nil {
			b.Errorf("live %s: %v: %s", playlist, err, said.Bytes())
		}
	})
	return first
}

// listed waits until the page at base lists n sets.
func (b *bench) listed(base string, n int) {
	b.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	link := regexp.MustCompile(`href="/live/[0-9a-f]+/"`)
	for {
		res, err := http.Get(base)
		b.ok(err)
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		b.ok(err)
		if len(link.FindAll(body, -1)) == n {
			return
		}
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			b.Fatalf("not %d sets:\n%s", n, body)
		}
	}
}

// spoiler stands between a browser and a box, and spoils the third segment
// that is asked for of every set: it refuses a fragment of MP4, and makes noise
// of others.
type spoiler struct {
	*httptest.Server
	mu   sync.Mutex          // guards what follows
	seen map[string][]string // by set, the first segments asked for
}

func newSpoiler(host string) *spoiler {
	s := &spoiler{seen: map[string][]string{}}
	proxy := httputil.NewSingleHostReverseProxy(&neturl.URL{Scheme: "http", Host: host})
	proxy.ModifyResponse = func(r *http.Response) error {
		if !s.spoils(r.Request.URL.Path) {
			return nil
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		noise := make([]byte, max(r.ContentLength, 0))
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		r.Body = io.NopCloser(bytes.NewReader(noise))
		if s.refused(r.Request.URL.Path) {
			r.StatusCode = http.StatusNotFound
		}
		return nil
	}
	s.Server = httptest.NewServer(proxy)
	return s
}

var segments = regexp.MustCompile(`^/live/[0-9a-f]+/[0-9]+\.`)

// spoils tells whether p is a segment to be spoilt.
func (s *spoiler) spoils(p string) bool {
	if !segments.MatchString(p) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set := path.Dir(p)
	if seen := s.seen[set]; len(seen) < 3 && !slices.Contains(seen, p) {
		s.seen[set] = append(seen, p)
	}
	return slices.Index(s.seen[set], p) == 2
}

// refused tells whether p was spoilt by refusing it.
func (s *spoiler) refused(p string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return path.Ext(p) == ".m4s" && slices.Index(s.seen[path.Dir(p)], p) == 2
}

// spoilt are the segments that were.
func (s *spoiler) spoilt() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seen := range s.seen {
		if len(seen) == 3 {
			out = append(out, seen[2])
		}
	}
	return out
}
