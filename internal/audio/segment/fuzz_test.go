package segment_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/iotest"
	"time"

	"playnode/internal/audio/segment"
)

// FuzzSegmenter cuts any bytes. Whatever they are, segments are within their bounds and follow one another
// in time, nothing comes out that did not come in, and how they were read changes nothing.
func FuzzSegmenter(f *testing.F) {
	seeds, err := filepath.Glob("testdata/seed.*")
	if err != nil || len(seeds) < 6 {
		f.Fatal(seeds, err)
	}
	more, err := filepath.Glob("../testdata/seed.*")
	if err != nil || len(more) < 6 {
		f.Fatal(more, err)
	}
	for _, name := range append(seeds, more...) {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, uint8(0))
		f.Add(append(append(b[:len(b)-7:len(b)-7], b[:len(b)/2]...), b...), uint8(9))
	}
	f.Fuzz(func(t *testing.T, b []byte, small uint8) {
		c := segment.Config{Target: time.Duration(small) * 10 * time.Millisecond, MaxMedia: int(small) << 10}
		all, err := cutAll(bytes.NewReader(b), c)
		again, err2 := cutAll(iotest.OneByteReader(bytes.NewReader(b)), c)
		if !reflect.DeepEqual(all, again) || err.Error() != err2.Error() {
			t.Fatalf("%d segments and %v, a byte at a time %d and %v", len(all), err, len(again), err2)
		}
		if err != io.EOF && !errors.Is(err, segment.ErrUnknown) && !errors.Is(err, segment.ErrDamaged) && !errors.Is(err, segment.ErrTooLong) {
			t.Fatal(err)
		}
		end, media := time.Duration(0), 0
		for i, s := range all {
			media += len(s.Media)
			if len(s.Media) > segment.MaxMedia || c.MaxMedia > 0 && len(s.Media) > c.MaxMedia || len(s.Init) > segment.MaxInit || !s.Begins && s.Init != nil {
				t.Fatalf("segment %d: init of %d bytes, media of %d", i, len(s.Init), len(s.Media))
			}
			if s.At < 0 || s.Length < 0 || s.Lead < 0 || s.Lead > s.Length || s.Rate < 1 || s.Start() < end-2*time.Microsecond || s.Begins != (i == 0) && i == 0 {
				t.Fatalf("segment %d: at %d, %d long, lead %d, rate %d, after %v", i, s.At, s.Length, s.Lead, s.Rate, end)
			}
			end = s.Start() + s.Duration()
		}
		if media > 3*len(b) {
			t.Fatalf("%d bytes of media come out of %d", media, len(b))
		}
	})
}
