package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"

	"playnode/publisher"
	"playnode/publisher/exchange"
)

// Operations of playlists in other programs' formats.
const (
	OpPlaylistImport Op[PlaylistImportRequest, PlaylistImported] = "playlist-import"
	OpPlaylistExport Op[PlaylistExportRequest, PlaylistExported] = "playlist-export"
)

// maxNotes is how many of the entries that are no track are told one by one where
// nothing is done.
const maxNotes = 20

// PlaylistImportRequest has Playlist list the tracks that the playlist file Path
// (absolute) names, behind its own; it is made when new. With Replace it is to have
// these in this order and no others, and nothing is done where one is unknown.
type PlaylistImportRequest struct {
	Path     string `json:"path"`
	Playlist string `json:"playlist"`
	Replace  bool   `json:"replace,omitempty"`
}

// PlaylistImported is the playlist after that. Matched counts the entries that are
// tracks of the library, Skipped are the others.
type PlaylistImported struct {
	Playlist
	Matched int       `json:"matched"`
	Skipped []Skipped `json:"skipped"`
}

// PlaylistExportRequest names a playlist, and "m3u8", "xspf" or "jspf", or a file
// whose name says that. Files are files and folders (absolute) in which its tracks'
// are looked for.
type PlaylistExportRequest struct {
	Playlist string   `json:"playlist"`
	Format   string   `json:"format,omitempty"`
	Name     string   `json:"name,omitempty"`
	Files    []string `json:"files,omitempty"`
}

// PlaylistExported is a playlist, and its file's text. Found counts the tracks whose
// files were found.
type PlaylistExported struct {
	Playlist Playlist `json:"playlist"`
	Text     string   `json:"text"`
	Found    int      `json:"found"`
}

func (d *Daemon) playlistImport(ctx context.Context, req PlaylistImportRequest, emit func(Event)) (PlaylistImported, error) {
	out := PlaylistImported{Skipped: []Skipped{}}
	n, err := d.net()
	if err != nil {
		return out, err
	}
	file, err := readList(req.Path)
	if err != nil {
		return out, err
	}
	tracks, skipped, err := n.publisher.Match(ctx, req.Playlist, filepath.Dir(req.Path), file.Entries)
	if err != nil {
		return out, err
	}
	for _, s := range skipped {
		out.Skipped = append(out.Skipped, Skipped{Path: s.Path, Why: s.Err.Error()})
	}
	if out.Matched = len(tracks); len(tracks) == 0 || req.Replace && len(skipped) > 0 {
		for _, s := range out.Skipped[:min(len(out.Skipped), maxNotes)] {
			emit(Event{Note: fmt.Sprintf("skipped %s: %s", s.Path, s.Why)})
		}
		return out, fmt.Errorf("of the %d tracks in %s, %d are yours: nothing was changed", len(file.Entries), filepath.Base(req.Path), len(tracks))
	}
	_, err = n.publisher.Playlist(req.Playlist)
	if errors.Is(err, publisher.ErrNoPlaylist) {
		_, err = n.publisher.Create(ctx, req.Playlist)
	}
	if err != nil {
		return out, err
	}
	list := n.publisher.Add
	if req.Replace {
		list = n.publisher.Replace
	}
	release := n.follow.Hold()
	l, err := list(ctx, tracks, d.listing(req.Playlist, emit))
	release()
	out.Playlist, err = d.revised(l, err, emit)
	return out, err
}

func readList(path string) (exchange.File, error) {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return exchange.File{}, usage("%s is not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return exchange.File{}, usage("%v", err)
	}
	defer f.Close()
	return exchange.Read(f)
}

func (d *Daemon) playlistExport(ctx context.Context, req PlaylistExportRequest, _ func(Event)) (PlaylistExported, error) {
	n, err := d.net()
	if err != nil {
		return PlaylistExported{}, err
	}
	as := exchange.FormatOf(req.Name)
	if req.Format != "" {
		as = exchange.FormatOf("." + req.Format)
	}
	if as == "" {
		return PlaylistExported{}, usage("a playlist's file ends in .m3u8, .xspf or .jspf, or --format says one of these")
	}
	l, err := n.publisher.Playlist(req.Playlist)
	if err != nil {
		return PlaylistExported{}, err
	}
	var files map[cid.Cid]string
	if len(req.Files) > 0 {
		if files, err = n.publisher.Files(ctx, req.Files); err != nil {
			return PlaylistExported{}, err
		}
	}
	out := PlaylistExported{Playlist: playlistOf(l)}
	for _, t := range l.Tracks {
		if files[t.CID] != "" {
			out.Found++
		}
	}
	var text bytes.Buffer
	err = exchange.Write(&text, publisher.Written(l, files), as)
	out.Text = text.String()
	return out, err
}
