package player

import (
	"context"
	"errors"
	"os"

	"playnode/internal/audio/wav"
)

// wavSink writes a RIFF file of signed 16-bit samples.
type wavSink struct {
	unqueued
	f      *os.File
	w      *wav.Writer
	rate   int
	closed bool
}

func openWAV(path string, rate int, expect int64) (Sink, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w, err := wav.NewWriter(f, rate, Channels, expect)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &wavSink{f: f, w: w, rate: rate}, nil
}

func (s *wavSink) Rate() int                     { return s.rate }
func (s *wavSink) Rounds() bool                  { return true }
func (s *wavSink) Write(samples []float32) error { return s.w.Write(samples) }
func (s *wavSink) Drain(context.Context) error   { return nil }

func (s *wavSink) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.w.Close(), s.f.Close())
}
