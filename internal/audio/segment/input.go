package segment

import (
	"errors"
	"io"
)

// input is a reader's bytes, looked at before they are taken.
type input struct {
	r    io.Reader
	buf  []byte
	from int   // of what is not yet taken
	err  error // the reader's, once it has ended
}

const (
	chunk = 16 << 10
	// emptyReads is how often a reader may return nothing at all.
	emptyReads = 100
)

func newInput(r io.Reader) *input { return &input{r: r} }

// peek returns what comes next, at least n bytes: fewer only at the end. It is valid until the next call
// of any method. n is bounded by its callers.
func (in *input) peek(n int) []byte {
	for empty := 0; len(in.buf)-in.from < n && in.err == nil; {
		if in.from > 0 && len(in.buf)+chunk > cap(in.buf) {
			in.buf = in.buf[:copy(in.buf, in.buf[in.from:])]
			in.from = 0
		}
		if len(in.buf)+chunk > cap(in.buf) {
			in.buf = append(make([]byte, 0, 2*cap(in.buf)+2*chunk), in.buf...)
		}
		got, err := in.r.Read(in.buf[len(in.buf):cap(in.buf)])
		in.buf = in.buf[:len(in.buf)+max(got, 0)]
		if got > 0 {
			empty = 0
		} else if empty++; empty >= emptyReads && err == nil {
			err = io.ErrNoProgress
		}
		in.err = err
	}
	return in.buf[in.from:]
}

// whole returns the next n bytes and takes them; nil, and it takes none, where the stream ends before.
func (in *input) whole(n int) []byte {
	b := in.peek(n)
	if len(b) < n {
		return nil
	}
	in.from += n
	return b[:n:n]
}

// drop takes n bytes that were peeked.
func (in *input) drop(n int) { in.from += n }

// back puts bytes before what comes next.
func (in *input) back(b []byte) {
	if len(b) <= in.from {
		in.from -= len(b)
		copy(in.buf[in.from:], b)
		return
	}
	in.buf = append(append(make([]byte, 0, len(b)+len(in.buf)-in.from+chunk), b...), in.buf[in.from:]...)
	in.from = 0
}

// skip takes n bytes, or all up to the end, and says whether they were there.
func (in *input) skip(n int64) bool {
	for n > 0 {
		k := int64(len(in.peek(1)))
		if k == 0 {
			return false
		}
		k = min(k, n)
		in.from += int(k)
		n -= k
	}
	return true
}

// end is the reader's error at the stream's end.
func (in *input) end() error {
	if in.err == nil || errors.Is(in.err, io.EOF) || errors.Is(in.err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return in.err
}
