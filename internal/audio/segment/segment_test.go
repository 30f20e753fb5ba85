package segment_test

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"playnode/internal/audio/frames"
	"playnode/internal/audio/segment"
)

// bare is a stream without the tag that an mp3's muxer puts before it.
func bare(b []byte, f segment.Format) []byte {
	if f == segment.MP3 {
		b = b[frames.ID3v2Size(b):]
	}
	return b
}

// Init and Media are the stream again; segments lie close and are about as long as they should be; and what
// begins in the middle is heard as it is heard by who came from the beginning.
func TestStreams(t *testing.T) {
	listed(t)
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			b := s.encode(t)
			all := cut(t, bytes.NewReader(b), segment.Config{})
			if got, want := join(all, 0), bare(b, s.format); !bytes.Equal(got, want) {
				t.Fatalf("%d bytes of %d come out, or others", len(got), len(want))
			}
			whole := decode(t, b)
			at, seen := int64(0), 0
			for i, x := range all {
				if x.Format != s.format || x.Begins != (i == 0) || x.Gap || x.At != at || x.Rate != all[0].Rate {
					t.Errorf("segment %d: %s, begins %v, gap %v, at %d of %d", i, x.Format, x.Begins, x.Gap, x.At, at)
				}
				at += x.Length
				d := x.Duration()
				if i < len(all)-1 && !s.video && (d < 500*time.Millisecond || d > 1500*time.Millisecond) || d > 2100*time.Millisecond {
					t.Errorf("segment %d lasts %v", i, d)
				}
				if !s.video && !x.Independent {
					t.Errorf("segment %d cannot be begun at", i)
				}
				if i == 0 || !x.Independent || i%2 == 0 && !s.video {
					continue
				}
				s.suffix(t, whole, decode(t, join(all, i)), all, i)
				if s.video {
					seen++
					want, got := pictures(t, b), pictures(t, join(all, i))
					if n := int(x.Start() / (40 * time.Millisecond)); len(got) < len(want)-n-1 || len(got) > len(want)-n+1 || !slices.Equal(got, want[len(want)-len(got):]) {
						t.Errorf("from segment %d on, at %v, %d pictures of %d are seen, or others", i, x.Start(), len(got), len(want))
					}
				}
			}
			if len(all) < 3 || s.video && seen == 0 {
				t.Errorf("%d segments", len(all))
			}
		})
	}
}

// suffix compares what is heard from segment i on with the end of what is heard of the whole stream.
func (s stream) suffix(t *testing.T, whole, got []float32, all []segment.Segment, i int) {
	t.Helper()
	x := all[i]
	channels, rate := 2, int64(44100)
	switch {
	case s.name == "mp3 vbr mono 22050":
		channels, rate = 1, 22050
	case strings.Contains(s.name, "opus"):
		rate = 48000
	}
	want := len(whole) - channels*int((x.At+x.Lead)*rate/int64(x.Rate))
	if x.Lead > int64(x.Rate)/5 {
		t.Errorf("segment %d needs %d samples to warm up", i, x.Lead)
	}
	if len(got) < want || len(whole) < want {
		t.Errorf("from segment %d on: %d samples, want %d", i, len(got), want)
		return
	}
	whole, got = whole[len(whole)-want:], got[len(got)-want:]
	power := 0.0
	if s.far > 0 { // Opus is heard to converge for a while
		skip := min(len(got), 2*48000*3/10)
		got, whole = got[skip:], whole[skip:]
	}
	for k := range got {
		power += float64(got[k]-whole[k]) * float64(got[k]-whole[k])
	}
	if rms := math.Sqrt(power / float64(max(1, len(got)))); s.far > 0 && rms > s.far {
		t.Errorf("from segment %d on: RMS of the difference is %.5f", i, rms)
	}
	for k := range got {
		if d := float64(got[k] - whole[k]); s.far == 0 && (d > s.close || d < -s.close) {
			t.Errorf("from segment %d on: sample %d of %d differs by %.7f", i, k, want, d)
			return
		}
	}
}

// How a stream is split into reads changes nothing.
func TestSplits(t *testing.T) {
	listed(t)
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			b := s.encode(t)
			c := segment.Config{Target: 300 * time.Millisecond}
			want := cut(t, bytes.NewReader(b), c)
			rnd := rand.New(rand.NewPCG(1, 2))
			for name, r := range map[string]io.Reader{
				"a byte at a time":  iotest.OneByteReader(bytes.NewReader(b)),
				"data with its end": iotest.DataErrReader(bytes.NewReader(b)),
				"at random": readFunc(func() func(p []byte) (int, error) {
					r := bytes.NewReader(b)
					return func(p []byte) (int, error) { return r.Read(p[:min(len(p), rnd.IntN(3000))]) }
				}()),
			} {
				if got := cut(t, r, c); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %d segments, want %d, or others", name, len(got), len(want))
				}
			}
		})
	}
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A segment is handed out with the last byte of its last frame.
func TestPrompt(t *testing.T) {
	listed(t)
	for _, s := range streams {
		if s.wait < 0 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			b := s.encode(t)
			extra := len(b) - len(bare(b, s.format))
			read := 0
			x := segment.New(readFunc(func(p []byte) (int, error) {
				if read == len(b) {
					return 0, io.EOF
				}
				p[0] = b[read]
				read++
				return 1, nil
			}), segment.Config{Target: 400 * time.Millisecond})
			n := extra
			for i := 0; ; i++ {
				g, err := x.Next()
				if err == io.EOF && i > 1 {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if n += len(g.Init) + len(g.Media); read > n+s.wait && n < len(b) {
					t.Fatalf("segment %d ends at byte %d, and comes with byte %d", i, n, read)
				}
			}
		})
	}
}
