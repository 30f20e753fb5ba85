package player

import (
	"bytes"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"playnode/internal/audio"
	"playnode/internal/audio/segment"
	"playnode/lease"
	"playnode/manifests"
)

// stretches are an encoded file's, of 0.5 s each, under a lease that does not end.
func stretches(t *testing.T, codec, path string) (out []stretch) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := segment.New(bytes.NewReader(b), segment.Config{Target: 500 * time.Millisecond})
	on := &tuning{tuned: &lease.Tuned{Until: math.MaxInt64, Period: math.MaxInt64}, asked: 0}
	var init *manifests.MediaInit
	for {
		x, err := s.Next()
		if err != nil {
			break
		}
		if x.Begins {
			init = &manifests.MediaInit{Codec: codec, Rate: x.Rate, Head: x.Init}
		}
		out = append(out, stretch{Segment: &manifests.Segment{At: x.At, Len: x.Length, Open: x.Independent, Media: x.Media}, seq: uint64(len(out)), init: init, tuning: on})
	}
	return append(out, stretch{Segment: &manifests.Segment{At: out[len(out)-1].At + out[len(out)-1].Len}, seq: uint64(len(out)), init: init, tuning: on, final: true})
}

// decoded is what a deck reads of stretches, of which some are missing.
func decoded(t *testing.T, all []stretch, missing ...int) (sound []float32) {
	t.Helper()
	r := newReception(&untuned{}, func() time.Time { return time.Unix(1, 0) })
	for i, x := range all {
		lost := false
		for _, m := range missing {
			lost = lost || i == m
		}
		if lost {
			r.miss(broken)
			continue
		}
		x.brk = r.brk
		r.target = time.Hour // so that nothing is left out
		r.push(x)
	}
	r.over = io.EOF
	if !r.begin() {
		t.Fatal("there is nothing to begin with")
	}
	d, err := newLive(t.Context(), r, audio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d.ahead = func(int64) (time.Duration, bool) { return 0, false }
	buf := make([]float32, 1000)
	for {
		n, err := d.Read(buf)
		sound = append(sound, buf[:n*Channels]...)
		if err == io.EOF {
			return sound
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A set of each codec is heard whole; a segment that is missing costs its length and no more, and who comes into it
// hears it at once.
func TestLiveCodecs(t *testing.T) {
	for _, c := range []struct {
		codec, ext string
		args       []string
	}{
		{codec: "mp3", ext: "mp3"}, {codec: "flac", ext: "flac"},
		{codec: "opus", ext: "opus", args: []string{"-c:a", "libopus", "-page_duration", "100000"}},
		{codec: "vorbis", ext: "ogg", args: []string{"-c:a", "libvorbis", "-page_duration", "100000"}},
	} {
		t.Run(c.codec, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "set."+c.ext)
			if c.args == nil {
				path = encoded(t, dir, "set."+c.ext, 44100, 2, sine(300, 3.3, 0.4))
			} else if out, err := exec.Command("ffmpeg", append(append([]string{"-v", "error", "-i", encoded(t, dir, "set.wav", 44100, 2, sine(300, 3.3, 0.4))}, c.args...), path)...).CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			all := stretches(t, c.codec, path)
			whole := decoded(t, all)
			rate := all[0].init.Rate
			s, err := audio.NewStream(c.codec, all[0].init.Head, audio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var want []float32
			for _, x := range all {
				if want, err = s.Decode(x.Media, want); err != nil {
					t.Fatal(err)
				}
			}
			if d := distance(whole, want); len(whole) != len(want) || d > 0 {
				t.Fatalf("%d samples of %d, %.4f apart", len(whole), len(want), d)
			}
			gappy := decoded(t, all, 2)
			from, to := int(all[2].At)*2, int(all[3].At)*2
			shift := 0
			if c.codec == "opus" { // what its beginning drops
				shift = 2 * (int(all[0].Len) - len(decoded(t, append(all[:1:1], all[len(all)-1])))/2)
			}
			from, to = from-shift, to-shift
			fade, later := 2*rate/40, to+2*rate*3/10
			if len(gappy) != len(whole) || distance(gappy[:from-fade-2*4096], whole[:from-fade-2*4096]) > 0 || distance(gappy[later:], whole[later:]) > 0.01 {
				t.Errorf("around a gap: %d samples of %d, %.4f and %.4f apart", len(gappy), len(whole), distance(gappy[:from-fade-2*4096], whole[:from-fade-2*4096]), distance(gappy[later:], whole[later:]))
			}
			for _, v := range gappy[from+2*2400 : to] {
				if v != 0 {
					t.Fatal("a gap is not silent")
				}
			}
			all[2].brk = cutOut
			late := decoded(t, all[2:])
			n := 2 * rate * 3 / 10
			if lost := (len(whole) - from - len(late)) / 2; lost < 0 || lost > rate/5 || distance(late[n:], whole[len(whole)-len(late)+n:]) > 0.01 {
				t.Errorf("come into: %d samples are left out, %.4f apart", lost, distance(late[n:], whole[len(whole)-len(late)+n:]))
			}
		})
	}
}

// distance is the greatest difference.
func distance(a, b []float32) (most float64) {
	for i := range a[:min(len(a), len(b))] {
		most = max(most, math.Abs(float64(a[i]-b[i])))
	}
	return most
}
