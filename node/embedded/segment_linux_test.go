package embedded

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// segments is a control message that has the system cut what is sent.
func segments(size uint16) []byte {
	b := make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[unix.CmsgSpace(0):], size)
	return b
}

func TestSegment(t *testing.T) {
	for name, c := range map[string]struct {
		oob  []byte
		want int
	}{"none": {nil, 5000}, "one": {segments(1200), 1200}, "behind another": {append(unix.PktInfo4(&unix.Inet4Pktinfo{}), segments(1200)...), 1200}, "half a one": {segments(1200)[:9], 5000}} {
		if got := segment(c.oob, 5000); got != c.want {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// TestUnsegmented: what is sent one at a time keeps the rest of what was said of
// it.
func TestUnsegmented(t *testing.T) {
	info, half := unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: 7}), segments(1200)[:9]
	for name, c := range map[string]struct{ oob, want []byte }{
		"none": {nil, nil}, "one": {segments(1200), nil}, "another": {info, info}, "half a one": {half, half},
		"behind another": {append(bytes.Clone(info), segments(1200)...), info}, "before another": {append(segments(1200), info...), info},
	} {
		was := bytes.Clone(c.oob)
		if got := unsegmented(c.oob); !bytes.Equal(got, c.want) || !bytes.Equal(c.oob, was) {
			t.Errorf("%s: %x", name, got)
		}
	}
}
