package web

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"playnode/internal/audio/segment"
)

// held is a set in memory.
type held struct {
	mu    sync.Mutex // guards what follows
	title string
	parts []Segment
	first uint64
	ended bool
	lost  map[uint64]bool
}

func (h *held) ID() string       { return "0123456789abcdef0123456789abcdef" }
func (h *held) Playlist() string { return "bar <b>" }
func (h *held) Title() string    { h.mu.Lock(); defer h.mu.Unlock(); return h.title }

func (h *held) Span() (uint64, uint64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first, h.first + uint64(len(h.parts)), h.ended
}

func (h *held) Segment(_ context.Context, n uint64) (Segment, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n < h.first || n >= h.first+uint64(len(h.parts)) || h.lost[n] {
		return Segment{}, ErrGone
	}
	return h.parts[n-h.first], nil
}

var codecs = map[segment.Format]string{
	segment.MP3: "mp3", segment.ADTS: "aac", segment.Opus: "opus", segment.FLAC: "flac", segment.TS: "mpegts", segment.MP4: "mp4", segment.Vorbis: "vorbis",
}

// cut is an encoded stream as a set.
func cut(t *testing.T, file []byte) *held {
	t.Helper()
	h := &held{title: "Nobody – <i>One</i>", ended: true}
	var head []byte
	for s := segment.New(bytes.NewReader(file), segment.Config{}); ; {
		x, err := s.Next()
		if errors.Is(err, io.EOF) {
			return h
		}
		if err != nil {
			t.Fatal(err)
		}
		if x.Begins {
			head = x.Init
		}
		h.parts = append(h.parts, Segment{Codec: codecs[x.Format], Rate: x.Rate, Head: head, Media: x.Media, At: x.At, Len: x.Length})
	}
}

// encoded is some seconds by another's encoder.
func encoded(t *testing.T, args ...string) []byte {
	t.Helper()
	args = append([]string{"-v", "error", "-f", "lavfi", "-i", "aevalsrc=sin(3000*t)*0.4|cos(5000*t)*0.3:d=3.2:s=48000"}, append(args, "-")...)
	return run(t, exec.Command("ffmpeg", args...), nil)
}

func run(t *testing.T, c *exec.Cmd, in []byte) []byte {
	t.Helper()
	var msg bytes.Buffer
	c.Stdin, c.Stderr = bytes.NewReader(in), &msg
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", c, err, msg.String())
	}
	return out
}

func serve(t *testing.T, sets ...Set) *httptest.Server {
	s := httptest.NewServer(New(Config{Sets: func() []Set { return sets }}))
	t.Cleanup(s.Close)
	return s
}

// ffmpeg hears from the playlist what it hears from the stream.
func TestEveryFormatIsHeard(t *testing.T) {
	for name, args := range map[string][]string{
		"mp3":    {"-c:a", "libmp3lame", "-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0", "-f", "mp3"},
		"aac":    {"-c:a", "aac", "-f", "adts"},
		"opus":   {"-c:a", "libopus", "-f", "ogg"},
		"flac":   {"-c:a", "flac", "-sample_fmt", "s16", "-f", "flac"},
		"mpegts": {"-c:a", "aac", "-f", "mpegts"},
		"mp4":    {"-c:a", "aac", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-frag_duration", "500000"},
	} {
		t.Run(name, func(t *testing.T) {
			file := encoded(t, args...)
			set := cut(t, file)
			if len(set.parts) < 2 || set.parts[0].Codec != name {
				t.Fatalf("%d segments of %s", len(set.parts), set.parts[0].Codec)
			}
			s := serve(t, set)
			got := run(t, exec.Command("ffmpeg", "-v", "error", "-i", s.URL+"/live/"+set.ID()+"/index.m3u8", "-f", "s16le", "-ac", "2", "-ar", "48000", "-"), nil)
			want := run(t, exec.Command("ffmpeg", "-v", "error", "-i", "pipe:0", "-f", "s16le", "-ac", "2", "-ar", "48000", "-"), file)
			// Where sound begins and ends within a packet is told by some containers and not by others.
			const edge = 4 * 2400
			if d := len(got) - len(want); d < -edge || d > edge || !bytes.Contains(got, want[edge:len(want)-edge]) {
				t.Errorf("%d bytes of sound, %d in the stream", len(got), len(want))
			}
		})
	}
}

// A picture goes as it came.
func TestAFilmIsSeen(t *testing.T) {
	file := run(t, exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=d=3:s=64x48:r=10", "-f", "lavfi", "-i", "sine=d=3",
		"-c:v", "libx264", "-g", "10", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "mpegts", "-"), nil)
	set := cut(t, file)
	s := serve(t, set)
	frames := func(args ...string) []byte {
		return run(t, exec.Command("ffmpeg", append([]string{"-v", "error"}, append(args, "-map", "0:v", "-f", "framemd5", "-")...)...), file)
	}
	if got, want := frames("-i", s.URL+"/live/"+set.ID()+"/index.m3u8"), frames("-i", "pipe:0"); !bytes.Equal(sums(got), sums(want)) || len(sums(want)) == 0 {
		t.Errorf("other pictures:\n%s\n%s", got, want)
	}
	if page := get(t, s, "/live/"+set.ID()+"/"); !strings.Contains(page, "<video") {
		t.Error("a film has no place for its picture")
	}
}

