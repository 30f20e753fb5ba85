package manifests

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
)

// Kinds of meta blocks that say how a playlist is mixed. A kind's fields are
// final: what comes later is a kind of its own, which readers of today pass
// over.
const (
	// KindMix is the block that says how a playlist's tracks follow each
	// other; a playlist without one is neither crossfaded nor levelled by
	// album.
	KindMix = "mix"
	// KindCue lists a stretch of a playlist's cues.
	KindCue = "cue"
)

// MaxFade is the longest crossfade, in milliseconds.
const MaxFade = 30_000

// Gains, as a mix block spells them.
const (
	gainTrack = "track"
	gainAlbum = "album"
)

// Mixing is how the DJ has a playlist mixed.
type Mixing struct {
	// Fade is how long a track is laid over the one before, in milliseconds
	// up to MaxFade; 0 for not at all.
	Fade int
	// Album levels an album as one, and not each of its tracks by itself.
	Album bool
	// Cues are of the playlist's tracks; most have none.
	Cues map[cid.Cid]Cue
}

// Cue bounds what is heard of a track where it is crossfaded: its first
// frame, and the one after its last, counted at its own rate. nil is where
// the DJ says nothing; one of both is set.
type Cue struct{ In, Out *int64 }

// valid tells whether there is something between the bounds.
func (q Cue) valid() bool {
	switch {
	case q.In == nil && q.Out == nil:
		return false
	case q.Out == nil:
		return true
	case q.In == nil:
		return *q.Out > 0
	}
	return *q.In < *q.Out
}

// cueRow is a track, by the first bytes of its digest, and its cue.
type cueRow struct {
	Ref []byte
	Cue
}

func (m *Meta) codeMix(c *coder) {
	c.fields(3, func() {
		c.key("fade")
		number(c, &m.Fade, MaxFade)
		c.key("gain")
		c.text(&m.Gain, 1, 16)
		c.key("list")
		c.text(&m.List, 1, MaxLabel)
	})
}

func (m *Meta) codeCues(c *coder) {
	c.fields(2, func() {
		c.key("list")
		c.text(&m.List, 1, MaxLabel)
		c.key("rows")
		list(c, &m.Cues, 1, MaxMeta, func(r *cueRow) {
			c.tuple(3)
			c.bytes(&r.Ref, 8, 32)
			frame(c, &r.In)
			frame(c, &r.Out)
		})
	})
}

// frame codes a place in a track, or null.
func frame(c *coder, p **int64) {
	if c.present(*p != nil) {
		if c.reading {
			*p = new(int64)
		}
		number(c, *p, MaxInt)
	}
}

func (m *Meta) checkMixing() error {
	switch m.Kind {
	case KindMix:
		if m.Gain != gainTrack && m.Gain != gainAlbum {
			return invalid("playlist %q with the gain %.20q", m.List, m.Gain)
		}
		if m.Fade == 0 && m.Gain == gainTrack {
			return invalid("playlist %q is mixed as one that says nothing", m.List)
		}
	case KindCue:
		if !ascending(m.Cues, func(r *cueRow) []byte { return r.Ref }) {
			return invalid("cues of playlist %q are out of order", m.List)
		}
		for _, r := range m.Cues {
			if !r.valid() {
				return invalid("playlist %q has an empty cue for %x", m.List, r.Ref)
			}
		}
	}
	return nil
}

// Blocks lays a playlist out in meta blocks: how it is mixed, its cues, and
// last its order, behind which more tracks may come.
func (p Playlist) Blocks() ([]*Meta, error) {
	order := CutOrder(p.Label, p.Tracks)
	mixing, err := mixingBlocks(p.Label, p.Mixing, order)
	return append(mixing, order...), err
}

// Remix is a selection's meta blocks with another mixing of one of its
// playlists.
func Remix(blocks []*Meta, label string, x Mixing) ([]*Meta, error) {
	rest := slices.DeleteFunc(slices.Clone(blocks), func(m *Meta) bool {
		return m.List == label && (m.Kind == KindMix || m.Kind == KindCue)
	})
	mixing, err := mixingBlocks(label, x, rest)
	return append(mixing, rest...), err
}

// mixingBlocks name tracks as the blocks of the order do.
func mixingBlocks(label string, x Mixing, order []*Meta) ([]*Meta, error) {
	var out []*Meta
	if x.Fade != 0 || x.Album {
		m := &Meta{Kind: KindMix, List: label, Fade: x.Fade, Gain: gainTrack}
		if x.Album {
			m.Gain = gainAlbum
		}
		out = append(out, m)
	}
	if len(x.Cues) == 0 {
		return out, nil
	}
	byRef := make(map[[8]byte][]cid.Cid, len(x.Cues))
	for t := range x.Cues {
		byRef[refOf(t)] = append(byRef[refOf(t)], t)
	}
	refs := make(map[cid.Cid][]byte, len(x.Cues))
	for _, m := range order {
		if m.Kind != KindOrder || m.List != label {
			continue
		}
		for _, ref := range m.Rows {
			for _, t := range byRef[[8]byte(ref)] {
				if hasPrefix(Digest(t), ref) {
					refs[t] = ref
				}
			}
		}
	}
	rows := make([]cueRow, 0, len(x.Cues))
	for t, q := range x.Cues {
		if refs[t] == nil {
			return nil, fmt.Errorf("playlist %q has a cue for %s, which is not in it: %w", label, t, ErrInvalid)
		}
		rows = append(rows, cueRow{refs[t], q})
	}
	slices.SortFunc(rows, func(a, b cueRow) int { return bytes.Compare(a.Ref, b.Ref) })
	m, size := &Meta{Kind: KindCue, List: label}, 0
	for _, r := range rows {
		m.Cues = append(m.Cues, r)
		size += len(r.Ref) + 21
		if cutAfter(r.Ref) || size > MaxMeta-256 {
			out = append(out, m)
			m, size = &Meta{Kind: KindCue, List: label}, 0
		}
	}
	if len(m.Cues) > 0 {
		out = append(out, m)
	}
	return out, nil
}

// mix takes in what a block says of how its playlist is mixed; find names the
// track that a ref means.
func (p *Playlist) mix(m *Meta, find func(ref []byte) (cid.Cid, error)) error {
	if m.Kind == KindMix {
		if p.Fade != 0 || p.Album {
			return fmt.Errorf("playlist %q is mixed in two ways: %w", p.Label, ErrInvalid)
		}
		p.Fade, p.Album = m.Fade, m.Gain == gainAlbum
		return nil
	}
	if p.Cues == nil {
		p.Cues = make(map[cid.Cid]Cue, len(m.Cues))
	}
	for _, r := range m.Cues {
		t, err := find(r.Ref)
		if err != nil {
			return err
		}
		if _, twice := p.Cues[t]; twice {
			return fmt.Errorf("playlist %q has two cues for %s: %w", p.Label, t, ErrInvalid)
		}
		p.Cues[t] = r.Cue
	}
	return nil
}
