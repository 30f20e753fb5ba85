package exchange

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// several are strings, or one that stands for itself, as some write it.
type several []string

func (s *several) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*s = several{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(s))
}

// count is a number, also where it is written as text.
type count int64

func (c *count) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		text = string(data)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f > 0 && f < 1e15 {
		*c = count(f)
	}
	return nil
}

type trackJSPF struct {
	Location   several `json:"location,omitempty"`
	Identifier several `json:"identifier,omitempty"`
	Title      string  `json:"title,omitempty"`
	Creator    string  `json:"creator,omitempty"`
	Album      string  `json:"album,omitempty"`
	Duration   count   `json:"duration,omitempty"`
}

type fileJSPF struct {
	Playlist *listJSPF `json:"playlist"`
}

type listJSPF struct {
	Title string      `json:"title,omitempty"`
	Track []trackJSPF `json:"track"`
}

func readJSPF(data []byte) (f File, err error) {
	var in fileJSPF
	if err := json.Unmarshal(data, &in); err != nil {
		return f, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if in.Playlist == nil || in.Playlist.Track == nil {
		return f, ErrFormat
	}
	if len(in.Playlist.Track) > MaxEntries {
		return f, errMany
	}
	f.Title = tidy(in.Playlist.Title)
	for _, t := range in.Playlist.Track {
		f.Entries = append(f.Entries, Entry{t.Identifier, t.Location, tidy(t.Title), tidy(t.Creator), tidy(t.Album), int64(t.Duration)})
	}
	return f, nil
}

func writeJSPF(f File) ([]byte, error) {
	out := listJSPF{Title: f.Title, Track: []trackJSPF{}}
	for _, e := range f.Entries {
		out.Track = append(out.Track, trackJSPF{uris(e.Locations), e.IDs, e.Title, e.Artist, e.Album, count(e.Ms)})
	}
	data, err := json.MarshalIndent(fileJSPF{&out}, "", "  ")
	return append(data, '\n'), err
}
