package lease

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/manifests"
)

// Selection is a DJ's secrets and counters of one selection, as of its last
// revision. It is a value: Revise returns the next one, which the caller
// persists in one transaction with the signed revision, or not at all. A next
// one that was lost is harmless: the revision after it draws its own MK.
type Selection struct {
	DJ   manifests.DJ
	Sel  manifests.SelID
	Unit int64 // manifests.Day or Week
	Gen  uint64
	R    seal.Key // R_gen

	// Of the last revision; zero before the first.
	RootN, Seq uint64
	Prev       *[32]byte // its payload's digest, once signed
	Cur        uint64
	MKGen      uint64 // the generation that MK was drawn in
	MK         seal.Key
	Tracks     cid.Cid // spine; undefined before the first
	Meta       []MetaBlock
	Boxes      []Box
}

// MetaBlock remembers a sealed meta block by its plaintext.
type MetaBlock struct {
	Plain [32]byte // sha2-256
	CID   cid.Cid
}

// NewSelection draws a selection of generation 1. unit 0 means weeks.
func NewSelection(dj manifests.DJ, unit int64) Selection {
	if unit == 0 {
		unit = manifests.Week
	}
	s := Selection{DJ: dj, Unit: unit, Gen: 1, R: seal.NewKey()}
	rand.Read(s.Sel[:])
	return s
}

// GID is the public name of its generation.
func (s Selection) GID() [16]byte { return gid(s.R, s.DJ, s.Sel, s.Gen) }

// Track is what the DJ knows of a sealed track.
type Track struct {
	CID  cid.Cid
	Key  seal.FileKey
	Size uint64  // of the sealed file, in bytes
	Sec  uint64  // duration, rounded up
	Info cid.Cid // of its sealed info
}

// SealInfo seals a track's metadata under its file key, as one raw block.
func SealInfo(k seal.FileKey, track cid.Cid, info *manifests.Info) (manifests.Block, error) {
	plain, err := info.Encode()
	if err != nil {
		return manifests.Block{}, fmt.Errorf("seal info of %s: %w", track, err)
	}
	key, aad := infoFor(k, track.Bytes())
	return manifests.NewRawBlock(seal.Seal(key, plain, aad)), nil
}

// Draft is what a revision says.
type Draft struct {
	Now    int64 // Unix seconds
	RootN  uint64
	Tracks []Track // of all the lists; each once
	Lists  []manifests.Playlist
	// Amend, when not nil, stands for Tracks and Lists: all is as the last
	// revision has it, but for this.
	Amend *Amend
	// Held reads blocks that the last revision covers, whose bytes match
	// them. Where it is nil or fails, MK is drawn anew, since nobody can say
	// whether a track is gone.
	Held func([]cid.Cid) ([][]byte, error)
	// Tenants are the selection's leases, revoked ones apart, and Sign the
	// key that grants are signed with.
	Tenants []Tenant
	Sign    seal.Signing
	// Offers are the envelopes of what is on offer.
	Offers []cid.Cid
	// Live is the envelope of the newest record of the set that is on air.
	Live *cid.Cid
}

// Revision is a manifest to sign, and the blocks that it covers. Blocks that
// the last revision already covered are not repeated where they are known by
// CID (meta, boxes); tracks' blocks are all there. Tenants are those for which
// a grant was drawn; the caller persists them with the selection.
type Revision struct {
	Manifest manifests.Manifest
	Blocks   []manifests.Block
	Tenants  []Tenant
}

// Revoke moves the selection to its next generation, of fresh keys: the next
// revision opens for the leases that it is then given, and for no others.
func (s Selection) Revoke() Selection {
	s.Gen++
	s.R = seal.NewKey()
	return s
}

