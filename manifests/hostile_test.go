package manifests

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// item is one value of a record's bytes: where it lies, what it is, and, of
// a list or map, where its elements lie.
type item struct {
	at, body, end int
	major         byte
	n             uint64
	of            []item
}

// parse takes canonical CBOR apart.
func parse(b []byte, at int) item {
	x := item{at: at, major: b[at] >> 5, n: uint64(b[at] & 31), body: at + 1}
	if x.n >= 24 && x.major != 7 {
		w := 1 << (x.n - 24)
		var be [8]byte
		copy(be[8-w:], b[x.body:x.body+w])
		x.n, x.body = binary.BigEndian.Uint64(be[:]), x.body+w
	}
	x.end = x.body
	count := uint64(0)
	switch x.major {
	case 2, 3:
		x.end += int(x.n)
	case 4:
		count = x.n
	case 5:
		count = 2 * x.n
	case 6:
		count = 1
	}
	for range count {
		e := parse(b, x.end)
		x.of, x.end = append(x.of, e), e.end
	}
	return x
}

func (x item) walk(f func(item)) {
	f(x)
	for _, e := range x.of {
		e.walk(f)
	}
}

// mutants are all ways to spoil a record that keep it well-formed CBOR, or
// claim to.
func mutants(data []byte, f func(what string, at int, bad []byte)) {
	put := func(x item, b ...[]byte) []byte {
		return bytes.Join(append(append([][]byte{data[:x.at]}, b...), data[x.end:]), nil)
	}
	root := parse(data, 0)
	root.walk(func(x item) {
		whole := data[x.at:x.end]
		f("float16", x.at, put(x, []byte{0xf9, 0x3c, 0}))
		f("float64", x.at, put(x, []byte{0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0}))
		f("undefined", x.at, put(x, []byte{0xf7}))
		f("tag 1", x.at, put(x, []byte{0xc1}, whole))
		f("tag 42 around it", x.at, put(x, []byte{0xd8, 42}, whole))
		f("negative", x.at, put(x, []byte{0x20}))
		f("2^53", x.at, put(x, []byte{0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0}))
		if x.major < 6 {
			if x.n < 24 {
				f("longer head", x.at, put(x, []byte{x.major<<5 | 24, byte(x.n)}, data[x.body:x.end]))
			}
			f("longest head", x.at, put(x, binary.BigEndian.AppendUint64([]byte{x.major<<5 | 27}, x.n), data[x.body:x.end]))
		}
		switch x.major {
		case 2, 3:
			f("in chunks", x.at, put(x, []byte{x.major<<5 | 31}, whole, []byte{0xff}))
			f("a claim of 2^40 bytes", x.at, append(bytes.Clone(data[:x.at]), x.major<<5|27, 0, 0, 1, 0, 0, 0, 0, 0))
			if x.major == 3 {
				for _, rubbish := range []string{"\xff\xfe", "\xc0\x80", "e\u0301", "\xed\xa0\x80"} {
					text := append(bytes.Clone(data[x.body:x.end]), rubbish...)
					f(fmt.Sprintf("text with %q", rubbish), x.at, put(x, appendHead(nil, 3, uint64(len(text))), text))
				}
			}
		case 4, 5:
			f("indefinite", x.at, put(x, []byte{x.major<<5 | 31}, data[x.body:x.end], []byte{0xff}))
			f("a claim of 2^40 elements", x.at, append(bytes.Clone(data[:x.at]), x.major<<5|27, 0, 0, 1, 0, 0, 0, 0, 0))
			f("one element less than claimed", x.at, put(x, appendHead(nil, x.major, x.n+1), data[x.body:x.end]))
		}
		if x.major == 4 && len(x.of) > 0 {
			last := data[x.of[len(x.of)-1].at:x.of[len(x.of)-1].end]
			n := (MaxBlock/len(last) + 1) + len(x.of)
			f("oversized list", x.at, put(x, appendHead(nil, 4, uint64(n)), data[x.body:x.end], bytes.Repeat(last, n-len(x.of))))
			if n := 70_000; len(last)*n < MaxBlock-len(data) {
				f("list of 70,000", x.at, put(x, appendHead(nil, 4, uint64(n)), data[x.body:x.end], bytes.Repeat(last, n-len(x.of))))
			}
		}
		if x.major == 5 {
			f("extra field", x.at, put(x, appendHead(nil, 5, x.n+1), data[x.body:x.end], []byte("\x78\x1ezzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\x01")))
			for i := 0; i+3 < len(x.of); i += 2 {
				a, b := data[x.of[i].at:x.of[i+1].end], data[x.of[i+2].at:x.of[i+3].end]
				f("swapped map entries", x.of[i].at, bytes.Join([][]byte{data[:x.of[i].at], b, a, data[x.of[i+3].end:]}, nil))
				f("a field twice", x.of[i].at, put(x, appendHead(nil, 5, x.n+1), data[x.body:x.of[i+1].end], a, data[x.of[i+2].at:x.end]))
			}
			for i := 0; i+1 < len(x.of); i += 2 {
				f("a field less", x.of[i].at, put(x, appendHead(nil, 5, x.n-1), data[x.body:x.of[i].at], data[x.of[i+1].end:x.end]))
			}
		}
	})
}

