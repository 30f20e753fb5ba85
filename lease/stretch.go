package lease

import (
	"fmt"
	"math"

	"playnode/internal/seal"
	"playnode/manifests"
)

// Stretch is an opened excerpt as it is heard: records and heads like those of a
// set on air, which nobody has signed, as the excerpt's key vouches for them. Its
// segments open by it alone. Safe for concurrent use.
type Stretch struct {
	dj manifests.DJ
	e  *manifests.Excerpt
}

// Stretch opens an excerpt's block to be heard. ErrRefused says that it is
// another's.
func (k ExcerptKey) Stretch(sealed []byte) (*Stretch, error) {
	e, err := k.Open(sealed)
	if err != nil {
		return nil, err
	}
	return &Stretch{k.DJ, e}, nil
}

// Len is how many segments there are.
func (s *Stretch) Len() int { return len(s.e.Parts) }

// Head announces segment i.
func (s *Stretch) Head(i int) *manifests.LiveHead {
	p := s.e.Parts[i]
	return &manifests.LiveHead{
		DJ: s.dj, Live: s.e.Live, Gen: p.Gen, Cur: p.Cur, Seq: s.e.First + uint64(i), Seg: manifests.RawCID(p.Digest),
		Final: s.e.Final && i == len(s.e.Parts)-1,
	}
}

// Record is what segment i and those behind it are under, and nil where that is
// so of the one before it.
func (s *Stretch) Record(i int) *manifests.Live {
	p := s.e.Parts[i]
	if i > 0 && s.e.Parts[i-1].Gen == p.Gen && s.e.Parts[i-1].Cur == p.Cur {
		return nil
	}
	return &manifests.Live{DJ: s.dj, Live: s.e.Live, Gen: p.Gen, Cur: p.Cur, From: s.e.First + uint64(i)}
}

// Tune opens what is under one of its records; it never lapses.
func (s *Stretch) Tune(l *manifests.Live) (*Tuned, error) {
	if l.DJ != s.dj || l.Live != s.e.Live {
		return nil, fmt.Errorf("tune to %s: the stretch is of another set: %w", l.ID(), ErrRefused)
	}
	return &Tuned{l: l, stretch: s, Until: math.MaxInt64, Period: math.MaxInt64}, nil
}

// open opens the segment that h announces. What was sealed may say nowhere how
// the media begins, and what is on: the excerpt does.
func (s *Stretch) open(h *manifests.LiveHead, sealed []byte) (*manifests.Segment, error) {
	if h.Seq < s.e.First || h.Seq-s.e.First >= uint64(len(s.e.Parts)) {
		return nil, fmt.Errorf("open segment %d: it is not of the excerpt: %w", h.Seq, ErrRefused)
	}
	seg, err := OpenSegment(seal.Key(s.e.Parts[h.Seq-s.e.First].Key), h, sealed)
	if err == nil && h.Seq == s.e.First {
		if seg.Init == nil {
			seg.Init = &s.e.Init
		}
		if seg.Text == "" {
			seg.Text = s.e.Text
		}
	}
	return seg, err
}
