package audio_test

import (
	"io"
	"os"
	"runtime"
	"testing"

	"playnode/internal/audio"
	"playnode/internal/audio/audiotest"
)

// endless repeats a file's frames without holding them.
type endless struct {
	frame []byte
	size  int64
}

func (e *endless) ReadAt(b []byte, off int64) (int, error) {
	for n := 0; n < len(b); {
		n += copy(b[n:], e.frame[(off+int64(n))%int64(len(e.frame)):])
	}
	return len(b), nil
}

// A file of 64 MiB takes as little memory as a small one.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	frame := make([]byte, 417)
	copy(frame, "\xff\xfb\x90\x00")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	e := &endless{frame, 417 * (1 << 26 / 417)}
	s, err := audio.Ingest(t.Context(), e, e.size, "endless")
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("%d bytes allocated", n)
	}
	if s.Track.Samples != 1152*(1<<26/417) || len(s.Track.Index) > 512<<10 {
		t.Errorf("%d samples, index of %d bytes", s.Track.Samples, len(s.Track.Index))
	}
	r, size := s.ReaderAt()
	d, err := audio.Open(r, size, s.Track, audio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SeekFrame(d.Len() - 10); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Read(make([]float32, 4000)); n != 10 || err != nil && err != io.EOF {
		t.Errorf("at the end: %d frames, %v", n, err)
	}
}

func BenchmarkAnalyse(b *testing.B) {
	for _, ext := range []string{"mp3", "flac", "wav"} {
		b.Run(ext, func(b *testing.B) {
			data, err := os.ReadFile(encode(b, ext, 44100, 2, audiotest.Music(44100, 2, 20*44100, 1)))
			if err != nil {
				b.Fatal(err)
			}
			s := ingestBytes(b, data)
			for b.Loop() {
				if _, err := s.Analyse(b.Context(), audio.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(20*float64(b.N)/b.Elapsed().Seconds(), "x")
		})
	}
}

func BenchmarkIngest(b *testing.B) {
	for _, ext := range []string{"mp3", "flac"} {
		b.Run(ext, func(b *testing.B) {
			data, err := os.ReadFile(encode(b, ext, 44100, 2, audiotest.Music(44100, 2, 20*44100, 1)))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				ingestBytes(b, data)
			}
		})
	}
}
