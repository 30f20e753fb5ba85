package manifests

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// A card without excerpts is as it was before there were any, and has one form;
// one with some has them sorted, and bounded.
func TestCardsOpen(t *testing.T) {
	block := NewRawBlock([]byte("sealed")).CID
	without, err := (&Card{Name: "Nobody"}).Encode()
	if err != nil || without[0] != 0xa4 {
		t.Fatalf("%x, %v", without, err)
	}
	with := &Card{Name: "Nobody", Open: []CardOpen{{LiveID{1}, block}, {LiveID{2}, block}}}
	enc, err := with.Encode()
	if err != nil || enc[0] != 0xa5 {
		t.Fatalf("%x, %v", enc, err)
	}
	got, err := DecodeCard(enc)
	if err != nil || len(got.Open) != 2 || got.Open[1] != with.Open[1] {
		t.Errorf("%+v, %v", got, err)
	}
	at := bytes.Index(enc, []byte("\x64open"))
	empty := append(append(bytes.Clone(enc[:at+5]), 0x80), enc[bytes.Index(enc, []byte("\x64sels")):]...)
	for name, bad := range map[string][]byte{"an empty list": empty, "five fields of four": append([]byte{0xa5}, without[1:]...), "six fields": append([]byte{0xa6}, enc[1:]...)} {
		if got, err := DecodeCard(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	with.Open[0], with.Open[1] = with.Open[1], with.Open[0]
	if _, err := with.Encode(); !errors.Is(err, ErrInvalid) {
		t.Errorf("unsorted: %v", err)
	}
	with.Open = make([]CardOpen, MaxOpen+1)
	for i := range with.Open {
		with.Open[i] = CardOpen{LiveID{byte(i >> 8), byte(i)}, block}
	}
	if _, err := with.Encode(); !errors.Is(err, ErrInvalid) {
		t.Errorf("%d excerpts: %v", len(with.Open), err)
	}
}

func TestExcerptsThatAreNone(t *testing.T) {
	good := Excerpt{Init: MediaInit{Codec: "mp3", Rate: 44100}, Text: "A moment", Parts: []Part{{Len: 1}}}
	if enc, err := good.Encode(); err != nil {
		t.Fatal(err)
	} else if _, err := DecodeExcerpt(enc); err != nil {
		t.Error(err)
	}
	full := good // by what segments and periods are like
	full.Parts = slices.Repeat([]Part{{Len: 180_000, Gen: 70_000, Cur: 70_000}}, MaxExcerpt)
	if enc, err := full.Encode(); err != nil || len(enc) > MaxBlock-1024 {
		t.Errorf("as many as there may be are %d bytes: %v", len(enc), err)
	}
	for name, change := range map[string]func(*Excerpt){
		"no parts": func(e *Excerpt) { e.Parts = nil }, "too many parts": func(e *Excerpt) { e.Parts = make([]Part, MaxExcerpt+1) },
		"a text that is not clean": func(e *Excerpt) { e.Text = "a\u202e" }, "no rate": func(e *Excerpt) { e.Init.Rate = 0 }, "no codec": func(e *Excerpt) { e.Init.Codec = "" },
	} {
		e := good
		change(&e)
		if _, err := e.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
