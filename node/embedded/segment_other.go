//go:build !linux

package embedded

import "bytes"

// segment is the size of the datagrams that n bytes are sent in: one, as only
// Linux takes more.
func segment(_ []byte, n int) int { return n }

// unsegmented is a copy of control messages for datagrams that are sent one by
// one.
func unsegmented(oob []byte) []byte { return bytes.Clone(oob) }
