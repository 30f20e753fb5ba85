package publisher

import (
	"encoding/json"
	"fmt"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/lease"
	"playnode/manifests"
)

// Store is where the DJ's library lives, in clear: it is her own.
// internal/repo's Bucket satisfies it.
type Store interface {
	Get(key string) ([]byte, error) // nil, nil when absent
	Put(key string, value []byte) error
	// Each calls f by key, in order.
	Each(prefix string, f func(key string, value []byte) error) error
	// Apply is one durable transaction.
	Apply(puts map[string][]byte, deletes []string) error
}

// The library's rows: a file by the digest of its bytes, and, where it was sealed
// more than once, by that and its track's CID; a track by its CID, a playlist by
// its label, its pages, the head, and a lease by its id.
const (
	rowFile  = "file/"
	rowTrack = "track/"
	rowList  = "list/"
	rowPage  = "page/"
	rowHead  = "head"
	rowLease = "lease/"
)

// trackRow is all that later revisions and listings need of a sealed track.
type trackRow struct {
	CID, Info            cid.Cid
	Key                  []byte // the age file key
	Size, Sec            uint64
	Title, Artist, Album string
	Tags                 []manifests.Tag `json:",omitempty"`
	Codec                string
	Rate, Channels       int
	Samples              int64
	Loudness             *manifests.Loudness
}

func (t *trackRow) track() lease.Track {
	return lease.Track{CID: t.CID, Key: seal.FileKey(t.Key), Size: t.Size, Sec: t.Sec, Info: t.Info}
}

// listRow is a playlist, which is a selection of its own.
type listRow struct {
	Label string
	// Tracks are the last of its tracks; those before them lie in Pages rows
	// of pageTracks each, which never change again.
	Tracks []cid.Cid
	Pages  int `json:",omitempty"`
	// Selection is the secrets and counters of the last revision.
	Selection []byte
	// Of the last signed revision, nil and zero before: its envelope and its
	// times.
	Env      *cid.Cid
	Exp, IAT int64
	// Changed are tracks that have another info than that revision lists.
	Changed []cid.Cid `json:",omitempty"`
	Offer   *cid.Cid  // what it offers
	// Live is the newest record of the set that is on air, Shown what the
	// last revision says of that.
	Live, Shown *cid.Cid `json:",omitempty"`
}

// pageTracks is how many tracks a page of a playlist has.
const pageTracks = 256

func (l *listRow) page(i int) string { return fmt.Sprintf("%s%s/%08x", rowPage, l.Label, i) }

// add appends tracks, and puts pages that are full.
func (l *listRow) add(tracks []cid.Cid, puts map[string][]byte) {
	l.Tracks = append(l.Tracks, tracks...)
	for len(l.Tracks) >= pageTracks {
		puts[l.page(l.Pages)] = marshal(l.Tracks[:pageTracks])
		l.Tracks, l.Pages = l.Tracks[pageTracks:], l.Pages+1
	}
}

// order is all of the playlist's tracks.
func (p *Publisher) order(l *listRow) ([]cid.Cid, error) {
	out := make([]cid.Cid, 0, l.Pages*pageTracks+len(l.Tracks))
	for i := range l.Pages {
		var page []cid.Cid
		ok, err := load(p.cfg.Store, l.page(i), &page)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("page %d of playlist %q is not in the library", i, l.Label)
		}
		out = append(out, page...)
	}
	return append(out, l.Tracks...), nil
}

func (l *listRow) offered() cid.Cid {
	if l.Offer == nil {
		return cid.Undef
	}
	return *l.Offer
}

// selection is the last revision's.
func (l *listRow) selection() (lease.Selection, error) { return lease.DecodeSelection(l.Selection) }

// keep puts a selection into the row.
func (l *listRow) keep(s lease.Selection) (err error) {
	l.Selection, err = s.Encode()
	return err
}

// headRow is the newest head.
type headRow struct {
	RootN, Seq uint64
	Digest     []byte // of its payload
	Env        cid.Cid
	IAT, Exp   int64
	Card       *cid.Cid `json:",omitempty"`
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // rows hold nothing that JSON cannot
	}
	return b
}

// load reads one row; ok is false when there is none.
func load(s Store, key string, into any) (ok bool, err error) {
	b, err := s.Get(key)
	if err != nil || b == nil {
		return false, err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return false, fmt.Errorf("read %s: %w", key, err)
	}
	return true, nil
}
