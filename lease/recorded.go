package lease

import (
	"fmt"
	"io"
	"sort"
	"sync"

	"playnode/internal/seal"
	"playnode/manifests"
)

// OpenTrack opens the sealed bytes of a track of dj's for reading anywhere: an
// age file by its key, or a set that was live by what its info says. Reads of
// the result give checked plaintext only, and are safe for concurrent use.
func OpenTrack(dj manifests.DJ, k seal.FileKey, info *manifests.Info, sealed io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	if info.Recorded == nil {
		return seal.OpenTrack(k, sealed, size)
	}
	return openRecorded(dj, info, sealed, size)
}

// BeginTrack is OpenTrack for a track that is heard from its beginning on,
// while its end may be still to come: see seal.BeginTrack.
func BeginTrack(dj manifests.DJ, k seal.FileKey, info *manifests.Info, sealed io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	if info.Recorded == nil {
		return seal.BeginTrack(k, sealed, size)
	}
	return openRecorded(dj, info, sealed, size)
}

func openRecorded(dj manifests.DJ, info *manifests.Info, sealed io.ReaderAt, size int64) (io.ReaderAt, int64, error) {
	r := &recorded{dj: dj, set: info.Recorded, sealed: sealed}
	if err := r.find(size); err != nil {
		return nil, 0, fmt.Errorf("open recorded set: %w", err)
	}
	return r, r.plain(), nil
}

// recorded is a set's segments as one file: the first one's header, and all
// media.
type recorded struct {
	dj     manifests.DJ
	set    *manifests.Recorded
	sealed io.ReaderAt
	places []place // of each segment, and the end
	head   []byte

	mu    sync.Mutex // guards what follows
	at    int        // the segment that media is of; -1 for none
	media []byte
}

// place is where a segment begins in the sealed file, and its media in ours.
type place struct{ sealed, plain int64 }

// find finds all segments, and opens the first. A file cut short is not as long
// as the info says, which vouches for it.
func (r *recorded) find(size int64) error {
	at := place{}
	r.set.EachSize(func(sealed, media int) error { // checked when it was decoded
		r.places = append(r.places, at)
		at.sealed, at.plain = at.sealed+int64(sealed), at.plain+int64(media)
		return nil
	})
	if at.sealed != size || len(r.places) == 0 {
		return fmt.Errorf("%d segments of %d bytes in a file of %d: %w", len(r.places), at.sealed, size, ErrRefused)
	}
	r.places = append(r.places, at)
	first, err := r.segment(0)
	if err != nil {
		return err
	}
	if first.Init != nil {
		r.head = first.Init.Head
	}
	for i := range r.places {
		r.places[i].plain += int64(len(r.head))
	}
	r.at = -1
	return nil
}

// plain is how many bytes there are.
func (r *recorded) plain() int64 { return r.places[len(r.places)-1].plain }

// segment reads and opens one.
func (r *recorded) segment(i int) (*manifests.Segment, error) {
	from, to := r.places[i], r.places[i+1]
	b := make([]byte, to.sealed-from.sealed)
	if _, err := io.ReadFull(io.NewSectionReader(r.sealed, from.sealed, int64(len(b))), b); err != nil {
		return nil, err
	}
	s, err := OpenRecorded(r.dj, r.set, r.set.First+uint64(i), r.set.First+uint64(len(r.places)-2), b)
	if err == nil && int64(len(s.Media)) != to.plain-from.plain {
		err = fmt.Errorf("segment %d has %d bytes of media, not %d: %w", i, len(s.Media), to.plain-from.plain, ErrRefused)
	}
	return s, err
}

// ReadAt reads as io.ReaderAt promises.
func (r *recorded) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: negative offset", off)
	}
	if off < int64(len(r.head)) {
		n = copy(p, r.head[off:])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n < len(p) {
		at := off + int64(n)
		i := sort.Search(len(r.places), func(i int) bool { return r.places[i].plain > at }) - 1
		if i >= len(r.places)-1 {
			return n, io.EOF
		}
		if r.at != i {
			s, err := r.segment(i)
			if err != nil {
				return n, err
			}
			clear(r.media)
			r.at, r.media = i, s.Media
		}
		n += copy(p[n:], r.media[at-r.places[i].plain:])
	}
	return n, nil
}
