package ogg

import (
	"encoding/binary"
	"fmt"
)

// The index: uvarint granule position of the first sample heard, then for each entry three uvarints: by
// how many bytes its page lies behind the entry's before (the first: behind the first page of sound), by
// how much that page's granule position exceeds the entry's before (the first: that of the first
// sample), and after how many more samples the entry's sound begins.
const (
	maxEntries = 1 << 15
	maxIndex   = 1 << 20
	maxLead    = 1 << 18
)

// entry is a page to begin at: what it decodes to is dropped; the sound is good from from on.
type entry struct{ off, granule, from int64 }

// indexer makes an index while pages go by.
type indexer struct {
	every, lead, audio int64
	g0, last           int64 // last: where the newest entry's sound begins
	entries            []entry
	wait               []entry // pages that the next entry may begin at
}

func (x *indexer) add(off, granule int64, whole bool) {
	if x.lead > 0 {
		// A page ends where an entry's sound may begin; its decoding begins lead samples before.
		for len(x.wait) > 1 && x.wait[1].granule+x.lead <= granule {
			x.wait = x.wait[1:]
		}
		if len(x.wait) > 0 && granule-x.last >= x.every {
			if e := x.wait[0]; e.granule+x.lead <= granule && granule-e.granule <= maxLead {
				x.keep(entry{e.off, e.granule, granule})
			}
		}
		if len(x.wait) == 0 || granule > x.wait[len(x.wait)-1].granule {
			x.wait = append(x.wait, entry{off: off, granule: granule})
		}
		return
	}
	if whole && granule-x.last >= x.every {
		x.keep(entry{off, granule, granule})
	}
}

func (x *indexer) keep(e entry) {
	if e.granule < x.g0 {
		return
	}
	if len(x.entries) == maxEntries {
		half := x.entries[:0]
		for i := 1; i < len(x.entries); i += 2 {
			half = append(half, x.entries[i])
		}
		x.entries, x.every = half, 2*x.every
	}
	x.entries = append(x.entries, e)
	x.last = e.from
}

func (x *indexer) bytes() []byte {
	b := binary.AppendUvarint(nil, uint64(x.g0))
	last := entry{x.audio, x.g0, 0}
	for _, e := range x.entries {
		b = binary.AppendUvarint(b, uint64(e.off-last.off))
		b = binary.AppendUvarint(b, uint64(e.granule-last.granule))
		b = binary.AppendUvarint(b, uint64(e.from-e.granule))
		last = e
	}
	return b
}

// parseIndex reads an index; that it fits the pages shows when they are read.
func parseIndex(b []byte, audio int64) (g0 int64, out []entry, err error) {
	bad := fmt.Errorf("%w: index", ErrFormat)
	if len(b) > maxIndex {
		return 0, nil, bad
	}
	next := func() (v int64) {
		u, n := binary.Uvarint(b)
		if n <= 0 || u > 1<<49 {
			b, err = nil, bad
			return 0
		}
		b = b[n:]
		return int64(u)
	}
	g0 = next()
	out = make([]entry, 0, len(b)/5)
	last := entry{audio, g0, g0}
	for len(b) > 0 && err == nil {
		e := entry{off: last.off + next(), granule: last.granule + next()}
		lead := next()
		e.from = e.granule + lead
		// Sounds that begin far enough apart bound what decoding anew can cost.
		if lead > maxLead || e.from < last.from+lead || e.granule > 1<<50 || len(out) == maxEntries {
			return 0, nil, bad
		}
		out = append(out, e)
		last = e
	}
	return g0, out, err
}
