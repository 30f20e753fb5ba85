package main

import (
	"errors"
	"io"
)

func pipeTo(io.Writer) (string, func() error, error) {
	return "", nil, errors.New("raw:- with a running daemon does not work on Windows; use raw:FILE, or stop the daemon")
}
