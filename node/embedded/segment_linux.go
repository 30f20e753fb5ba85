package embedded

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// segment is the size of the datagrams that n bytes with these control messages
// are sent in; the last may be smaller.
func segment(oob []byte, n int) int {
	for len(oob) > 0 {
		h, body, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		if h.Level == unix.SOL_UDP && h.Type == unix.UDP_SEGMENT && len(body) >= 2 {
			return int(binary.NativeEndian.Uint16(body))
		}
		oob = rest
	}
	return n
}
