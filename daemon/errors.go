package daemon

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"playnode/follow"
	"playnode/internal/repo"
	"playnode/internal/seal"
	"playnode/ipns"
	"playnode/lease"
	"playnode/node"
	"playnode/player"
	"playnode/publisher"
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

// kinds say what the rooms' errors mean.
var kinds = []struct {
	err  error
	kind Kind
}{
	{repo.ErrNoRepo, NoRepo},
	{repo.ErrLocked, Locked},
	{repo.ErrNewer, Locked},
	{node.ErrNoSpace, NoSpace},
	{syscall.ENOSPC, NoSpace},
	{syscall.EDQUOT, NoSpace},
	{lease.ErrLapsed, NoLease},
	{lease.ErrNoLease, NoLease},
	{lease.ErrNotYours, NoLease},
	{lease.ErrNotYet, NoLease},
	{lease.ErrRevoked, NoLease},
	{lease.ErrBehind, NoLease},
	{lease.ErrOld, Verify},
	{lease.ErrRefused, Verify},
	{lease.ErrFuture, Verify},
	{publisher.ErrNoPlaylist, Failed},
	{publisher.ErrPlaylist, Failed},
	{publisher.ErrLabel, Usage},
	{publisher.ErrOnAir, Usage},
	{publisher.ErrInUse, Usage},
	{publisher.ErrRival, Verify},
	{publisher.ErrStolen, Verify},
	{seal.ErrOpen, Verify},
	{follow.ErrVerify, Verify},
	{publisher.ErrRestored, NotFound},
	{ipns.ErrRollback, Verify},
	{ipns.ErrInvalid, Verify},
	{follow.ErrNotFound, NotFound},
	{player.ErrOffAir, NotFound},
	{ipns.ErrNotFound, NotFound},
	{ipns.ErrExpired, NotFound},
	{node.ErrNotFound, NotFound},
}
