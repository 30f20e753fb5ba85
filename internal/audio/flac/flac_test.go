package flac

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

// oneFrame is a mono stream of one constant block of 16 samples, 16 bits, 44.1 kHz.
func oneFrame() []byte {
	b := []byte("fLaC\x80\x00\x00\x22\x00\x10\x00\x10\x00\x00\x00\x00\x00\x00\x0a\xc4\x40\xf0\x00\x00\x00\x10")
	b = append(b, make([]byte, 16)...)
	f := []byte{0xff, 0xf8, 0x69, 0x08, 0, 15}
	f = append(f, crc8(f))
	f = append(f, 0, 0x12, 0x34) // constant subframe
	var crc uint16
	for _, v := range f {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^v]
	}
	return append(append(b, f...), byte(crc>>8), byte(crc))
}

func TestOneFrame(t *testing.T) {
	b := oneFrame()
	r := bytes.NewReader(b)
	m, err := ParseMeta(r, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ScanFrames(context.Background(), r, int64(len(b)), m)
	if err != nil {
		t.Fatal(err)
	}
	if s.Samples != 16 || s.End != int64(len(b)) || s.Damaged != 0 || m.Rate != 44100 || m.Bits != 16 {
		t.Fatalf("%+v %+v", s, m)
	}
	d, err := Open(r, int64(len(b)), s.Samples, s.Index)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]float32, 20)
	if n, err := d.Read(dst); n != 16 || err != nil || dst[15] != 0x1234/32768.0 {
		t.Fatalf("%d, %v, %v", n, err, dst)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(oneFrame(), int64(16), []byte{0, 0})
	f.Add(append(oneFrame(), oneFrame()[42:]...), int64(32), []byte{0, 0, 12, 16})
	f.Fuzz(func(t *testing.T, b []byte, samples int64, index []byte) {
		if samples < 0 || samples > 1<<18 {
			return
		}
		r := bytes.NewReader(b)
		if m, err := ParseMeta(r, int64(len(b))); err == nil {
			s, err := ScanFrames(context.Background(), r, int64(len(b)), m)
			if err != nil && !errors.Is(err, ErrFormat) {
				t.Fatalf("scan says %v", err)
			}
			if err == nil && (s.End > int64(len(b)) || s.Samples <= 0) {
				t.Fatalf("%+v of %d bytes", s, len(b))
			}
		}
		d, err := Open(r, int64(len(b)), samples, index)
		if err != nil {
			return
		}
		buf := make([]float32, 512*d.Info().Channels)
		for _, at := range []int64{0, samples / 2} {
			d.SeekFrame(at)
			for total := at; ; {
				n, err := d.Read(buf)
				if total += int64(n); total > samples {
					t.Fatalf("%d of %d samples", total, samples)
				}
				if err != nil {
					if err != io.EOF && !errors.Is(err, ErrDamaged) {
						t.Fatal(err)
					}
					break
				}
			}
		}
	})
}
