package exchange

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	spaceXSPF = "http://xspf.org/ns/0/"
	maxDepth  = 64
)

// readXSPF walks the elements: what it does not know, extensions among it, it
// passes over. There is no document type, and so no entity but XML's own five.
func readXSPF(data []byte) (f File, err error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	var path []string
	var text strings.Builder
	var e Entry
	for {
		t, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && f.Entries != nil:
			return f, nil
		case errors.Is(err, io.EOF):
			return f, ErrFormat
		case err != nil:
			return f, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		switch t := t.(type) {
		case xml.Directive:
			return f, fmt.Errorf("%w: it has a document type", ErrFormat)
		case xml.StartElement:
			name := t.Name.Local
			if t.Name.Space != spaceXSPF && t.Name.Space != "" {
				name = "other"
			}
			switch path = append(path, name); {
			case len(path) > maxDepth:
				return f, fmt.Errorf("%w: it is nested over %d deep", ErrFormat, maxDepth)
			case len(path) == 1 && name != "playlist":
				return f, ErrFormat
			case len(path) == 2 && name == "trackList":
				f.Entries = []Entry{}
			}
			text.Reset()
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			at, said := strings.Join(path, "/"), strings.TrimSpace(text.String())
			path = path[:len(path)-1]
			text.Reset()
			switch at {
			case "playlist/title":
				f.Title = tidy(said)
			case "playlist/trackList/track":
				if len(f.Entries) == MaxEntries {
					return f, errMany
				}
				f.Entries = append(f.Entries, e)
				e = Entry{}
			case "playlist/trackList/track/location":
				e.Locations = append(e.Locations, said)
			case "playlist/trackList/track/identifier":
				e.IDs = append(e.IDs, said)
			case "playlist/trackList/track/title":
				e.Title = tidy(said)
			case "playlist/trackList/track/creator":
				e.Artist = tidy(said)
			case "playlist/trackList/track/album":
				e.Album = tidy(said)
			case "playlist/trackList/track/duration":
				e.Ms = milliseconds(said)
			}
		}
	}
}

func milliseconds(s string) int64 {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms < 0 {
		return 0
	}
	return ms
}

// trackXSPF has the elements in the order of the specification's examples.
type trackXSPF struct {
	Location   []string `xml:"location"`
	Identifier []string `xml:"identifier"`
	Title      string   `xml:"title,omitempty"`
	Creator    string   `xml:"creator,omitempty"`
	Album      string   `xml:"album,omitempty"`
	Duration   int64    `xml:"duration,omitempty"`
}

func writeXSPF(f File) ([]byte, error) {
	var out struct {
		XMLName xml.Name    `xml:"http://xspf.org/ns/0/ playlist"`
		Version string      `xml:"version,attr"`
		Title   string      `xml:"title,omitempty"`
		Tracks  []trackXSPF `xml:"trackList>track"`
	}
	out.Version, out.Title = "1", f.Title
	for _, e := range f.Entries {
		out.Tracks = append(out.Tracks, trackXSPF{uris(e.Locations), e.IDs, e.Title, e.Artist, e.Album, e.Ms})
	}
	data, err := xml.MarshalIndent(out, "", "  ")
	if err == nil && len(out.Tracks) == 0 { // the element has to be there
		data = bytes.Replace(data, []byte("</playlist>"), []byte("<trackList></trackList>\n</playlist>"), 1)
	}
	return append([]byte(xml.Header), append(data, '\n')...), err
}

// uris are locations, with paths as URIs of files.
func uris(locations []string) (out []string) {
	for _, l := range locations {
		if u, err := url.Parse(l); err != nil || len(u.Scheme) < 2 { // a letter is a disk
			l = filepath.ToSlash(l)
			if filepath.VolumeName(l) != "" {
				l = "/" + l
			}
			l = (&url.URL{Scheme: "file", Path: l}).String()
		}
		out = append(out, l)
	}
	return out
}
