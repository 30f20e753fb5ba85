//go:build !testclock

package main

import "github.com/spf13/pflag"

// clockFlag adds nothing: only a build with the tag testclock takes its time
// from the command line.
func (a *app) clockFlag(*pflag.FlagSet) {}
