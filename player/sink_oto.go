//go:build darwin || windows

package player

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/ebitengine/oto/v3"
)

const (
	otoLatency = 300 * time.Millisecond
	// otoQuiet is how long the system may take nothing before its error is
	// asked for: it may hang without one.
	otoQuiet    = time.Second
	otoPatience = 10 * time.Second
)

// otoCard is the process's only way to the system's sound: the library
// allows one context, at one rate, for as long as the process lives.
type otoCard struct {
	once  sync.Once // guards the rest
	c     *oto.Context
	ready chan struct{}
	rate  int
	err   error
}

func (o *otoCard) context(rate int) (*oto.Context, error) {
	o.once.Do(func() {
		o.rate = rate
		o.c, o.ready, o.err = oto.NewContext(&oto.NewContextOptions{
			SampleRate: rate, ChannelCount: Channels, Format: oto.FormatFloat32LE, BufferSize: otoLatency, ApplicationName: "playnode",
		})
	})
	return o.c, o.err
}

// otoSink plays through the system's sound of macOS and Windows. The system
// pulls: Write puts blocks into a short queue that Read empties.
type otoSink struct {
	c     *oto.Context
	p     *oto.Player
	rate  int
	stop  <-chan struct{} // the Play that opened us has ended
	queue chan []byte     // of at most four blocks; closed after the last
	ended bool            // queue is closed
	spent chan []byte     // blocks to fill again
	rest  []byte          // of the block being read
	block []byte
}

func (o *otoCard) open(ctx context.Context, _ string, rate int) (Sink, error) {
	c, err := o.context(rate)
	if err != nil {
		return nil, fmt.Errorf("open the system's sound: %w", err)
	}
	select {
	case <-o.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := c.Err(); err != nil {
		return nil, fmt.Errorf("open the system's sound: %w", err)
	}
	s := &otoSink{c: c, rate: o.rate, stop: ctx.Done(), queue: make(chan []byte, 4), spent: make(chan []byte, 6)}
	s.p = c.NewPlayer(s)
	s.p.SetBufferSize(int(otoLatency.Seconds()*float64(o.rate)) * 4 * Channels)
	s.p.Play()
	return s, nil
}

func (s *otoSink) Rate() int { return s.rate }

func (s *otoSink) Write(samples []float32) error {
	var b []byte
	select {
	case b = <-s.spent:
	default:
	}
	b = b[:0]
	for _, v := range samples {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	quiet := time.NewTicker(otoQuiet)
	defer quiet.Stop()
	for n := 0; ; n++ {
		select {
		case s.queue <- b:
			return nil
		case <-s.stop:
			return context.Canceled
		case <-quiet.C:
			if err := s.c.Err(); err != nil {
				return err
			}
			if time.Duration(n)*otoQuiet > otoPatience {
				return errors.New("the system takes no more sound")
			}
		}
	}
}

// Read is called by the library, in a goroutine of its own.
func (s *otoSink) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.block != nil {
			select {
			case s.spent <- s.block:
			default:
			}
		}
		block, ok := <-s.queue
		if !ok {
			return 0, io.EOF
		}
		s.block, s.rest = block, block
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *otoSink) Drain(ctx context.Context) error {
	s.end()
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for s.p.IsPlaying() || s.p.BufferedSize() > 0 {
		select {
		case <-t.C:
			if err := s.c.Err(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *otoSink) Close() error {
	s.end()
	s.p.Pause()
	return s.p.Close()
}

func (s *otoSink) end() {
	if !s.ended {
		s.ended = true
		close(s.queue)
	}
}
