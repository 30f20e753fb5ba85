// Package exchange reads and writes playlists as other programs have them:
// M3U8 (a line a track, as players have long done), XSPF 1 and JSPF, both of
// xspf.org. What is read is a stranger's: it is bounded, names files without
// opening them, and is told as it is written.
package exchange

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
)

// Bounds of what is read: of a file's bytes, and of its tracks.
const (
	MaxSize    = 32 << 20
	MaxEntries = 100_000
)

// ErrFormat says that a file is no playlist that can be read.
var ErrFormat = errors.New("no playlist in M3U8, XSPF or JSPF")

// Format is how a playlist is written.
type Format string

const (
	M3U8 Format = "m3u8"
	XSPF Format = "xspf"
	JSPF Format = "jspf"
)

// FormatOf is the format that a file's name says, "" where it says none.
func FormatOf(name string) Format {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".m3u8", ".m3u":
		return M3U8
	case ".xspf":
		return XSPF
	case ".jspf", ".json":
		return JSPF
	}
	return ""
}

// File is a playlist.
type File struct {
	Title   string
	Entries []Entry
}

// Entry is one of its tracks; what is not known is empty.
type Entry struct {
	// IDs are URIs that say which track it is, Locations where it may be: URIs,
	// or paths.
	IDs, Locations       []string
	Title, Artist, Album string
	Ms                   int64
}

// Name is how it is called in one line: "Artist - Title", or the title alone.
func (e Entry) Name() string {
	if e.Artist == "" {
		return e.Title
	}
	return e.Artist + " - " + e.Title
}

// Read reads a playlist in whichever format it is.
func Read(r io.Reader) (File, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return File{}, fmt.Errorf("read playlist: %w", err)
	}
	if len(data) > MaxSize {
		return File{}, fmt.Errorf("read playlist: it has over %d MiB", MaxSize>>20)
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	read := readM3U
	switch text := bytes.TrimLeft(data, " \t\r\n"); {
	case bytes.HasPrefix(text, []byte("<")):
		read = readXSPF
	case bytes.HasPrefix(text, []byte("{")):
		read = readJSPF
	}
	f, err := read(data)
	if err != nil {
		return File{}, fmt.Errorf("read playlist: %w", err)
	}
	return f, nil
}

var errMany = fmt.Errorf("it has over %d tracks", MaxEntries)

// Write writes a playlist in a format.
func Write(w io.Writer, f File, as Format) error {
	write, ok := map[Format]func(File) ([]byte, error){M3U8: writeM3U, XSPF: writeXSPF, JSPF: writeJSPF}[as]
	if !ok {
		return fmt.Errorf("write playlist: %q is neither m3u8, xspf nor jspf", as)
	}
	data, err := write(f)
	if err == nil {
		_, err = w.Write(data)
	}
	if err != nil {
		return fmt.Errorf("write playlist: %w", err)
	}
	return nil
}

// tidy is text on one line, without its outer spaces.
func tidy(s string) string { return strings.Join(strings.Fields(s), " ") }

// Paths are where a location may be on this machine: below dir, the playlist's
// folder, where it is relative. There is none where it is elsewhere: a network's
// folder is never asked.
func Paths(location, dir string) []string {
	u, err := url.Parse(location)
	switch {
	case err == nil && u.Scheme == "file":
		if u.Host != "" && u.Host != "localhost" {
			return nil
		}
		location = u.Path
		if len(location) > 2 && location[0] == '/' && location[2] == ':' && filepath.VolumeName(location[1:]) != "" {
			location = location[1:]
		}
	case err == nil && len(u.Scheme) > 1:
		return nil
	}
	all := []string{location}
	if plain, err := url.PathUnescape(location); err == nil && plain != location && u != nil && u.Scheme != "file" { // a relative URI
		all = append(all, plain)
	}
	var out []string
	for _, p := range all {
		if p = filepath.FromSlash(p); p == "" || strings.HasPrefix(filepath.ToSlash(p), "//") || strings.ContainsRune(p, 0) {
			continue
		}
		if !filepath.IsAbs(p) {
			p = filepath.Join(dir, p)
		}
		out = append(out, p)
	}
	return out
}
