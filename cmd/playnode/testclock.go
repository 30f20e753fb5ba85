//go:build testclock

package main

import (
	"errors"
	"time"

	"github.com/spf13/pflag"
)

// clockFlag adds --clock. The clock of the process that opens the repo starts
// there and runs on; where a daemon runs, the daemon's is the one that counts.
func (a *app) clockFlag(f *pflag.FlagSet) {
	f.Func("clock", "where the clock starts, in RFC 3339: for tests; it runs on from there, and the public network stays off", func(s string) error {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return errors.New("wants a time such as 2031-03-03T12:00:00Z")
		}
		begun := time.Now()
		a.now = func() time.Time { return at.Add(time.Since(begun)) }
		return nil
	})
}
