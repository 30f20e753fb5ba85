package main

import (
	"errors"
	"fmt"
	"strings"

	"playnode/daemon"
)

// Exit codes. 2 is left to a Go panic, so that nothing else looks like one.
const (
	exitFailed      = 1
	exitPartly      = 3
	exitUsage       = 64
	exitInterrupted = 130
)

// codes are the exit code and the hint for each kind of error.
var codes = map[daemon.Kind]struct {
	code int
	hint string
}{
	daemon.Failed:   {exitFailed, ""},
	daemon.NoRepo:   {10, "make one with: playnode init"},
	daemon.Locked:   {11, ""},
	daemon.NotFound: {20, "is the other side's daemon running, and does --peer name one of its addresses (playnode id)?"},
	daemon.Verify:   {21, ""},
	daemon.NoLease:  {22, ""},
	daemon.NoSpace:  {23, "free some space; nothing held was lost"},
	daemon.Usage:    {exitUsage, ""},
	daemon.Stopped:  {exitInterrupted, ""},
}

// usageError is a mistake in the command line of cmd.
type usageError struct {
	error
	cmd string
}

func (u usageError) Unwrap() error { return u.error }

// partly says that a command did part of its work and has told which.
type partly struct{ error }

// exit prints err, once, and gives its code.
func (a *app) exit(err error) int {
	if err == nil {
		return 0
	}
	var u usageError
	var p partly
	code, hint := exitFailed, ""
	switch {
	case errors.As(err, &u):
		code, hint = exitUsage, "see: "+u.cmd+" --help"
	case errors.As(err, &p):
		code = exitPartly
	case strings.HasPrefix(err.Error(), "unknown command"), strings.HasPrefix(err.Error(), "required flag"):
		code, hint = exitUsage, "see: playnode --help"
	default:
		c := codes[daemon.KindOf(err)]
		code, hint = c.code, c.hint
	}
	fmt.Fprintf(a.err, "playnode: %s\n", strings.TrimSpace(err.Error()))
	if hint != "" && !a.quiet {
		fmt.Fprintf(a.err, "  %s\n", hint)
	}
	return code
}
