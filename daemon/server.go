package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"playnode/internal/repo"
)

// maxRequest bounds a request on the socket, in bytes.
const maxRequest = 1 << 20

// line is one line of an answer on the socket; one field is set.
type line struct {
	Event  *Event          `json:"event,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Error          `json:"error,omitempty"`
}

// listenSocket opens the repo's socket. Who may open it may do all that the
// repo's owner may: it is 0600, in a directory of the owner's. The caller
// holds the repo's lock, so what lies there was left by a dead daemon.
func listenSocket(dir string) (net.Listener, error) {
	path := repo.SocketPath(dir)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("open socket: %w", err)
	}
	return l, nil
}

// socketHandler answers POST /v1/OP with the request as JSON: lines of JSON,
// events first, then one result or error.
func socketHandler(do func(context.Context, string, json.RawMessage, func(Event)) (json.RawMessage, error)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/{op}", func(w http.ResponseWriter, r *http.Request) {
		var req json.RawMessage
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&req); err != nil {
			http.Error(w, "request is not JSON: "+err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		enc := json.NewEncoder(w)
		send := func(l line) {
			if enc.Encode(l) == nil {
				http.NewResponseController(w).Flush()
			}
		}
		res, err := do(r.Context(), r.PathValue("op"), req, func(e Event) { send(line{Event: &e}) })
		if err != nil {
			send(line{Error: crossing(err)})
			return
		}
		send(line{Result: res})
	})
	return mux
}

// serveHTTP serves h on l until ctx ends, which also ends the requests, and
// returns nil then. Requests get a second to finish.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		quiet, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if srv.Shutdown(quiet) != nil {
			srv.Close()
		}
	})
	err := srv.Serve(l)
	if stop() {
		close(closed)
	}
	<-closed
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}
