package manifests

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// fuzzRecord wants of a record that whatever decodes encodes to the same
// bytes, and that nothing makes it panic.
func fuzzRecord(f *testing.F, name string, alike ...string) {
	k := kinds()
	for _, seed := range append(alike, name) {
		data, err := encode(k[seed][0], MaxBlock)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := reflect.New(reflect.TypeOf(k[name][1]).Elem()).Interface().(record)
		if decode(data, MaxBlock, r) != nil {
			return
		}
		if again, err := encode(r, MaxBlock); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x decodes and encodes to %x (%v)", data, again, err)
		}
	})
}

func FuzzRoot(f *testing.F)      { fuzzRecord(f, "root2") }
func FuzzHead(f *testing.F)      { fuzzRecord(f, "head") }
func FuzzManifest(f *testing.F)  { fuzzRecord(f, "manifest") }
func FuzzGrant(f *testing.F)     { fuzzRecord(f, "grant") }
func FuzzDevice(f *testing.F)    { fuzzRecord(f, "device") }
func FuzzEnvelope(f *testing.F)  { fuzzRecord(f, "envelope") }
func FuzzSpine(f *testing.F)     { fuzzRecord(f, "spine") }
func FuzzRow(f *testing.F)       { fuzzRecord(f, "row") }
func FuzzShard(f *testing.F)     { fuzzRecord(f, "shard") }
func FuzzMeta(f *testing.F)      { fuzzRecord(f, "meta", "mix", "cue") }
func FuzzInfo(f *testing.F)      { fuzzRecord(f, "info", "recorded") }
func FuzzDelivery(f *testing.F)  { fuzzRecord(f, "delivery") }
func FuzzGrantFile(f *testing.F) { fuzzRecord(f, "grantfile") }
func FuzzBoxShard(f *testing.F)  { fuzzRecord(f, "boxes") }
func FuzzOffer(f *testing.F)     { fuzzRecord(f, "offer") }
func FuzzRequest(f *testing.F)   { fuzzRecord(f, "request") }

func FuzzRequestFile(f *testing.F) { fuzzRecord(f, "requestfile") }
func FuzzCard(f *testing.F)        { fuzzRecord(f, "card", "opencard") }
func FuzzLive(f *testing.F)        { fuzzRecord(f, "live") }
func FuzzLiveHead(f *testing.F)    { fuzzRecord(f, "livehead") }
func FuzzSegment(f *testing.F)     { fuzzRecord(f, "segment") }
func FuzzExcerpt(f *testing.F)     { fuzzRecord(f, "excerpt") }

// FuzzText wants of the text forms that what parses prints as it came.
func FuzzText(f *testing.F) {
	name := NewName(pub(testKey(1)))
	dj := DJ{1}
	f.Add(string(name))
	f.Add(dj.String())
	f.Add(Link{DJ: &dj, Name: name, Label: "a b", Addrs: []string{"/ip4/1.2.3.4/tcp/5"}}.String())
	f.Add(BlobLink{BlobDevice, testLink(codecRaw, 1), []string{"/ip4/1.2.3.4/tcp/5", "/dns4/example.org/tcp/6"}}.String())
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range []BlobKind{BlobDevice, BlobLease} {
			if l, err := ParseBlobLink(s, k); err == nil && l.String() != strings.TrimSpace(s) {
				t.Errorf("link %q prints as %q", s, l)
			}
		}
		if d, err := ParseDJ(s); err == nil && d.String() != s {
			t.Errorf("DJ %q prints as %q", s, d)
		}
		if n, err := ParseName(s); err == nil && string(n) != strings.TrimPrefix(s, "/ipns/") {
			t.Errorf("name %q prints as %q", s, n)
		}
		if l, err := ParseLink(s); err == nil {
			if again, err := ParseLink(l.String()); err != nil || again.String() != l.String() {
				t.Errorf("link %q prints as %q, which is another (%v)", s, l, err)
			}
		}
	})
}

// FuzzClean wants what Clean leaves to be as it leaves it: whoever publishes
// cleans once, and whoever reads compares.
func FuzzClean(f *testing.F) {
	f.Add("Cafe\u0301 \u202eabc", 8)
	f.Fuzz(func(t *testing.T, s string, max int) {
		max = max & 0x3ff
		c := Clean(s, max)
		if len(c) > max || Clean(c, max) != c || Clean(c, 1<<20) != c {
			t.Errorf("Clean(%q, %d) = %q, then %q", s, max, c, Clean(c, max))
		}
	})
}

// Every fuzzer has a corpus in the repository, and none is empty.
func TestCorporaAreThere(t *testing.T) {
	src, err := os.ReadFile("fuzz_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names := 0
	for line := range strings.Lines(string(src)) {
		if name, ok := strings.CutPrefix(line, "func Fuzz"); ok {
			names++
			name, _, _ = strings.Cut(name, "(")
			files, err := filepath.Glob(filepath.Join("testdata", "fuzz", "Fuzz"+name, "*"))
			if err != nil || len(files) == 0 {
				t.Errorf("no corpus for Fuzz%s", name)
			}
		}
	}
	if names < 15 {
		t.Errorf("found only %d fuzzers", names)
	}
}