// sums are the pictures' digests.
func sums(framemd5 []byte) (out []byte) {
	for line := range bytes.Lines(framemd5) {
		if f := bytes.Split(bytes.TrimSpace(line), []byte(",")); len(f) == 6 && !bytes.HasPrefix(line, []byte("#")) {
			out = append(append(out, f[5]...), '\n')
		}
	}
	return out
}

func get(t *testing.T, s *httptest.Server, path string) string {
	t.Helper()
	res, err := s.Client().Get(s.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, res.Status, err)
	}
	return string(b)
}

func TestPages(t *testing.T) {
	set := cut(t, encoded(t, "-c:a", "libmp3lame", "-f", "mp3"))
	s := serve(t, set)
	for path, want := range map[string]string{
		"/":                               `<a href="/live/` + set.ID() + `/">bar &lt;b&gt;</a> <span>Nobody – &lt;i&gt;One&lt;/i&gt;</span>`,
		"/live/" + set.ID() + "/":         `<audio id="player"`,
		"/live/" + set.ID() + "/now.json": `"ended":true`,
		"/static/stage.js":                "Hls",
		"/static/icon.svg":                "<svg",
		"/static/hls.LICENSE.txt":         "Apache License",
	} {
		if got := get(t, s, path); !strings.Contains(got, want) {
			t.Errorf("%s: no %s in\n%.600s", path, want, got)
		}
	}
	if got := get(t, serve(t), "/"); !strings.Contains(got, "Nothing is on air") {
		t.Error(got)
	}
	ogg := cut(t, encoded(t, "-c:a", "libvorbis", "-f", "ogg"))
	if got := get(t, serve(t, ogg), "/live/"+ogg.ID()+"/"); strings.Contains(got, "<audio") || !strings.Contains(got, "vorbis") {
		t.Error("a page promises what browsers do not take")
	}
}

// Who looks before anything of a set is here gets its player once something is:
// a film's is one for pictures.
func TestAPageWaits(t *testing.T) {
	set := &held{parts: []Segment{{}, {}}, lost: map[uint64]bool{0: true, 1: true}} // nothing opens
	s := serve(t, set)
	path := "/live/" + set.ID() + "/"
	if page, now := get(t, s, path), get(t, s, path+"now.json"); strings.Contains(page, `id="player"`) || !strings.Contains(page, "Waiting for the set.") || !strings.Contains(now, `"begun":false`) {
		t.Errorf("%s\n%s", page, now)
	}
	set.mu.Lock()
	set.parts[0] = Segment{Codec: "mpegts", Rate: 90000, Media: make([]byte, 188), Len: 90000}
	delete(set.lost, 0)
	set.mu.Unlock()
	if page, now := get(t, s, path), get(t, s, path+"now.json"); !strings.Contains(page, `<video id="player"`) || !strings.Contains(now, `"begun":true`) {
		t.Errorf("%s\n%s", page, now)
	}
}

// A segment is of use by itself: sound without a container says when it is, a
// transport stream what is in it.
func TestASegmentStandsAlone(t *testing.T) {
	set := cut(t, encoded(t, "-c:a", "libmp3lame", "-f", "mp3"))
	x := set.parts[2]
	got := []byte(get(t, serve(t, set), "/live/"+set.ID()+"/2.mp3"))
	tag := got[:len(got)-len(x.Media)]
	at := binary.BigEndian.Uint64(tag[len(tag)-8:])
	if want := float64(x.At) / float64(x.Rate) * 90000; string(tag[:3]) != "ID3" || int(tag[9]) != len(tag)-10 || float64(at) < want-1 || float64(at) > want+1 {
		t.Errorf("%d bytes of tag say %d, not %.0f", len(tag), at, want)
	}
	set = cut(t, encoded(t, "-c:a", "aac", "-f", "mpegts"))
	part := []byte(get(t, serve(t, set), "/live/"+set.ID()+"/2.ts"))
	if got := run(t, exec.Command("ffmpeg", "-v", "error", "-i", "pipe:0", "-f", "s16le", "-"), part); len(got) < 48000 {
		t.Errorf("%d bytes of sound", len(got))
	}
}

