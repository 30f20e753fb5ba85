package segment

import (
	"io"
	"sync"
	"time"
)

// Clock tells the time and waits.
type Clock interface {
	Now() time.Time
	// After sends the time once d has passed, as time.After does.
	After(d time.Duration) <-chan time.Time
}

// Wall is the machine's own clock.
type Wall struct{}

func (Wall) Now() time.Time                         { return time.Now() }
func (Wall) After(d time.Duration) <-chan time.Time { return time.After(d) }

// pacePart is how much of a stream is handed out at once.
const pacePart = 200 * time.Millisecond

// Pace returns a file's stream at its own pace, as if it were live: what is handed out at any time is what
// is over by then, in the stream's own time since the first Read, to a fifth of a second or one of its
// pages. Its bytes are those of its segments: tags and junk are left out. What comes slower than its pace is
// handed out as it comes, and catches up; what is live already (a pipe from an encoder) needs no Pace.
//
// Close ends a Read that waits, with io.ErrClosedPipe; it does not close r.
func Pace(r io.Reader, c Clock) io.ReadCloser {
	return &paced{s: New(r, Config{Target: pacePart}), clock: c, closed: make(chan struct{})}
}

type paced struct {
	s     *Segmenter
	clock Clock
	start time.Time
	begun bool
	have  []byte

	once   sync.Once
	closed chan struct{}
}

func (p *paced) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *paced) Read(b []byte) (int, error) {
	for len(p.have) == 0 && len(b) > 0 {
		select {
		case <-p.closed:
			return 0, io.ErrClosedPipe
		default:
		}
		x, err := p.s.Next()
		if err != nil {
			return 0, err
		}
		if !p.begun {
			p.start, p.begun = p.clock.Now(), true
		}
		due := p.start.Add(x.Start() + x.Duration())
		if err := p.wait(due.Sub(p.clock.Now())); err != nil {
			return 0, err
		}
		p.have = append(x.Init, x.Media...)
	}
	n := copy(b, p.have)
	p.have = p.have[n:]
	return n, nil
}

func (p *paced) wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-p.clock.After(d):
		return nil
	case <-p.closed:
		return io.ErrClosedPipe
	}
}
