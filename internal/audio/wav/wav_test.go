package wav

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"playnode/internal/audio/pcm"
)

func ramp(frames, channels int) []float32 {
	out := make([]float32, frames*channels)
	for i := range out {
		out[i] = float32(int16(i*7919)) / 32768
	}
	return out
}

func readAll(t *testing.T, b []byte) (Info, []float32) {
	t.Helper()
	info, err := Parse(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(bytes.NewReader(b), info)
	var out []float32
	buf := make([]float32, 100*info.Channels)
	for {
		n, err := r.Read(buf)
		out = append(out, buf[:n*info.Channels]...)
		if err == io.EOF {
			return info, out
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, rate, channels int, expect int64, src []float32) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.wav")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := NewWriter(f, rate, channels, expect)
	if err != nil {
		t.Fatal(err)
	}
	for len(src) > 0 {
		n := min(len(src), 333*channels)
		if err := w.Write(src[:n]); err != nil {
			t.Fatal(err)
		}
		src = src[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWriteThenRead(t *testing.T) {
	for _, channels := range []int{1, 2, 3, 6} {
		for _, frames := range []int{0, 1, 1000, 8193} {
			for _, expect := range []int64{int64(frames), -1} {
				src := ramp(frames, channels)
				b := write(t, 44100, channels, expect, src)
				info, got := readAll(t, b)
				if info.Cut || info.Rate != 44100 || info.Channels != channels || info.Frames != int64(frames) || len(got) != len(src) {
					t.Fatalf("%d channels, %d frames: %+v, %d samples", channels, frames, info, len(got))
				}
				for i := range src {
					if got[i] != src[i] {
						t.Fatalf("sample %d: %g, want %g", i, got[i], src[i])
					}
				}
				if expect >= 0 {
					if len(b) != 44+2*len(src) {
						t.Errorf("header of %d bytes, want 44", len(b)-2*len(src))
					}
					if got := binary.LittleEndian.Uint32(b[4:]); int(got) != len(b)-8 {
						t.Errorf("RIFF size %d in a file of %d", got, len(b))
					}
					if got := binary.LittleEndian.Uint16(b[20:]); got != 1 {
						t.Errorf("format %d, want 1", got)
					}
				}
			}
		}
	}
}

// Every layout that ffmpeg writes comes out as ffmpeg reads it.
func TestLayoutsAgainstFFmpeg(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "src.wav")
	if err := os.WriteFile(src, write(t, 48000, 2, 5000, ramp(5000, 2)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		codec  string
		layout pcm.Layout
		args   []string
	}{
		{"pcm_u8", pcm.U8, nil}, {"pcm_s16le", pcm.I16, nil}, {"pcm_s24le", pcm.I24, nil}, {"pcm_s32le", pcm.I32, nil},
		{"pcm_f32le", pcm.F32, nil}, {"pcm_f64le", pcm.F64, nil},
		{"pcm_s16le", pcm.I16, []string{"-rf64", "always"}}, {"pcm_s24le", pcm.I24, []string{"-ac", "6"}}, {"pcm_s16le", pcm.I16, []string{"-ac", "1"}},
	} {
		file := filepath.Join(dir, "x.wav")
		args := append([]string{"-v", "error", "-y", "-i", src, "-metadata", "title=Ä", "-c:a", c.codec}, c.args...)
		if out, err := exec.Command("ffmpeg", append(args, file)...).CombinedOutput(); err != nil {
			t.Fatalf("ffmpeg: %v %s", err, out)
		}
		want, err := exec.Command("ffmpeg", "-v", "error", "-i", file, "-f", "f32le", "-").Output()
		if err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(file)
		info, got := readAll(t, b)
		if info.Layout != c.layout || 4*len(got) != len(want) {
			t.Fatalf("%s: %+v, %d samples, want %d", c.codec, info, len(got), len(want)/4)
		}
		for i, v := range got {
			if w := math.Float32frombits(binary.LittleEndian.Uint32(want[4*i:])); v != w {
				t.Fatalf("%s sample %d: %g, want %g", c.codec, i, v, w)
			}
		}
		if len(info.Tags) == 0 {
			t.Errorf("%s: the INFO chunk was not found", c.codec)
		}
		// The header that is sealed before the sound reads the same.
		sealed := append(Header(info, info.Data.Size), b[info.Data.Off:info.Data.Off+info.Data.Size]...)
		again, pcmAgain := readAll(t, sealed)
		if again.Layout != info.Layout || again.Mask != info.Mask || again.Rate != info.Rate || len(pcmAgain) != len(got) {
			t.Errorf("%s: sealed header reads %+v, was %+v", c.codec, again, info)
		}
	}
}

// A file of 5 GiB, all holes: the header turns into RF64 and the reader finds the end.
func TestBeyondFourGiB(t *testing.T) {
	const data = int64(5) << 30
	for _, expect := range []int64{-1, data / 4} {
		sink := &holes{}
		w, err := NewWriter(sink, 48000, 2, expect)
		if err != nil {
			t.Fatal(err)
		}
		start := sink.pos
		sink.pos += data // as if written
		w.size = data
		sink.size = sink.pos
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		info, err := Parse(sink, sink.size)
		if err != nil {
			t.Fatal(err)
		}
		if string(sink.head[:4]) != "RF64" || info.Data.Off != start || info.Frames != data/4 || info.Cut || info.Streamed {
			t.Errorf("expecting %d: %q %+v", expect, sink.head[:4], info)
		}
	}
	if h := Header(Info{Rate: 48000, Channels: 2, Layout: pcm.I24}, data-data%6); string(h[:4]) != "RF64" {
		t.Errorf("Header of 5 GiB begins %q", h[:4])
	}
	short := &holes{}
	w, _ := NewWriter(short, 48000, 2, 10)
	w.size = maxRIFF - 50
	if w.Write(make([]float32, 100)) == nil {
		t.Error("4 GiB were passed in a plain RIFF")
	}
}

type holes struct {
	head      [256]byte
	pos, size int64
}

func (h *holes) Write(b []byte) (int, error) {
	if h.pos < int64(len(h.head)) {
		copy(h.head[h.pos:], b)
	}
	h.pos += int64(len(b))
	h.size = max(h.size, h.pos)
	return len(b), nil
}

func (h *holes) Seek(off int64, whence int) (int64, error) {
	h.pos = off
	if whence == io.SeekEnd {
		h.pos = h.size + off
	}
	return h.pos, nil
}

func (h *holes) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	if off < int64(len(h.head)) {
		copy(b, h.head[off:])
	}
	return len(b), nil
}

func TestCutAndStreamed(t *testing.T) {
	b := write(t, 44100, 2, 1000, ramp(1000, 2))
	info, err := Parse(bytes.NewReader(b[:2044]), 2044)
	if err != nil || !info.Cut || info.Frames != 500 {
		t.Errorf("cut file: %+v %v", info, err)
	}
	binary.LittleEndian.PutUint32(b[40:], 0xffffffff)
	info, err = Parse(bytes.NewReader(b), int64(len(b)))
	if err != nil || !info.Streamed || info.Frames != 1000 {
		t.Errorf("streamed file: %+v %v", info, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Header(Info{Rate: 44100, Channels: 2, Layout: pcm.I16}, 8))
	f.Add(append(Header(Info{Rate: 48000, Channels: 6, Layout: pcm.F32}, 48), make([]byte, 48)...))
	f.Add(Header(Info{Rate: 96000, Channels: 2, Layout: pcm.I24}, 6<<30))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := Parse(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if info.Data.Off+info.Data.Size > int64(len(b)) || info.Frames < 0 {
			t.Fatalf("%+v reaches beyond %d bytes", info, len(b))
		}
		r, n := NewReader(bytes.NewReader(b), info), int64(0)
		buf := make([]float32, 64*info.Channels)
		for {
			m, err := r.Read(buf)
			n += int64(m)
			for _, v := range buf[:m*info.Channels] {
				if v != v || v > 256 || v < -256 {
					t.Fatalf("sample %g", v)
				}
			}
			if err != nil {
				break
			}
		}
		if n != info.Frames {
			t.Fatalf("%d frames, want %d", n, info.Frames)
		}
	})
}
