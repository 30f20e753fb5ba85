package mp4

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("../testdata/seed.m4a")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(bytes.Repeat([]byte("\x00\x00\x40\x00moov"), 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := Parse(bytes.NewReader(b), int64(len(b)))
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(err)
		}
		for _, c := range i.Items {
			if c.Off < 0 || c.Size < 0 || c.Off+c.Size > int64(len(b)) {
				t.Fatalf("%+v of %d bytes", c, len(b))
			}
		}
	})
}
