//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// nocores is seen on Linux alone.
func nocores(*testscript.TestScript, bool, []string) {}
