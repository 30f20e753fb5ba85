package segment_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"playnode/internal/audio/segment"
)

// A segment is as long as it may be in bytes and no longer, in whole frames; what cannot be cut is refused
// in words.
func TestMostBytes(t *testing.T) {
	listed(t)
	for _, name := range []string{"mp3 128", "vorbis", "ts video", "webm opus", "mp4 aac", "mp4 video"} {
		s := named(t, name)
		b := s.encode(t)
		all := cut(t, bytes.NewReader(b), segment.Config{MaxMedia: 9000})
		full := 0
		for i, x := range all {
			if len(x.Media) > 9000 {
				t.Errorf("%s: segment %d has %d bytes", name, i, len(x.Media))
			}
			if len(x.Media) > 4000 {
				full++
			}
		}
		if !bytes.Equal(join(all, 0), bare(b, s.format)) || full < len(all)/2 {
			t.Errorf("%s: %d segments, %d full, or other bytes", name, len(all), full)
		}
	}
	b := named(t, "flac").encode(t)
	if all, err := cutAll(bytes.NewReader(b), segment.Config{MaxMedia: 1000}); !errors.Is(err, segment.ErrTooLong) || len(all) > 0 {
		t.Errorf("frames of 9 kB in segments of 1: %d segments, %v", len(all), err)
	}
}

// A fragment that is longer than a segment comes in pieces, whose bytes and time are the fragment's.
func TestLongFragment(t *testing.T) {
	b := named(t, "mp4 aac").encode(t)
	whole := cut(t, bytes.NewReader(b), segment.Config{})
	at := bytes.Index(b, []byte("mdat")) - 4
	size := int(binary.BigEndian.Uint32(b[at:]))
	long := bytes.Clone(b[:at+size])
	binary.BigEndian.PutUint32(long[at:], 2<<20)
	long = append(long, bytes.Repeat([]byte{7}, 2<<20-size)...)
	all := cut(t, bytes.NewReader(append(long, b[at+size:]...)), segment.Config{})
	n, pieces := int64(0), 0
	for i, x := range all {
		if x.At != n || len(x.Media) > segment.MaxMedia {
			t.Errorf("segment %d at %d of %d has %d bytes", i, x.At, n, len(x.Media))
		}
		n += x.Length
		if !x.Independent {
			pieces++
		}
	}
	end := whole[len(whole)-1]
	if n != end.At+end.Length || pieces < 2 || !bytes.Equal(join(all, 0)[:len(long)], long) {
		t.Errorf("%d ticks of %d, %d pieces, or other bytes", n, end.At+end.Length, pieces)
	}
}

// Headers that are longer than an init may be lose what is no sound: a cover does not stand before a listener.
func TestLongHeaders(t *testing.T) {
	listed(t)
	picture := make([]byte, 200<<10)
	copy(picture, "\xff\xd8\xff\xe0")
	block := append([]byte("\x00\x00\x00\x03\x00\x00\x00\x0aimage/jpeg\x00\x00\x00\x00"), make([]byte, 16)...)
	block = append(binary.BigEndian.AppendUint32(block, uint32(len(picture))), picture...)
	meta := filepath.Join(t.TempDir(), "meta")
	text := ";FFMETADATA1\nartist=Ada\ntitle=Long\nMETADATA_BLOCK_PICTURE=" + strings.ReplaceAll(base64.StdEncoding.EncodeToString(block), "=", `\=`) + "\n"
	if err := os.WriteFile(meta, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"-c:a libopus -f ogg", "-c:a libvorbis -f ogg", "-c:a flac -f ogg", "-c:a flac -f flac"} {
		in := fmt.Sprintf("-v error -f s16le -ar 44100 -ac 2 -i - -f ffmetadata -i %s -map_metadata 1 %s -", meta, args)
		b := run(t, music()[:2*4*44100], "ffmpeg", strings.Fields(in)...)
		all := cut(t, bytes.NewReader(b), segment.Config{})
		if len(b) < 250<<10 || len(all) < 2 || len(all[0].Init) > segment.MaxInit || all[0].Title != "Ada - Long" {
			t.Errorf("%s: of %d bytes %d segments, an init of %d bytes, title %q", args, len(b), len(all), len(all[0].Init), all[0].Title)
			continue
		}
		want, got := decode(t, b), decode(t, join(all, 0))
		for i := range want {
			if len(got) != len(want) || got[i] != want[i] {
				t.Errorf("%s: %d samples, want %d, or others", args, len(got), len(want))
				break
			}
		}
	}
}

// Segments are as long as they are wanted.
func TestTarget(t *testing.T) {
	listed(t)
	for _, name := range []string{"mp3 128", "aac", "opus", "flac", "mp4 aac", "ts aac"} {
		for _, target := range []time.Duration{500 * time.Millisecond, 2 * time.Second} {
			all := cut(t, bytes.NewReader(named(t, name).encode(t)), segment.Config{Target: target})
			for i, x := range all[:len(all)-1] {
				if d := x.Duration() - target; d < -260*time.Millisecond || d > 260*time.Millisecond {
					t.Errorf("%s: segment %d of %v lasts %v", name, i, target, x.Duration())
				}
			}
		}
	}
}
