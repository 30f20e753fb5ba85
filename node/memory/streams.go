package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"playnode/node"
)

// maxPipe bounds what one side of a stream may have written and the other
// not yet read, in bytes.
const maxPipe = 1 << 20

var errReset = errors.New("stream reset")

// pipe is one direction of a stream.
type pipe struct {
	mu       sync.Mutex // guards what follows
	cond     sync.Cond
	buf      bytes.Buffer
	closed   bool
	reset    bool
	deadline [2]bool // passed: of the reader, of the writer
}

func newPipe() *pipe {
	p := &pipe{}
	p.cond.L = &p.mu
	return p
}

func (p *pipe) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.cond.Broadcast()
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.cond.Broadcast()
	for {
		switch {
		case p.reset:
			return 0, errReset
		case p.buf.Len() > 0:
			return p.buf.Read(b)
		case p.closed:
			return 0, io.EOF
		case p.deadline[0]:
			return 0, os.ErrDeadlineExceeded
		}
		p.cond.Wait()
	}
}

func (p *pipe) Write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		switch room := maxPipe - p.buf.Len(); {
		case p.reset:
			return n, errReset
		case p.closed:
			return n, io.ErrClosedPipe
		case p.deadline[1]:
			return n, os.ErrDeadlineExceeded
		case room > 0:
			k := min(room, len(b))
			p.buf.Write(b[:k])
			n, b = n+k, b[k:]
			p.cond.Broadcast()
		default:
			p.cond.Wait()
		}
	}
	return n, nil
}

// stream is one end.
type stream struct {
	in, out *pipe

	mu    sync.Mutex // guards timer
	timer *time.Timer
}

func (s *stream) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *stream) Write(b []byte) (int, error) { return s.out.Write(b) }

func (s *stream) CloseWrite() error {
	s.out.change(func() { s.out.closed = true })
	return nil
}

// Close ends both sides; what is written is still read by the other.
func (s *stream) Close() error {
	s.SetDeadline(time.Time{})
	s.in.change(func() { s.in.closed = true; s.in.buf.Reset() })
	return s.CloseWrite()
}

func (s *stream) Reset() error {
	s.SetDeadline(time.Time{})
	s.in.change(func() { s.in.reset = true })
	s.out.change(func() { s.out.reset = true })
	return nil
}

func (s *stream) SetDeadline(t time.Time) error {
	set := func(passed bool) {
		s.in.change(func() { s.in.deadline[0] = passed })
		s.out.change(func() { s.out.deadline[1] = passed })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	set(false)
	if !t.IsZero() {
		s.timer = time.AfterFunc(time.Until(t), func() { set(true) })
	}
	return nil
}

// Handle serves a protocol.
func (n *Node) Handle(protocol string, h func(peer string, s node.Stream)) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	n.handlers[protocol] = h
}

// Open opens a stream to a linked peer.
func (n *Node) Open(ctx context.Context, peer, protocol string) (node.Stream, error) {
	if err := n.world.travel(ctx); err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", protocol, peer, err)
	}
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	p := n.world.nodes[peer]
	if p == nil || !n.world.links[link(peer, n.id)] {
		return nil, fmt.Errorf("open %s to %s: not connected: %w", protocol, peer, node.ErrNotFound)
	}
	h := p.handlers[protocol]
	if h == nil {
		return nil, fmt.Errorf("open %s to %s: protocol not spoken there: %w", protocol, peer, node.ErrNotFound)
	}
	a, b := newPipe(), newPipe()
	ours, theirs := &stream{in: a, out: b}, &stream{in: b, out: a}
	p.spawn(func() { h(n.id, theirs) })
	return ours, nil
}
