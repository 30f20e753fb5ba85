//go:build linux && (amd64 || arm64 || arm || 386 || riscv64 || loong64)

package player

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"sync/atomic"
	"time"

	"github.com/jfreymuth/pulse/proto"
)

const (
	// pulseLatency is how much sound waits in the server and the card.
	pulseLatency = 500 * time.Millisecond
	// pulseQuiet is how long the server may ask for nothing before it is
	// asked whether it lives.
	pulseQuiet = 2 * time.Second
	// pulsePatience is how long a server that is gone is waited for.
	pulsePatience = 20 * time.Second
	pulseFrame    = 4 * Channels
)

var errPulseGone = errors.New("sound server is gone")

// pulseSink plays through PulseAudio or PipeWire. The server says how much it
// has room for; a server that dies is connected to anew. The library's own
// playback stream is not used: it waits for ever on a server that has gone,
// and its reader blocks the connection.
type pulseSink struct {
	device string
	rate   int
	stop   <-chan struct{} // the Play that opened us has ended

	conn *pulseConn
	buf  []byte
}

// pulseConn is one connection with one stream.
type pulseConn struct {
	c      *proto.Client
	net    net.Conn
	stream uint32
	room   atomic.Int64  // bytes that the server asked for and has not got
	asked  chan struct{} // holds one: room grew
	gone   chan struct{} // closed when the server is
}

func openPulse(ctx context.Context, device string, rate int) (Sink, error) {
	s := &pulseSink{device: device, stop: ctx.Done()}
	if err := s.connect(rate); err != nil {
		return nil, err
	}
	return s, nil
}

// connect opens a stream at the sound card's own rate: no resampler but ours
// touches the sound. A rate that was settled before stays.
func (s *pulseSink) connect(rate int) (err error) {
	c, conn, err := proto.Connect("")
	if err != nil {
		return fmt.Errorf("connect to sound server: %w", err)
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	p := &pulseConn{c: c, net: conn, asked: make(chan struct{}, 1), gone: make(chan struct{})}
	// The callback runs in the connection's reader: it must be set before any
	// stream exists and must never wait.
	c.Callback = p.hear
	names := proto.PropList{"application.name": proto.PropListString("playnode"), "media.role": proto.PropListString("music")}
	if err := c.Request(&proto.SetClientName{Props: names}, &proto.SetClientNameReply{}); err != nil {
		return fmt.Errorf("greet sound server: %w", err)
	}
	var card proto.GetSinkInfoReply
	if err := c.Request(&proto.GetSinkInfo{SinkIndex: proto.Undefined, SinkName: s.device}, &card); err != nil {
		return fmt.Errorf("find sound server's sink %q: %w", s.device, err)
	}
	if s.rate == 0 {
		if s.rate = int(card.Rate); s.rate == 0 {
			s.rate = rate
		}
	}
	length := uint32(float64(s.rate)*pulseLatency.Seconds()) * pulseFrame
	var made proto.CreatePlaybackStreamReply
	if err := c.Request(&proto.CreatePlaybackStream{
		SampleSpec:      proto.SampleSpec{Format: proto.FormatFloat32LE, Channels: Channels, Rate: uint32(s.rate)},
		ChannelMap:      proto.ChannelMap{proto.ChannelLeft, proto.ChannelRight},
		SinkIndex:       card.SinkIndex,
		BufferMaxLength: 2 * length, BufferTargetLength: length,
		BufferPrebufferLength: length / 2, BufferMinimumRequest: proto.Undefined,
		ChannelVolumes: proto.ChannelVolumes{0x10000, 0x10000}, // not set: the server keeps the listener's own
		AdjustLatency:  true,
		Properties:     proto.PropList{"media.name": proto.PropListString("playnode")},
	}, &made); err != nil {
		return fmt.Errorf("open stream to sound server: %w", err)
	}
	p.stream = made.StreamIndex
	p.grow(int64(made.Missing))
	s.conn = p
	return nil
}

// hear takes what the server says.
func (p *pulseConn) hear(msg any) {
	switch m := msg.(type) {
	case *proto.Request:
		p.grow(int64(m.Length))
	case *proto.PlaybackStreamKilled, *proto.ConnectionClosed:
		select {
		case <-p.gone:
		default:
			close(p.gone)
		}
	}
}

func (p *pulseConn) grow(n int64) {
	p.room.Add(n)
	select {
	case p.asked <- struct{}{}:
	default:
	}
}

func (s *pulseSink) Rate() int { return s.rate }

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
		n, err := s.conn.send(b, s.stop)
		b = b[n:]
		if errors.Is(err, errPulseGone) {
			err = s.again()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// send hands over what the server has room for, and waits until it has some.
func (p *pulseConn) send(b []byte, stop <-chan struct{}) (int, error) {
	quiet := time.NewTimer(pulseQuiet)
	defer quiet.Stop()
	for {
		if n := min(int64(len(b)), p.room.Load()) / pulseFrame * pulseFrame; n > 0 {
			p.room.Add(-n)
			if err := p.c.Send(p.stream, b[:n]); err != nil {
				return 0, errPulseGone
			}
			return int(n), nil
		}
		select {
		case <-p.asked:
		case <-stop:
			return 0, context.Canceled
		case <-p.gone:
			return 0, errPulseGone
		case <-quiet.C: // a suspended card asks for nothing either
			if p.c.Request(&proto.GetServerInfo{}, &proto.GetServerInfoReply{}) != nil {
				return 0, errPulseGone
			}
			quiet.Reset(pulseQuiet)
		}
	}
}

// again connects anew. What the old server had not played is lost.
func (s *pulseSink) again() error {
	s.conn.net.Close()
	late := time.NewTimer(pulsePatience)
	defer late.Stop()
	try := time.NewTicker(250 * time.Millisecond)
	defer try.Stop()
	for {
		err := s.connect(s.rate)
		if err == nil {
			return nil
		}
		select {
		case <-try.C:
		case <-s.stop:
			return context.Canceled
		case <-late.C:
			return err
		}
	}
}

// Drain waits for the server to have played all.
func (s *pulseSink) Drain(ctx context.Context) error {
	if s.conn.room.Load() < 0 {
		return nil
	}
	s.conn.c.SetTimeout(4 * pulseLatency)
	done := make(chan error, 1)
	go func(p *pulseConn) {
		done <- p.c.Request(&proto.DrainPlaybackStream{StreamIndex: p.stream}, nil)
	}(s.conn)
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("drain sound server: %w", err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *pulseSink) Close() error {
	s.conn.net.Close()
	return nil
}
