package embedded

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
)

// gate is a connection that takes nothing until it is open.
type gate struct {
	net.Conn
	open  chan struct{}
	ended chan struct{}
	once  sync.Once
}

func (d *gate) Write(b []byte) (int, error) {
	select {
	case <-d.open:
		return d.Conn.Write(b)
	case <-d.ended:
		return 0, net.ErrClosed
	}
}

func (d *gate) Close() error {
	d.once.Do(func() { close(d.ended) })
	return d.Conn.Close()
}

// queuedPair is two ends of a connection of yamux, nothing of which is between
// them, and the queue and the gate of the first.
func queuedPair(t *testing.T) (from, to network.MuxedConn, q *queue, d *gate) {
	t.Helper()
	a, b := net.Pipe()
	mux := *yamux.DefaultTransport
	mux.EnableKeepAlive = false
	mux.MaxMessageSize = atOnce + frameHead
	d = &gate{Conn: a, open: make(chan struct{}), ended: make(chan struct{})}
	close(d.open)
	from, err := queues{&mux}.NewConn(d, false, nil)
	if err == nil {
		to, err = mux.NewConn(b, true, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close(); to.Close() })
	if !from.As(&q) {
		t.Fatal("a connection without a queue")
	}
	return from, to, q, d
}

// accepted opens a stream and gives both ends.
func accepted(t *testing.T, from, to network.MuxedConn) (near, far network.MuxedStream) {
	t.Helper()
	near, err := from.OpenStream(t.Context())
	if err == nil {
		_, err = near.Write([]byte{0})
	}
	if err == nil {
		far, err = to.AcceptStream()
	}
	if err == nil {
		_, err = io.ReadFull(far, make([]byte, 1))
	}
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// TestWhatIsShortComesBeforeWhatWaits: while the socket takes nothing, a stream that
// has much to write has given yamux two messages of it, and what another writes then
// comes behind those alone; at the end nothing is counted as queued.
func TestWhatIsShortComesBeforeWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to, q, d := queuedPair(t)
		muchNear, muchFar := accepted(t, from, to)
		wordNear, wordFar := accepted(t, from, to)
		const much = 2 << 20
		var came atomic.Int64
		go io.Copy(counter{&came}, muchFar)
		synctest.Wait()
		d.open = make(chan struct{})
		wrote := make(chan error, 1)
		go func() {
			_, err := newPatient(muchNear, q).Write(make([]byte, much))
			wrote <- err
		}()
		synctest.Wait()
		if q.bytes == 0 || q.bytes > atOnce {
			t.Errorf("%d bytes are queued", q.bytes)
		}
		if _, err := newPatient(wordNear, q).Write([]byte("now")); err != nil {
			t.Fatal(err)
		}
		close(d.open)
		if _, err := io.ReadFull(wordFar, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if n := came.Load(); n > 3*atOnce {
			t.Errorf("the word came behind %d bytes", n)
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if came.Load() != much || q.bytes != 0 {
			t.Errorf("%d bytes have come of %d, and %d are queued", came.Load(), much, q.bytes)
		}
	})
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// TestWhoWaitsForTheQueueIsLetGo: by the deadline, by the stream's end, and by the
// connection's.
func TestWhoWaitsForTheQueueIsLetGo(t *testing.T) {
	for name, end := range map[string]func(s *patient, c network.MuxedConn){
		"deadline":   func(s *patient, _ network.MuxedConn) { s.SetDeadline(time.Now().Add(time.Second)) },
		"reset":      func(s *patient, _ network.MuxedConn) { go s.Reset() },
		"close":      func(s *patient, _ network.MuxedConn) { go s.Close() },
		"connection": func(_ *patient, c network.MuxedConn) { go c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from, to, q, d := queuedPair(t)
				near, far := accepted(t, from, to)
				go io.Copy(io.Discard, far)
				synctest.Wait()
				d.open = make(chan struct{})
				s := newPatient(near, q)
				if name == "deadline" {
					end(s, from)
				}
				wrote := make(chan error, 1)
				go func() {
					_, err := s.Write(make([]byte, 1<<20))
					wrote <- err
				}()
				synctest.Wait()
				if name != "deadline" {
					end(s, from)
				}
				begun := time.Now()
				if err := <-wrote; err == nil || time.Since(begun) > time.Second {
					t.Errorf("%v, after %v", err, time.Since(begun))
				}
				close(d.open)
			})
		})
	}
}
