package frames

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
)

// The index: uvarint step, uvarint size of a free-format frame without padding (0: none), then for
// each step-th frame k*step two uvarints: by how many bytes the base's offset exceeds the base's
// before, and how many frames the base lies before frame k*step. The base is where decoding must
// begin so that every frame from k*step to the next entry's is whole: its bit reservoir, and what the
// filter banks remember of the two frames before it.
const (
	step       = 16
	maxEntries = 1 << 16 // then every other one goes, and step doubles
	memory     = 512     // frames remembered
	warm       = 2       // frames that the filter banks remember
	maxIndex   = 1 << 20 // bytes
	maxStep    = 1 << 20
	maxOffset  = 1 << 50
)

// indexer makes an index while frames go by.
type indexer struct {
	free    uint64
	step    int64
	n       int64 // frames seen
	offs    [memory]int64
	own     [memory]int // main data bytes in the frame
	back    [memory]int // main_data_begin
	entries []entry
}

type entry struct {
	off  int64 // the base's
	base int64 // its frame number
}

func newIndexer(free uint64) *indexer { return &indexer{free: free, step: step} }

func (x *indexer) add(off int64, back, own int) {
	i := x.n
	x.offs[i%memory], x.back[i%memory], x.own[i%memory] = off, back, own
	x.n++
	base := i
	for f := max(0, i-warm); f <= i; f++ {
		need, w := x.back[f%memory], f
		for need > 0 && w > 0 && w > i-memory+1 {
			w--
			need -= x.own[w%memory]
		}
		base = min(base, w)
	}
	if i%x.step == 0 {
		if len(x.entries) == maxEntries {
			x.thin()
		}
		if i%x.step == 0 {
			x.entries = append(x.entries, entry{x.offs[base%memory], base})
			return
		}
	}
	if last := &x.entries[len(x.entries)-1]; base < last.base { // no sound encoder does this
		*last = entry{x.offs[base%memory], base}
	}
}

func (x *indexer) thin() {
	half := x.entries[:0]
	for i := 0; i < len(x.entries); i += 2 {
		e := x.entries[i]
		if i+1 < len(x.entries) && x.entries[i+1].base < e.base {
			e = x.entries[i+1]
		}
		half = append(half, e)
	}
	x.entries = half
	x.step *= 2
}

func (x *indexer) bytes() []byte {
	b := binary.AppendUvarint(nil, uint64(x.step))
	b = binary.AppendUvarint(b, x.free)
	var off int64
	for k, e := range x.entries {
		if e.off < off { // keep them growing
			e = entry{off, x.entries[k-1].base}
			x.entries[k] = e
		}
		b = binary.AppendUvarint(b, uint64(e.off-off))
		b = binary.AppendUvarint(b, uint64(int64(k)*x.step-e.base))
		off = e.off
	}
	return b
}

// Index finds frames.
type Index struct {
	// Free is the size of a free-format frame without padding, or 0.
	Free    int
	step    int64
	entries []entry
}

// ErrIndex says that an index is malformed.
var ErrIndex = errors.New("malformed frame index")

// Parse reads an index. It checks its form; that it fits the frames shows when they are read.
func Parse(b []byte) (*Index, error) {
	if len(b) > maxIndex {
		return nil, fmt.Errorf("%w: %d bytes", ErrIndex, len(b))
	}
	next := func() (int64, error) {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > maxOffset {
			return 0, ErrIndex
		}
		b = b[n:]
		return int64(v), nil
	}
	s, err := next()
	if err != nil || s < 1 || s > maxStep {
		return nil, ErrIndex
	}
	free, err := next()
	if err != nil || free > 1<<16 {
		return nil, ErrIndex
	}
	x := &Index{Free: int(free), step: s, entries: make([]entry, 0, len(b)/2)}
	var off, base int64
	for k := int64(0); len(b) > 0; k++ {
		d, err := next()
		if err != nil {
			return nil, err
		}
		back, err := next()
		if err != nil {
			return nil, err
		}
		off += d
		if back > k*s || k*s-back < base || off > maxOffset || k == 0 && off != 0 {
			return nil, ErrIndex
		}
		base = k*s - back
		x.entries = append(x.entries, entry{off, base})
	}
	if len(x.entries) == 0 {
		return nil, ErrIndex
	}
	return x, nil
}

// Find returns where decoding must begin for frame to be whole: a frame's number and its offset.
func (x *Index) Find(frame int64) (base, off int64) {
	e := x.entries[max(0, min(frame/x.step, int64(len(x.entries))-1))]
	return e.base, e.off
}

// After returns the first base beyond frame and offset off: where to go on after damage.
func (x *Index) After(frame, off int64) (base, at int64, ok bool) {
	i := sort.Search(len(x.entries), func(i int) bool { return x.entries[i].base > frame && x.entries[i].off > off })
	if i == len(x.entries) {
		return 0, 0, false
	}
	return x.entries[i].base, x.entries[i].off, true
}
