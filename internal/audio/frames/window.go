package frames

import (
	"fmt"
	"io"
)

// least is how much a Window reads at first, in bytes; each further read is twice
// as long, up to its buffer: of what comes over a network the beginning is here
// before the rest.
const least = 8 << 10

// Window reads forwards through an io.ReaderAt by one buffer.
type Window struct {
	r    io.ReaderAt
	size int64 // of what may be read
	off  int64 // of buf's first byte
	buf  []byte
	room []byte
	next int // how much is read next
}

// NewWindow returns a Window of the first size bytes of r with a buffer of room bytes.
func NewWindow(r io.ReaderAt, size int64, room int) *Window {
	return &Window{r: r, size: size, room: make([]byte, room), next: min(least, room)}
}

// Peek returns the n bytes at off, fewer only where the size or the buffer ends. They are valid until
// the next call. An error of the reader comes with what was read before it, if that is less than n.
func (w *Window) Peek(off int64, n int) ([]byte, error) {
	if off < 0 || off >= w.size {
		return nil, nil
	}
	n = int(min(int64(n), w.size-off, int64(len(w.room))))
	if i := off - w.off; i >= 0 && i+int64(n) <= int64(len(w.buf)) {
		return w.buf[i : i+int64(n)], nil
	}
	want := int(min(int64(max(n, w.next)), w.size-off))
	w.next = min(2*w.next, len(w.room))
	got, err := w.r.ReadAt(w.room[:want], off)
	w.off, w.buf = off, w.room[:got]
	if got >= n {
		return w.buf[:n], nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return w.buf, fmt.Errorf("read at %d: %w", off, err)
}
