package follow_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/ipfs/go-cid"
	carv2 "github.com/ipld/go-car/v2"

	"playnode/follow"
	"playnode/ipns"
	"playnode/node"
	"playnode/node/memory"
)

// carry exports name from b.
func carry(t *testing.T, b *box, name ipns.Name) ([]byte, follow.Carried) {
	t.Helper()
	var file bytes.Buffer
	c, err := b.follow.Export(t.Context(), name, &file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), c
}

// alone is a box in a world of its own.
func alone(t *testing.T) *box { return newBox(t, memory.NewWorld(), "alone") }

// TestByUSBStick carries a catalogue to a box that no peer reaches, and on
// from there; from the DJ's own box too, who follows nobody.
func TestByUSBStick(t *testing.T) {
	_, d, venue := stage(t)
	a, b := d.track(900, 100), d.track(400, 100)
	first := d.publish(1, a)
	name := mustFollow(t, venue, string(d.name))
	mustSync(t, venue, name)
	file, wrote := carry(t, venue, name)
	if own, _ := carry(t, d.box, name); !bytes.Equal(own, file) {
		t.Fatal("the DJ's file and the venue's differ")
	}
	far := alone(t)
	got, c, err := far.follow.Import(t.Context(), bytes.NewReader(file), nil)
	if err != nil || c.Envelope != first || got.Blocks != wrote.Blocks || got.Bytes != wrote.Bytes || got.Fresh != wrote.Blocks-1 {
		t.Fatalf("import %+v, %v, want %+v", got, err, wrote)
	}
	if s := far.follow.Follows()[0]; !s.Whole || s.Progress.Held != 1 || s.DJ != d.id.String() {
		t.Fatalf("status %+v", s)
	}
	if pins := roots(t, far); len(pins) != 1 || pins[0] != first {
		t.Fatalf("pins %v", pins)
	}
	if again, _, err := far.follow.Import(t.Context(), bytes.NewReader(file), nil); err != nil || again.Fresh != 0 {
		t.Fatalf("again: %+v, %v", again, err)
	}
	if onward, _ := carry(t, far, name); !bytes.Equal(onward, file) {
		t.Fatal("carried on, the file differs")
	}
	// The next file brings what is new; the old one is then refused.
	second := d.publish(2, a, b)
	mustSync(t, venue, name)
	next, _ := carry(t, venue, name)
	if got, c, err := far.follow.Import(t.Context(), bytes.NewReader(next), nil); err != nil || c.Envelope != second || got.Fresh >= got.Blocks-5 {
		t.Fatalf("next: %+v, %v", got, err)
	}
	if _, _, err := far.follow.Import(t.Context(), bytes.NewReader(file), nil); !errors.Is(err, follow.ErrVerify) || !errors.Is(err, ipns.ErrRollback) {
		t.Fatalf("an older file: %v", err)
	}
}

// TestStockReaderOfOurCAR has go-car read every block.
func TestStockReaderOfOurCAR(t *testing.T) {
	_, d, _ := stage(t)
	envelope := d.publish(1, d.track(900, 100))
	file, wrote := carry(t, d.box, d.name)
	r, err := carv2.NewBlockReader(bytes.NewReader(file), carv2.WithTrustedCAR(false))
	if err != nil || r.Version != 1 || len(r.Roots) != 2 || r.Roots[0] != envelope {
		t.Fatalf("reader %+v, %v", r, err)
	}
	blocks := 0
	for {
		_, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		blocks++
	}
	if blocks != wrote.Blocks {
		t.Fatalf("go-car read %d blocks of %d", blocks, wrote.Blocks)
	}
}

// TestImportIsResumed cuts the file at every section, as a stick that is
// pulled out; what came stays, and nothing is written twice.
func TestImportIsResumed(t *testing.T) {
	_, d, _ := stage(t)
	d.publish(1, d.track(900, 100))
	file, wrote := carry(t, d.box, d.name)
	far := alone(t)
	fresh := 0
	for cut := len(file) / 7; cut < len(file); cut += len(file) / 7 {
		got, _, err := far.follow.Import(t.Context(), bytes.NewReader(file[:cut]), nil)
		if !errors.Is(err, follow.ErrVerify) && !errors.Is(err, follow.ErrNotFound) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		fresh += got.Fresh
	}
	got, _, err := far.follow.Import(t.Context(), bytes.NewReader(file), nil)
	if err != nil || fresh+got.Fresh != wrote.Blocks-1 {
		t.Fatalf("%d and %d blocks kept of %d, %v", fresh, got.Fresh, wrote.Blocks-1, err)
	}
}

