package mp3

import (
	"errors"
	"testing"
)

func TestParseHeader(t *testing.T) {
	for _, c := range []struct {
		bytes [4]byte
		want  Header
		size  int
	}{
		{[4]byte{0xff, 0xfb, 0x90, 0x64}, Header{MPEG1, 3, false, 128000, 44100, false, Joint, true, false}, 417},
		{[4]byte{0xff, 0xfa, 0x92, 0x54}, Header{MPEG1, 3, true, 128000, 44100, true, Joint, false, true}, 418},
		{[4]byte{0xff, 0xfb, 0xe8, 0xc0}, Header{MPEG1, 3, false, 320000, 32000, false, Mono, false, false}, 1440},
		{[4]byte{0xff, 0xf3, 0x82, 0x80}, Header{MPEG2, 3, false, 64000, 22050, true, Dual, false, false}, 209},
		{[4]byte{0xff, 0xe3, 0x18, 0xc4}, Header{MPEG25, 3, false, 8000, 8000, false, Mono, false, false}, 72},
		{[4]byte{0xff, 0xfb, 0x00, 0x00}, Header{MPEG1, 3, false, 0, 44100, false, Stereo, false, false}, 0},
		{[4]byte{0xff, 0xfd, 0xa4, 0x00}, Header{MPEG1, 2, false, 192000, 48000, false, Stereo, false, false}, 576},
		{[4]byte{0xff, 0xff, 0x12, 0x70}, Header{MPEG1, 1, false, 32000, 44100, true, Joint, false, false}, 36},
		{[4]byte{0xff, 0xf7, 0xe4, 0x00}, Header{MPEG2, 1, false, 256000, 24000, false, Stereo, false, false}, 512},
	} {
		h, err := ParseHeader(c.bytes[:])
		if err != nil || h != c.want || h.Size() != c.size {
			t.Errorf("% x: %+v of %d bytes, %v, want %+v of %d", c.bytes, h, h.Size(), err, c.want, c.size)
		}
	}
	for _, b := range [][]byte{
		nil, {0xff, 0xfb, 0x90}, {0xff, 0xdb, 0x90, 0}, {0xff, 0xeb, 0x90, 0}, // short, no sync, version
		{0xff, 0xf9, 0x90, 0}, {0xff, 0xfb, 0xf0, 0}, {0xff, 0xfb, 0x9c, 0}, {0xff, 0xfb, 0x90, 2}, // layer, bit rate, rate, emphasis
	} {
		if h, err := ParseHeader(b); !errors.Is(err, ErrHeader) {
			t.Errorf("% x: %+v, %v", b, h, err)
		}
	}
}

func TestMainDataBegin(t *testing.T) {
	frame := make([]byte, 417)
	copy(frame, []byte{0xff, 0xfb, 0x90, 0x64, 0xff, 0x80})
	if back, own, err := MainDataBegin(frame); back != 511 || own != 417-36 || err != nil {
		t.Errorf("%d, %d, %v", back, own, err)
	}
	if _, _, err := MainDataBegin(frame[:35]); !errors.Is(err, ErrDamaged) {
		t.Errorf("cut in the side information: %v", err)
	}
	if _, own, err := MainDataBegin(frame[:36]); own != 0 || err != nil {
		t.Errorf("no main data: %d, %v", own, err)
	}
	if back, own, err := MainDataBegin([]byte{0xff, 0xfd, 0x90, 0, 1, 2}); back != 0 || own != 2 || err != nil {
		t.Errorf("layer II: %d, %d, %v", back, own, err)
	}
}
