package segment_test

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"playnode/internal/audio/segment"
)

// A file is handed out as long as it lasts, byte for byte, and never before its time.
func TestPace(t *testing.T) {
	for _, s := range streams {
		if s.name != "mp3 128" && s.name != "vorbis" && s.name != "flac" && s.name != "opus long pages" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			b := s.encode(t)
			all := cut(t, bytes.NewReader(b), segment.Config{Target: time.Millisecond})
			last := all[len(all)-1]
			lasts := last.Start() + last.Duration()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				r := segment.Pace(bytes.NewReader(b), segment.Wall{})
				var got []byte
				i, over := 0, 0 // what is over by now
				for p := make([]byte, 4096); ; {
					n, err := r.Read(p)
					got = append(got, p[:n]...)
					for ; i < len(all) && all[i].Start()+all[i].Duration() <= time.Since(start); i++ {
						over += len(all[i].Init) + len(all[i].Media)
					}
					if len(got) > over {
						t.Fatalf("after %v %d bytes are handed out, %d are over", time.Since(start), len(got), over)
					}
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if d := time.Since(start); d != lasts {
					t.Errorf("it took %v, and lasts %v", d, lasts)
				}
				if !bytes.Equal(got, join(all, 0)) {
					t.Errorf("%d bytes, want %d, or others", len(got), len(join(all, 0)))
				}
			})
		})
	}
}

// Close ends a wait.
func TestPaceClose(t *testing.T) {
	b := streams[0].encode(t)
	synctest.Test(t, func(t *testing.T) {
		r := segment.Pace(bytes.NewReader(b), segment.Wall{})
		go func() {
			<-time.After(50 * time.Millisecond)
			r.Close()
		}()
		if n, err := r.Read(make([]byte, 10)); n != 0 || err != io.ErrClosedPipe {
			t.Errorf("%d, %v", n, err)
		}
		if n, err := r.Read(make([]byte, 10)); n != 0 || err != io.ErrClosedPipe {
			t.Errorf("again: %d, %v", n, err)
		}
	})
}
