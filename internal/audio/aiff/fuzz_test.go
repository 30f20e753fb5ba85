package aiff

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("../testdata/seed.aiff")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("FORM\x00\x00\x00\x30AIFCCOMM\x00\x00\x00\x18\x00\x01\x00\x00\x00\x02\x00\x10\x40\x0e\xac\x44\x00\x00\x00\x00\x00\x00sowt\x00\x00SSND\x00\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x00abcd"))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := Parse(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		if i.Data.Off+i.Data.Size > int64(len(b)) || i.Frames < 0 {
			t.Fatalf("%+v of %d bytes", i, len(b))
		}
		// What is sealed says the same.
		sealed := append(i.Header(), b[i.Data.Off:i.Data.Off+i.Data.Size]...)
		again, err := Parse(bytes.NewReader(sealed), int64(len(sealed)))
		if err != nil || again.Frames != i.Frames || again.Layout != i.Layout || again.Rate != i.Rate || again.Channels != i.Channels || again.Cut {
			t.Fatalf("%+v became %+v, %v", i, again, err)
		}
	})
}
