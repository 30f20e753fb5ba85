package icecast

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"playnode/internal/audio/tags"
)

// ErrSilent says that a source sent nothing for as long as it may.
var ErrSilent = errors.New("the source is silent")

// maxUpdates bounds the titles that wait to be asked for: of more, the oldest go.
const maxUpdates = 64

// About is what a source says of itself, cut and cleaned, and believed no further than a title is.
type About struct {
	Name, Genre, Description, URL string
	// ContentType is what it claims to send: its bytes say what it is.
	ContentType string
	// Program is the program that sends.
	Program string
	// Bitrate is in kbit/s, 0 where it says none.
	Bitrate int
	Public  bool
}

// Update is a title that came beside a source's stream.
type Update struct {
	Title string
	// At is when it came, Byte how many bytes of the source had been read by then.
	At   time.Time
	Byte int64
}

// Source is one connection's stream. Read is for one goroutine, the other methods for any.
type Source struct {
	About
	// Mount is what it came to, and Number how many sources that has had, with this one: from 2 on it may
	// be one that comes back.
	Mount  string
	Number int
	// Remote is where it comes from.
	Remote string
	// Came is when it was let in.
	Came time.Time

	conn    net.Conn // set before it is handed out, under mu
	body    io.Reader
	left    int64  // of a body whose length was told; 0 where it was not
	last    string // the answer at its end
	silence time.Duration
	now     func() time.Time
	leave   func()
	err     error // of Read, once it has ended

	mu      sync.Mutex // guards what follows
	read    int64
	updates []Update
	gone    time.Time
}

func newSource(r *http.Request, number int, silence time.Duration, now func() time.Time, leave func()) *Source {
	first := func(names ...string) string {
		for _, n := range names {
			if v := r.Header.Get(n); v != "" {
				return tags.Clean(v)
			}
		}
		return ""
	}
	x := &Source{
		Mount: r.URL.Path, Number: number, Remote: r.RemoteAddr, Came: now(), silence: silence, now: now, leave: leave,
		About: About{
			Name: first("Ice-Name", "Icy-Name"), Genre: first("Ice-Genre", "Icy-Genre"), Description: first("Ice-Description"),
			URL: first("Ice-Url", "Icy-Url"), ContentType: first("Content-Type"), Program: first("User-Agent"), Public: first("Ice-Public", "Icy-Pub") == "1",
		},
	}
	rate := first("Ice-Bitrate", "Icy-Br")
	for f := range strings.SplitSeq(first("Ice-Audio-Info"), ";") {
		if k, v, ok := strings.Cut(f, "="); ok && rate == "" && (k == "bitrate" || k == "ice-bitrate") {
			rate = v
		}
	}
	if n, err := strconv.Atoi(rate); err == nil && n > 0 && n < 1e6 {
		x.Bitrate = n
	}
	return x
}

// Read reads the stream as it comes. When the source has left, the error is io.EOF, ErrSilent, or says what
// became of the connection; it stays.
func (x *Source) Read(b []byte) (int, error) {
	if x.err != nil {
		return 0, x.err
	}
	if len(b) == 0 {
		return 0, nil
	}
	if x.left > 0 {
		b = b[:min(int64(len(b)), x.left)]
	}
	if err := x.conn.SetReadDeadline(time.Now().Add(x.silence)); err != nil {
		return 0, x.end(err)
	}
	n, err := x.body.Read(b)
	x.mu.Lock()
	x.read += int64(n)
	x.mu.Unlock()
	if x.left > 0 {
		if x.left -= int64(n); x.left == 0 {
			x.end(io.EOF)
			return n, nil
		}
	}
	if err != nil {
		return n, x.end(err)
	}
	return n, nil
}

// end notes why a source has left, and lets the next in.
func (x *Source) end(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		if x.last != "" { // it waits for an answer
			x.conn.SetWriteDeadline(time.Now().Add(writeTime))
			io.WriteString(x.conn, x.last)
		}
		x.err = io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.err = fmt.Errorf("read a source: %w for %v", ErrSilent, x.silence)
	case errors.Is(err, net.ErrClosed):
		x.err = fmt.Errorf("read a source: it was hung up on: %w", err)
	default:
		x.err = fmt.Errorf("read a source: %w", err)
	}
	x.Close()
	return x.err
}

// Close hangs up on the source. Its mount may then be taken by another.
func (x *Source) Close() error {
	x.mu.Lock()
	was := !x.gone.IsZero()
	if !was {
		x.gone = x.now()
	}
	conn := x.conn
	x.mu.Unlock()
	if was {
		return nil
	}
	x.leave()
	if conn == nil {
		return nil
	}
	if err := conn.Close(); err != nil {
		return fmt.Errorf("hang up on a source: %w", err)
	}
	return nil
}

// Left says when the source left; ok is false while it is there.
func (x *Source) Left() (t time.Time, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.gone, !x.gone.IsZero()
}

// Updates returns the titles that have come since it was asked last, in their order.
func (x *Source) Updates() []Update {
	x.mu.Lock()
	defer x.mu.Unlock()
	u := x.updates
	x.updates = nil
	return u
}

// update notes a title.
func (x *Source) update(title string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.updates) == maxUpdates {
		x.updates = append(x.updates[:0], x.updates[1:]...)
	}
	x.updates = append(x.updates, Update{title, x.now(), x.read})
}
