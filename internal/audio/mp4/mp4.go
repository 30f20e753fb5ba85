// Package mp4 looks into MPEG-4 files (ISO/IEC 14496-12) for what sound they hold and what they say of it.
//
// What comes in: a file's bytes, hostile. What goes out: the sound's format by its four letters, and the
// places of the metadata's values. It decodes nothing. What is trusted: the size of the file; the number
// of atoms looked at and their depth are bounded.
package mp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"playnode/internal/audio/wav"
)

const (
	maxAtoms = 1 << 14
	maxDepth = 12
)

// ErrFormat says that the bytes are no MPEG-4 file with sound.
var ErrFormat = errors.New("no readable MPEG-4")

// Info is what a file holds.
type Info struct {
	// Format is the sound's sample entry: "mp4a" is AAC, "alac" is Apple Lossless, "drms" is locked.
	Format string
	// Items are the values of iTunes' metadata, by the names of their atoms.
	Items []wav.Chunk
}

// Is tells whether a file that begins with head (12 bytes or more) claims to be MPEG-4.
func Is(head []byte) bool { return len(head) >= 12 && string(head[4:8]) == "ftyp" }

type parser struct {
	r     io.ReaderAt
	info  Info
	atoms int
}

// Parse reads a file of size bytes. Errors wrap ErrFormat or are the reader's.
func Parse(r io.ReaderAt, size int64) (Info, error) {
	p := parser{r: r}
	if err := p.walk(0, size, 0, ""); err != nil {
		return p.info, err
	}
	if p.info.Format == "" {
		return p.info, fmt.Errorf("%w: no sound in it", ErrFormat)
	}
	return p.info, nil
}

func (p *parser) walk(off, end int64, depth int, in string) error {
	if depth > maxDepth {
		return nil
	}
	for off+8 <= end {
		if p.atoms++; p.atoms > maxAtoms {
			return fmt.Errorf("%w: more than %d atoms", ErrFormat, maxAtoms)
		}
		var h [16]byte
		if err := p.read(h[:8], off); err != nil {
			return err
		}
		size, head, name := int64(binary.BigEndian.Uint32(h[:])), int64(8), string(h[4:8])
		if size == 1 && off+16 <= end {
			if err := p.read(h[8:], off+8); err != nil {
				return err
			}
			size, head = int64(binary.BigEndian.Uint64(h[8:])&(1<<62-1)), 16
		} else if size == 0 {
			size = end - off
		}
		if size < head || size > end-off {
			return nil // cut, or no atom
		}
		body, stop := off+head, off+size
		off = stop
		var err error
		switch {
		case in == "ilst":
			err = p.walk(body, stop, depth+1, name)
		case name == "data" && depth > 0 && stop-body >= 8:
			if len(p.info.Items) < 64 {
				p.info.Items = append(p.info.Items, wav.Chunk{ID: in, Off: body + 8, Size: stop - body - 8})
			}
		case name == "meta":
			err = p.walk(body+4, stop, depth+1, name)
		case name == "moov", name == "trak", name == "mdia", name == "minf", name == "stbl", name == "udta", name == "ilst":
			err = p.walk(body, stop, depth+1, name)
		case name == "stsd" && stop-body >= 16:
			var e [8]byte
			if err = p.read(e[:], body+8); err != nil {
				break
			}
			switch f := string(e[4:]); f {
			case "mp4a", "alac", "drms", "fLaC", "Opus", "ac-3", "ec-3", "enca":
				if p.info.Format == "" {
					p.info.Format = f
				}
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) read(b []byte, off int64) error {
	if n, err := p.r.ReadAt(b, off); n < len(b) {
		return fmt.Errorf("read MPEG-4 at %d: %w", off, err)
	}
	return nil
}
