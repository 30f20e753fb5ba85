package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"playnode/internal/repo"
)

// remote is a Client of a running daemon.
type remote struct{ http *http.Client }

// Dial connects to the daemon of the repo at dir. ok is false when none
// listens there.
func Dial(ctx context.Context, dir string) (c Client, ok bool) {
	path := repo.SocketPath(dir)
	d := net.Dialer{Timeout: 2 * time.Second}
	probe, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, false
	}
	probe.Close()
	return &remote{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
	}}}, true
}

func (r *remote) Remote() bool { return true }

func (r *remote) Close() error {
	r.http.CloseIdleConnections()
	return nil
}

func (r *remote) Do(ctx context.Context, op string, req json.RawMessage, emit func(Event)) (json.RawMessage, error) {
	h, err := http.NewRequestWithContext(ctx, "POST", "http://daemon/v1/"+op, bytes.NewReader(req))
	if err != nil {
		return nil, crossing(fmt.Errorf("ask the daemon to %s: %w", op, err))
	}
	res, err := r.http.Do(h)
	if err != nil {
		if ctx.Err() != nil {
			return nil, crossing(ctx.Err())
		}
		return nil, crossing(fmt.Errorf("ask the daemon to %s: %w", op, err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return nil, crossing(fmt.Errorf("ask the daemon to %s: %s: %s", op, res.Status, bytes.TrimSpace(b)))
	}
	dec := json.NewDecoder(bufio.NewReader(res.Body))
	for {
		var l line
		if err := dec.Decode(&l); err != nil {
			if ctx.Err() != nil {
				return nil, crossing(ctx.Err())
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, &Error{Kind: Stopped, Message: "the daemon stopped before it had finished"}
			}
			return nil, crossing(fmt.Errorf("read the daemon's answer: %w", err))
		}
		switch {
		case l.Event != nil:
			if emit != nil {
				emit(*l.Event)
			}
		case l.Error != nil:
			return nil, l.Error
		default:
			return l.Result, nil
		}
	}
}
