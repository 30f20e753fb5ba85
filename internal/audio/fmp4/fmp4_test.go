package fmp4_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"playnode/internal/audio/flac"
	"playnode/internal/audio/fmp4"
	"playnode/internal/audio/ogg"
	"playnode/internal/audio/opus"
)

// tone encodes a second and a half by another's encoder.
func tone(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	args = append([]string{"-v", "error", "-f", "lavfi", "-i", "aevalsrc=sin(3000*t)*0.4|cos(5000*t)*0.3:d=1.5:s=48000"}, append(args, file)...)
	if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pcm is what ffmpeg decodes a file to.
func pcm(t *testing.T, file []byte) []byte {
	t.Helper()
	c := exec.Command("ffmpeg", "-v", "error", "-i", "pipe:0", "-f", "s16le", "-")
	c.Stdin = bytes.NewReader(file)
	var msg bytes.Buffer
	c.Stderr = &msg
	out, err := c.Output()
	if err != nil || msg.Len() > 0 {
		t.Fatalf("ffmpeg: %v: %s", err, msg.String())
	}
	return out
}

// ffmpeg makes of the fragments what it makes of the file.
func TestOpusIsWhatItWas(t *testing.T) {
	file := tone(t, "a.opus", "-c:a", "libopus", "-b:a", "96k")
	var packets [][]byte
	var part []byte
	for len(file) > 0 {
		p, ok := ogg.ParsePage(file)
		if !ok {
			t.Fatal("no page")
		}
		at := 0
		for _, l := range p.Lacing {
			part = append(part, p.Body[at:at+int(l)]...)
			if at += int(l); l < 255 {
				packets, part = append(packets, part), nil
			}
		}
		file = file[ogg.PageSize(file):]
	}
	track, err := fmp4.Opus(packets[0])
	if err != nil {
		t.Fatal(err)
	}
	out := track.Init()
	var at uint64
	for i, seq := 2, uint32(1); i < len(packets); seq++ {
		var run []fmp4.Sample
		begin := at
		for ; i < len(packets) && len(run) < 25; i++ {
			n := opus.Frames(packets[i])
			run = append(run, fmp4.Sample{Data: packets[i], Ticks: uint32(n)})
			at += uint64(n)
		}
		out = append(out, track.Fragment(seq, begin, run)...)
	}
	got, want := pcm(t, out), pcm(t, tone(t, "a.opus", "-c:a", "libopus", "-b:a", "96k"))
	// Ogg says where the last packet ends, and its pre-skip is dropped; here both are heard.
	if d := len(got) - len(want); d < 0 || d > 4*(960+312) || !bytes.Contains(got, want[4*960:len(want)-4*960]) {
		t.Errorf("%d bytes of sound, and %d in Ogg", len(got), len(want))
	}
}

func TestFLACIsWhatItWas(t *testing.T) {
	file := tone(t, "a.flac", "-c:a", "flac", "-sample_fmt", "s16")
	m, err := flac.ParseMeta(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	track, err := fmp4.FLAC(m.Header(0)[8:], m.Rate, m.Channels, m.Bits)
	if err != nil {
		t.Fatal(err)
	}
	out := track.Init()
	rest := bytes.NewReader(file[m.Audio:])
	var at uint64
	for seq := uint32(1); rest.Len() > 0; seq++ {
		from := len(file) - rest.Len()
		f, ok := m.ParseFrame(file[from:])
		if !ok || m.ReadFrame(rest) != nil {
			t.Fatal("no frame")
		}
		out = append(out, track.Fragment(seq, at, []fmp4.Sample{{Data: file[from : len(file)-rest.Len()], Ticks: uint32(f.Block)}})...)
		at += uint64(f.Block)
	}
	if got, want := pcm(t, out), pcm(t, file); !bytes.Equal(got, want) {
		t.Errorf("%d bytes of sound, and %d in the file", len(got), len(want))
	}
}

func TestHeadersThatAreNone(t *testing.T) {
	for name, head := range map[string][]byte{
		"nothing": nil, "short": []byte("OpusHead\x01\x02"), "surround": []byte("OpusHead\x01\x06\x38\x01\x80\xbb\x00\x00\x00\x00\x01"),
		"another": []byte("OpusTags\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"), "a later version": []byte("OpusHead\x11\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"),
	} {
		if _, err := fmp4.Opus(head); !errors.Is(err, fmp4.ErrHeader) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := fmp4.FLAC(make([]byte, 33), 44100, 2, 16); !errors.Is(err, fmp4.ErrHeader) {
		t.Errorf("short STREAMINFO: %v", err)
	}
}
