// Package ogg reads Ogg (RFC 3533): the pages of one logical stream, where they lie, and the samples
// that a codec makes of their packets.
//
// What comes in: a file's bytes and an index, hostile, and a Codec. What goes out: header packets, the
// pages to seal with an emptied comment, an index, and samples by the granule positions of the pages:
// what lies between two pages is never longer or shorter than they say. A Stream decodes pages as they come.
// What is trusted: the size of the file. Every page's checksum is verified; a page that is missing is heard as silence. Memory is
// bounded by one page and one packet.
package ogg

import (
	"encoding/binary"
	"errors"
)

// ErrFormat says that the bytes are no Ogg that can be read; ErrDamaged that pages are missing or broken.
var (
	ErrFormat  = errors.New("no readable Ogg")
	ErrDamaged = errors.New("damaged Ogg")
)

const (
	headerSize = 27
	// MaxPage is the longest page in bytes.
	MaxPage    = headerSize + 255 + 255*255
	maxPacket  = 1 << 20  // of sound
	maxComment = 16 << 20 // of a header
	window     = 256 << 10
	// patience is how many bytes of broken pages are summed before a file is given up.
	patience = 256 << 20

	continued = 1
	begins    = 2
	ends      = 4
)

// page is one page; its slices are the window's.
type page struct {
	flags       byte
	granule     int64 // -1: no packet ends in it
	serial, seq uint32
	lacing      []byte
	body        []byte
}

// parse reads the page at the start of b. size is 0 where there is none, and tried is what was summed.
func parse(b []byte) (p page, size, tried int) {
	if len(b) < headerSize || string(b[:4]) != "OggS" || b[4] != 0 {
		return p, 0, 0
	}
	n := headerSize + int(b[26])
	if len(b) < n {
		return p, 0, 0
	}
	size = n
	for _, l := range b[headerSize:n] {
		size += int(l)
	}
	if len(b) < size {
		return p, 0, 0
	}
	if sum(b[:size]) != binary.LittleEndian.Uint32(b[22:]) {
		return p, 0, size
	}
	p = page{
		flags: b[5], granule: int64(binary.LittleEndian.Uint64(b[6:])), serial: binary.LittleEndian.Uint32(b[14:]),
		seq: binary.LittleEndian.Uint32(b[18:]), lacing: b[headerSize:n], body: b[n:size],
	}
	if p.granule < 0 || p.granule > 1<<48 {
		p.granule = -1
	}
	return p, size, 0
}

// Page is one page of a stream that comes in.
type Page struct {
	// Continued says that it goes on with the packet of the page before; Begins and Ends, that it is the
	// first or the last of its logical stream.
	Continued, Begins, Ends bool
	// Granule is the codec's position at the end of the last packet that ends in the page; -1 where none does.
	Granule     int64
	Serial, Seq uint32
	// Lacing are the lengths of the packets' parts, Body the parts. They are of what was parsed.
	Lacing, Body []byte
}

// PageSize returns how many bytes the page has that b begins with, or how many must be seen to tell, where
// b has not so many: 0 where no page begins.
func PageSize(b []byte) int {
	n := min(len(b), 5)
	if string(b[:n]) != "OggS\x00"[:n] {
		return 0
	}
	if len(b) < headerSize {
		return headerSize
	}
	size := headerSize + int(b[26])
	if len(b) < size {
		return size
	}
	for _, l := range b[headerSize:size] {
		size += int(l)
	}
	return size
}

// ParsePage reads the page that b begins with, checksum and all. ok is false where there is none whole.
func ParsePage(b []byte) (p Page, ok bool) {
	q, size, _ := parse(b)
	return Page{
		Continued: q.flags&continued != 0, Begins: q.flags&begins != 0, Ends: q.flags&ends != 0,
		Granule: q.granule, Serial: q.serial, Seq: q.seq, Lacing: q.lacing, Body: q.body,
	}, size > 0
}

// packets counts the packets that end in the page, and tells whether the last of them began in it.
func (p page) packets() (n int, whole bool) {
	for _, l := range p.lacing {
		if l < 255 {
			n++
		}
	}
	return n, n > 1 || n == 1 && p.flags&continued == 0
}

// firsts calls f with the first byte of each packet that begins in the page.
func (p page) firsts(f func(byte)) {
	begun, at := p.flags&continued != 0, 0
	for _, l := range p.lacing {
		if !begun && l > 0 {
			f(p.body[at])
		}
		begun, at = l == 255, at+int(l)
	}
}

// sum is the page's CRC-32 (polynomial 0x04c11db7, not reflected), its own field taken as zero.
func sum(b []byte) (crc uint32) {
	for i, v := range b {
		if i >= 22 && i < 26 {
			v = 0
		}
		crc = crc<<8 ^ crcTable[byte(crc>>24)^v]
	}
	return crc
}

var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 24
		for range 8 {
			if c&(1<<31) != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

// write appends a page.
func write(to []byte, flags byte, granule int64, serial, seq uint32, lacing, body []byte) []byte {
	at := len(to)
	to = append(to, "OggS\x00"...)
	to = append(to, flags)
	to = binary.LittleEndian.AppendUint64(to, uint64(granule))
	to = binary.LittleEndian.AppendUint32(to, serial)
	to = binary.LittleEndian.AppendUint32(to, seq)
	to = append(to, 0, 0, 0, 0, byte(len(lacing)))
	to = append(append(to, lacing...), body...)
	binary.LittleEndian.PutUint32(to[at+22:], sum(to[at:]))
	return to
}

// Headers writes a stream's header packets as its pages 0 to next-1: the first on a page of its own, the
// others behind it.
func Headers(packets [][]byte, serial, next uint32) []byte {
	out := paginate(packets[:1], serial, 0, 0)
	out[5] = begins
	return append(seal(out), paginate(packets[1:], serial, 1, next)...)
}

// paginate writes packets, beginning on a page of their own, as pages first, first+1, ... before page
// next; where they need fewer, pages without a packet stand in for the rest, so that stock readers miss
// none.
func paginate(packets [][]byte, serial, first, next uint32) []byte {
	var lacing, body, out []byte
	for _, p := range packets {
		for n := len(p); ; n -= 255 {
			lacing = append(lacing, byte(min(n, 255)))
			if n < 255 {
				break
			}
		}
		body = append(body, p...)
	}
	seq, flags := first, byte(0)
	for len(lacing) > 0 {
		n := min(len(lacing), 255)
		size, granule := 0, int64(-1)
		for _, l := range lacing[:n] {
			size += int(l)
			if l < 255 {
				granule = 0
			}
		}
		out = write(out, flags, granule, serial, seq, lacing[:n], body[:size])
		flags = 0
		if lacing[n-1] == 255 {
			flags = continued
		}
		lacing, body = lacing[n:], body[size:]
		seq++
	}
	for ; seq < next && next-seq < 1<<12; seq++ {
		out = write(out, 0, -1, serial, seq, nil, nil)
	}
	return out
}
