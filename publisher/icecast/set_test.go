package icecast_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"playnode/internal/audio/segment"
	"playnode/publisher/icecast"
)

// A set goes on over two sources: what each sends is cut, with the title that is in force, and nothing of
// either is lost or mixed with the other's.
func TestSet(t *testing.T) {
	path, dir := music(t, 2)
	s, addr := serve(t, icecast.Config{})
	b := [2][]byte{encoded(t, path, mp3), encoded(t, path, opus)}
	start := func(i int) {
		file := fmt.Sprintf("%s/%d", dir, i)
		if err := os.WriteFile(file, b[i], 0o600); err != nil {
			t.Fatal(err)
		}
		program(t, nil, "curl", "-sS", "-u", "source:hackme", "-T", file, "http://"+addr+"/set")
	}
	start(0)
	var at time.Duration
	var got [2][]byte
	var titles []string
	for i := range 2 {
		src := accept(t, s)
		if i == 0 {
			if code := status(t, "-u", "source:hackme", "http://"+addr+"/admin/metadata?mode=updinfo&mount=/set&song=One"); code != "200" {
				t.Fatal(code)
			}
		}
		base, title := at, ""
		for seg := segment.New(src, segment.Config{}); ; {
			x, err := seg.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range src.Updates() {
				title = u.Title
			}
			if x.Begins && x.Title != "" {
				title = x.Title
			}
			got[i] = append(append(got[i], x.Init...), x.Media...)
			titles = append(titles, title)
			at = base + x.Start() + x.Duration()
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
		if i == 0 {
			start(1)
		}
	}
	if !bytes.HasSuffix(b[0], got[0]) || len(got[0]) < len(b[0])-1000 || !bytes.Equal(got[1], b[1]) {
		t.Errorf("%d and %d bytes of %d and %d, or others", len(got[0]), len(got[1]), len(b[0]), len(b[1]))
	}
	if at < 4*time.Second || at > 4300*time.Millisecond || strings.Join(slices.Compact(titles), "|") != "One|" {
		t.Errorf("the set lasts %v, with titles %q", at, titles)
	}
}
