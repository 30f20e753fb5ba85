package sim

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// unsent is how much a stream's writer may be ahead of the uplink, in bytes on
// the line.
const unsent = 128 << 10

var errReset = errors.New("stream reset")

// pipe is one direction of a stream. World.mu guards all of it.
type pipe struct {
	from, to *Node
	cond     sync.Cond

	pending []parcel // written, not sent
	ahead   int64    // weight of pending
	tail    []byte   // the last bytes written, where a mark may have begun
	waits   bool     // for the uplink
	turns   int      // pieces sent since it was idle
	flying  []parcel // sent, not delivered
	unread  []parcel // delivered, not read
	room    int64    // of the window
	read    int64    // weight that was read, and not credited

	closed bool  // by the writer
	ended  bool  // the end has come over as well: after what is written it is read
	deaf   bool  // the reader has closed
	err    error // of both ends
	late   [2]bool
}

func newPipe(from, to *Node) *pipe {
	p := &pipe{from: from, to: to, room: from.world.cfg.Window}
	p.cond.L = &from.world.mu
	return p
}

func (p *pipe) wake() { p.cond.Broadcast() }

// next is what the stream's next turn sends.
func (p *pipe) next() parcel {
	if len(p.pending) == 0 || p.room <= 0 || p.err != nil {
		return parcel{}
	}
	out := p.pending[0].cut(piece)
	if len(p.pending[0].data) == 0 {
		p.pending = p.pending[1:]
	}
	p.ahead -= out.weight
	p.room -= out.weight
	p.wake()
	return out
}

// credit gives the window back what was read, by quarters of it and a delay
// later.
func (p *pipe) credit(weight int64) {
	p.read += weight
	if p.read < p.from.world.cfg.Window/4 {
		return
	}
	back := p.read
	p.read = 0
	time.AfterFunc(p.from.Delay+p.to.Delay, func() {
		p.from.world.mu.Lock()
		defer p.from.world.mu.Unlock()
		p.room += back
		p.from.send(p)
	})
}

// weigh is what b weighs as the next bytes of the stream.
func (p *pipe) weigh(b []byte) int64 {
	cfg := p.from.world.cfg
	if cfg.Weight <= 1 {
		return int64(len(b))
	}
	seen := append(p.tail, b...)
	n := bytes.Count(seen, cfg.Mark)
	if n > 0 && bytes.HasSuffix(seen, cfg.Mark) {
		p.tail = nil // it is counted
	} else {
		p.tail = append([]byte(nil), seen[max(0, len(seen)-len(cfg.Mark)+1):]...)
	}
	return int64(len(b)) + int64(n*cfg.Heavy)*(cfg.Weight-1)
}

// stream is one end.
type stream struct {
	at      *Node
	in, out *pipe
	other   *stream
	timer   *time.Timer // guarded by World.mu
}

func (s *stream) Read(b []byte) (n int, err error) {
	w := s.at.world
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		p := s.in
		switch {
		case p.err != nil:
			return 0, p.err
		case len(p.unread) > 0 && len(b) > 0:
			for len(b) > n && len(p.unread) > 0 {
				got := p.unread[0].take(min(len(b)-n, len(p.unread[0].data)))
				n += copy(b[n:], got.data)
				if len(p.unread[0].data) == 0 {
					p.unread = p.unread[1:]
				}
				p.credit(got.weight)
			}
			return n, nil
		case p.deaf:
			return 0, io.ErrClosedPipe
		case p.ended && len(p.pending)+len(p.flying)+len(p.unread) == 0:
			return 0, io.EOF
		case p.late[0]:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		}
		p.cond.Wait()
	}
}

func (s *stream) Write(b []byte) (n int, err error) {
	w := s.at.world
	w.mu.Lock()
	defer w.mu.Unlock()
	p := s.out
	weight := p.weigh(b)
	rest := parcel{bytes.Clone(b), weight}
	for len(rest.data) > 0 {
		switch {
		case p.err != nil:
			return n, p.err
		case p.closed:
			return n, io.ErrClosedPipe
		case p.late[1]:
			return n, os.ErrDeadlineExceeded
		case p.ahead < unsent:
			some := rest.cut(unsent - p.ahead)
			n += len(some.data)
			p.ahead += some.weight
			p.pending = append(p.pending, some)
			s.at.send(p)
		default:
			p.cond.Wait()
		}
	}
	return n, nil
}

func (s *stream) CloseWrite() error {
	w := s.at.world
	w.mu.Lock()
	defer w.mu.Unlock()
	s.out.closed = true
	if s.at.gone {
		return nil
	}
	// The end travels as the last byte does.
	time.AfterFunc(s.out.from.Delay+s.out.to.Delay, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		s.out.ended = true
		s.out.wake()
	})
	s.out.wake()
	return nil
}

// Close ends both sides; what is written is still read by the other.
func (s *stream) Close() error {
	s.CloseWrite()
	w := s.at.world
	w.mu.Lock()
	defer w.mu.Unlock()
	s.stop()
	delete(s.at.streams, s)
	if !s.in.deaf {
		s.in.deaf = true
		for _, u := range s.in.unread {
			s.in.credit(u.weight)
		}
		s.in.unread = nil
		s.in.wake()
	}
	return nil
}

// Reset drops the stream: here at once, there a delay later.
func (s *stream) Reset() error {
	w := s.at.world
	w.mu.Lock()
	defer w.mu.Unlock()
	s.stop()
	delete(s.at.streams, s)
	s.out.pending, s.out.ahead = nil, 0
	s.out.closed = true
	s.in.deaf = true
	s.in.unread = nil
	s.in.wake()
	s.out.wake()
	if s.at.gone {
		return nil
	}
	time.AfterFunc(s.out.from.Delay+s.out.to.Delay, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		s.other.end(errReset)
	})
	return nil
}

// end ends the stream for both at once. World.mu is held.
func (s *stream) end(err error) {
	for _, x := range []*stream{s, s.other} {
		x.stop()
		delete(x.at.streams, x)
		if x.in.err == nil {
			x.in.err = err
		}
		x.in.pending, x.in.ahead, x.in.unread = nil, 0, nil
		x.in.wake()
	}
}

// stop ends the deadline. World.mu is held.
func (s *stream) stop() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

func (s *stream) SetDeadline(t time.Time) error {
	w := s.at.world
	w.mu.Lock()
	defer w.mu.Unlock()
	s.stop()
	set := func(late bool) {
		s.in.late[0], s.out.late[1] = late, late
		s.in.wake()
		s.out.wake()
	}
	set(false)
	if !t.IsZero() {
		var timer *time.Timer
		timer = time.AfterFunc(time.Until(t), func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if s.timer == timer {
				set(true)
			}
		})
		s.timer = timer
	}
	return nil
}
