package lease

import (
	"fmt"
	"io"
	"sync"

	"playnode/internal/seal"
	"playnode/manifests"
)

// Unlocked is one revision, opened. It lives in memory only, and its holder
// asks the venue anew before each track: it does not lapse by itself. Safe
// for concurrent use.
type Unlocked struct {
	// Until is the Unix second at which this grant, its keys or the
	// manifest's locks end; Period, when another key must open the lock.
	Until, Period int64

	dj  manifests.DJ
	sel manifests.SelID

	mu     sync.Mutex // guards mk and closed
	mk     seal.Key
	closed bool
}

// Format hides the keys from every verb.
func (*Unlocked) Format(f fmt.State, _ rune) { io.WriteString(f, "(unlocked selection)") }

// DJ is whose selection it is.
func (u *Unlocked) DJ() manifests.DJ { return u.dj }

// Close forgets the keys. What was opened before stays open.
func (u *Unlocked) Close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mk.Zero()
	u.closed = true
}

func (u *Unlocked) key() (seal.Key, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return seal.Key{}, ErrLapsed
	}
	return u.mk, nil
}

// FileKey opens a track's file key.
func (u *Unlocked) FileKey(e manifests.Entry) (k seal.FileKey, err error) {
	seal.Erasing(func() { k, err = u.fileKey(e) })
	return k, err
}

func (u *Unlocked) fileKey(e manifests.Entry) (seal.FileKey, error) {
	mk, err := u.key()
	if err != nil {
		return seal.FileKey{}, err
	}
	defer mk.Zero()
	k, aad := trackFor(mk, u.dj, u.sel, e.Track.Bytes())
	b, err := seal.OpenOnce(k, e.Wrap[:], aad)
	if err != nil || len(b) != 16 {
		return seal.FileKey{}, fmt.Errorf("open key of track %s: %w", e.Track, ErrRefused)
	}
	defer clear(b)
	return seal.FileKey(b), nil
}

// Info opens a track's sealed metadata, the block that e.Info names.
func (u *Unlocked) Info(e manifests.Entry, sealed []byte) (*manifests.Info, error) {
	k, err := u.FileKey(e)
	if err != nil {
		return nil, err
	}
	defer k.Zero()
	return OpenInfo(k, e, sealed)
}

// OpenInfo opens a track's sealed metadata with its file key.
func OpenInfo(k seal.FileKey, e manifests.Entry, sealed []byte) (info *manifests.Info, err error) {
	seal.Erasing(func() { info, err = openInfo(k, e, sealed) })
	return info, err
}

func openInfo(k seal.FileKey, e manifests.Entry, sealed []byte) (*manifests.Info, error) {
	if len(sealed) > manifests.MaxBlock {
		return nil, fmt.Errorf("open info of track %s: %d bytes: %w", e.Track, len(sealed), ErrRefused)
	}
	key, aad := infoFor(k, e.Track.Bytes())
	plain, err := seal.Open(key, sealed, aad)
	if err != nil {
		return nil, fmt.Errorf("open info of track %s: %w: %w", e.Track, ErrRefused, err)
	}
	info, err := manifests.DecodeInfo(plain)
	if err != nil {
		return nil, fmt.Errorf("open info of track %s: %w: %w", e.Track, ErrRefused, err)
	}
	return info, nil
}

// maxSealedMeta is the largest sealed meta block, in bytes.
var maxSealedMeta = seal.SealedSize(manifests.MaxMeta)

// Playlists opens a manifest's meta blocks, in its order, and names their
// tracks among its entries.
func (u *Unlocked) Playlists(sealed [][]byte, entries []manifests.Entry) ([]manifests.Playlist, error) {
	var blocks []*manifests.Meta
	var err error
	seal.Erasing(func() { blocks, err = u.meta(sealed) })
	if err != nil {
		return nil, err
	}
	lists, err := manifests.Playlists(blocks, entries)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return lists, nil
}

// meta opens meta blocks.
func (u *Unlocked) meta(sealed [][]byte) ([]*manifests.Meta, error) {
	mk, err := u.key()
	if err != nil {
		return nil, err
	}
	defer mk.Zero()
	key, aad := metaFor(mk, u.dj, u.sel)
	blocks := make([]*manifests.Meta, len(sealed))
	for i, b := range sealed {
		if len(b) > maxSealedMeta {
			return nil, fmt.Errorf("open meta block %d: %d bytes: %w", i, len(b), ErrRefused)
		}
		plain, err := seal.Open(key, b, aad)
		if err == nil {
			blocks[i], err = manifests.DecodeMeta(plain)
		}
		if err != nil {
			return nil, fmt.Errorf("open meta block %d: %w: %w", i, ErrRefused, err)
		}
	}
	return blocks, nil
}
