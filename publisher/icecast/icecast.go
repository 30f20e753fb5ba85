// Package icecast takes a DJ's stream from the programs that DJs have: Mixxx, butt, ffmpeg, liquidsoap,
// ezstream, oggfwd, curl. To them it is an Icecast server, with a door for sources and none for listeners.
//
// What comes in: connections on a listener, hostile until the password is right. PUT and the older SOURCE
// bring a stream (its bytes go out as they come, unjudged), /admin/metadata a title. What goes out: one
// Source a connection, in the order in which they came, each an io.Reader with what came beside it. A
// source that was lost and comes back is a new Source of the same mount, and its Number says so: who reads
// them one after the other goes on with the set.
//
// What is trusted: who has the password, to send a stream and its titles. Nothing else is: headers,
// connections, sources, and the time that each may take are bounded. There is no key here and no network
// beyond the listener. Passwords go over the line as HTTP's Basic has them: that is for this machine or a
// home's own network, and Listen binds to this machine unless it is told another address.
package icecast

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	maxHeader  = 8 << 10 // bytes of a request's head
	maxMount   = 128     // bytes of a mount's name
	maxMounts  = 64      // whose sources are counted
	headerTime = 10 * time.Second
	writeTime  = 10 * time.Second
	guessTime  = time.Second // that a wrong password takes
	// answerAfter is how long the first byte of a stream is waited for, before an answer that nobody
	// asked for.
	answerAfter = time.Second
)

// Config is what a Server goes by.
type Config struct {
	// User and Password are what a source must say. User may be empty: then it is "source", as everywhere.
	User, Password string
	// Mount is the only mount that is taken, "/live" for example; empty takes any.
	Mount string
	// Silence is after how long without a byte a source has left; 0 means 15 s.
	Silence time.Duration
	// Sources is how many there may be at once, one a mount; 0 means 4. Connections is how many
	// connections, sources among them; 0 means 32. Who comes then is hung up on.
	Sources, Connections int
	// Now is the clock by which sources come and go and titles come; nil means time.Now. Deadlines are the
	// connection's, by the machine's own.
	Now func() time.Time
}

// Server takes sources. Its methods may be used by any number of goroutines.
type Server struct {
	c        Config
	want     [sha256.Size]byte // of user and password
	accepted chan *Source

	mu     sync.Mutex         // guards what follows
	live   map[string]*Source // by mount
	number map[string]int     // of sources that a mount has had
	closed bool
}

// New returns a Server that takes nothing yet: Serve does.
func New(c Config) (*Server, error) {
	if c.Password == "" {
		return nil, errors.New("take sources: no password is set")
	}
	if c.User == "" {
		c.User = "source"
	}
	if c.Silence == 0 {
		c.Silence = 15 * time.Second
	}
	if c.Sources == 0 {
		c.Sources = 4
	}
	if c.Connections == 0 {
		c.Connections = 32
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Mount != "" && !isMount(c.Mount) {
		return nil, fmt.Errorf("take sources: %.40q is no mount", c.Mount)
	}
	return &Server{
		c: c, want: digest(c.User, c.Password), accepted: make(chan *Source, c.Sources),
		live: map[string]*Source{}, number: map[string]int{},
	}, nil
}

// Listen listens at addr, a host and a port. Without a host it is this machine alone that is heard.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen for sources: %w", err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("listen for sources: %w", err)
	}
	return l, nil
}

// Serve takes sources from l until ctx is done or l fails, and closes l. Sources are then hung up on. The
// error is nil if ctx is done. A Server serves once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: writeTime, IdleTimeout: headerTime,
		ErrorLog: log.New(io.Discard, "", 0), BaseContext: func(net.Listener) context.Context { return ctx },
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	err := srv.Serve(newDoor(l, s.c.Connections))
	s.mu.Lock()
	s.closed = true
	var live []*Source
	for _, x := range s.live {
		live = append(live, x)
	}
	s.mu.Unlock()
	for _, x := range live {
		x.Close()
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("take sources: %w", err)
}

