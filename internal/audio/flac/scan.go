package flac

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"playnode/internal/audio/frames"
)

const (
	window     = 256 << 10
	maxHeader  = 16
	interval   = 1 << 15 // sample frames between the index's entries, or more
	maxEntries = 1 << 16
	maxIndex   = 1 << 20
)

// Scan is what a walk over the frames found.
type Scan struct {
	// Samples is the number of sample frames that are there.
	Samples int64
	// End is where the last whole frame ends.
	End int64
	// Index is the encoded index, relative to the first frame: pairs of uvarints, by how many bytes
	// and by how many sample frames an entry's frame lies behind the entry's before.
	Index []byte
	// Damaged counts frames whose checksum is wrong, or that are missing between others.
	Damaged int
}

// ScanFrames walks over the frames from m.Audio to size by their headers and checksums, decoding none.
func ScanFrames(ctx context.Context, r io.ReaderAt, size int64, m Meta) (*Scan, error) {
	w := frames.NewWindow(r, size, window)
	s := &Scan{}
	x := indexer{every: interval}
	off := m.Audio
	b, err := w.Peek(off, maxHeader)
	if err != nil {
		return nil, err
	}
	h, ok := m.parseHeader(b)
	if !ok {
		return nil, fmt.Errorf("%w: no frame behind the metadata", ErrFormat)
	}
	block := h.block // of all but the last, where blocks are numbered
	at := func(h header) int64 {
		if h.fixed {
			return int64(h.number) * int64(block)
		}
		return int64(h.number)
	}
	base := at(h) // a stream cut out of a longer one counts on
	var crc uint16
	for p := off; ; {
		b, err := w.Peek(p, window)
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		limit := len(b)
		if p+int64(limit) < size {
			limit -= maxHeader // a header must be whole to be seen
		}
		found := false
		for i := 0; i < limit; i++ {
			if b[i] == 0xff && i+1 < len(b) && b[i+1]&0xfe == 0xf8 && p+int64(i) > off {
				if n, ok := m.parseHeader(b[i:min(len(b), i+maxHeader)]); ok && n.fixed == h.fixed {
					next := at(n) - base
					whole := crc == 0
					if whole && next == s.Samples+int64(h.block) || !whole && next > s.Samples && next <= s.Samples+1<<20 {
						if !whole || next != s.Samples+int64(h.block) {
							s.Damaged++
						}
						x.add(off-m.Audio, s.Samples)
						s.Samples, off, h = next, p+int64(i), n
						p, crc, found = off, 0, true
						break
					}
				}
			}
			crc = crc<<8 ^ crcTable[byte(crc>>8)^b[i]]
		}
		if found {
			continue
		}
		if p += int64(limit); p >= size {
			break
		}
	}
	// The last frame: what follows it is no frame, so only decoding tells where it ends.
	x.add(off-m.Audio, s.Samples)
	s.End = size
	d := NewReader(r, size, m, Scan{Samples: s.Samples + int64(h.block), Index: x.bytes()})
	d.off, d.at = off, s.Samples
	if err := d.decode(); err == nil {
		s.Samples += int64(h.block)
		s.End = d.off
	} else if errors.Is(err, ErrDamaged) {
		s.Damaged++
		s.End = off
	} else {
		return nil, err
	}
	if s.Samples == 0 {
		return nil, fmt.Errorf("%w: no whole frame", ErrFormat)
	}
	s.Index = x.bytes()
	return s, nil
}

type entry struct{ off, at int64 }

type indexer struct {
	every   int64
	entries []entry
}

func (x *indexer) add(off, at int64) {
	if n := len(x.entries); n > 0 && at-x.entries[n-1].at < x.every {
		return
	}
	if len(x.entries) == maxEntries {
		half := x.entries[:0]
		for i := 0; i < len(x.entries); i += 2 {
			half = append(half, x.entries[i])
		}
		x.entries, x.every = half, 2*x.every
	}
	x.entries = append(x.entries, entry{off, at})
}

func (x *indexer) bytes() []byte {
	var b []byte
	var last entry
	for _, e := range x.entries {
		b = binary.AppendUvarint(b, uint64(e.off-last.off))
		b = binary.AppendUvarint(b, uint64(e.at-last.at))
		last = e
	}
	return b
}

// parseIndex reads an index; that it fits the frames shows when they are read.
func parseIndex(b []byte, size, samples int64) ([]entry, error) {
	bad := fmt.Errorf("%w: index", ErrFormat)
	if len(b) > maxIndex {
		return nil, bad
	}
	out := make([]entry, 0, len(b)/3+1)
	var last entry
	for len(b) > 0 {
		off, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, bad
		}
		at, m := binary.Uvarint(b[n:])
		if m <= 0 || off > uint64(size) || at > uint64(samples) {
			return nil, bad
		}
		b = b[n+m:]
		last = entry{last.off + int64(off), last.at + int64(at)}
		if last.off > size || last.at > samples || len(out) == 0 && last != (entry{}) {
			return nil, bad
		}
		out = append(out, last)
	}
	if len(out) == 0 {
		out = append(out, entry{})
	}
	return out, nil
}
