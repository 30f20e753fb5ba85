package pcm

import (
	"encoding/binary"
	"math"
	"testing"
)

func TestS16IsExactForEveryInt16(t *testing.T) {
	in := make([]byte, 2*65536)
	for i := range 65536 {
		binary.LittleEndian.PutUint16(in[2*i:], uint16(i))
	}
	f, out := make([]float32, 65536), make([]byte, 2*65536)
	Float(f, in, I16)
	S16(out, f)
	if string(out) != string(in) {
		t.Fatal("int16 did not survive float32")
	}
}

func TestS16Rounds(t *testing.T) {
	const lsb = 1.0 / 32768
	for _, c := range []struct {
		in   float64
		want int16
	}{
		{0, 0}, {0.49 * lsb, 0}, {0.51 * lsb, 1}, {-0.51 * lsb, -1}, {-0.49 * lsb, 0}, {1.5 * lsb, 2}, {2.5 * lsb, 2},
		{1, 32767}, {2, 32767}, {-1, -32768}, {-3, -32768}, {math.NaN(), 0}, {math.Inf(1), 32767}, {math.Inf(-1), -32768},
	} {
		if got := round16(float32(c.in)); got != c.want {
			t.Errorf("round %g LSB: %d, want %d", c.in/lsb, got, c.want)
		}
	}
}

func TestFloatLayouts(t *testing.T) {
	for _, c := range []struct {
		l    Layout
		in   []byte
		want float32
	}{
		{U8, []byte{0}, -1}, {U8, []byte{128}, 0}, {U8, []byte{192}, 0.5},
		{I24, []byte{1, 0, 0}, 1.0 / (1 << 23)}, {I24, []byte{0xff, 0xff, 0xff}, -1.0 / (1 << 23)}, {I24, []byte{0, 0, 0x80}, -1},
		{I32, []byte{0, 0, 0, 0x40}, 0.5}, {I32, []byte{0, 0, 0, 0x80}, -1},
		{F32, binary.LittleEndian.AppendUint32(nil, math.Float32bits(1.25)), 1.25},
		{F32, binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(math.NaN()))), 0},
		{F64, binary.LittleEndian.AppendUint64(nil, math.Float64bits(-0.75)), -0.75},
		{F64, binary.LittleEndian.AppendUint64(nil, math.Float64bits(1e300)), 256},
	} {
		var got [1]float32
		Float(got[:], c.in, c.l)
		if got[0] != c.want {
			t.Errorf("layout %d of %x: %g, want %g", c.l, c.in, got[0], c.want)
		}
	}
}
