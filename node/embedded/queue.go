package embedded

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/security/noise"

	"playnode/node"
)

const (
	// frameHead is what yamux puts before a stream's bytes, dataFrame the type of
	// such a frame, its second byte.
	frameHead, dataFrame = 12, 0
	// atOnce is the most that is given to yamux in one piece: one message of the
	// cipher's.
	atOnce = noise.MaxPlaintextLength - frameHead
	// slight bytes wait for nobody, and nobody for them.
	slight = 8 << 10
)

// queue is what a connection's streams have given to yamux, and yamux not to the
// socket. yamux takes in 64 messages before it has anybody wait, which is seconds of
// a slow line: what is urgent would come behind all that was written before anybody
// knew. So our own streams wait here, each with what it would write, and can yet
// write something else first. Safe for concurrent use.
type queue struct {
	mu     sync.Mutex    // guards what follows
	bytes  int           // below 0 for a moment, where yamux is quicker than who counts
	low    chan struct{} // closed when there are few; nil while nobody waits
	closed bool
}

// add counts n bytes more, or less.
func (q *queue) add(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes += n
	q.tell()
}

// tell has those go on who wait, if they may. q.mu is held.
func (q *queue) tell() {
	if q.low != nil && (q.bytes <= slight || q.closed) {
		close(q.low)
		q.low = nil
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.tell()
}

// wait returns when few bytes are queued, or done is closed, or at until unless
// that is zero.
func (q *queue) wait(done <-chan struct{}, until time.Time) {
	q.mu.Lock()
	if q.bytes <= slight || q.closed {
		q.mu.Unlock()
		return
	}
	if q.low == nil {
		q.low = make(chan struct{})
	}
	low := q.low
	q.mu.Unlock()
	var late <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until)) // sockets know only the wall clock
		defer t.Stop()
		late = t.C
	}
	select {
	case <-low:
	case <-done:
	case <-late:
	}
}

// queues is yamux, which tells of each connection's queue by As.
type queues struct{ network.Multiplexer }

func (m queues) NewConn(c net.Conn, server bool, scope network.PeerScope) (network.MuxedConn, error) {
	q := &queue{}
	inner, err := m.Multiplexer.NewConn(outgoing{c, q}, server, scope)
	if err != nil {
		return nil, err
	}
	return queuedConn{inner, q}, nil
}

// outgoing is what yamux writes to, a frame at a time.
type outgoing struct {
	net.Conn
	queue *queue
}

func (o outgoing) Write(b []byte) (int, error) {
	if n := len(b) - frameHead; n > 0 && b[1] == dataFrame {
		o.queue.add(-n)
	}
	return o.Conn.Write(b)
}

func (o outgoing) Close() error {
	o.queue.close()
	return o.Conn.Close()
}

type queuedConn struct {
	network.MuxedConn
	queue *queue
}

func (c queuedConn) As(target any) bool {
	if q, ok := target.(**queue); ok {
		*q = c.queue
		return true
	}
	return c.MuxedConn.As(target)
}

func (c queuedConn) OpenStream(ctx context.Context) (network.MuxedStream, error) {
	s, err := c.MuxedConn.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	return tallied{s, c.queue}, nil
}

func (c queuedConn) AcceptStream() (network.MuxedStream, error) {
	s, err := c.MuxedConn.AcceptStream()
	if err != nil {
		return nil, err
	}
	return tallied{s, c.queue}, nil
}

// tallied is a stream whose bytes are counted.
type tallied struct {
	network.MuxedStream
	queue *queue
}

func (s tallied) Write(b []byte) (done int, err error) {
	for {
		n, err := s.MuxedStream.Write(b[:min(len(b), atOnce)])
		s.queue.add(n)
		done += n
		if b = b[n:]; err != nil || len(b) == 0 {
			return done, err
		}
	}
}

// patient is a stream of ours by a connection with a queue: what is large waits
// until little is queued, as long as the stream's deadline lets it.
type patient struct {
	network.MuxedStream
	queue *queue
	gone  chan struct{} // closed when it has ended
	once  sync.Once

	mu    sync.Mutex // guards until
	until time.Time
}

// patiently has s wait for its connection's queue, if that has one: QUIC's streams
// take in no more than may be sent.
func patiently(s network.Stream) node.Stream {
	var q *queue
	if !s.Conn().As(&q) {
		return s
	}
	return newPatient(s, q)
}

func newPatient(s network.MuxedStream, q *queue) *patient {
	return &patient{MuxedStream: s, queue: q, gone: make(chan struct{})}
}

func (s *patient) Write(b []byte) (done int, err error) {
	for {
		k := min(len(b), atOnce)
		if k > slight {
			s.mu.Lock()
			until := s.until
			s.mu.Unlock()
			s.queue.wait(s.gone, until)
		}
		n, err := s.MuxedStream.Write(b[:k])
		done += n
		if b = b[n:]; err != nil || len(b) == 0 {
			return done, err
		}
	}
}

func (s *patient) SetDeadline(t time.Time) error {
	s.mu.Lock()
	s.until = t
	s.mu.Unlock()
	return s.MuxedStream.SetDeadline(t)
}

func (s *patient) Close() error {
	s.once.Do(func() { close(s.gone) })
	return s.MuxedStream.Close()
}

func (s *patient) Reset() error {
	s.once.Do(func() { close(s.gone) })
	return s.MuxedStream.Reset()
}