// A playlist rolls: what is old goes, and numbers stay.
func TestAPlaylistRolls(t *testing.T) {
	set := cut(t, encoded(t, "-c:a", "libmp3lame", "-f", "mp3"))
	one := set.parts[0]
	set.parts, set.first, set.ended = nil, 1000, false
	for i := range 100 {
		x := one
		x.At = int64(i) * one.Len
		if i >= 90 {
			x.Rate, x.Head = 44100, []byte("another") // begins anew
		}
		set.parts = append(set.parts, x)
	}
	set.lost = map[uint64]bool{1070: true, 1075: true} // missing: the first shown, and one among them
	got := get(t, serve(t, set), "/live/"+set.ID()+"/index.m3u8")
	if strings.Contains(got, "1070.mp3") || strings.Count(got, "#EXT-X-GAP\n") != 1 || !strings.Contains(got, "\n1075.mp3\n") {
		t.Error(got)
	}
	if !strings.Contains(got, "#EXT-X-MEDIA-SEQUENCE:1071\n") || strings.Count(got, "#EXTINF") != window-1 || strings.Contains(got, "ENDLIST") ||
		strings.Count(got, "#EXT-X-DISCONTINUITY\n") != 1 || !strings.HasSuffix(got, "\n1099.mp3\n") {
		t.Error(got)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	set := cut(t, encoded(t, "-c:a", "libmp3lame", "-f", "mp3"))
	h := New(Config{Sets: func() []Set { return []Set{set} }, Hosts: []string{"bar.local"}})
	ask := func(method, host, path string, header ...string) *http.Response {
		r := httptest.NewRequest(method, path, nil)
		r.Host = host
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	for host, want := range map[string]int{
		"127.0.0.1:8080": 200, "[::1]:8080": 200, "localhost": 200, "LOCALHOST:1": 200, "bar.local": 200, "192.168.1.5": 200,
		"evil.example": 421, "127.0.0.1.evil.example": 421, "": 421, "bar.local.evil.example:80": 421,
	} {
		if got := ask("GET", host, "/").StatusCode; got != want {
			t.Errorf("host %q: %d, want %d", host, got, want)
		}
	}
	live := "/live/" + set.ID() + "/"
	for path, want := range map[string]int{
		live: 200, live + "index.m3u8": 200, live + "0.mp3": 200, live + "0.ts": 404, live + "init-0.mp4": 404, live + "99.mp3": 404, live + "-1.mp3": 404,
		live + "0": 404, live + "0.": 404, "/live/other/": 404, "/live/other/0.mp3": 404, "/static/../web.go": 404, live + "18446744073709551616.mp3": 404,
	} {
		got := ask("GET", "localhost", path).StatusCode
		if got == http.StatusTemporaryRedirect || got == http.StatusMovedPermanently {
			got = 404
		}
		if got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if got := ask("POST", "localhost", "/", "Sec-Fetch-Site", "cross-site").StatusCode; got != 403 {
		t.Errorf("a form elsewhere: %d", got)
	}
	res := ask("GET", "localhost", live)
	if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", res.Header)
	}
}

// What is sealed for others, or no stream, breaks nothing.
func TestBrokenSegments(t *testing.T) {
	set := &held{}
	for codec := range wraps {
		for _, b := range [][]byte{nil, {0}, []byte("OggS"), bytes.Repeat([]byte{0xff}, 4096)} {
			set.parts = append(set.parts, Segment{Codec: codec, Rate: 48000, Head: b, Media: b, Len: 48000})
		}
	}
	h := New(Config{Sets: func() []Set { return []Set{set} }})
	for n := range set.parts {
		for _, file := range []string{"%d.m4s", "%d.mp3", "init-%d.mp4", "%d.ts", "%d.aac"} {
			r := httptest.NewRequest("GET", "/live/"+set.ID()+"/"+strings.ReplaceAll(file, "%d", string(rune('0'+n%10))), nil)
			r.Host = "localhost"
			h.ServeHTTP(httptest.NewRecorder(), r) // does not panic
		}
	}
}