// Every record type, taken apart value by value: no other encoding of it, and
// nothing that its rules have no room for, is read.
func TestHostileRecords(t *testing.T) {
	tried := 0
	check := func(name string, data []byte, into func() record) {
		t.Helper()
		if len(data) == 0 || decode(data, MaxBlock, into()) != nil {
			t.Fatalf("%s does not decode", name)
		}
		seen := map[string]int{}
		mutants(data, func(what string, at int, bad []byte) {
			if bytes.Equal(bad, data) {
				return
			}
			// Of many alike (64 mailboxes, 46 locks) the first ones do.
			if seen[what]++; seen[what] > 60 {
				return
			}
			tried++
			if err := decode(bad, MaxBlock, into()); err == nil {
				t.Errorf("%s: %s at byte %d is read", name, what, at)
			}
		})
	}
	for name, k := range kinds() {
		data, err := encode(k[0], MaxBlock)
		if err != nil {
			t.Fatal(err)
		}
		check(name, data, func() record { return reflect.New(reflect.TypeOf(k[1]).Elem()).Interface().(record) })
	}
	for file, into := range map[string]func() record{
		"root": func() record { return new(Root) }, "root2": func() record { return new(Root) }, "head": func() record { return new(Head) },
		"manifest": func() record { return new(Manifest) }, "grant": func() record { return new(Grant) }, "device": func() record { return new(Device) },
		"offer": func() record { return new(Offer) }, "request": func() record { return new(Request) }, "delivery": func() record { return new(Delivery) },
		"grantfile": func() record { return new(GrantFile) }, "requestfile": func() record { return new(RequestFile) }, "boxes": func() record { return new(BoxShard) },
		"mailboxes": func() record { return new(BoxShard) }, "mailed": func() record { return new(Delivery) },
		"spine": func() record { return new(spine) }, "row": func() record { return new(row) }, "shard": func() record { return new(shard) },
		"meta": func() record { return new(Meta) }, "mix": func() record { return new(Meta) }, "cue": func() record { return new(Meta) }, "track.info": func() record { return new(Info) }, "recorded.info": func() record { return new(Info) },
		"live": func() record { return new(Live) }, "livehead": func() record { return new(LiveHead) }, "segment": func() record { return new(Segment) }, "manifest.env": func() record { return new(Envelope) },
	} {
		data, err := os.ReadFile(filepath.Join("../testdata/vectors", file+".cbor"))
		if err != nil {
			t.Fatal(err)
		}
		check("vector "+file, data, into)
	}
	if tried < 5000 {
		t.Errorf("only %d mutants", tried)
	}
	t.Logf("%d mutants", tried)
}
