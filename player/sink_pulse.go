//go:build linux && (amd64 || arm64 || arm || 386 || riscv64 || loong64)

package player

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jfreymuth/pulse/proto"
)

const (
	// pulseAsk is how often the server is asked what is heard; what lies
	// between is reckoned by the clock.
	pulseAsk = 100 * time.Millisecond
	// pulseQuiet is how long a server may leave a question unanswered before
	// it is taken for dead.
	pulseQuiet = 1500 * time.Millisecond
	// pulseStuck is how long one that answers may ask for no sound: as a
	// suspended card's does.
	pulseStuck = 5 * time.Second
	// pulsePrebuf is how much it needs to begin; one that takes the place of another
	// begins with half of its buffer.
	pulsePrebuf = 10 * time.Millisecond
	pulseFrame  = 4 * Channels
)

var errPulseGone = errors.New("sound server is gone")

// pulseSink plays through PulseAudio or PipeWire: one connection with one
// stream. The server says how much it has room for. The library's own
// playback stream is not used: it waits for ever on a server that has gone,
// and its reader blocks the connection.
type pulseSink struct {
	rate   int
	c      *proto.Client
	net    net.Conn
	stream uint32
	stop   <-chan struct{} // the Play that opened us has ended
	room   atomic.Int64    // bytes that the server asked for and has not got
	asked  chan struct{}   // holds one: room grew
	gone   chan struct{}   // closed when the server is
	quit   chan struct{}   // closed by Close
	done   sync.WaitGroup  // of watch
	buf    []byte
	quiet  *time.Timer
	sent   atomic.Int64 // frames
	heard  int64        // frames of sent, as Delay has last said; Flush takes away from both
	closed bool

	mu    sync.Mutex // guards what follows; held for some instructions
	delay int64      // frames that were not heard at the time
	at    time.Time
	upTo  int64 // frames sent until then
	moves bool  // the stream runs
}

// dialPulse connects and says who we are.
func dialPulse() (*proto.Client, net.Conn, error) {
	c, conn, err := proto.Connect("")
	if err != nil {
		return nil, nil, fmt.Errorf("connect to sound server: %w", err)
	}
	names := proto.PropList{"application.name": proto.PropListString("playnode"), "media.role": proto.PropListString("music")}
	if err := c.Request(&proto.SetClientName{Props: names}, &proto.SetClientNameReply{}); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("greet sound server: %w", err)
	}
	return c, conn, nil
}

// openPulse opens a stream at the sound card's own rate, unless one is fixed:
// no resampler but ours touches the sound.
func openPulse(ctx context.Context, device string, want sinkWant) (_ Sink, err error) {
	c, conn, err := dialPulse()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	s := &pulseSink{
		rate: want.rate, c: c, net: conn, stop: ctx.Done(), quiet: time.NewTimer(time.Hour), at: time.Now(),
		asked: make(chan struct{}, 1), gone: make(chan struct{}), quit: make(chan struct{}),
	}
	// The callback runs in the connection's reader: it must be set before any
	// stream exists and must never wait.
	c.Callback = s.hear
	var card proto.GetSinkInfoReply
	if err := c.Request(&proto.GetSinkInfo{SinkIndex: proto.Undefined, SinkName: device}, &card); err != nil {
		return nil, fmt.Errorf("find sound server's sink %q: %w", device, err)
	}
	if !want.fixed && card.Rate > 0 {
		s.rate = int(card.Rate)
	}
	prebuf := min(pulsePrebuf, want.latency/2)
	if want.again {
		prebuf = want.latency / 2
	}
	bytes := func(d time.Duration) uint32 { return uint32(d.Seconds()*float64(s.rate)) * pulseFrame }
	var made proto.CreatePlaybackStreamReply
	if err := c.Request(&proto.CreatePlaybackStream{
		SampleSpec:      proto.SampleSpec{Format: proto.FormatFloat32LE, Channels: Channels, Rate: uint32(s.rate)},
		ChannelMap:      proto.ChannelMap{proto.ChannelLeft, proto.ChannelRight},
		SinkIndex:       card.SinkIndex,
		BufferMaxLength: 2 * bytes(want.latency), BufferTargetLength: bytes(want.latency),
		BufferPrebufferLength: bytes(prebuf), BufferMinimumRequest: proto.Undefined,
		ChannelVolumes: proto.ChannelVolumes{0x10000, 0x10000}, // not set: the server keeps the listener's own
		AdjustLatency:  true,
		Properties:     proto.PropList{"media.name": proto.PropListString("playnode")},
	}, &made); err != nil {
		return nil, fmt.Errorf("open stream to sound server: %w", err)
	}
	s.stream = made.StreamIndex
	s.grow(int64(made.Missing))
	s.done.Go(s.watch)
	return s, nil
}

// hear takes what the server says.
func (s *pulseSink) hear(msg any) {
	switch m := msg.(type) {
	case *proto.Request:
		s.grow(int64(m.Length))
	case *proto.PlaybackStreamKilled, *proto.ConnectionClosed:
		s.die()
	}
}

func (s *pulseSink) die() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.gone:
	default:
		close(s.gone)
	}
}

