package node

import (
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// LineConfig is what a Line may carry.
type LineConfig struct {
	// Up and Down are in bytes a second, headers of packets included; 0 means
	// no bound.
	Up, Down int64
	// Now is the clock, nil for the system's; After a timer, nil for
	// time.After.
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
}

// Line is what all of a box's connections share, whoever opened them and
// whatever they speak: no ten seconds of either direction carry more than 105 %
// of its bound. It stands at the sockets, as a slow line would, so that what the
// transports add is counted and a sender is slowed by its own protocol. Safe
// for concurrent use; a nil Line bounds and counts nothing.
type Line struct {
	cfg      LineConfig
	up, down *bound
}

// NewLine makes a Line; nil when nothing is bound.
func NewLine(cfg LineConfig) *Line {
	if cfg.Up <= 0 && cfg.Down <= 0 {
		return nil
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.After == nil {
		cfg.After = time.After
	}
	return &Line{cfg, newBound(cfg.Up, cfg), newBound(cfg.Down, cfg)}
}

const (
	// segment is what a packet of TCP carries, header what it has beside, on
	// Ethernet; datagram is that of UDP.
	segment, header, datagram = 1448, 66, 42
	// piece is the most bytes that pass at once.
	piece = 8 << 10
	// burst is how much of the time a line may be idle and make up for it.
	burst = 100 * time.Millisecond
	// spare is the part of a bound that is kept for what is not seen here:
	// packets that are sent again, and dropped, handshakes, and names looked up.
	spare = .03
	// leastQueue and mostQueue bound what the system may take in before it is
	// read, in bytes a connection, which is a fifth of a second otherwise.
	leastQueue, mostQueue = 16 << 10, 4 << 20
)

// bound is one direction. A nil bound bounds nothing.
type bound struct {
	rate  float64 // bytes a second
	now   func() time.Time
	after func(time.Duration) <-chan time.Time

	mu      sync.Mutex // guards what follows
	left    float64
	owed    float64 // passed already without asking
	at      time.Time
	clock   float64 // bytes of who went last, by its own count
	waiting []*passage
	driven  bool
}

// flow is one connection's share. Its bytes are guarded by bound.mu.
type flow struct {
	class atomic.Int32
	bytes float64
}

// passage is n bytes of a flow that wait.
type passage struct {
	f    *flow
	n    float64
	come chan struct{}
}

func newBound(rate int64, cfg LineConfig) *bound {
	if rate <= 0 {
		return nil
	}
	return &bound{rate: (1 - spare) * float64(rate), now: cfg.Now, after: cfg.After, at: cfg.Now()}
}

// size is how many bytes may be asked for at once.
func (b *bound) size() int {
	if b == nil {
		return 64 << 10
	}
	return max(1, min(piece, int(b.rate*burst.Seconds()/2)))
}

// queue is how many bytes the system is to take in for one connection.
func (b *bound) queue() int { return min(max(int(b.rate/5), leastQueue), mostQueue) }

// owe has n bytes that have passed paid for by those that come.
func (b *bound) owe(n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.owed += float64(n)
}

// pass waits until n bytes of f may pass; gone, when closed, ends the wait.
func (b *bound) pass(f *flow, n int, gone <-chan struct{}) error {
	if b == nil || n == 0 {
		return nil
	}
	b.mu.Lock()
	f.bytes = max(f.bytes, b.clock) + float64(n)
	if !b.driven && b.spend(float64(n)) {
		b.clock = max(b.clock, f.bytes)
		b.mu.Unlock()
		return nil
	}
	p := &passage{f, float64(n), make(chan struct{})}
	b.waiting = append(b.waiting, p)
	if !b.driven {
		b.driven = true
		go b.drive()
	}
	b.mu.Unlock()
	select {
	case <-p.come:
		return nil
	case <-gone:
		b.mu.Lock()
		defer b.mu.Unlock()
		if i := slices.Index(b.waiting, p); i >= 0 {
			b.waiting = slices.Delete(b.waiting, i, i+1)
		}
		return net.ErrClosed
	}
}

// spend takes n bytes if they are there. Of what comes anew half at most pays
// what is owed, so that the other half goes on. b.mu is held.
func (b *bound) spend(n float64) bool {
	now := b.now()
	if d := now.Sub(b.at).Seconds(); d > 0 {
		in := d * b.rate
		pay := min(b.owed, in/2)
		b.owed -= pay
		b.left = min(b.left+in-pay, b.rate*burst.Seconds())
	}
	b.at = now
	if b.left < n {
		return false
	}
	b.left -= n
	return true
}

// drive lets those who wait through until none does: the more urgent class
// first, and of one class who has had the least.
func (b *bound) drive() {
	for {
		b.mu.Lock()
		var wait time.Duration
		for wait == 0 {
			if len(b.waiting) == 0 {
				b.driven = false
				b.mu.Unlock()
				return
			}
			next := 0
			for i, p := range b.waiting[1:] {
				q := b.waiting[next]
				if c, d := p.f.class.Load(), q.f.class.Load(); c < d || c == d && p.f.bytes < q.f.bytes {
					next = i + 1
				}
			}
			p := b.waiting[next]
			if b.spend(p.n) {
				b.clock = max(b.clock, p.f.bytes)
				close(p.come)
				b.waiting = slices.Delete(b.waiting, next, next+1)
			} else {
				wait = time.Duration((p.n-b.left)/b.rate*float64(time.Second)) + time.Microsecond
			}
		}
		b.mu.Unlock()
		<-b.after(wait)
	}
}

// packets is about what n bytes are on a line, in packets of TCP.
func packets(n int) int { return n + header*((n+segment-1)/segment) }

// acks is about what the other side says for n bytes that it has had.
func acks(n int) int { return n * header / (2 * segment) }

// Narrow tells whether what comes in is bound: then few connections carry it, as
// each has a queue of its own that the system fills at once.
func (l *Line) Narrow() bool { return l != nil && l.down != nil }

// Conn has c share the line. What it returns is c when nothing is bound.
func (l *Line) Conn(c net.Conn) net.Conn {
	if l == nil {
		return c
	}
	if t, ok := c.(interface{ SetReadBuffer(int) error }); ok && l.down != nil {
		t.SetReadBuffer(l.down.queue())
	}
	if t, ok := c.(interface{ SetWriteBuffer(int) error }); ok && l.up != nil {
		t.SetWriteBuffer(l.up.queue())
	}
	s := &shared{Conn: c, line: l, gone: make(chan struct{})}
	s.Urge(Next)
	return s
}

// Urger is a connection that can be told how urgent is what it carries.
type Urger interface{ Urge(Class) }

// shared is a connection that shares a line.
type shared struct {
	net.Conn
	line     *Line
	in, out  flow
	read     int // bytes, of those that came last in a packet that was not full
	gone     chan struct{}
	goneOnce sync.Once
}

// Urge is how urgent is what passes from now on; before, it is Next.
func (s *shared) Urge(c Class) {
	s.in.class.Store(int32(c))
	s.out.class.Store(int32(c))
}

func (s *shared) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b[:min(len(b), s.line.down.size())])
	if n > 0 {
		s.line.up.owe(acks(n))
		before := s.read / segment
		s.read += n
		if werr := s.line.down.pass(&s.in, n+header*(s.read/segment-before), s.gone); werr != nil && err == nil {
			err = werr
		}
		s.read %= segment
	}
	return n, err
}

