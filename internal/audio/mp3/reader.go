package mp3

import (
	"errors"
	"io"
)

// Frame is one frame found in a stream.
type Frame struct {
	Header
	Offset int64  // of its first byte in the stream
	Data   []byte // the whole frame; the reader's own, valid until the next call
}

// Reader finds the frames in a stream: it steps over ID3v2, APEv2 and ID3v1 tags and any other bytes
// and synchronises anew after damage. It reads ahead by at most 64 KiB and holds no more.
type Reader struct {
	r    io.Reader
	buf  []byte
	from int   // of what is unread in buf
	base int64 // stream offset of buf[0]
	err  error // of r, once it ended

	last    Header // the frame before, if synced
	synced  bool
	free    int   // a free-format frame's length without padding
	noFree  int64 // below this offset no such length is searched for
	skipped int64
}

const (
	readAhead = 64 << 10
	// chain is how many headers must follow each other to synchronise. A chance header has about one
	// chance in 2,000 a byte, so three in their places have one in 10^9 and more.
	chain = 3
	// freePause is how many bytes pass between two vain searches for free format.
	freePause = 256
	// emptyReads is how often a reader may return nothing at all.
	emptyReads = 100
)

// NewReader returns a Reader of r, from which it reads in chunks.
func NewReader(r io.Reader) *Reader { return &Reader{r: r, buf: make([]byte, 0, readAhead)} }

// Next returns the next frame, of any layer. At the stream's end the error is io.EOF; a last frame that
// is cut short is not returned. An error of the underlying reader is returned once the frames before it
// are used up.
func (r *Reader) Next() (Frame, error) {
	for {
		b := r.peek(chain * MaxFrame)
		if len(b) == 0 {
			return Frame{}, r.end()
		}
		if n := TagSize(b); n > 0 {
			if err := r.skip(n); err != nil {
				return Frame{}, err
			}
			continue
		}
		if n := r.frameAt(b); n > 0 {
			h, _ := ParseHeader(b)
			r.last, r.synced = h, true
			f := Frame{Header: h, Offset: r.base + int64(r.from), Data: b[:n:n]}
			r.from += n
			return f, nil
		}
		if err := r.skip(1); err != nil {
			return Frame{}, err
		}
		r.skipNoise()
	}
}

// Skipped returns how many bytes so far belonged to no frame.
func (r *Reader) Skipped() int64 { return r.skipped }

// frameAt returns the length of the frame at the start of b, 0 if there is none. b holds chain frames
// unless the stream ends before.
func (r *Reader) frameAt(b []byte) int {
	h, err := ParseHeader(b)
	if err != nil {
		return 0
	}
	if r.synced && h.Compatible(r.last) {
		n := r.size(h, r.free)
		switch {
		case n == 0 || n > len(b):
		case len(b) == n || r.follows(h, b[n:], r.free, 1), TagSize(b[n:]) > 0:
			return n
		default:
			// What follows is no frame. This one stands where it was expected, so believe its length,
			// unless frames go on from within it.
			for i := HeaderSize; i < n; i++ {
				if r.follows(h, b[i:], r.free, chain) {
					return 0
				}
			}
			return n
		}
	}
	if h.Bitrate != 0 {
		if n := h.Size(); n <= len(b) && r.follows(h, b[n:], 0, chain-1) {
			r.free = 0
			return n
		}
		return 0
	}
	// Free format: the length is the distance at which chain headers agree (2.4.2.3, bitrate_index). The
	// search is dear, so where it failed it waits a while.
	at := r.base + int64(r.from)
	if at < r.noFree {
		return 0
	}
	for n := HeaderSize + h.sideSize(); n <= min(MaxFrame, len(b)); n++ {
		free := n
		if h.Padding {
			free -= slot(h)
		}
		if r.follows(h, b[n:], free, chain-1) && len(b) > n {
			r.free = free
			return n
		}
	}
	r.noFree = at + freePause
	return 0
}

