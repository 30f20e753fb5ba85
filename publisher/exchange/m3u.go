package exchange

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readM3U reads lines: a location each, and directives before it. Bytes that are
// not UTF-8 are Latin-1, as .m3u has them.
func readM3U(data []byte) (f File, err error) {
	if bytes.IndexByte(data, 0) >= 0 {
		return f, ErrFormat
	}
	text := string(data)
	if !utf8.Valid(data) {
		runes := make([]rune, len(data))
		for i, b := range data {
			runes[i] = rune(b)
		}
		text = string(runes)
	}
	var next Entry
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); {
		case line == "":
		case name == "#PLAYLIST":
			f.Title = tidy(value)
		case name == "#EXTART":
			next.Artist = tidy(value)
		case name == "#EXTALB":
			next.Album = tidy(value)
		case name == "#EXTINF":
			length, title := cutLength(value)
			seconds, _, _ := strings.Cut(length, " ") // attributes may follow
			if s, err := strconv.ParseFloat(seconds, 64); err == nil && s > 0 && s < 1e9 {
				next.Ms = int64(s * 1000)
			}
			if artist, rest, ok := strings.Cut(title, " - "); ok && next.Artist == "" {
				next.Artist, title = tidy(artist), rest
			}
			next.Title = tidy(title)
		case strings.HasPrefix(line, "#"):
		default:
			if len(f.Entries) == MaxEntries {
				return f, errMany
			}
			next.Locations = []string{line}
			f.Entries = append(f.Entries, next)
			next = Entry{}
		}
	}
	return f, nil
}

// cutLength parts what #EXTINF says at its first comma that is not in quotes.
func cutLength(s string) (length, title string) {
	quoted := false
	for i := range len(s) {
		switch s[i] {
		case '"':
			quoted = !quoted
		case ',':
			if !quoted {
				return strings.TrimSpace(s[:i]), s[i+1:]
			}
		}
	}
	return s, ""
}

func writeM3U(f File) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("#EXTM3U\n")
	if f.Title != "" {
		fmt.Fprintf(&b, "#PLAYLIST:%s\n", tidy(f.Title))
	}
	for _, e := range f.Entries {
		seconds := int64(-1)
		if e.Ms > 0 {
			seconds = (e.Ms + 500) / 1000
		}
		fmt.Fprintf(&b, "#EXTINF:%d,%s\n", seconds, tidy(e.Name()))
		if e.Album != "" {
			fmt.Fprintf(&b, "#EXTALB:%s\n", tidy(e.Album))
		}
		at := append(append([]string{}, e.Locations...), e.IDs...)
		if len(at) == 0 || at[0] == "" || strings.ContainsAny(at[0], "\r\n") {
			return nil, fmt.Errorf("nothing says where %q is", e.Name())
		}
		if strings.HasPrefix(at[0], "#") {
			at[0] = "./" + at[0]
		}
		b.WriteString(at[0] + "\n")
	}
	return b.Bytes(), nil
}
