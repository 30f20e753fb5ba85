package lease

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"playnode/internal/seal"
	"playnode/manifests"
)

// Air is a DJ's secrets of a live set, as of its newest record. It is a value:
// GoLive and Turn return the next one, which the caller persists with the
// signed record before a segment is sealed under it.
type Air struct {
	Record manifests.Live
	LK     seal.Key
	// Spans are all live keys of the set so far, this record's last.
	Spans []manifests.Span
	// Open, when not nil, is what opens the set to who has no lease.
	Open *SetKey
}

// GoLive begins a set of this selection: its first record, to be signed. Only
// those who have a period key of the selection's generation hear it.
func (s Selection) GoLive(now int64, rootN uint64) Air {
	var a Air
	rand.Read(a.Record.Live[:])
	a.Record.DJ, a.Record.Sel = s.DJ, s.Sel
	return s.record(a, now, rootN, 0, nil)
}

// GoOpen is GoLive for a set that k, which is this DJ's and was never used,
// opens as well.
func (s Selection) GoOpen(k SetKey, now int64, rootN uint64) Air {
	a := Air{Open: &k}
	a.Record.DJ, a.Record.Sel, a.Record.Live = s.DJ, s.Sel, k.ID
	return s.record(a, now, rootN, 0, nil)
}

// Turned tells whether a set's record no longer says what is so at now: the
// period has passed, leases were revoked, or there is another root.
func (s Selection) Turned(a Air, now int64, rootN uint64) bool {
	return a.Record.Gen != s.Gen || a.Record.Cur != manifests.Period(now, s.Unit) || a.Record.RootN != rootN
}

// Turn is the set's next record, from segment from on, which no segment before
// it has: prev is the payload of its newest record. Whoever has no period key
// of the selection's generation is deaf from there.
func (s Selection) Turn(a Air, now int64, rootN, from uint64, prev manifests.Block) Air {
	d := manifests.Digest(prev.CID)
	return s.record(a, max(now, a.Record.IAT), rootN, from, &d)
}

func (s Selection) record(a Air, now int64, rootN, from uint64, prev *[32]byte) Air {
	l := &a.Record
	l.RootN, l.Seq, l.Prev, l.IAT, l.From = rootN, l.Seq+1, prev, now, from
	l.Unit, l.Cur, l.Gen, l.GID = s.Unit, manifests.Period(now, s.Unit), s.Gen, s.GID()
	if a.LK = seal.NewKey(); a.Open != nil {
		a.LK = a.Open.live(l)
	}
	l.LID = lid(a.LK, l)
	l.Lock = nil
	for i := range manifests.Ahead(s.Unit) + 1 {
		key, aad := liveLockFor(periodKey(s.R, s.DJ, s.Sel, s.Gen, s.Unit, l.Cur+i), l, l.Cur+i)
		l.Lock = append(l.Lock, manifests.Lock(seal.SealOnce(key, a.LK[:], aad)))
	}
	a.Spans = append(slices.Clip(a.Spans), manifests.Span{From: from, Gen: l.Gen, Cur: l.Cur, LK: a.LK})
	return a
}

// Seal seals segment seq, which is not before the record's first. Sealing one
// number twice, as after a kill, is safe: nonces are random.
func (a Air) Seal(seq uint64, final bool, s *manifests.Segment) (manifests.Block, error) {
	plain, err := s.Encode()
	if err != nil {
		return manifests.Block{}, fmt.Errorf("seal segment %d: %w", seq, err)
	}
	defer clear(plain)
	key := segmentKey(a.LK, a.Record.Live, seq)
	defer key.Zero()
	at := segmentAt{a.Record.DJ, a.Record.Live, a.Record.Gen, a.Record.Cur, seq, final}
	return manifests.NewRawBlock(seal.Seal(key, plain, at.aad())), nil
}

// SegmentKey opens segment seq and no other: it may be published to leave an
// excerpt open to all.
func (a Air) SegmentKey(seq uint64) seal.Key {
	lk := a.LK
	for _, s := range a.Spans {
		if s.From <= seq {
			lk = s.LK
		}
	}
	return segmentKey(lk, a.Record.Live, seq)
}

