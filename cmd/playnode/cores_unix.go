//go:build unix

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// limitCores allows core dumps of no byte.
func limitCores() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}
