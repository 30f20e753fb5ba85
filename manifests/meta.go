package manifests

import (
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"
)

// MaxMeta is the largest plaintext of a meta block, in bytes.
const MaxMeta = 16 << 10

// KindOrder is the meta block that lists a stretch of a playlist. Blocks of
// kinds that a reader does not know are passed over.
const KindOrder = "order"

// Meta is the plaintext of one meta block. The manifest's signed list gives
// the blocks' order.
type Meta struct {
	Kind string
	List string   // the playlist; KindOrder: that the rows continue
	Rows [][]byte // KindOrder: tracks, by the first 8 to 32 bytes of their digests
	Fade int      // KindMix: of the playlist List, as Mixing has it
	Gain string   // KindMix: "track" or "album"
	Cues []cueRow // KindCue: of the playlist List, by their tracks
	body []byte   // other kinds, kept as they came
}

func (m *Meta) code(c *coder) {
	c.tuple(2)
	c.text(&m.Kind, 1, 16)
	if c.err != nil {
		return
	}
	switch m.Kind {
	case KindOrder:
		c.fields(2, func() {
			c.key("list")
			c.text(&m.List, 1, MaxLabel)
			c.key("rows")
			list(c, &m.Rows, 0, MaxMeta, func(r *[]byte) { c.bytes(r, 8, 32) })
		})
	case KindMix:
		m.codeMix(c)
	case KindCue:
		m.codeCues(c)
	default:
		if c.reading {
			m.body, c.b = c.b, nil
		} else {
			c.b = append(c.b, m.body...)
		}
	}
}

func (m *Meta) check() error {
	switch m.Kind {
	case KindOrder, KindMix, KindCue:
		if !ValidLabel(m.List) {
			return invalid("playlist with the label %q", m.List)
		}
	}
	return m.checkMixing()
}

// Encode is the block's canonical plaintext.
func (m *Meta) Encode() ([]byte, error) { return encode(m, MaxMeta) }

// DecodeMeta reads a meta block's plaintext.
func DecodeMeta(data []byte) (*Meta, error) { return decoded[Meta](data, MaxMeta) }

// CutOrder lays a playlist out in meta blocks, cut after rows whose digests
// say so: an edit changes the blocks that it touches and no others. A track
// may stand in the list more than once.
func CutOrder(label string, order []cid.Cid) []*Meta {
	refs := refLength(order)
	rows := make([][]byte, len(order))
	for i, t := range order {
		d := Digest(t)
		rows[i] = d[:refs[d]]
	}
	return cut(label, rows)
}

// ContinueOrder is what CutOrder makes of the last of its blocks, when more
// tracks follow in the list, none of which clashes with another
// (Amended.Clash).
func ContinueOrder(last *Meta, more []cid.Cid) []*Meta {
	rows := slices.Clone(last.Rows)
	for _, t := range more {
		ref := refOf(t)
		rows = append(rows, ref[:])
	}
	return cut(last.List, rows)
}

// Reorder is a selection's meta blocks with the tracks of one of its playlists in
// another order.
func Reorder(blocks []*Meta, label string, order []cid.Cid) []*Meta {
	is := func(m *Meta) bool { return m.Kind == KindOrder && m.List == label }
	at := max(0, slices.IndexFunc(blocks, is))
	return slices.Insert(slices.DeleteFunc(slices.Clone(blocks), is), at, CutOrder(label, order)...)
}

func cut(label string, rows [][]byte) []*Meta {
	var out []*Meta
	m := &Meta{Kind: KindOrder, List: label}
	size := 0
	for _, r := range rows {
		m.Rows = append(m.Rows, r)
		size += len(r) + 2
		if cutAfter(r) || size > MaxMeta-256 {
			out = append(out, m)
			m, size = &Meta{Kind: KindOrder, List: label}, 0
		}
	}
	if len(m.Rows) > 0 || len(out) == 0 {
		out = append(out, m)
	}
	return out
}

// cutAfter tells whether a block ends behind a row of this ref.
func cutAfter(ref []byte) bool { return ref[6] == 0 && ref[7]&1 == 0 }

// refLength gives each digest the shortest length of 8 and more at which no
// other shares it.
func refLength(order []cid.Cid) map[[32]byte]int {
	refs := make(map[[32]byte]int, len(order))
	byPrefix := make(map[[8]byte][][32]byte, len(order))
	for _, t := range order {
		d := Digest(t)
		if _, seen := refs[d]; !seen {
			refs[d] = 8
			byPrefix[[8]byte(d[:8])] = append(byPrefix[[8]byte(d[:8])], d)
		}
	}
	for _, same := range byPrefix {
		for _, a := range same {
			for _, b := range same {
				n := 0
				for n < 32 && a[n] == b[n] {
					n++
				}
				if n < 32 {
					refs[a] = max(refs[a], n+1)
				}
			}
		}
	}
	return refs
}

// Playlist is an order of a selection's tracks, and how they are mixed.
type Playlist struct {
	Label  string
	Tracks []cid.Cid
	Mixing
}

// Playlists puts meta blocks together, in the manifest's order, and finds the
// tracks that they name among a selection's entries.
func Playlists(blocks []*Meta, entries []Entry) ([]Playlist, error) {
	sorted := make([][32]byte, len(entries))
	byDigest := make(map[[32]byte]cid.Cid, len(entries))
	for i, e := range entries {
		sorted[i] = Digest(e.Track)
		byDigest[sorted[i]] = e.Track
	}
	slices.SortFunc(sorted, func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
	find := func(ref []byte) (cid.Cid, error) {
		k, _ := slices.BinarySearchFunc(sorted, ref, func(d [32]byte, r []byte) int {
			return slices.Compare(d[:len(r)], r)
		})
		if k == len(sorted) || !hasPrefix(sorted[k], ref) || k+1 < len(sorted) && hasPrefix(sorted[k+1], ref) {
			return cid.Undef, fmt.Errorf("a playlist names no track, or two, by %x: %w", ref, ErrInvalid)
		}
		return byDigest[sorted[k]], nil
	}
	var out []Playlist
	at := make(map[string]int)
	for _, m := range blocks {
		if m.Kind != KindOrder {
			continue
		}
		i, ok := at[m.List]
		if !ok {
			i = len(out)
			at[m.List] = i
			out = append(out, Playlist{Label: m.List})
		}
		for _, ref := range m.Rows {
			t, err := find(ref)
			if err != nil {
				return nil, err
			}
			out[i].Tracks = append(out[i].Tracks, t)
		}
	}
	for _, m := range blocks {
		if m.Kind != KindMix && m.Kind != KindCue {
			continue
		}
		i, ok := at[m.List]
		if !ok {
			return nil, fmt.Errorf("mixing of the playlist %q, which is not there: %w", m.List, ErrInvalid)
		}
		if err := out[i].mix(m, find); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func hasPrefix(d [32]byte, ref []byte) bool { return slices.Equal(d[:len(ref)], ref) }