// section is one of a CAR's.
func section(c cid.Cid, data []byte) []byte {
	id := c.Bytes()
	return append(append(binary.AppendUvarint(nil, uint64(len(id)+len(data))), id...), data...)
}

// TestImportRefuses what is no catalogue, and keeps nothing of a file whose
// record does not stand.
func TestImportRefuses(t *testing.T) {
	_, d, _ := stage(t)
	d.publish(1, d.track(300, 100))
	file, _ := carry(t, d.box, d.name)
	stranger := newDJ(t, d.box, "s")
	stranger.publish(1, d.track(100, 100))
	other, _ := carry(t, d.box, stranger.name)
	sha512 := must(cid.V1Builder{Codec: cid.Raw, MhType: 0x13}.Sum([]byte("x")))
	big := node.NewBlock(cid.Raw, make([]byte, node.MaxBlock+1))
	flipped := bytes.Clone(file)
	flipped[len(file)-1] ^= 1
	head := 1 + int(file[0])
	size, n := binary.Uvarint(file[head:])
	first := head + n + int(size)
	const link = 9 // where the header's first root begins; it takes 41 bytes
	mixed := append(append(bytes.Clone(other[:link]), file[link:link+41]...), other[link+41:]...)
	for what, bad := range map[string][]byte{
		"nothing":                  {},
		"no CAR":                   []byte("RIFF, not a CAR at all, but long enough to look like one"),
		"a header that is cut":     file[:20],
		"a huge header":            binary.AppendUvarint(nil, 1<<40),
		"a header of one root":     append([]byte{18}, "\xa2\x65roots\x80\x67version\x01"...),
		"version 2":                bytes.Replace(file, []byte("\x67version\x01"), []byte("\x67version\x02"), 1),
		"no record":                append(bytes.Clone(file[:head]), file[first:]...),
		"another's record":         append(bytes.Clone(file[:head]), other[head:]...),
		"another head":             mixed,
		"a bit that is wrong":      flipped,
		"a hash that is not ours":  append(bytes.Clone(file), section(sha512, []byte("x"))...),
		"a block that is too big":  append(bytes.Clone(file), section(big.CID, big.Data)...),
		"a section that is cut":    file[:len(file)-3],
		"a section without length": append(bytes.Clone(file), 0),
	} {
		far := alone(t)
		_, _, err := far.follow.Import(t.Context(), bytes.NewReader(bad), nil)
		if !errors.Is(err, follow.ErrVerify) {
			t.Errorf("%s: %v, want ErrVerify", what, err)
		}
		early := map[string]bool{"another head": true, "no record": true, "another's record": true, "nothing": true, "no CAR": true}
		if used := must(far.Used(t.Context())); early[what] && (used != 0 || len(far.follow.Follows()) != 0) {
			t.Errorf("%s: %d bytes were kept", what, used)
		}
	}
	// A pinned DJ is held to, and a file that lacks a block is not whole.
	far := alone(t)
	if _, err := far.follow.Follow(t.Context(), "playnode://"+stranger.id.String()+"?n="+string(d.name)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := far.follow.Import(t.Context(), bytes.NewReader(file), nil); !errors.Is(err, follow.ErrVerify) {
		t.Errorf("another DJ's: %v", err)
	}
	at, last := first, first
	for at < len(file) {
		size, n := binary.Uvarint(file[at:])
		last, at = at, at+n+int(size)
	}
	if _, _, err := alone(t).follow.Import(t.Context(), bytes.NewReader(file[:last]), nil); !errors.Is(err, follow.ErrNotFound) {
		t.Errorf("a block is missing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := alone(t).follow.Import(ctx, bytes.NewReader(file), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte("\x12\xa2\x65roots\x80\x67version\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		far := alone(t)
		if _, _, err := far.follow.Import(t.Context(), bytes.NewReader(data), nil); err == nil {
			t.Fatal("a file that nobody signed was taken")
		}
	})
}
