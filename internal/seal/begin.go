package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// chunk is age's, in bytes of plaintext; chunkSeal what each has more when
	// it is sealed, nonceSize what stands before the first.
	chunk, chunkSeal, nonceSize = 64 << 10, 16, 16
	// leap is how far ahead of what was read last the beginning is read through;
	// what lies farther is read in its place.
	leap = chunk
)

// BeginTrack opens a sealed file of size bytes, which somebody must vouch for,
// for reading anywhere while its end may be still to come: as long as it is read
// from its beginning on, each chunk is asked for when it is read, and checked
// before any of it is given. The first read elsewhere is by OpenTrack, which
// asks for the last chunk first. Reads are safe for concurrent use.
func BeginTrack(k FileKey, sealed io.ReaderAt, size int64) (plain io.ReaderAt, plainSize int64, err error) {
	head := make([]byte, min(size, maxHeader))
	if _, err := io.ReadFull(io.NewSectionReader(sealed, 0, size), head); err != nil {
		return nil, 0, fmt.Errorf("open track: %w", err)
	}
	payload := size - headerSize(head) - nonceSize
	if payload < chunkSeal {
		return nil, 0, fmt.Errorf("open track: cut short: %w", ErrOpen)
	}
	plainSize = payload - (payload+chunk+chunkSeal-1)/(chunk+chunkSeal)*chunkSeal
	t := &begun{key: k, sealed: sealed, size: size, plain: plainSize}
	Erasing(func() { t.stream, err = StreamTrack(k, io.NewSectionReader(sealed, 0, size)) })
	if err != nil {
		return nil, 0, err
	}
	return erasingReaderAt{t}, plainSize, nil
}

// headerSize is how long an age header is, which b begins with; 0 where none
// ends in b.
func headerSize(b []byte) int64 {
	_, rest, ok := bytes.Cut(b, []byte("\n--- "))
	end := bytes.IndexByte(rest, '\n')
	if !ok || end < 0 {
		return 0
	}
	return int64(len(b) - len(rest) + end + 1)
}

// begun is a track that is read from its beginning on.
type begun struct {
	key    FileKey
	sealed io.ReaderAt
	size   int64
	plain  int64

	mu     sync.Mutex // guards what follows
	stream io.Reader  // nil once it has failed, or whole is not
	whole  io.ReaderAt
	at     int64  // where kept ends
	kept   []byte // what the stream gave last, of two chunks at the most
}

func (t *begun) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read track: before its start")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	end := min(off+int64(len(p)), t.plain)
	for t.whole == nil && off < end {
		from := t.at - int64(len(t.kept))
		switch {
		case off < from || end > t.at && (t.stream == nil || off > t.at+leap):
			whole, _, err := OpenTrack(t.key, t.sealed, t.size)
			if err != nil {
				return 0, err
			}
			t.key.Zero()
			t.whole, t.stream, t.kept = whole, nil, nil
		case end > t.at:
			if err := t.more(); err != nil {
				return 0, err
			}
		default:
			n := copy(p, t.kept[off-from:])
			if n < len(p) {
				return n, io.EOF
			}
			return n, nil
		}
	}
	if t.whole != nil {
		return t.whole.ReadAt(p, off)
	}
	if len(p) > 0 {
		return 0, io.EOF
	}
	return 0, nil
}

// more reads one more chunk of the stream. t.mu is held.
func (t *begun) more() error {
	n := int(min(chunk, t.plain-t.at))
	if over := len(t.kept) - chunk; over > 0 {
		t.kept = t.kept[:copy(t.kept, t.kept[over:])]
	}
	at := len(t.kept)
	t.kept = append(t.kept, make([]byte, n)...)
	got, err := io.ReadFull(t.stream, t.kept[at:])
	t.kept, t.at = t.kept[:at+got], t.at+int64(got)
	if err == nil && t.at == t.plain { // it ends where it says that it does
		var one [1]byte
		if k, end := io.ReadFull(t.stream, one[:]); k > 0 || end != io.EOF {
			err = fmt.Errorf("%w: it ends elsewhere: %v", ErrOpen, end)
		}
	}
	if err != nil {
		t.stream = nil // what could not be had may be had later
		return fmt.Errorf("read track: %w", err)
	}
	return nil
}
