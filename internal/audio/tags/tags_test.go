package tags

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"playnode/internal/audio/flac"
	"playnode/internal/audio/wav"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                      "plain",
		"  a \t\n b  ":               "a b",
		"e\u0301":                    "é",
		"Caf\xe9":                    "Café",
		"a\x00b\x1b[31mc\x7f":        "ab[31mc",
		"\u202egnp.exe\u202c":        "gnp.exe",
		"a\u2066b\u2069\u200e\u200f": "ab",
		"\ufeffx":                    "x",
		"a\u2028b":                   "a b",
		"\ufffe\ue000z":              "z",
		"e\u200b\u0301":              "é",
		strings.Repeat("é", 400):     strings.Repeat("é", 256),
		strings.Repeat("x", 1<<20):   strings.Repeat("x", 512),
		"":                           "",
		"\u0000\u0001":               "",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%.40q) = %.40q, want %.40q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("Ti\u0301tle \u202e")
	f.Fuzz(func(t *testing.T, s string) {
		c := Clean(s)
		if len(c) > MaxText || !utf8.ValidString(c) || !norm.NFC.IsNormalString(c) || Clean(c) != c {
			t.Fatalf("Clean(%q) = %q", s, c)
		}
	})
}

// id3 makes an ID3v2.3 tag.
func id3(frames ...string) []byte {
	var body []byte
	for i := 0; i < len(frames); i += 2 {
		body = append(body, frames[i]...)
		body = binary.BigEndian.AppendUint32(body, uint32(len(frames[i+1])))
		body = append(append(body, 0, 0), frames[i+1]...)
	}
	n := len(body)
	return append([]byte{'I', 'D', '3', 3, 0, 0, byte(n >> 21 & 127), byte(n >> 14 & 127), byte(n >> 7 & 127), byte(n & 127)}, body...)
}

