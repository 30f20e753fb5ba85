package player

import (
	"bufio"
	"context"
	"errors"
	"os"
	"time"

	"playnode/internal/audio/pcm"
)

// rawSink writes signed 16-bit little-endian samples and nothing else, to a
// file, a pipe or standard output: what aplay, Snapcast and Icecast's feeders
// take.
type rawSink struct {
	unqueued
	w      *bufio.Writer
	f      *os.File
	own    bool // f is ours to close
	stop   func() bool
	rate   int
	buf    []byte
	closed bool
}

// openRaw opens path, - for standard output. The end of ctx ends a write to a
// pipe whose reader takes nothing.
func openRaw(ctx context.Context, path string, rate int) (Sink, error) {
	f, own := os.Stdout, false
	if path != "-" {
		own = true
		var err error
		// Not truncated by hand: it may be a named pipe.
		if f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
			return nil, err
		}
	}
	s := &rawSink{w: bufio.NewWriterSize(f, 64<<10), f: f, own: own, rate: rate}
	s.stop = context.AfterFunc(ctx, func() { f.SetWriteDeadline(time.Unix(1, 0)) })
	return s, nil
}

func (s *rawSink) Rate() int    { return s.rate }
func (s *rawSink) Rounds() bool { return true }

func (s *rawSink) Write(samples []float32) error {
	if need := 2 * len(samples); cap(s.buf) < need {
		s.buf = make([]byte, need)
	}
	b := s.buf[:2*len(samples)]
	pcm.S16(b, samples)
	_, err := s.w.Write(b)
	return err
}

func (s *rawSink) Drain(context.Context) error { return s.w.Flush() }

func (s *rawSink) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.w.Flush()
	s.stop()
	if s.own {
		err = errors.Join(err, s.f.Close())
	}
	return err
}
