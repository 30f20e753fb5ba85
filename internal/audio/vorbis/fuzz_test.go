package vorbis

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

// packets cuts the header packets and some more out of the seed, whose pages hold them in order.
func packets(t testing.TB) (out [][]byte) {
	t.Helper()
	b, err := os.ReadFile("../testdata/seed.ogg")
	if err != nil {
		t.Fatal(err)
	}
	var part []byte
	for len(b) >= 27 {
		n := 27 + int(b[26])
		lacing, body := b[27:n], b[n:]
		for _, l := range lacing {
			part = append(part, body[:l]...)
			body = body[l:]
			if l < 255 {
				out, part = append(out, part), nil
			}
		}
		b = body
	}
	return out
}

func FuzzDecode(f *testing.F) {
	p := packets(f)
	f.Add(p[0], p[2], p[3], p[4])
	f.Fuzz(func(t *testing.T, id, setup, first, second []byte) {
		d, err := Open([][]byte{id, nil, setup})
		if err != nil {
			return
		}
		for _, packet := range [][]byte{first, second, first} {
			out, err := d.Decode(packet)
			if err != nil && len(out) > 0 || len(out) > maxBlock*maxChannels || len(out)%d.Channels() != 0 {
				t.Fatalf("%d samples, %v", len(out), err)
			}
		}
	})
}

func TestHeadersThatWouldCostTooMuch(t *testing.T) {
	p := packets(t)
	if _, err := Open([][]byte{p[0], nil, p[2]}); err != nil {
		t.Fatal(err)
	}
	head := "\x05vorbis\x00BCV"
	for name, s := range map[string]string{
		"no entries":          head + "\x01\x00\x00\x00\x00\x00",
		"16 million":          head + "\x01\x00\xff\xff\xff\x01",
		"no dimensions":       head + "\x00\x00\x08\x00\x00\x00",
		"many dimensions":     head + "\xff\xff\x00\x10\x00\x00",
		"ends while counting": head + "\x01\x00\x00\x10\x00\x01",
	} {
		if _, err := Open([][]byte{p[0], nil, []byte(s)}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// A residue that ends before it begins would have the decoder go through four thousand million values.
func TestResidueThatEndsBeforeItBegins(t *testing.T) {
	p := packets(t)
	setup := bytes.Clone(p[2])
	r := &bits{b: setup[7:]}
	if err := checkBooks(r); err != nil {
		t.Fatal(err)
	}
	for range r.read(6) + 1 {
		r.read(16)
	}
	for range r.read(6) + 1 {
		if r.read(16) != 1 {
			t.Fatal("the seed has another floor")
		}
		r.skipFloor1()
	}
	r.read(6)
	r.read(16)
	for range 24 { // the first one's begin
		setup[7+r.at>>3] |= 1 << (r.at & 7)
		r.at++
	}
	if r.read(24) == 1<<24-1 {
		t.Fatal("no end is before that")
	}
	if _, err := Open([][]byte{p[0], nil, setup}); !errors.Is(err, ErrHeader) {
		t.Error(err)
	}
}
