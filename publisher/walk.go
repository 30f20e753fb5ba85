package publisher

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"playnode/internal/audio"
)

// Found is a file to publish, or why there is none at Path.
type Found struct {
	Path string
	Err  error
}

// Place is where a file's tags put it in its album; Number is 0 where they
// say nothing.
type Place struct{ Disc, Number int }

// Walk lists the sound files of paths, in the order in which they are to be
// heard: arguments keep theirs; a folder goes by disc and track tag where
// place knows them for all of its files, else by name, numbers in it as
// numbers; folders in it follow, likewise. Links are followed for arguments
// only. A file that is named twice is listed once.
func Walk(paths []string, place func(path string) (Place, error)) []Found {
	var out []Found
	seen := map[string]bool{}
	add := func(f Found) {
		if !seen[f.Path] {
			seen[f.Path] = true
			out = append(out, f)
		}
	}
	for _, p := range paths {
		st, err := os.Stat(p)
		switch {
		case err != nil:
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			add(Found{p, err})
		case st.IsDir():
			n := len(out)
			walkFolder(p, place, add)
			if n == len(out) {
				add(Found{p, errors.New("no sound files in this folder")})
			}
		case !st.Mode().IsRegular():
			add(Found{p, errors.New("not a file")})
		default:
			add(Found{p, nil})
		}
	}
	return out
}

func walkFolder(dir string, place func(string) (Place, error), add func(Found)) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		add(Found{dir, fmt.Errorf("read folder: %w", err)})
		return
	}
	var files, folders []string
	for _, e := range entries {
		p := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
			// hidden, such as the "._" files that macOS leaves
		case e.IsDir():
			folders = append(folders, p)
		case e.Type().IsRegular() && audio.Named(p):
			files = append(files, p)
		}
	}
	slices.SortFunc(files, natural)
	slices.SortFunc(folders, natural)
	places, tagged := map[string]Place{}, true
	for _, f := range files {
		at, err := place(f)
		if err != nil || at.Number <= 0 {
			tagged = false
			break
		}
		places[f] = at
	}
	if tagged {
		slices.SortStableFunc(files, func(a, b string) int {
			x, y := places[a], places[b]
			return cmp.Or(cmp.Compare(x.Disc, y.Disc), cmp.Compare(x.Number, y.Number))
		})
	}
	for _, f := range files {
		add(Found{f, nil})
	}
	for _, f := range folders {
		walkFolder(f, place, add)
	}
}

// natural compares names as people do: "2 b" before "10 a", case apart only
// where all else is equal.
func natural(a, b string) int {
	x, y := strings.ToLower(a), strings.ToLower(b)
	for x != "" && y != "" {
		nx, rx := digits(x)
		ny, ry := digits(y)
		if nx != "" && ny != "" {
			nx, ny = strings.TrimLeft(nx, "0"), strings.TrimLeft(ny, "0")
			if c := cmp.Or(cmp.Compare(len(nx), len(ny)), cmp.Compare(nx, ny)); c != 0 {
				return c
			}
			x, y = rx, ry
			continue
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

// digits splits the number that s begins with from the rest.
func digits(s string) (number, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}