// Accept waits for the next source. It must be read, or closed.
func (s *Server) Accept(ctx context.Context) (*Source, error) {
	select {
	case x := <-s.accepted:
		return x, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ServeHTTP is for Serve; a test may call it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	source := r.Method == http.MethodPut || r.Method == "SOURCE"
	if !source && r.URL.Path != "/admin/metadata" {
		http.NotFound(w, r)
		return
	}
	user, password, said := r.BasicAuth()
	if got := digest(user, password); subtle.ConstantTimeCompare(got[:], s.want[:]) != 1 {
		if said { // who only asks whether there is a password gets an answer at once
			select {
			case <-time.After(guessTime):
			case <-r.Context().Done():
			}
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="playnode"`)
		refuse(w, http.StatusUnauthorized, "the password is not the one")
		return
	}
	if !source {
		s.metadata(w, r)
		return
	}
	if !isMount(r.URL.Path) || s.c.Mount != "" && r.URL.Path != s.c.Mount {
		refuse(w, http.StatusNotFound, "there is no such mount")
		return
	}
	x, why := s.enter(r)
	if x == nil {
		refuse(w, http.StatusForbidden, why)
		return
	}
	if err := x.take(w, r); err != nil {
		x.Close()
		return
	}
	s.accepted <- x // has room for as many as enter lets in
}

// refuse answers and hangs up: what a refused source goes on to send is nobody's.
func refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Connection", "close")
	http.Error(w, why, code)
}

// enter makes a mount a new source's own.
func (s *Server) enter(r *http.Request) (x *Source, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mount := r.URL.Path
	_, known := s.number[mount]
	switch {
	case s.closed:
		return nil, "this server ends"
	case s.live[mount] != nil:
		return nil, "this mount has a source"
	case len(s.live) >= s.c.Sources, !known && len(s.number) >= maxMounts:
		return nil, "there are too many sources"
	}
	s.number[mount]++
	x = newSource(r, s.number[mount], s.c.Silence, s.c.Now, func() { s.leave(mount) })
	s.live[mount] = x
	return x, ""
}

func (s *Server) leave(mount string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, mount)
}

// take takes the connection over, as PUT without a length would have no body, and answers.
func (x *Source) take(w http.ResponseWriter, r *http.Request) error {
	h, ok := w.(http.Hijacker)
	if !ok {
		return errors.New("take a source: its connection cannot be had")
	}
	conn, buf, err := h.Hijack()
	if err != nil {
		return fmt.Errorf("take a source: %w", err)
	}
	x.mu.Lock()
	x.conn, x.body = conn, buf.Reader
	gone := !x.gone.IsZero()
	x.mu.Unlock()
	if gone {
		conn.Close()
		return errors.New("take a source: this server ends")
	}
	answer := "HTTP/1.0 200 OK\r\n\r\n"
	if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		answer, x.last = "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	} else if waits, err := x.waits(buf.Reader); err != nil {
		return err
	} else if !waits {
		answer, x.last = "", answer
	}
	if len(r.TransferEncoding) > 0 {
		x.body = httputil.NewChunkedReader(buf.Reader)
	} else if r.ContentLength > 0 {
		x.left = r.ContentLength
	}
	if answer == "" {
		return nil
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return fmt.Errorf("answer a source: %w", err)
	}
	if _, err := conn.Write([]byte(answer)); err != nil {
		return fmt.Errorf("answer a source: %w", err)
	}
	return nil
}

// waits tells whether a source sends nothing before it has an answer. One that does not wait (ffmpeg's
// legacy protocol) never reads one either, and when it leaves with an answer unread, its system throws away
// what it sent last.
func (x *Source) waits(buf *bufio.Reader) (bool, error) {
	if err := x.conn.SetReadDeadline(time.Now().Add(answerAfter)); err != nil {
		return false, fmt.Errorf("answer a source: %w", err)
	}
	_, err := buf.Peek(1)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return false, fmt.Errorf("answer a source: %w", err)
	}
	return err != nil, nil
}

func isMount(path string) bool {
	if len(path) < 2 || len(path) > maxMount || path[0] != '/' || strings.HasPrefix(path, "/admin/") {
		return false
	}
	return !strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func digest(user, password string) [sha256.Size]byte {
	return sha256.Sum256([]byte(user + ":" + password))
}
