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

// unsegmented is a copy of control messages without the one that has the system
// cut what is sent: on a device that cannot, it fails even where nothing is to be
// cut.
func unsegmented(oob []byte) []byte {
	var out []byte
	for rest := oob; len(rest) > 0; {
		h, _, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return append(out, rest...)
		}
		if h.Level != unix.SOL_UDP || h.Type != unix.UDP_SEGMENT {
			out = append(out, rest[:len(rest)-len(next)]...)
		}
		rest = next
	}
	return out
}
