//go:build !linux

package embedded

func segments(uint16) []byte { return nil }
