package ogg_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"playnode/internal/audio/ogg"
	"playnode/internal/audio/opus"
	"playnode/internal/audio/vorbis"
)

func kinds() []ogg.Kind { return []ogg.Kind{vorbis.Kind(), opus.Kind()} }

// anew renews the checksums of what look like pages, so that fuzzing comes to what is behind them.
func anew(b []byte) []byte {
	b = bytes.Clone(b)
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte("OggS"))
		if i < 0 {
			return b
		}
		at += i
		if p := b[at:]; len(p) >= 27 && len(p) >= 27+int(p[26]) {
			size := 27 + int(p[26])
			for _, l := range p[27:size] {
				size += int(l)
			}
			if size <= len(p) {
				ogg.Renew(p[:size])
				at += size - 4
			}
		}
		at += 4
	}
}

func FuzzStream(f *testing.F) {
	for _, name := range []string{"seed.ogg", "seed.opus"} {
		b, err := os.ReadFile("../testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte{0}, int64(2000), 312, true)
		f.Add(b, []byte{0, 0, 200, 1, 0}, int64(2000), 0, false)
	}
	f.Fuzz(func(t *testing.T, b, index []byte, samples int64, delay int, renew bool) {
		if samples < 0 || samples > 1<<18 || len(b) > 1<<18 {
			return
		}
		if renew {
			b = anew(b)
		}
		r, size := bytes.NewReader(b), int64(len(b))
		bad := func(err error) bool {
			for _, e := range []error{ogg.ErrFormat, ogg.ErrDamaged, vorbis.ErrHeader, opus.ErrHeader, io.EOF} {
				if errors.Is(err, e) {
					return true
				}
			}
			return false
		}
		k, s, err := ogg.ScanPages(context.Background(), r, 0, size, kinds())
		if err != nil && !bad(err) {
			t.Fatalf("scan says %v", err)
		}
		try := func(r io.ReaderAt, size, samples int64, delay int, index []byte, k ogg.Kind) {
			d, err := ogg.Open(r, size, samples, delay, index, k)
			if err != nil {
				if !bad(err) {
					t.Fatalf("open says %v", err)
				}
				return
			}
			buf := make([]float32, 512*d.Codec().Channels())
			for _, at := range []int64{0, samples / 2} {
				d.SeekFrame(at)
				for total := at; ; {
					n, err := d.Read(buf)
					if total += int64(n); total > samples {
						t.Fatalf("%d of %d samples", total, samples)
					}
					for _, v := range buf[:n*d.Codec().Channels()] {
						if v != v || v > 256 || v < -256 {
							t.Fatal("a sample is no number")
						}
					}
					if err != nil {
						if !bad(err) {
							t.Fatalf("read says %v", err)
						}
						break
					}
				}
			}
		}
		if err == nil && s.Samples <= 1<<18 {
			sealed := append(bytes.Clone(s.Header), b[s.Audio:s.End]...)
			try(bytes.NewReader(sealed), int64(len(sealed)), s.Samples, s.Delay, s.Index, k)
		}
		if delay >= 0 && delay < 1<<20 {
			for _, k := range kinds() {
				try(r, size, samples, delay, index, k)
			}
		}
	})
}