// Encode is the set at rest, with its secrets.
func (a Air) Encode() ([]byte, error) {
	record, err := a.Record.Encode()
	if err != nil {
		return nil, fmt.Errorf("encode live set: %w", err)
	}
	j := airJSON{Record: record}
	if a.Open != nil {
		j.Open = bytes.Clone(a.Open.key[:])
	}
	for _, s := range a.Spans {
		j.Spans = append(j.Spans, spanJSON{s.From, s.Gen, s.Cur, bytes.Clone(s.LK[:])})
	}
	return json.Marshal(j)
}

type airJSON struct {
	Record []byte
	Spans  []spanJSON
	Open   []byte `json:",omitempty"`
}

type spanJSON struct {
	From, Gen, Cur uint64
	LK             []byte
}

// DecodeAir reads what Encode wrote.
func DecodeAir(data []byte) (a Air, err error) {
	var j airJSON
	if err = json.Unmarshal(data, &j); err == nil && len(j.Spans) == 0 {
		err = fmt.Errorf("no live key")
	}
	var l *manifests.Live
	if err == nil {
		l, err = manifests.DecodeLive(j.Record)
	}
	if err != nil {
		return Air{}, fmt.Errorf("decode live set: %w", err)
	}
	a.Record = *l
	if j.Open != nil {
		if len(j.Open) != len(seal.Key{}) {
			return Air{}, fmt.Errorf("decode live set: set key of %d bytes", len(j.Open))
		}
		a.Open = &SetKey{openKey{l.DJ, l.Live, seal.Key(j.Open)}}
	}
	for _, s := range j.Spans {
		if len(s.LK) != 32 {
			return Air{}, fmt.Errorf("decode live set: key of %d bytes", len(s.LK))
		}
		a.LK = seal.Key(s.LK)
		a.Spans = append(a.Spans, manifests.Span{From: s.From, Gen: s.Gen, Cur: s.Cur, LK: a.LK})
	}
	return a, nil
}

// segmentAt is where in which set a segment stands.
type segmentAt struct {
	dj       manifests.DJ
	live     manifests.LiveID
	gen, cur uint64
	seq      uint64
	final    bool
}

func (s segmentAt) aad() []byte {
	final := []byte{0}
	if s.final {
		final[0] = 1
	}
	return seal.CTX(seal.Segment, s.dj[:], s.live[:], seal.U64(s.gen), seal.U64(s.cur), seal.U64(s.seq), final)
}

func segmentKey(lk seal.Key, live manifests.LiveID, seq uint64) seal.Key {
	return lk.Derive(seal.Segment, live[:], seal.U64(seq))
}

// lid is the public name of the record whose LK and counters l has.
func lid(lk seal.Key, l *manifests.Live) [32]byte {
	return [32]byte(lk.Derive(seal.LID, l.DJ[:], l.Sel[:], l.Live[:], seal.U64(l.Gen), seal.U64(l.Cur), seal.U64(l.From)))
}

// liveLockFor is the key and the context of l's lock for period p.
func liveLockFor(kp seal.Key, l *manifests.Live, p uint64) (seal.Key, []byte) {
	return kp.Derive(seal.LiveLock, l.LID[:]),
		seal.CTX(seal.LiveLock, l.DJ[:], l.Sel[:], l.Live[:], seal.U64(l.Gen), seal.U64(uint64(l.Unit)), seal.U64(p))
}

// Tuned is one live record, opened. It lives in memory only, and its holder
// asks the venue anew when Until or Period is reached: it does not lapse by
// itself. Safe for concurrent use.
type Tuned struct {
	// Until is the Unix second at which this grant, its keys or the record's
	// locks end; Period, when another key must open the lock.
	Until, Period int64

	l       *manifests.Live
	stretch *Stretch // whose keys open it; nil where lk does

	mu     sync.Mutex // guards lk and closed
	lk     seal.Key
	closed bool
}

// Format hides the key from every verb.
func (*Tuned) Format(f fmt.State, _ rune) { io.WriteString(f, "(tuned set)") }

// Close forgets the key.
func (t *Tuned) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lk.Zero()
	t.closed = true
}

