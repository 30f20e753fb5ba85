package publisher

import (
	"crypto/sha256"
	"encoding/hex"
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

// The library's rows: a file by the digest of its bytes, a track by its CID,
// a playlist by its label, the head, and a lease by its id.
const (
	rowFile  = "file/"
	rowTrack = "track/"
	rowList  = "list/"
	rowHead  = "head"
	rowLease = "lease/"
)

// trackRow is all that later revisions and listings need of a sealed track.
type trackRow struct {
	CID, Info            cid.Cid
	Key                  []byte // the age file key
	Size, Sec            uint64
	Title, Artist, Album string
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
	Label  string
	Tracks []cid.Cid
	// Selection is the secrets and counters of the last revision.
	Selection []byte
	// Of the last signed revision, nil and zero before: its envelope, its
	// times, and order as it was.
	Env      *cid.Cid
	Exp, IAT int64
	Sealed   string
	Offer    *cid.Cid // what it offers
}

func (l *listRow) offered() cid.Cid {
	if l.Offer == nil {
		return cid.Undef
	}
	return *l.Offer
}

// order is a digest of the playlist's order.
func (l *listRow) order() string {
	h := sha256.New()
	for _, c := range l.Tracks {
		h.Write(c.Bytes())
	}
	return hex.EncodeToString(h.Sum(nil))
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
