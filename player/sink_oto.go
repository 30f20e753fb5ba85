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
	// otoQuiet is how long the system may take nothing before its error is
	// asked for: it may hang without one.
	otoQuiet    = time.Second
	otoPatience = 3 * time.Second
	// otoEmpty is how long the system waits for a block before it gets
	// otoSilence, in bytes.
	otoEmpty   = 20 * time.Millisecond
	otoSilence = 256 * 4 * Channels
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

func (o *otoCard) context(rate int, latency time.Duration) (*oto.Context, error) {
	o.once.Do(func() {
		o.rate = rate
		o.c, o.ready, o.err = oto.NewContext(&oto.NewContextOptions{
			SampleRate: rate, ChannelCount: Channels, Format: oto.FormatFloat32LE, BufferSize: latency, ApplicationName: "playnode",
		})
	})
	return o.c, o.err
}

// otoSink plays through the system's sound of macOS and Windows. The system
// pulls: Write puts blocks into a short queue that Read empties.
type otoSink struct {
	c      *oto.Context
	p      *oto.Player
	rate   int
	stop   <-chan struct{} // the Play that opened us has ended
	queue  chan []byte     // of at most four blocks; closed after the last
	ended  bool            // queue is closed
	closed bool
	spent  chan []byte // blocks to fill again
	block  []byte      // the one being read; Read's alone

	mu     sync.Mutex // guards what follows
	rest   []byte     // of block
	queued int        // frames in queue and rest
}

func (o *otoCard) list(context.Context) ([]Device, error) {
	return []Device{{Sink: "default", About: "the system's", Default: true}}, nil
}

func (o *otoCard) open(ctx context.Context, _ string, want sinkWant) (Sink, error) {
	c, err := o.context(want.rate, want.latency)
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
	s.p.SetBufferSize(int(want.latency.Seconds()*float64(o.rate)) * 4 * Channels)
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
			s.mu.Lock()
			s.queued += len(samples) / Channels
			s.mu.Unlock()
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
	s.mu.Lock()
	empty := len(s.rest) == 0
	s.mu.Unlock()
	if empty {
		if s.block != nil {
			select {
			case s.spent <- s.block:
			default:
			}
		}
		var block []byte
		var ok bool
		select {
		case block, ok = <-s.queue:
		case <-time.After(otoEmpty):
			n := min(len(b), otoSilence) // Flush waits for Read, and Write for Flush
			clear(b[:n])
			return n, nil
		}
		if !ok {
			return 0, io.EOF
		}
		s.block = block
		s.mu.Lock()
		s.rest = block
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	s.queued -= n / (4 * Channels)
	return n, nil
}

// Delay leaves out what the system keeps for itself, which it does not tell.
func (s *otoSink) Delay() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, s.queued) + s.p.BufferedSize()/(4*Channels)
}

func (s *otoSink) Flush() int {
	n := s.Delay()
	s.p.Reset()
	for {
		select {
		case b := <-s.queue:
			s.mu.Lock()
			s.queued -= len(b) / (4 * Channels)
			s.mu.Unlock()
			continue
		default:
		}
		break
	}
	s.mu.Lock()
	s.queued -= len(s.rest) / (4 * Channels)
	s.rest = s.rest[len(s.rest):]
	s.mu.Unlock()
	s.p.Play()
	return n - s.Delay()
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
	if s.closed {
		return nil
	}
	s.closed = true
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
