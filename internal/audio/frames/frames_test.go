package frames

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// run makes n frames of 128 kbit/s at 44.1 kHz, each with main data that begins back bytes earlier.
func run(n, back int) []byte {
	var out []byte
	for i := range n {
		f := make([]byte, 417)
		copy(f, "\xff\xfb\x90\x00")
		if i > 1 {
			f[4], f[5] = byte(back>>1), byte(back<<7)
		}
		out = append(out, f...)
	}
	return out
}

func scan(t *testing.T, b []byte) *File {
	t.Helper()
	f, err := Scan(context.Background(), bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestIndexFindsEveryBase(t *testing.T) {
	for _, back := range []int{0, 100, 500} {
		b := run(1000, back)
		f := scan(t, b)
		if f.Frames != 1000 || f.Bytes != int64(len(b)) || len(f.Segments) != 1 {
			t.Fatalf("%+v", f)
		}
		x, err := Parse(f.Index)
		if err != nil {
			t.Fatal(err)
		}
		for frame := range int64(1000) {
			base, off := x.Find(frame)
			if off != base*417 {
				t.Fatalf("frame %d: base %d at %d", frame, base, off)
			}
			// The two frames before, and their reservoirs, must lie behind the base.
			least := max(0, frame-warm)
			if back > 0 && least > 1 {
				least -= int64((back + 380) / 381)
			}
			if base > max(0, least) || frame-base > step+4 {
				t.Fatalf("reservoir %d: frame %d begins at %d, want at most %d", back, frame, base, least)
			}
		}
		if size := len(f.Index); size > 1000/step*4+10 {
			t.Errorf("index of %d bytes", size)
		}
	}
}

func TestIndexThins(t *testing.T) {
	x := newIndexer(0)
	const n = 3 * maxEntries * step
	for i := range int64(n) {
		x.add(i*10, 0, 5)
	}
	if x.step != 4*step || len(x.entries) > maxEntries {
		t.Fatalf("step %d, %d entries", x.step, len(x.entries))
	}
	p, err := Parse(x.bytes())
	if err != nil {
		t.Fatal(err)
	}
	for f := int64(0); f < n; f += 9973 {
		if base, off := p.Find(f); base*10 != off || base > f || f-base > 4*step+warm {
			t.Fatalf("frame %d: base %d at %d", f, base, off)
		}
	}
}

func TestJunkBetweenFrames(t *testing.T) {
	b := append(append(run(10, 0), "some junk \xff\xfb and a false sync \xff\xfb\x90\x00"...), run(10, 0)...)
	f := scan(t, b)
	if f.Frames != 20 || len(f.Segments) != 2 || f.Skipped != int64(len(b)-20*417) {
		t.Errorf("%d frames, %d segments, %d skipped", f.Frames, len(f.Segments), f.Skipped)
	}
	cut := scan(t, b[:len(b)-1])
	if cut.Frames != 19 || cut.Cut != 416 {
		t.Errorf("cut: %d frames, %d bytes cut", cut.Frames, cut.Cut)
	}
}

func TestTooManyGaps(t *testing.T) {
	piece := append(run(4, 0), "gap"...)
	_, err := Scan(context.Background(), bytes.NewReader(bytes.Repeat(piece, maxSegments+2)), int64(len(piece))*(maxSegments+2))
	if !errors.Is(err, ErrRuined) {
		t.Errorf("says %v", err)
	}
}

func TestScanIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := run(10, 0)
	if _, err := Scan(ctx, bytes.NewReader(b), int64(len(b))); !errors.Is(err, context.Canceled) {
		t.Errorf("says %v", err)
	}
}

func FuzzScan(f *testing.F) {
	f.Add(run(5, 10))
	f.Add(append([]byte("ID3\x04\x00\x10\x00\x00\x00\x03abc3DI\x04\x00\x10\x00\x00\x00\x03"), run(4, 0)...))
	f.Add(append(run(4, 0), "000000LYRICS200"...))
	f.Add(append(run(4, 0), "APETAGEX\xd0\x07\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...))
	f.Add(bytes.Repeat(append([]byte("\xff\xfb\x00\x00"), make([]byte, 200)...), 5))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Scan(context.Background(), bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrNone) && !errors.Is(err, ErrRuined) {
				t.Fatal(err)
			}
			return
		}
		var sum, last int64
		for _, g := range s.Segments {
			if g.Off < last || g.Size <= 0 || g.Off+g.Size > int64(len(b)) {
				t.Fatalf("segment %+v of %d bytes", g, len(b))
			}
			last, sum = g.Off+g.Size, sum+g.Size
		}
		if sum != s.Bytes || s.Frames <= 0 {
			t.Fatalf("%d bytes in segments, %d in frames", sum, s.Bytes)
		}
		x, err := Parse(s.Index)
		if err != nil {
			t.Fatalf("the index does not parse: %v", err)
		}
		for frame := range s.Frames {
			base, off := x.Find(frame)
			if base > frame || off >= s.Bytes {
				t.Fatalf("frame %d: base %d at %d", frame, base, off)
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte{16, 0, 0, 0, 200, 50, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := Parse(b)
		if err != nil {
			return
		}
		var last int64
		for frame := int64(0); frame < 1000; frame += 7 {
			base, off := x.Find(frame)
			if base > frame || base < 0 || off < last {
				t.Fatalf("frame %d: base %d at %d", frame, base, off)
			}
			last = off
			if b, at, ok := x.After(frame, off); ok && (b <= frame || at <= off) {
				t.Fatalf("after frame %d at %d comes %d at %d", frame, off, b, at)
			}
		}
	})
}
