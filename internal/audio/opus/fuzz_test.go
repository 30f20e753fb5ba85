package opus

import (
	"bytes"
	"os"
	"testing"
)

func FuzzDecode(f *testing.F) {
	b, err := os.ReadFile("../testdata/seed.opus")
	if err != nil {
		f.Fatal(err)
	}
	head := b[28 : 28+19]
	if !bytes.HasPrefix(head, []byte("OpusHead")) {
		f.Fatalf("the seed begins with %q", head)
	}
	tail := b[bytes.LastIndex(b, []byte("OggS")):]
	f.Add(head, tail[27+int(tail[26]):], []byte{0xfc})
	f.Add(head, []byte{0x0b, 0x82, 1, 2, 3}, []byte{0x78, 9, 9, 9})
	f.Fuzz(func(t *testing.T, head, first, second []byte) {
		d, err := Open([][]byte{head, nil})
		if err != nil {
			return
		}
		for _, packet := range [][]byte{first, second, first} {
			out, _ := d.Decode(packet)
			if len(out) != Frames(packet)*d.Channels() && len(packet) <= maxPacket {
				t.Fatalf("%d samples of a packet of %d", len(out), Frames(packet))
			}
		}
	})
}

func TestFrames(t *testing.T) {
	for _, c := range []struct {
		packet []byte
		want   int
	}{
		{nil, 0}, {[]byte{0 << 3}, 480}, {[]byte{3 << 3}, 2880}, {[]byte{3<<3 | 1}, 5760}, {[]byte{12 << 3}, 480}, {[]byte{31 << 3}, 960},
		{[]byte{16 << 3}, 120}, {[]byte{31<<3 | 3}, 0}, {[]byte{31<<3 | 3, 6}, 5760}, {[]byte{31<<3 | 3, 7}, 0}, {[]byte{3<<3 | 3, 3}, 0},
	} {
		if n := Frames(c.packet); n != c.want {
			t.Errorf("% x: %d, want %d", c.packet, n, c.want)
		}
	}
}
