//go:build unix && !linux

package main

// noCores keeps the keys in memory out of core dumps.
func noCores() error { return limitCores() }
