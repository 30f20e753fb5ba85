package audio_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"playnode/internal/audio"
	"playnode/internal/audio/pcm"
	"playnode/internal/audio/wav"
)

// seedMP3 is a run of silent frames with an encoder's header frame.
func seedMP3(n int) []byte {
	frame := make([]byte, 417)
	copy(frame, "\xff\xfb\x90\x00")
	info := bytes.Clone(frame)
	copy(info[36:], "Info\x00\x00\x00\x01\x00\x00\x00\x05LAME3.100")
	info[36+8+4+21] = 0x24
	return append(info, bytes.Repeat(frame, n)...)
}

// FuzzIngest takes any bytes all the way: ingest, seal, open, decode, seek. Whatever they are, the
// decoder gives as many samples as the track says, or says that they are damaged.
func FuzzIngest(f *testing.F) {
	f.Add(seedMP3(5))
	f.Add(append([]byte("ID3\x03\x00\x00\x00\x00\x00\x1eTIT2\x00\x00\x00\x05\x00\x00\x00hey!COMM\x00\x00\x00\x05\x00\x00\x00eng\x00"), seedMP3(4)...))
	f.Add(append(seedMP3(3), append([]byte("TAG"), make([]byte, 125)...)...))
	f.Add(append(wav.Header(wav.Info{Rate: 44100, Channels: 2, Layout: pcm.I16}, 400), make([]byte, 400)...))
	f.Add([]byte("RIFF\xff\xff\xff\xffWAVELIST\x10\x00\x00\x00INFOINAM\x04\x00\x00\x00abcdfmt \x10\x00\x00\x00\x01\x00\x01\x00\x44\xac\x00\x00\x88\x58\x01\x00\x02\x00\x10\x00data\x04\x00\x00\x00abcd"))
	f.Add([]byte("fLaC\x80\x00\x00\x22\x10\x00\x10\x00\x00\x00\x00\x00\x00\x00\x0a\xc4\x42\xf0\x00\x00\x00\x00aaaaaaaaaaaaaaaa\xff\xf8\xc9\x18\x00\xc2"))
	for _, name := range []string{"seed.ogg", "seed.opus", "seed.aiff", "seed.m4a", "seed.mp2", "seed.mp3", "seed.flac"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Setenv("PATH", "") // ffmpeg is not what is tried here
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := audio.Ingest(context.Background(), bytes.NewReader(b), int64(len(b)), "fuzz")
		if err != nil {
			if !errors.Is(err, audio.ErrUnsupported) && !errors.Is(err, audio.ErrDamaged) {
				t.Fatalf("ingest says %v", err)
			}
			return
		}
		r, size := s.Sealable()
		data, err := io.ReadAll(r)
		if err != nil || int64(len(data)) != size {
			t.Fatalf("%d bytes to seal, want %d: %v", len(data), size, err)
		}
		d, err := audio.Open(bytes.NewReader(data), size, s.Track, audio.Options{})
		if err != nil {
			t.Fatalf("what was ingested does not open: %v", err)
		}
		if s.Track.Samples > 1<<20 {
			return
		}
		buf, total := make([]float32, 1000*s.Track.Channels), int64(0)
		for {
			n, err := d.Read(buf)
			total += int64(n)
			if err != nil {
				if err == io.EOF && total != s.Track.Samples {
					t.Fatalf("%d samples, want %d", total, s.Track.Samples)
				}
				if err != io.EOF && !errors.Is(err, audio.ErrDamaged) {
					t.Fatal(err)
				}
				return
			}
		}
	})
}

// FuzzOpen lies about a track to a decoder.
func FuzzOpen(f *testing.F) {
	f.Add(seedMP3(5)[417:], []byte{16, 0, 0, 0}, uint8(0), int64(5*1152), 0, 0)
	f.Add(append(wav.Header(wav.Info{Rate: 44100, Channels: 2, Layout: pcm.I16}, 400), make([]byte, 400)...), []byte{}, uint8(2), int64(100), 0, 0)
	f.Add([]byte("fLaC\x80\x00\x00\x22\x10\x00\x10\x00\x00\x00\x00\x00\x00\x00\x0a\xc4\x42\xf0\x00\x00\x00\x00aaaaaaaaaaaaaaaa\xff\xf8\xc9\x18\x00\xc2"), []byte{0, 0}, uint8(1), int64(4096), 0, 0)
	f.Fuzz(func(t *testing.T, b, index []byte, codec uint8, samples int64, delay, padding int) {
		if samples > 1<<20 {
			return
		}
		track := audio.Track{Codec: []string{audio.MP3, audio.FLAC, audio.WAV, audio.MP2, audio.AIFF, audio.MP1}[codec%6], Rate: 44100, Channels: 2, Samples: samples,
			SamplesPerFrame: 1152, Delay: delay, Padding: padding, Index: index}
		for _, engine := range []func() audio.Engine{audio.OwnMP3, audio.GoMP3} {
			d, err := audio.Open(bytes.NewReader(b), int64(len(b)), track, audio.Options{Engine: engine})
			if err != nil {
				return
			}
			buf := make([]float32, 2048)
			for _, at := range []int64{samples / 2, 0} {
				if err := d.SeekFrame(at); err != nil {
					t.Fatal(err)
				}
				for total := at; ; {
					n, err := d.Read(buf)
					if total += int64(n); total > samples {
						t.Fatalf("%d of %d samples", total, samples)
					}
					if err != nil {
						break
					}
				}
			}
			d.Close()
		}
	})
}