// follows reports whether n frames of h's stream follow each other at the start of b, or fewer if the
// stream or its music ends exactly behind them.
func (r *Reader) follows(h Header, b []byte, free, n int) bool {
	for ; n > 0; n-- {
		if len(b) == 0 || TagSize(b) > 0 {
			return r.err != nil || len(b) > 0
		}
		if len(b) < HeaderSize {
			return n < chain-1 // a header is cut short
		}
		next, err := ParseHeader(b)
		if err != nil || !next.Compatible(h) || (next.Bitrate == 0) != (h.Bitrate == 0) {
			return false
		}
		size := r.size(next, free)
		if size == 0 || size > len(b) {
			return size > 0 && n < chain // the last is cut short
		}
		b = b[size:]
	}
	return true
}

// size is the length of h's frame, with free as that of a free-format one without padding.
func (r *Reader) size(h Header, free int) int {
	if h.Bitrate != 0 || free == 0 {
		return h.Size()
	}
	if h.Padding {
		return free + slot(h)
	}
	return free
}

// slot is the length of a slot in bytes (2.4.2.1).
func slot(h Header) int {
	if h.Layer == 1 {
		return 4
	}
	return 1
}

// TagSize returns the length of the tag at the start of b, 0 if there is none: ID3v2 (its section 3.1:
// "ID3", version, flags, a length of four times 7 bits, and a footer if flag 0x10 says so), ID3v1
// ("TAG", 128 bytes) and APEv2 (its header: "APETAGEX", and the length after it at byte 12).
func TagSize(b []byte) int64 {
	switch {
	case len(b) >= 10 && string(b[:3]) == "ID3" && b[3] != 0xff && b[4] != 0xff && (b[6]|b[7]|b[8]|b[9])&0x80 == 0:
		n := int64(b[6])<<21 | int64(b[7])<<14 | int64(b[8])<<7 | int64(b[9])
		if b[5]&0x10 != 0 {
			n += 10
		}
		return n + 10
	case len(b) >= 3 && string(b[:3]) == "TAG":
		return 128
	case len(b) >= 32 && string(b[:8]) == "APETAGEX":
		n := int64(b[12]) | int64(b[13])<<8 | int64(b[14])<<16 | int64(b[15])<<24
		if b[23]&0x20 != 0 { // a header, which its own length leaves out
			return n + 32
		}
		return 32 // a footer alone
	}
	return 0
}

// skipNoise moves to the next byte that can begin a header or a tag.
func (r *Reader) skipNoise() {
	b := r.buf[r.from:]
	n := 0
	for n < len(b) && b[n] != 0xff && b[n] != 'I' && b[n] != 'T' && b[n] != 'A' {
		n++
	}
	r.from += n
	r.skipped += int64(n)
}

// peek returns at least n unread bytes, fewer only at the stream's end.
func (r *Reader) peek(n int) []byte {
	for empty := 0; len(r.buf)-r.from < n && r.err == nil; {
		if r.from > 0 && cap(r.buf)-r.from < n {
			r.base += int64(r.from)
			r.buf = r.buf[:copy(r.buf, r.buf[r.from:])]
			r.from = 0
		}
		got, err := r.r.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+max(got, 0)]
		if got > 0 {
			empty = 0
		} else if empty++; empty >= emptyReads && err == nil {
			err = io.ErrNoProgress
		}
		r.err = err
	}
	return r.buf[r.from:]
}

// skip passes over n bytes, or to the stream's end.
func (r *Reader) skip(n int64) error {
	for n > 0 {
		b := r.peek(1)
		if len(b) == 0 {
			return r.end()
		}
		k := min(n, int64(len(b)))
		r.from += int(k)
		r.skipped += k
		n -= k
	}
	return nil
}

func (r *Reader) end() error {
	if r.err == nil || errors.Is(r.err, io.EOF) {
		return io.EOF
	}
	return r.err
}
