package daemon

import (
	"context"
	"errors"
	"fmt"
)

// Kind is what an error means to whoever asked; the command line makes an
// exit code of it.
type Kind string

const (
	Failed   Kind = "failed"
	NoRepo   Kind = "no-repo"
	Locked   Kind = "locked"
	NotFound Kind = "not-found"
	Verify   Kind = "verify"
	NoLease  Kind = "lease"
	NoSpace  Kind = "no-space"
	Usage    Kind = "usage"
	Stopped  Kind = "interrupted"
)

// Error is an error that has crossed, or may cross, the socket.
type Error struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	cause   error
}

func (e *Error) Error() string { return e.Message }

// Unwrap is the cause, in the process where it happened.
func (e *Error) Unwrap() error { return e.cause }

// usage says that a request makes no sense, and what would.
func usage(format string, args ...any) error {
	return &Error{Kind: Usage, Message: fmt.Sprintf(format, args...)}
}

// KindOf says what err means.
func KindOf(err error) Kind {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.kind
		}
	}
	if errors.Is(err, context.Canceled) {
		return Stopped
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return NotFound
	}
	return Failed
}

// crossing makes err an *Error.
func crossing(err error) *Error {
	if e := (*Error)(nil); errors.As(err, &e) && e == err {
		return e
	}
	return &Error{Kind: KindOf(err), Message: err.Error(), cause: err}
}