// Revise makes the next revision. MK is drawn anew when the period, the
// generation or the root is another, or when a track is gone; mailboxes are
// sealed anew likewise, a track apart, and within a period where a lease has
// changed. Signed puts the result into the selection. ErrWhole says that the
// draft's Amend needs more than is held.
func (s Selection) Revise(d Draft) (Revision, Selection, error) {
	m := manifests.Manifest{
		DJ: s.DJ, RootN: d.RootN, Sel: s.Sel, Seq: s.Seq + 1, Prev: s.Prev, IAT: d.Now,
		Unit: s.Unit, Cur: manifests.Period(d.Now, s.Unit), Gen: s.Gen, GID: s.GID(), Offers: d.Offers, Live: d.Live,
	}
	if d.RootN != s.RootN {
		m.Seq, m.Prev = 1, nil
	}
	m.Exp = int64(m.Cur+manifests.Ahead(s.Unit)+1) * s.Unit
	n := s
	n.RootN, n.Seq, n.Cur, n.Prev, n.MKGen = m.RootN, m.Seq, m.Cur, nil, m.Gen
	n.Meta, n.Boxes = nil, nil
	again := s.Seq != 0 && m.RootN == s.RootN && m.Cur == s.Cur && m.Gen == s.MKGen // same boxes
	if !again || d.Amend == nil && !s.keeps(d) {
		n.MK = seal.NewKey()
	}
	m.RID = rid(n.MK, &m)
	for i := range manifests.Ahead(s.Unit) + 1 {
		key, aad := lockFor(periodKey(s.R, s.DJ, s.Sel, s.Gen, s.Unit, m.Cur+i), &m, m.Cur+i)
		m.Lock = append(m.Lock, manifests.Lock(seal.SealOnce(key, n.MK[:], aad)))
	}
	r := Revision{Manifest: m}
	var err error
	if d.Amend != nil {
		err = r.amend(&n, s, d)
	} else if err = r.tracks(&n, d.Tracks); err == nil {
		err = r.meta(&n, s, d.Lists)
	}
	if err != nil {
		return Revision{}, Selection{}, err
	}
	if err := r.boxes(&n, s, d, again); err != nil {
		return Revision{}, Selection{}, fmt.Errorf("seal mailboxes: %w", err)
	}
	return r, n, nil
}

// Signed notes the digest of the signed revision's payload.
func (s Selection) Signed(payload manifests.Block) Selection {
	d := manifests.Digest(payload.CID)
	s.Prev = &d
	return s
}

// keeps tells whether all tracks of the last revision are in a whole draft.
func (s Selection) keeps(d Draft) bool {
	if d.Held == nil {
		return false
	}
	old, err := manifests.ReadTracks(s.Tracks, d.Held)
	if err != nil {
		return false
	}
	listed := make(map[cid.Cid]bool, len(d.Tracks))
	for _, t := range d.Tracks {
		listed[t.CID] = true
	}
	return !slices.ContainsFunc(old.Entries, func(e manifests.Entry) bool { return !listed[e.Track] })
}

func (r *Revision) tracks(n *Selection, tracks []Track) error {
	blocks, err := manifests.BuildTracks(n.entries(tracks))
	if err != nil {
		return err
	}
	r.cover(n, blocks)
	return nil
}

// cover takes in the tracks' blocks, the spine first.
func (r *Revision) cover(n *Selection, blocks []manifests.Block) {
	n.Tracks, r.Manifest.Tracks = blocks[0].CID, blocks[0].CID
	r.Blocks = append(r.Blocks, blocks...)
}

// entries are tracks as the selection's MK wraps them.
func (s *Selection) entries(tracks []Track) []manifests.Entry {
	entries := make([]manifests.Entry, len(tracks))
	for i, t := range tracks {
		entries[i] = manifests.Entry{Track: t.CID, Wrap: s.wrap(t.CID, t.Key), Size: t.Size, Sec: t.Sec, Info: t.Info}
	}
	return entries
}

func (s *Selection) wrap(track cid.Cid, k seal.FileKey) manifests.Wrap {
	key, aad := trackFor(s.MK, s.DJ, s.Sel, track.Bytes())
	return manifests.Wrap(seal.SealOnce(key, k[:], aad))
}

func (r *Revision) meta(n *Selection, old Selection, lists []manifests.Playlist) error {
	same := n.MK.Equal(old.MK)
	for _, l := range lists {
		blocks, err := l.Blocks()
		if err == nil {
			err = r.sealAll(n, old, blocks, same)
		}
		if err != nil {
			return fmt.Errorf("seal playlist %q: %w", l.Label, err)
		}
	}
	return nil
}

// sealAll has meta blocks come next; those that the last revision has keep
// their bytes under the same MK.
func (r *Revision) sealAll(n *Selection, old Selection, blocks []*manifests.Meta, same bool) error {
	for _, b := range blocks {
		plain, err := b.Encode()
		if err != nil {
			return err
		}
		d := sha256.Sum256(plain)
		if i := slices.IndexFunc(old.Meta, func(o MetaBlock) bool { return o.Plain == d }); i >= 0 && same {
			r.list(n, old.Meta[i])
		} else {
			r.seal(n, plain)
		}
	}
	return nil
}

