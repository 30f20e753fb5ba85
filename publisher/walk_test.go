package publisher

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWalk(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"a/10 x.mp3", "a/2 y.MP3", "a/._2 y.mp3", "a/cover.jpg", "a/z/1.flac", "tagged/a.mp3", "tagged/b.mp3", "tagged/c.mp3", "empty/readme.txt", "one.bin"} {
		p := filepath.Join(dir, f)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	place := func(p string) (Place, error) {
		switch filepath.Base(p) {
		case "a.mp3":
			return Place{2, 1}, nil
		case "b.mp3":
			return Place{1, 2}, nil
		case "c.mp3":
			return Place{1, 1}, nil
		}
		return Place{}, errors.New("no tags")
	}
	at := func(s ...string) (out []string) {
		for _, p := range s {
			out = append(out, filepath.Join(dir, p))
		}
		return out
	}
	found := Walk(at("one.bin", "a", "tagged", "empty", "absent", "a/2 y.MP3"), place)
	var good, bad []string
	for _, f := range found {
		if f.Err != nil {
			bad = append(bad, f.Path)
		} else {
			good = append(good, f.Path)
		}
	}
	if want := at("one.bin", "a/2 y.MP3", "a/10 x.mp3", "a/z/1.flac", "tagged/c.mp3", "tagged/b.mp3", "tagged/a.mp3"); !slices.Equal(good, want) {
		t.Errorf("found %q\nwant  %q", good, want)
	}
	if want := at("empty", "absent"); !slices.Equal(bad, want) {
		t.Errorf("not found %q, want %q", bad, want)
	}
}

func TestNatural(t *testing.T) {
	order := []string{"", "1", "01", "2 a", "2 B", "10", "a1b2", "a1b10", "a2", "B", "b"}
	for i, a := range order {
		for j, b := range order {
			got := natural(a, b)
			if (i < j) != (got < 0) && !(a == "1" && b == "01") && !(a == "01" && b == "1") {
				t.Errorf("natural(%q, %q) = %d", a, b, got)
			}
			if got != -natural(b, a) {
				t.Errorf("natural(%q, %q) is not the reverse of its reverse", a, b)
			}
		}
	}
}