func (s *shared) Write(b []byte) (done int, err error) {
	for {
		k := b[:min(len(b), s.line.up.size())]
		if err := s.line.up.pass(&s.out, packets(len(k)), s.gone); err != nil {
			return done, err
		}
		n, err := s.Conn.Write(k)
		s.line.down.owe(acks(n))
		done += n
		if b = b[n:]; err != nil || len(b) == 0 {
			return done, err
		}
	}
}

// ReadFrom keeps io.Copy from going past Write.
func (s *shared) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{s}, r)
}

func (s *shared) CloseRead() error  { return half(s.Conn, false) }
func (s *shared) CloseWrite() error { return half(s.Conn, true) }

func half(c net.Conn, write bool) error {
	h, ok := c.(interface {
		CloseRead() error
		CloseWrite() error
	})
	switch {
	case !ok:
		return nil
	case write:
		return h.CloseWrite()
	}
	return h.CloseRead()
}

func (s *shared) Close() error {
	s.goneOnce.Do(func() { close(s.gone) })
	return s.Conn.Close()
}

// Listener has all that l accepts share the line.
func (l *Line) Listener(in net.Listener) net.Listener {
	if l == nil {
		return in
	}
	return listener{in, l}
}

type listener struct {
	net.Listener
	line *Line
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.line.Conn(c), nil
}
