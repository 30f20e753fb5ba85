//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// pipeTo makes a named pipe that another process, a daemon, can write
// samples into, and copies it to w. wait ends the copy when the writer has
// closed, or never came.
func pipeTo(w io.Writer) (path string, wait func() error, err error) {
	dir, err := os.MkdirTemp("", "playnode-")
	if err != nil {
		return "", nil, fmt.Errorf("make pipe: %w", err)
	}
	path = filepath.Join(dir, "pcm")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		os.RemoveAll(dir)
		return "", nil, fmt.Errorf("make pipe: %w", err)
	}
	done := make(chan error, 1)
	go func() {
		r, err := os.Open(path) // waits for a writer
		if err != nil {
			done <- err
			return
		}
		_, err = io.Copy(w, r)
		done <- errors.Join(err, r.Close())
	}()
	return path, func() error {
		// A writer of our own wakes the reader if no other ever came.
		if f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
			f.Close()
		}
		err := <-done
		return errors.Join(err, os.RemoveAll(dir))
	}, nil
}
