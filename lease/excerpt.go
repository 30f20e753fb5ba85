package lease

import (
	"fmt"

	"playnode/internal/seal"
	"playnode/manifests"
)

// ExcerptKey opens one excerpt of a set that was on air: the stretch that was
// chosen, and nothing beside it.
type ExcerptKey struct{ openKey }

// NewExcerptKey draws an excerpt of a DJ's, and the key that is to open it.
func NewExcerptKey(dj manifests.DJ) ExcerptKey { return ExcerptKey{newOpenKey(dj)} }

// ExcerptKeyOf is the key in a link.
func ExcerptKeyOf(l manifests.OpenLink) ExcerptKey { return ExcerptKey{openKey{l.DJ, l.ID, l.Key}} }

// context is the key that seals the excerpt, and what that is bound to.
func (k ExcerptKey) context() (seal.Key, []byte) {
	return k.key.Derive(seal.Excerpt, k.DJ[:], k.ID[:]), seal.CTX(seal.Excerpt, k.DJ[:], k.ID[:])
}

// Seal is the excerpt's block.
func (k ExcerptKey) Seal(e *manifests.Excerpt) (manifests.Block, error) {
	plain, err := e.Encode()
	if err != nil {
		return manifests.Block{}, fmt.Errorf("seal excerpt: %w", err)
	}
	defer clear(plain)
	key, aad := k.context()
	defer key.Zero()
	return manifests.NewRawBlock(seal.Seal(key, plain, aad)), nil
}

// Open opens an excerpt's block. ErrRefused says that it is another's.
func (k ExcerptKey) Open(sealed []byte) (*manifests.Excerpt, error) {
	key, aad := k.context()
	defer key.Zero()
	if len(sealed) > manifests.MaxBlock {
		return nil, fmt.Errorf("open excerpt: %d bytes: %w", len(sealed), ErrRefused)
	}
	plain, err := seal.Open(key, sealed, aad)
	if err != nil {
		return nil, fmt.Errorf("open excerpt: %w: %w", ErrRefused, err)
	}
	e, err := manifests.DecodeExcerpt(plain)
	if err != nil {
		return nil, fmt.Errorf("open excerpt: %w: %w", ErrRefused, err)
	}
	return e, nil
}

// Cut is a stretch of a track of dj's that was a set, as its info says, of n
// segments, which read gives as they are sealed: from the last segment at or
// before tick from that can be begun with, for so many ticks at least, or to the
// end. Ticks are counted from the track's beginning. ErrBeyond says that nothing
// of the track lies there, or too much.
func Cut(dj manifests.DJ, r *manifests.Recorded, n int, from, length int64, read func(i int) ([]byte, error)) (*manifests.Excerpt, error) {
	last := r.First + uint64(n-1)
	open := func(i int) (*manifests.Segment, []byte, error) {
		sealed, err := read(i)
		if err != nil {
			return nil, nil, err
		}
		s, err := OpenRecorded(dj, r, r.First+uint64(i), last, sealed)
		return s, sealed, err
	}
	first, _, err := open(0)
	if err != nil {
		return nil, fmt.Errorf("cut an excerpt: %w", err)
	}
	if first.Init == nil {
		return nil, fmt.Errorf("cut an excerpt: it is not said how the media begins: %w", ErrRefused)
	}
	// The last segment that begins at or before from.
	low, high := 0, n
	for high-low > 1 {
		mid := (low + high) / 2
		s, _, err := open(mid)
		if err != nil {
			return nil, fmt.Errorf("cut an excerpt: %w", err)
		}
		if s.At-first.At <= from {
			low = mid
		} else {
			high = mid
		}
	}
	for ends := int64(0); ; low-- {
		s, _, err := open(low)
		if err != nil {
			return nil, fmt.Errorf("cut an excerpt: %w", err)
		}
		if ends = max(ends, s.At-first.At+s.Len); ends <= from {
			return nil, fmt.Errorf("cut an excerpt: the set is not as long: %w", ErrBeyond)
		}
		if s.Open || low == 0 {
			break
		}
	}
	e := &manifests.Excerpt{Live: r.Live, First: r.First + uint64(low), Init: *first.Init}
	for i := low; i < n; i++ {
		s, sealed, err := open(i)
		if err != nil {
			return nil, fmt.Errorf("cut an excerpt: %w", err)
		}
		if at := s.At - first.At; at >= from+length {
			break
		}
		if len(e.Parts) == manifests.MaxExcerpt {
			return nil, fmt.Errorf("cut an excerpt: of over %d segments: %w", manifests.MaxExcerpt, ErrBeyond)
		}
		seq := r.First + uint64(i)
		span := r.SpanOf(seq)
		e.Parts = append(e.Parts, manifests.Part{
			Digest: manifests.Digest(manifests.NewRawBlock(sealed).CID), Key: segmentKey(span.LK, r.Live, seq), Len: s.Len, Gen: span.Gen, Cur: span.Cur,
		})
		e.Final = r.Closed && seq == last
	}
	return e, nil
}