func (s *pulseSink) grow(n int64) {
	s.room.Add(n)
	poke(s.asked)
}

// watch keeps Delay true, and finds a server dead that does not answer.
func (s *pulseSink) watch() {
	t := time.NewTicker(pulseAsk)
	defer t.Stop()
	late := time.NewTimer(time.Hour)
	defer late.Stop()
	for {
		select {
		case <-t.C:
		case <-s.gone:
			return
		case <-s.quit:
			return
		}
		answer := make(chan error, 1)
		s.done.Go(func() { answer <- s.ask() })
		late.Reset(pulseQuiet)
		select {
		case err := <-answer:
			if err == nil {
				continue
			}
		case <-late.C:
		case <-s.quit:
			return
		}
		s.net.Close() // ends all that waits for it
		s.die()
		return
	}
}

// ask has the server say what is heard. What was sent before the question,
// the server has by then.
func (s *pulseSink) ask() error {
	upTo := s.sent.Load()
	var r proto.GetPlaybackLatencyReply
	if err := s.c.Request(&proto.GetPlaybackLatency{StreamIndex: s.stream}, &r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = max(0, (r.WriteIndex-r.ReadIndex)/pulseFrame) + int64(r.Latency)*int64(s.rate)/1e6
	s.at, s.upTo, s.moves = time.Now(), upTo, r.Running
	return nil
}

func (s *pulseSink) Rate() int { return s.rate }

func (s *pulseSink) Delay() int {
	sent := s.sent.Load()
	s.mu.Lock()
	delay := s.delay + sent - s.upTo
	if s.moves {
		delay -= int64(time.Since(s.at).Seconds() * float64(s.rate))
	}
	s.mu.Unlock()
	s.heard = min(sent, max(s.heard, sent-max(0, delay)))
	return int(sent - s.heard)
}

// Write hands samples over as the server asks for them.
func (s *pulseSink) Write(samples []float32) error {
	if need := 4 * len(samples); cap(s.buf) < need {
		s.buf = make([]byte, need)
	}
	b := s.buf[:4*len(samples)]
	for i, v := range samples {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
	}
	for len(b) > 0 {
		n, err := s.send(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// send hands over what the server has room for, and waits until it has some.
func (s *pulseSink) send(b []byte) (int, error) {
	s.quiet.Reset(pulseStuck)
	for {
		select {
		case <-s.gone:
			return 0, errPulseGone
		case <-s.stop:
			return 0, context.Canceled
		default:
		}
		if n := min(int64(len(b)), s.room.Load()) / pulseFrame * pulseFrame; n > 0 {
			s.room.Add(-n)
			if err := s.c.Send(s.stream, b[:n]); err != nil {
				return 0, errPulseGone
			}
			s.sent.Add(n / pulseFrame)
			return int(n), nil
		}
		select {
		case <-s.asked:
		case <-s.stop:
			return 0, context.Canceled
		case <-s.gone:
			return 0, errPulseGone
		case <-s.quiet.C:
			return 0, fmt.Errorf("sound server has asked for nothing for %s", pulseStuck)
		}
	}
}

func (s *pulseSink) Flush() int {
	was := s.Delay()
	if s.c.Request(&proto.FlushPlaybackStream{StreamIndex: s.stream}, nil) != nil || s.ask() != nil {
		return 0 // Write will say so
	}
	s.mu.Lock()
	left := min(int64(was), s.delay) // in the card
	s.mu.Unlock()
	n := int64(was) - left
	s.sent.Add(-n)
	s.mu.Lock()
	s.upTo -= n
	s.mu.Unlock()
	return int(n)
}

// Drain waits for the server to have played all. It answers late, and a
// question must not wait for longer than a second.
func (s *pulseSink) Drain(ctx context.Context) error {
	if s.sent.Load() == 0 {
		return nil
	}
	if left := time.Duration(s.Delay()) * time.Second / time.Duration(s.rate); left > 500*time.Millisecond {
		t := time.NewTimer(left - 500*time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.gone:
			return errPulseGone
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	answer := make(chan error, 1)
	s.done.Go(func() { answer <- s.c.Request(&proto.DrainPlaybackStream{StreamIndex: s.stream}, nil) })
	select {
	case err := <-answer:
		if err != nil {
			return fmt.Errorf("drain sound server: %w", err)
		}
		s.heard = s.sent.Load()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *pulseSink) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.quit)
	s.net.Close()
	s.done.Wait()
	return nil
}

// listPulse are the sound server's sinks.
func listPulse(context.Context) ([]Device, error) {
	c, conn, err := dialPulse()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	var server proto.GetServerInfoReply
	var sinks proto.GetSinkInfoListReply
	err = c.Request(&proto.GetServerInfo{}, &server)
	if err == nil {
		err = c.Request(&proto.GetSinkInfoList{}, &sinks)
	}
	if err != nil {
		return nil, fmt.Errorf("list sound server's sinks: %w", err)
	}
	var out []Device
	for _, s := range sinks {
		out = append(out, Device{Sink: "pulse:" + s.SinkName, About: s.Device, Rate: int(s.Rate), Default: s.SinkName == server.DefaultSinkName})
	}
	return out, nil
}