func paint(t *testing.T, w, h int, noisy bool) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	if noisy {
		rnd := rand.New(rand.NewPCG(1, 1))
		for i := range img.Pix {
			img.Pix[i] = byte(rnd.Uint32())
		}
	}
	img.Set(0, 0, color.White)
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestMP3(t *testing.T) {
	cover := paint(t, 20, 10, false)
	b := id3("TIT2", "\x00T\xeftle", "TPE1", "\x01\xff\xfeA\x00\xe9\x00", "TALB", "\x03Album", "TRCK", "\x003/12", "TPOS", "\x002/2", "TSRC", "\x00deabc2400001", "TCON", "\x00House", "TCOM", "\x00Bach", "TPE2", "\x00Various", "TYER", "\x001999",
		"COMM", "\x00engiTunSMPB\x00 00000000 00000210 000009D0 0000000000000120", "APIC", "\x00image/png\x00\x03\x00"+string(cover))
	b = append(b, make([]byte, 300)...)
	got, err := MP3(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Title != "Tïtle" || got.Artist != "Aé" || got.Album != "Album" || got.Number != 3 || got.Disc != 2 || got.ISRC != "DEABC2400001" ||
		!strings.Contains(got.Gapless, "9D0") || !bytes.Equal(got.Cover, cover) || got.CoverType != "image/png" ||
		got.Genre != "House" || got.Composer != "Bach" || got.AlbumArtist != "Various" || got.Year != "1999" || len(got.Problems) != 0 {
		t.Errorf("%+v", got)
	}
	v1 := make([]byte, 128)
	copy(v1, "TAG")
	copy(v1[3:], "\xdcber")
	copy(v1[33:], "K\xfcnstler")
	v1[126] = 7
	if got, err = MP3(bytes.NewReader(v1), 128); err != nil || got.Title != "Über" || got.Artist != "Künstler" || got.Number != 7 {
		t.Errorf("ID3v1: %+v %v", got, err)
	}
}

func TestFLACAndWAV(t *testing.T) {
	comment := []byte("\x01\x00\x00\x00x\x02\x00\x00\x00\x09\x00\x00\x00TITLE=Hej\x0d\x00\x00\x00TRACKNUMBER=4")
	b := append([]byte("fLaC\x00\x00\x00\x22"), make([]byte, 34)...)
	copy(b[8:], "\x10\x00\x10\x00\x00\x00\x00\x00\x00\x00\x0a\xc4\x42\xf0")
	b = append(append(b, 0x84, 0, 0, byte(len(comment))), comment...)
	m, err := flac.ParseMeta(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := FLAC(bytes.NewReader(b), m)
	if err != nil || got.Title != "Hej" || got.Number != 4 {
		t.Errorf("FLAC: %+v %v", got, err)
	}
	list := []byte("INFOINAM\x05\x00\x00\x00N\xe4me\x00\x00IART\x02\x00\x00\x00meITRK\x02\x00\x00\x0012IGNR\x04\x00\x00\x00JazzICRD\x0a\x00\x00\x002001-02-03IPRD\xff\xff\xff\x7fcut")
	if got, err = WAV(bytes.NewReader(list), []wav.Chunk{{ID: "LIST", Size: int64(len(list))}}); err != nil || got.Title != "Näme" || got.Artist != "me" || got.Number != 12 || got.Album != "cut" || got.Genre != "Jazz" || got.Year != "2001" {
		t.Errorf("WAV: %+v %v", got, err)
	}
}

func TestVorbis(t *testing.T) {
	b := binary.LittleEndian.AppendUint32(nil, 0)
	fields := []string{"title=Hej", "GENRE=Dub", "AlbumArtist=Various", "COMPOSER=Bach", "date=1977-05", "YEAR=1980", "GENRE=Later"}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(fields)))
	for _, f := range fields {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	if got := Vorbis(b); got.Title != "Hej" || got.Genre != "Dub" || got.AlbumArtist != "Various" || got.Composer != "Bach" || got.Year != "1977" {
		t.Errorf("%+v", got)
	}
	for in, want := range map[string]string{"1999": "1999", "1999-01-02": "1999", "19990102": "1999", "99": "", "": "", "MCMX": "", "19x9": ""} {
		if got := year(in); got != want {
			t.Errorf("the year of %q is %q, want %q", in, got, want)
		}
	}
}

func TestCovers(t *testing.T) {
	var big Tags
	noise := paint(t, 400, 300, true)
	big.cover(noise)
	c, err := jpeg.DecodeConfig(bytes.NewReader(big.Cover))
	if err != nil || len(big.Cover) > CoverBudget || big.CoverType != "image/jpeg" || c.Width*3 > c.Height*4+4 || c.Width*3 < c.Height*4-4 || c.Width < 200 {
		t.Errorf("a large cover became %d bytes, %dx%d, %v", len(big.Cover), c.Width, c.Height, err)
	}
	bomb, wide := paint(t, 1, 1, false), paint(t, 1, 1, false)
	binary.BigEndian.PutUint32(wide[16:], 2049)
	binary.BigEndian.PutUint32(wide[20:], 2049)
	binary.BigEndian.PutUint32(bomb[16:], 60000)
	binary.BigEndian.PutUint32(bomb[20:], 60000)
	for name, b := range map[string][]byte{
		"svg": []byte("<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>"), "html": []byte("<script>"), "bomb": bomb, "riff": []byte("RIFFxxxxWEBPVP8 "),
		"cut": noise[:300<<10], "4 MP": wide,
	} {
		var tags Tags
		if tags.cover(b); tags.Cover != nil || len(tags.Problems) != 1 {
			t.Errorf("%s: %d bytes kept, %q", name, len(tags.Cover), tags.Problems)
		}
	}
}

func FuzzTags(f *testing.F) {
	f.Add(id3("TIT2", "\x00T\xeftle", "COMM", "\x00engiTunSMPB\x00 0", "APIC", "\x00image/png\x00\x03\x00\x89PNG"))
	f.Add([]byte("ID3\x04\x00\xc0\x00\x00\x00\x20\x00\x00\x00\x06\x01\x00TIT2\x00\x00\x00\x02\x00\x03\x00ab"))
	f.Add([]byte("ID3\x02\x00\x00\x00\x00\x00\x10TT2\x00\x00\x04\x00abcPIC\x00\x00\x05\x00PNG\x03"))
	f.Add([]byte("INFOINAM\x05\x00\x00\x00N\xe4me\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n := bytes.NewReader(b), int64(len(b))
		a, err := MP3(r, n)
		if err != nil {
			t.Fatal(err)
		}
		w, err := WAV(r, []wav.Chunk{{ID: "id3 ", Size: n}, {ID: "LIST", Size: n}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := FLAC(r, flac.Meta{Audio: n})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []Tags{a, w, l} {
			for _, s := range []string{x.Title, x.Artist, x.Album, x.ISRC} {
				if Clean(s) != s {
					t.Fatalf("%q is not clean", s)
				}
			}
			if len(x.Cover) > CoverBudget || x.Number < 0 || x.Disc < 0 {
				t.Fatalf("%+v", x)
			}
		}
	})
}

func TestPictureIsMadeAnew(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	img := image.NewRGBA(image.Rect(0, 0, 1500, 700))
	for i := range img.Pix {
		img.Pix[i] = byte(rnd.Uint32())
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	// With a camera's segment behind the first marker, and a comment at the end.
	exif := append([]byte("\xff\xe1\x00\x1bExif\x00\x00"), "GPS 48.2 16.4 Anna"...)
	exif[3] = byte(len(exif) - 2)
	photo := append(append(append([]byte{}, b.Bytes()[:2]...), exif...), b.Bytes()[2:]...)
	photo = append(photo, "<script>"...)
	got, err := Picture(photo, 512, 64<<10)
	if err != nil || len(got) > 64<<10 || bytes.Contains(got, []byte("Anna")) || bytes.Contains(got, []byte("script")) {
		t.Fatalf("%d bytes: %v", len(got), err)
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(got))
	if err != nil || c.Width > 512 || c.Width < 100 || c.Height != c.Width*700/1500 {
		t.Errorf("%dx%d, %v", c.Width, c.Height, err)
	}
	var wide bytes.Buffer
	if err := png.Encode(&wide, image.NewGray(image.Rect(0, 0, 4<<20, 1))); err != nil {
		t.Fatal(err)
	}
	if _, err := Picture(wide.Bytes(), 512, 64<<10); err != nil {
		t.Errorf("4 million pixels: %v", err)
	}
	var over bytes.Buffer
	if err := png.Encode(&over, image.NewGray(image.Rect(0, 0, 4<<10, 1<<10+1))); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"more pixels": over.Bytes(), "cut": photo[:2000], "an SVG": []byte("<svg/>"), "nothing": nil, "too long": make([]byte, maxCover+1),
	} {
		if _, err := Picture(bad, 512, 64<<10); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
