//go:build !linux

package main

// unmapProgram does something on Linux alone.
func unmapProgram() {}

// mappedFiles is known on Linux alone.
func mappedFiles() int { return 0 }