// list has a meta block come next.
func (r *Revision) list(n *Selection, b MetaBlock) {
	n.Meta = append(n.Meta, b)
	r.Manifest.Meta = append(r.Manifest.Meta, b.CID)
}

// seal has a new meta block come next.
func (r *Revision) seal(n *Selection, plain []byte) {
	key, aad := metaFor(n.MK, n.DJ, n.Sel)
	b := manifests.NewRawBlock(seal.Seal(key, plain, aad))
	r.Blocks = append(r.Blocks, b)
	r.list(n, MetaBlock{sha256.Sum256(plain), b.CID})
}

// selectionJSON is a Selection at rest, secrets in clear: it belongs in a
// store that only the DJ's own user can read.
type selectionJSON struct {
	DJ, Sel, R, MK, Prev        []byte
	Unit                        int64
	Gen, RootN, Seq, Cur, MKGen uint64
	Spine                       []byte
	Boxes, MetaCID, MetaOf      [][]byte
	Seats                       [][]Seat // of each of Boxes
}

// Encode is the selection at rest, with its secrets.
func (s Selection) Encode() ([]byte, error) {
	j := selectionJSON{DJ: s.DJ[:], Sel: s.Sel[:], R: s.R[:], MK: s.MK[:], Unit: s.Unit,
		Gen: s.Gen, RootN: s.RootN, Seq: s.Seq, Cur: s.Cur, MKGen: s.MKGen}
	if s.Prev != nil {
		j.Prev = s.Prev[:]
	}
	if s.Tracks.Defined() {
		j.Spine = s.Tracks.Bytes()
	}
	for _, b := range s.Boxes {
		j.Boxes, j.Seats = append(j.Boxes, b.CID.Bytes()), append(j.Seats, b.Seats)
	}
	for _, m := range s.Meta {
		j.MetaCID, j.MetaOf = append(j.MetaCID, m.CID.Bytes()), append(j.MetaOf, bytes.Clone(m.Plain[:]))
	}
	return json.Marshal(j)
}

// DecodeSelection reads what Encode wrote.
func DecodeSelection(data []byte) (Selection, error) {
	var j selectionJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return Selection{}, fmt.Errorf("decode selection: %w", err)
	}
	if len(j.DJ) != 32 || len(j.Sel) != 16 || len(j.R) != 32 || len(j.MK) != 32 || len(j.Prev)%32 != 0 || len(j.Prev) > 32 || len(j.MetaCID) != len(j.MetaOf) {
		return Selection{}, fmt.Errorf("decode selection: fields of the wrong length")
	}
	s := Selection{DJ: manifests.DJ(j.DJ), Sel: manifests.SelID(j.Sel), R: seal.Key(j.R), MK: seal.Key(j.MK), Unit: j.Unit,
		Gen: j.Gen, RootN: j.RootN, Seq: j.Seq, Cur: j.Cur, MKGen: j.MKGen}
	if len(j.Prev) == 32 {
		s.Prev = (*[32]byte)(j.Prev)
	}
	if len(j.Spine) > 0 {
		var err error
		if s.Tracks, err = cid.Cast(j.Spine); err != nil {
			return Selection{}, fmt.Errorf("decode selection: %w", err)
		}
	}
	var meta, boxes []cid.Cid
	for _, l := range []struct {
		from [][]byte
		to   *[]cid.Cid
	}{{j.Boxes, &boxes}, {j.MetaCID, &meta}} {
		for _, b := range l.from {
			c, err := cid.Cast(b)
			if err != nil {
				return Selection{}, fmt.Errorf("decode selection: %w", err)
			}
			*l.to = append(*l.to, c)
		}
	}
	for i, c := range boxes {
		b := Box{CID: c}
		if i < len(j.Seats) {
			b.Seats = j.Seats[i]
		}
		s.Boxes = append(s.Boxes, b)
	}
	for i, c := range meta {
		if len(j.MetaOf[i]) != 32 {
			return Selection{}, fmt.Errorf("decode selection: digest of %d bytes", len(j.MetaOf[i]))
		}
		s.Meta = append(s.Meta, MetaBlock{[32]byte(j.MetaOf[i]), c})
	}
	return s, nil
}
