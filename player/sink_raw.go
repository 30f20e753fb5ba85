package player

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"

	"playnode/internal/audio/pcm"
)

// rawSink writes signed 16-bit little-endian samples and nothing else, to a
// file, a pipe or standard output: what aplay, Snapcast and Icecast's feeders
// take.
type rawSink struct {
	w    *bufio.Writer
	c    io.Closer
	rate int
	buf  []byte
}

func openRaw(path string, rate int) (Sink, error) {
	if path == "-" {
		return &rawSink{w: bufio.NewWriterSize(os.Stdout, 64<<10), rate: rate}, nil
	}
	// Not truncated by hand: it may be a named pipe.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	return &rawSink{w: bufio.NewWriterSize(f, 64<<10), c: f, rate: rate}, nil
}

func (s *rawSink) Rate() int { return s.rate }

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
	err := s.w.Flush()
	if s.c != nil {
		err = errors.Join(err, s.c.Close())
	}
	return err
}
