package tags

import (
	"testing"
	"unicode/utf8"
)

func FuzzVorbis(f *testing.F) {
	f.Add([]byte("\x04\x00\x00\x00test\x03\x00\x00\x00\x07\x00\x00\x00TITLE=x\x0f\x00\x00\x00TRACKNUMBER=3/9\x1c\x00\x00\x00METADATA_BLOCK_PICTURE=AAAA"))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := Vorbis(b)
		for _, s := range []string{x.Title, x.Artist, x.Album, x.ISRC} {
			if !utf8.ValidString(s) || s != Clean(s) {
				t.Fatalf("%q is not clean", s)
			}
		}
		if x.Number < 0 || x.Number > maxPart || x.Disc < 0 || x.Disc > maxPart || len(x.Cover) > CoverBudget {
			t.Fatalf("%+v", x)
		}
	})
}
