package icecast_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"playnode/publisher/icecast"
)

// pipes is a listener without a network.
type pipes struct {
	in   chan net.Conn
	end  chan struct{}
	once sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.in:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.end) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// inPipes runs f in a bubble of its own time, with a server and what dials it.
func inPipes(t *testing.T, c icecast.Config, f func(t *testing.T, s *icecast.Server, dial func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		c.Password = "hackme"
		s, err := icecast.New(c)
		if err != nil {
			t.Fatal(err)
		}
		l := &pipes{in: make(chan net.Conn), end: make(chan struct{})}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- s.Serve(ctx, l) }()
		f(t, s, func() net.Conn {
			a, b := net.Pipe()
			l.in <- b
			return a
		})
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		<-time.After(time.Second) // net/http lingers where it hangs up
	})
}

var basic = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("source:hackme"))

// Who is slow with a head, or whose head is too long, is hung up on.
func TestSlowAndLong(t *testing.T) {
	inPipes(t, icecast.Config{}, func(t *testing.T, s *icecast.Server, dial func() net.Conn) {
		start := time.Now()
		c := dial()
		go func() {
			for _, b := range []byte("PUT /slow HTTP/1.1\r\nHost: x\r\nX-Slow: " + strings.Repeat("a", 1000)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		}()
		if _, err := io.ReadAll(c); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > 15*time.Second {
			t.Errorf("it was hung up on after %v", d)
		}
	})
	inPipes(t, icecast.Config{}, func(t *testing.T, s *icecast.Server, dial func() net.Conn) {
		for _, head := range []string{"PUT /long HTTP/1.1\r\nHost: x\r\nX-Long: ", "PUT /long"} {
			c := dial()
			sent := make(chan int, 1)
			go func() {
				n, _ := io.Copy(c, io.MultiReader(strings.NewReader(head), endless{}))
				sent <- int(n)
			}()
			line, _ := bufio.NewReader(c).ReadString('\n')
			c.Close()
			if n := <-sent; n > 128<<10 {
				t.Errorf("%d bytes of a head were taken", n)
			}
			if !strings.Contains(line, "431") && line != "" {
				t.Errorf("it answers %q", line)
			}
		}
	})
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'a'
	}
	return len(b), nil
}

// A source that says nothing for 15 s has left, and may come back; one that says a byte every 14 has not.
// The old protocol's first line is understood.
func TestSilence(t *testing.T) {
	inPipes(t, icecast.Config{}, func(t *testing.T, s *icecast.Server, dial func() net.Conn) {
		for i, first := range []string{"SOURCE /m ICE/1.0", "PUT /m HTTP/1.1\r\nHost: x", "SOURCE /m HTTP/1.0"} {
			c := dial()
			fmt.Fprintf(c, "%s\r\n%s\r\nIce-Name: it\r\n\r\n", first, basic)
			line, err := bufio.NewReader(c).ReadString('\n')
			if err != nil || line != "HTTP/1.0 200 OK\r\n" {
				t.Fatalf("%s: answer %q, %v", first, line, err)
			}
			go io.Copy(io.Discard, c)
			x, err := s.Accept(t.Context())
			if err != nil || x.Number != i+1 || x.Name != "it" {
				t.Fatal(x, err)
			}
			go func() {
				for range 5 {
					<-time.After(14 * time.Second)
					c.Write([]byte("x"))
				}
			}()
			b, err := io.ReadAll(x)
			if string(b) != "xxxxx" || !errors.Is(err, icecast.ErrSilent) {
				t.Errorf("%q, %v", b, err)
			}
			if left, ok := x.Left(); !ok || left.Sub(x.Came) < 85*time.Second || left.Sub(x.Came) > 87*time.Second {
				t.Errorf("it came %v and left %v", x.Came, left)
			}
		}
	})
}

// There is room for so many connections; whoever has left makes room.
func TestRoom(t *testing.T) {
	inPipes(t, icecast.Config{Connections: 2}, func(t *testing.T, s *icecast.Server, dial func() net.Conn) {
		a, b := dial(), dial()
		synctest.Wait()
		c := dial()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the third of two: %v", err)
		}
		fmt.Fprintf(a, "GET / HTTP/1.0\r\n\r\n")
		if got, _ := io.ReadAll(a); !strings.HasPrefix(string(got), "HTTP/1.0 404") {
			t.Errorf("%.40q", got)
		}
		a.Close()
		synctest.Wait()
		d := dial()
		fmt.Fprintf(d, "SOURCE /m HTTP/1.0\r\n%s\r\n\r\n", basic)
		if got, err := bufio.NewReader(d).ReadString('\n'); err != nil || !strings.Contains(got, "200") {
			t.Errorf("%q, %v", got, err)
		}
		x, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		d.Close()
		io.Copy(io.Discard, x)
	})
}

// A guess takes a second; a question takes none.
func TestGuess(t *testing.T) {
	inPipes(t, icecast.Config{}, func(t *testing.T, s *icecast.Server, dial func() net.Conn) {
		for head, want := range map[string]time.Duration{"": 0, "Authorization: Basic c291cmNlOm5v\r\n": time.Second} {
			start := time.Now()
			c := dial()
			fmt.Fprintf(c, "SOURCE /m HTTP/1.0\r\n%s\r\n", head)
			got, err := io.ReadAll(c)
			if err != nil || !strings.HasPrefix(string(got), "HTTP/1.0 401") || !strings.Contains(string(got), "Www-Authenticate: Basic realm=") {
				t.Errorf("%q, %v", got, err)
			}
			if d := time.Since(start); d < want || d > want+600*time.Millisecond { // net/http lingers for 500 ms
				t.Errorf("%q takes %v", head, d)
			}
		}
	})
}

// Titles that nobody asks for are bounded, and so are a source's words.
func TestBounds(t *testing.T) {
	inPipes(t, icecast.Config{Mount: "/only"}, func(t *testing.T, s *icecast.Server, dial func() net.Conn) {
		ask := func(head string) string {
			c := dial()
			defer func() { c.Close(); <-time.After(time.Second) }()
			fmt.Fprintf(c, "%s HTTP/1.0\r\n%s\r\n\r\n", head, basic)
			line, _ := bufio.NewReader(c).ReadString('\n')
			return line
		}
		if got := ask("PUT /other"); !strings.Contains(got, "404") {
			t.Errorf("another mount: %q", got)
		}
		c := dial()
		fmt.Fprintf(c, "PUT /only HTTP/1.0\r\n%s\r\nIce-Name: %s\r\nIce-Audio-Info: samplerate=44100;bitrate=192\r\n\r\n", basic, strings.Repeat("n", 3000))
		if got, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(got, "200") {
			t.Fatalf("%q, %v", got, err)
		}
		x, err := s.Accept(t.Context())
		if err != nil || len(x.Name) != 512 || x.Bitrate != 192 {
			t.Fatalf("%d bytes of a name, %d kbit/s, %v", len(x.Name), x.Bitrate, err)
		}
		for i := range 100 {
			if got := ask(fmt.Sprintf("GET /admin/metadata?mode=updinfo&mount=/only&song=%d", i)); !strings.Contains(got, "200") {
				t.Fatalf("title %d: %q", i, got)
			}
		}
		if u := x.Updates(); len(u) != 64 || u[0].Title != "36" || u[63].Title != "99" {
			t.Errorf("%d titles", len(u))
		}
		c.Close()
		io.Copy(io.Discard, x)
	})
	if _, err := icecast.New(icecast.Config{}); err == nil {
		t.Error("no password is a password")
	}
}
