package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// noCores keeps the keys in memory out of core dumps, ours and those of the
// programs that we run, and out of the reach of other processes of this user.
func noCores() error {
	if err := limitCores(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	return nil
}
