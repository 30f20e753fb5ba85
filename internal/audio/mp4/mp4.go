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
	// Samples is how many sample frames are heard, as the first sound's header or iTunes' comment says, or 0.
	Samples int64
	// Items are the values of iTunes' metadata, by the names of their atoms.
	Items []wav.Chunk
}

// Is tells whether a file that begins with head (12 bytes or more) claims to be MPEG-4.
func Is(head []byte) bool { return len(head) >= 12 && string(head[4:8]) == "ftyp" }

type parser struct {
	r     io.ReaderAt
	info  Info
	atoms int

	scale, duration, skip int64  // of the present track: units a second, length, what its edit list skips
	name                  []byte // of a free-form item
}

const maxComment = 256

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
		case in == "----" && name == "name":
			p.name = make([]byte, min(stop-body, maxComment))
			err = p.read(p.name, body)
		case in == "----" && name == "data" && len(p.name) == 12 && string(p.name[4:]) == "iTunSMPB":
			err = p.smpb(body, stop)
		case name == "mdhd" || name == "elst":
			err = p.timing(name, body, stop)
		case name == "data" && depth > 0 && stop-body >= 8:
			if len(p.info.Items) < 64 {
				p.info.Items = append(p.info.Items, wav.Chunk{ID: in, Off: body + 8, Size: stop - body - 8})
			}
		case name == "meta":
			err = p.walk(body+4, stop, depth+1, name)
		case name == "trak":
			p.scale, p.duration, p.skip = 0, 0, 0
			err = p.walk(body, stop, depth+1, name)
		case name == "moov", name == "edts", name == "mdia", name == "minf", name == "stbl", name == "udta", name == "ilst":
			err = p.walk(body, stop, depth+1, name)
		case name == "stsd" && stop-body >= 16:
			err = p.entry(body, stop)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entry reads the first sample entry (8.5.2, 12.2.3). Its rate makes the track's length one in samples.
func (p *parser) entry(body, stop int64) error {
	var e [36]byte
	n := min(int64(len(e)), stop-body-8)
	if err := p.read(e[:n], body+8); err != nil {
		return err
	}
	switch f := string(e[4:8]); f {
	case "mp4a", "alac", "drms", "fLaC", "Opus", "ac-3", "ec-3", "enca":
		if p.info.Format != "" {
			break
		}
		p.info.Format = f
		if rate := int64(binary.BigEndian.Uint16(e[32:])); rate == p.scale && p.duration > p.skip && p.info.Samples == 0 {
			p.info.Samples = p.duration - p.skip
		}
	}
	return nil
}

// timing reads a media header (8.4.2) or an edit list of one edit (8.6.6).
func (p *parser) timing(name string, body, stop int64) error {
	var b [36]byte
	n := min(int64(len(b)), stop-body)
	if err := p.read(b[:n], body); err != nil {
		return err
	}
	be := binary.BigEndian
	long := b[0] == 1
	switch {
	case name == "mdhd" && !long:
		p.scale, p.duration = int64(be.Uint32(b[12:])), int64(be.Uint32(b[16:]))
	case name == "mdhd":
		p.scale, p.duration = int64(be.Uint32(b[20:])), int64(be.Uint64(b[24:])&(1<<48-1))
	case be.Uint32(b[4:]) != 1:
	case !long:
		p.skip = max(0, int64(int32(be.Uint32(b[12:]))))
	default:
		p.skip = max(0, int64(be.Uint64(b[16:])))
	}
	return nil
}

// smpb reads " 00000000 00000840 000001CA 00000000003F31F6 ...": delay, padding, samples.
func (p *parser) smpb(body, stop int64) error {
	b := make([]byte, max(0, min(stop-body-8, maxComment)))
	if err := p.read(b, body+8); err != nil {
		return err
	}
	var zero, delay, padding, samples int64
	if _, err := fmt.Sscanf(string(b), "%x %x %x %x", &zero, &delay, &padding, &samples); err == nil && samples > 0 && samples < 1<<40 {
		p.info.Samples = samples
	}
	return nil
}

func (p *parser) read(b []byte, off int64) error {
	if n, err := p.r.ReadAt(b, off); n < len(b) {
		return fmt.Errorf("read MPEG-4 at %d: %w", off, err)
	}
	return nil
}