// Open opens the segment that a verified head of the set announces. ErrRefused
// says that its bytes are another's, ErrLapsed that t was closed.
func (t *Tuned) Open(h *manifests.LiveHead, sealed []byte) (s *manifests.Segment, err error) {
	t.mu.Lock()
	lk, closed := t.lk, t.closed
	t.mu.Unlock()
	defer lk.Zero()
	if closed {
		return nil, fmt.Errorf("open segment %d: %w", h.Seq, ErrLapsed)
	}
	if h.DJ != t.l.DJ || h.Live != t.l.Live || h.Gen != t.l.Gen || h.Cur != t.l.Cur || h.Seq < t.l.From {
		return nil, fmt.Errorf("open segment %d: it is not under %s: %w", h.Seq, t.l.ID(), ErrRefused)
	}
	seal.Erasing(func() {
		if t.stretch != nil {
			s, err = t.stretch.open(h, sealed)
			return
		}
		s, err = openSegment(segmentKey(lk, h.Live, h.Seq), segmentAt{h.DJ, h.Live, h.Gen, h.Cur, h.Seq, h.Final}, sealed)
	})
	return s, err
}

// OpenSegment opens the segment that h announces with its own key, as is
// published for an excerpt.
func OpenSegment(k seal.Key, h *manifests.LiveHead, sealed []byte) (*manifests.Segment, error) {
	return openSegment(k, segmentAt{h.DJ, h.Live, h.Gen, h.Cur, h.Seq, h.Final}, sealed)
}

func openSegment(k seal.Key, at segmentAt, sealed []byte) (*manifests.Segment, error) {
	defer k.Zero()
	if len(sealed) > manifests.MaxBlock {
		return nil, fmt.Errorf("open segment %d: %d bytes: %w", at.seq, len(sealed), ErrRefused)
	}
	plain, err := seal.Open(k, sealed, at.aad())
	if err != nil {
		return nil, fmt.Errorf("open segment %d: %w: %w", at.seq, ErrRefused, err)
	}
	s, err := manifests.DecodeSegment(plain)
	if err != nil {
		return nil, fmt.Errorf("open segment %d: %w: %w", at.seq, ErrRefused, err)
	}
	return s, nil
}

// OpenRecorded opens segment seq of a track that was a set of this DJ's, by
// what its info says; last is the track's last.
func OpenRecorded(dj manifests.DJ, r *manifests.Recorded, seq, last uint64, sealed []byte) (s *manifests.Segment, err error) {
	span, final := r.SpanOf(seq), r.Closed && seq == last
	seal.Erasing(func() {
		s, err = openSegment(segmentKey(span.LK, r.Live, seq), segmentAt{dj, r.Live, span.Gen, span.Cur, seq, final}, sealed)
	})
	return s, err
}

// Tune opens a live record that the caller has verified, at the time that the
// box has for this DJ. It erases what has lapsed first. Errors are those of
// Unlock.
func (v *Venue) Tune(l *manifests.Live) (t *Tuned, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	seal.Erasing(func() { t, err = v.tune(l) })
	if err != nil {
		return nil, fmt.Errorf("tune to %s: %w", l.ID(), err)
	}
	return t, nil
}

func (v *Venue) tune(l *manifests.Live) (*Tuned, error) {
	now, err := v.judged(l.DJ, l.RootN, l.IAT)
	if err != nil {
		return nil, err
	}
	best := ErrNoLease
	for _, row := range slices.Sorted(maps.Keys(v.grants)) {
		h := v.grants[row]
		if h.g.DJ != l.DJ || h.g.Sel != l.Sel {
			continue
		}
		t, err := v.openLive(h, l, now)
		if err == nil {
			return t, nil
		}
		if rank(err) > rank(best) {
			best = err
		}
	}
	return nil, best
}

func (v *Venue) openLive(h *held, l *manifests.Live, now int64) (*Tuned, error) {
	p, kp, err := v.periodFor(h, locks{l.RootN, l.Gen, l.Cur, l.GID, l.Unit, l.Lock}, now)
	if err != nil {
		return nil, err
	}
	defer kp.Zero()
	key, aad := liveLockFor(kp, l, p)
	lk, err := seal.OpenOnce(key, l.Lock[p-l.Cur][:], aad)
	if err != nil || len(lk) != 32 {
		return nil, fmt.Errorf("the lock does not open: %w", ErrRefused)
	}
	defer clear(lk)
	t := &Tuned{l: l, lk: seal.Key(lk), Until: min(h.g.End(), int64(h.g.Win.Last+1)*h.g.Unit, l.LockEnd()), Period: int64(p+1) * l.Unit}
	if lid(t.lk, l) != l.LID {
		return nil, fmt.Errorf("the lock holds another record's key: %w", ErrRefused)
	}
	return t, nil
}
