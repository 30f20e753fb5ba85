package publisher

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"playnode/internal/audio"
	"playnode/manifests"
	"playnode/publisher/exchange"
)

// schemeIPFS begins the URI of a track: of its sealed bytes.
const schemeIPFS = "ipfs://"

// nearly is by how much another program's idea of a track's length may differ, in
// milliseconds.
const nearly = 2000

var (
	errUnknown = errors.New("it is none of your tracks")
	errAlike   = errors.New("it may be any of several tracks of yours")
)

// Match finds the tracks of the library that a playlist's entries are, in their
// order: by a track's URI, by a file that was published, its path being below dir
// where it is relative, by the title and artist. Of several that are alike it is
// the one that the playlist label has. What is none of them is skipped.
func (p *Publisher) Match(ctx context.Context, label, dir string, entries []exchange.Entry) (tracks []cid.Cid, skipped []Skipped, err error) {
	m := matcher{p: p, label: label, dir: dir}
	if err := m.read(); err != nil {
		return nil, nil, fmt.Errorf("match tracks: %w", err)
	}
	for _, e := range entries {
		c, err := m.find(ctx, e)
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case errors.Is(err, errUnknown), errors.Is(err, errAlike):
			name := manifests.Clean(e.Name(), 512)
			if len(e.Locations) > 0 {
				name = cmp.Or(name, manifests.Clean(e.Locations[0], 512))
			}
			skipped = append(skipped, Skipped{name, err})
		case err != nil:
			return nil, nil, fmt.Errorf("match tracks: %w", err)
		default:
			tracks = append(tracks, c)
		}
	}
	return tracks, skipped, nil
}

// matcher is the library by what entries say of tracks.
type matcher struct {
	p          *Publisher
	label, dir string
	rows       map[cid.Cid]*trackRow
	named      map[string][]*trackRow
	listed     map[cid.Cid]bool // by the playlist
}

func (m *matcher) read() error {
	m.rows, m.named, m.listed = map[cid.Cid]*trackRow{}, map[string][]*trackRow{}, map[cid.Cid]bool{}
	if err := m.p.cfg.Store.Each(rowTrack, func(key string, value []byte) error {
		row := new(trackRow)
		if err := json.Unmarshal(value, row); err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		m.rows[row.CID] = row
		name := alike(exchange.Entry{Title: row.Title, Artist: row.Artist}.Name())
		m.named[name] = append(m.named[name], row)
		return nil
	}); err != nil {
		return err
	}
	var l listRow
	ok, err := load(m.p.cfg.Store, rowList+m.label, &l)
	if err != nil || !ok {
		return err
	}
	order, err := m.p.order(&l)
	for _, c := range order {
		m.listed[c] = true
	}
	return err
}

// alike is what names are compared by.
func alike(name string) string { return strings.ToLower(manifests.Clean(name, 1<<12)) }

func (m *matcher) find(ctx context.Context, e exchange.Entry) (cid.Cid, error) {
	for _, id := range slices.Concat(e.IDs, e.Locations) {
		text, _, _ := strings.Cut(strings.TrimPrefix(id, schemeIPFS), "/")
		if c, err := cid.Decode(text); err == nil && m.rows[c] != nil {
			return c, nil
		}
	}
	for _, at := range e.Locations {
		for _, path := range exchange.Paths(at, m.dir) {
			if c, err := m.file(ctx, path); err != nil || c.Defined() {
				return c, err
			}
		}
	}
	if c, err := m.title(e); err == nil || e.Title != "" || len(e.Locations) == 0 {
		return c, err
	}
	base := path.Base(strings.ReplaceAll(e.Locations[0], `\`, "/"))
	e.Title = strings.TrimSuffix(base, path.Ext(base))
	return m.title(e)
}

// file is the track that a file was published as; undefined for none, or where no
// file can be read.
func (m *matcher) file(ctx context.Context, name string) (cid.Cid, error) {
	if st, err := os.Stat(name); err != nil || !st.Mode().IsRegular() || !audio.Named(name) {
		return cid.Undef, nil
	}
	digest, err := fileDigest(ctx, name)
	if err != nil {
		return cid.Undef, ctx.Err()
	}
	known, err := m.p.sealings(rowFile + digest)
	if err != nil || len(known) == 0 {
		return cid.Undef, err
	}
	c, err := m.p.choose(known, m.label)
	if !c.Defined() {
		c = known[0]
	}
	return c, err
}

func fileDigest(ctx context.Context, name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, ctxReader{ctx, f})
	return hex.EncodeToString(h.Sum(nil)), err
}

// title is the track of that name: the one that is listed, or that is as long, of
// several.
func (m *matcher) title(e exchange.Entry) (cid.Cid, error) {
	var left []*trackRow
	if name := alike(e.Name()); name != "" {
		left = m.named[name]
	}
	for _, keep := range []func(*trackRow) bool{
		func(r *trackRow) bool {
			ms := r.Samples * 1000 / int64(max(1, r.Rate))
			return e.Ms == 0 || max(ms-e.Ms, e.Ms-ms) <= nearly
		},
		func(r *trackRow) bool { return m.listed[r.CID] },
		func(r *trackRow) bool { c, err := m.p.fit(r.CID, m.label); return err == nil && c == r.CID },
	} {
		var some []*trackRow
		for _, r := range left {
			if keep(r) {
				some = append(some, r)
			}
		}
		if len(left) > 1 && len(some) > 0 {
			left = some
		}
	}
	switch len(left) {
	case 0:
		return cid.Undef, errUnknown
	case 1:
		return left[0].CID, nil
	}
	return cid.Undef, errAlike
}

// Written is a playlist as other programs have it: of each track its URI, and the
// path of its file, where files has it.
func Written(l Playlist, files map[cid.Cid]string) exchange.File {
	f := exchange.File{Title: l.Label}
	for _, t := range l.Tracks {
		e := exchange.Entry{
			IDs: []string{schemeIPFS + t.CID.String()}, Title: t.Title, Artist: t.Artist, Album: t.Album,
			Ms: t.Samples * 1000 / int64(max(1, t.Rate)),
		}
		if at := files[t.CID]; at != "" {
			e.Locations = []string{at}
		}
		f.Entries = append(f.Entries, e)
	}
	return f
}

// Files finds which tracks of the library the files in paths were sealed as.
func (p *Publisher) Files(ctx context.Context, paths []string) (map[cid.Cid]string, error) {
	out := map[cid.Cid]string{}
	for _, f := range Walk(paths, func(string) (Place, error) { return Place{}, nil }) {
		if f.Err != nil {
			return nil, fmt.Errorf("look for files: %s: %w", f.Path, f.Err)
		}
		digest, err := fileDigest(ctx, f.Path)
		if err == nil {
			var known []cid.Cid
			known, err = p.sealings(rowFile + digest)
			for _, c := range known {
				if out[c] == "" {
					out[c] = f.Path
				}
			}
		}
		if err != nil {
			return nil, fmt.Errorf("look for files: %w", err)
		}
	}
	return out, nil
}
