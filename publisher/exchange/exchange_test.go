package exchange

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// The documents are as the formats' pages, players and other programs have them.
func TestReadsWhatOthersWrite(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want File
	}{
		"XSPF, the specification's shortest": {
			`<?xml version="1.0" encoding="UTF-8"?>
<playlist version="1" xmlns="http://xspf.org/ns/0/">
  <trackList>
    <track><location>http://example.com/song_1.ogg</location></track>
    <track><location>http://example.com/song_2.flac</location></track>
  </trackList>
</playlist>`,
			File{Entries: []Entry{{Locations: []string{"http://example.com/song_1.ogg"}}, {Locations: []string{"http://example.com/song_2.flac"}}}},
		},
		"XSPF with all that there is": {
			`<?xml version="1.0"?>
<!-- a comment -->
<playlist version="1" xmlns="http://xspf.org/ns/0/" xmlns:x="http://example.org/x">
  <title> My &amp; playlist </title><creator>Jane Doe</creator><annotation>songs</annotation>
  <info>http://example.com/</info><location>http://example.com/list</location><image>http://example.com/img</image>
  <date>2005-01-08T17:10:47-05:00</date><license>http://example.com/licence</license>
  <attribution><location>http://example.com/old</location><title>not its title</title></attribution>
  <link rel="http://foaf.org/namespace/version1">http://example.org/foaf.rdf</link><meta rel="http://example.org/k">v</meta>
  <extension application="http://example.com"><x:clip start="1"><title>no</title><x:trackList/></x:clip></extension>
  <trackList>
    <track>
      <location>file:///mp3s/a%20b.mp3</location><location>http://example.com/a.ogg</location>
      <identifier>magnet:?xt=urn:sha1:YNCKHTQCWBTRNJIV4WNAE52SJUQCZO5C</identifier>
      <title>My
        Way</title><creator>Frank Sinatra</creator><annotation>his</annotation><info>http://example.com/</info>
      <image>http://example.com/i</image><album>Frank&#8217;s Hits</album><trackNum>3</trackNum><duration>19200</duration>
      <extension application="http://example.com"><x:title>no</x:title><title>no</title></extension>
    </track>
    <track/>
  </trackList>
</playlist>`,
			File{"My & playlist", []Entry{{
				IDs: []string{"magnet:?xt=urn:sha1:YNCKHTQCWBTRNJIV4WNAE52SJUQCZO5C"}, Locations: []string{"file:///mp3s/a%20b.mp3", "http://example.com/a.ogg"},
				Title: "My Way", Artist: "Frank Sinatra", Album: "Frank’s Hits", Ms: 19200,
			}, {}}},
		},
		"JSPF": {
			`{"playlist":{"title":"JSPF example","creator":"Artist name","location":"http://example.com/","attribution":[{"identifier":"http://example.com/"}],
"link":[{"http://example.com/rel/1/":"http://example.com/body/1/"}],"extension":{"http://example.com/app/1/":[1,{"track":2}]},
"track":[{"location":["http://example.com/1.ogg","http://example.com/2.mp3"],"identifier":["http://example.com/1/"],"title":"Track title",
"creator":"Artist name","album":"Album name","trackNum":"1","duration":"1500","meta":[{"http://example.com/rel/1/":"my meta 14"}]},
{"location":"http://example.com/3.ogg","duration":2500}]}}`,
			File{"JSPF example", []Entry{
				{IDs: []string{"http://example.com/1/"}, Locations: []string{"http://example.com/1.ogg", "http://example.com/2.mp3"}, Title: "Track title", Artist: "Artist name", Album: "Album name", Ms: 1500},
				{Locations: []string{"http://example.com/3.ogg"}, Ms: 2500},
			}},
		},
		"M3U8 with directives": {
			"\xef\xbb\xbf#EXTM3U\r\n#PLAYLIST:Tonight\r\n#EXTINF:123,Sample Artist - Sample - title\r\nC:\\Music\\sample.mp3\r\n\r\n#EXTALB:An album\r\n#EXTART:Other, Artist\r\n#EXTINF:321.5 logo=\"a,b\",Title\r\n../x/Ä.ogg\r\n#EXTVLCOPT:network-caching=1000\r\nhttp://example.com/s.mp3",
			File{"Tonight", []Entry{
				{Locations: []string{`C:\Music\sample.mp3`}, Artist: "Sample Artist", Title: "Sample - title", Ms: 123_000},
				{Locations: []string{"../x/Ä.ogg"}, Artist: "Other, Artist", Title: "Title", Album: "An album", Ms: 321_500},
				{Locations: []string{"http://example.com/s.mp3"}},
			}},
		},
		"M3U, plain, in Latin-1": {"# by hand\nM\xfcsik/a.mp3\rb.mp3\n", File{"", []Entry{{Locations: []string{"Müsik/a.mp3"}}, {Locations: []string{"b.mp3"}}}}},
		"nothing":                {"", File{}},
	} {
		if got, err := Read(strings.NewReader(c.text)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// What is written is read back, whatever is in it.
func TestRoundTrips(t *testing.T) {
	f := File{"Ann <b>&\"' ]]>", []Entry{
		{IDs: []string{"ipfs://bafy1"}, Title: "a < b & c", Artist: "Nobody – \"One\"", Album: "]]></title>", Ms: 61_000},
		{IDs: []string{"ipfs://bafy2"}, Locations: []string{"/music/#1 100%/ü?.mp3"}, Title: "Other", Ms: 1000},
		{IDs: []string{"ipfs://bafy3"}, Title: "line\nbreak\u2028 and\ttab"},
	}}
	for _, as := range []Format{M3U8, XSPF, JSPF} {
		var b bytes.Buffer
		if err := Write(&b, f, as); err != nil {
			t.Fatal(as, err)
		}
		got, err := Read(bytes.NewReader(b.Bytes()))
		if err != nil || got.Title != f.Title || len(got.Entries) != len(f.Entries) {
			t.Fatalf("%s: %+v, %v", as, got, err)
		}
		for i, e := range got.Entries {
			was := f.Entries[i]
			if e.Name() != tidy(was.Name()) || e.Album != was.Album || e.Ms != was.Ms {
				t.Errorf("%s: %+v of %+v", as, e, was)
			}
			if at := slices.Concat(e.IDs, e.Locations); !slices.Contains(at, was.IDs[0]) && len(was.Locations) == 0 {
				t.Errorf("%s: %v of %v", as, at, was.IDs)
			}
			if len(was.Locations) > 0 && runtime.GOOS != "windows" && !slices.Contains(Paths(e.Locations[0], "/"), was.Locations[0]) {
				t.Errorf("%s: at %v, and was at %v", as, e.Locations, was.Locations)
			}
		}
		b.Reset()
		if err := Write(&b, File{Title: "empty"}, as); err != nil {
			t.Error(as, err)
		}
		if got, err := Read(&b); err != nil || got.Title != "empty" || len(got.Entries) != 0 {
			t.Errorf("%s, empty: %+v, %v", as, got, err)
		}
	}
	if err := Write(&bytes.Buffer{}, f, "pls"); err == nil {
		t.Error("a format of which nothing is known was written")
	}
	if err := Write(&bytes.Buffer{}, File{Entries: []Entry{{Locations: []string{"a\n#EXTM3U"}}}}, M3U8); err == nil {
		t.Error("a location of two lines was written")
	}
}

// What is hostile is refused within bounds, or comes to nothing.
func TestHostileFiles(t *testing.T) {
	list := func(inside string) string {
		return `<playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList>` + inside + `</trackList></playlist>`
	}
	for name, text := range map[string]string{
		"a document type":             `<!DOCTYPE playlist [<!ENTITY a "b">]>` + list(""),
		"entities of its own":         list(`<track><title>&a;</title></track>`),
		"an external entity":          `<!DOCTYPE p SYSTEM "file:///etc/passwd">` + list(""),
		"another encoding":            `<?xml version="1.0" encoding="UTF-16"?>` + list(""),
		"another root":                `<html><trackList/></html>`,
		"of another space":            `<playlist xmlns="http://example.com"><trackList/></playlist>`,
		"no list":                     `<playlist version="1" xmlns="http://xspf.org/ns/0/"></playlist>`,
		"cut off":                     list("")[:80],
		"deep":                        list(strings.Repeat("<a>", 1000) + strings.Repeat("</a>", 1000)),
		"many":                        list(strings.Repeat("<track/>", MaxEntries+1)),
		"JSON of something else":      `{"playlist":{"title":"x"}}`,
		"JSON that is a list":         `{"playlist":[]}`,
		"JSON that is cut off":        `{"playlist":{"track":[`,
		"deep JSON":                   `{"playlist":{"track":[{"extension":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}]}}`,
		"many in JSON":                `{"playlist":{"track":[{}` + strings.Repeat(",{}", MaxEntries) + `]}}`,
		"many lines":                  strings.Repeat("a\n", MaxEntries+1),
		"bytes":                       "RIFF\x00\x00",
		"more than there is room for": strings.Repeat("#", MaxSize+1),
	} {
		if f, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %d tracks were read", name, len(f.Entries))
		}
	}
	for at, want := range map[string]int{
		"http://example.com/a.mp3": 0, "ipfs://bafy": 0, "file://host/share/a.mp3": 0, "//host/share/a.mp3": 0, `\\host\share\a.mp3`: map[bool]int{true: 0, false: 1}[runtime.GOOS == "windows"],
		"": 0, "file:": 0, "%00": 1, "a.mp3": 1, "a%20b.mp3": 2, "/a.mp3": 1, "../a.mp3": 1, "file:///a%20b.mp3": 1, "file://localhost/a.mp3": 1, "file:////host/share": 0,
	} {
		if got := Paths(at, filepath.FromSlash("/lists")); len(got) != want && runtime.GOOS != "windows" {
			t.Errorf("%q may be at %q", at, got)
		}
	}
	if got := Paths("../b/a%20b.mp3", filepath.FromSlash("/lists/x")); fmt.Sprint(got) != "[/lists/b/a%20b.mp3 /lists/b/a b.mp3]" && runtime.GOOS != "windows" {
		t.Errorf("%q", got)
	}
}

// Whatever is read can be written, and that is read as the same.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		"#EXTM3U\n#EXTINF:1,a - b\nc\n", `{"playlist":{"track":[{"title":"a","duration":"7"}]}}`,
		`<playlist xmlns="http://xspf.org/ns/0/"><title>a</title><trackList><track><title>&lt;</title></track></trackList></playlist>`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, as := range []Format{XSPF, JSPF} {
			var b bytes.Buffer
			if err := Write(&b, in, as); err != nil {
				t.Fatal(as, err)
			}
			out, err := Read(&b)
			if err != nil || len(out.Entries) != len(in.Entries) {
				t.Fatalf("%s: %d of %d tracks, %v", as, len(out.Entries), len(in.Entries), err)
			}
		}
	})
}
