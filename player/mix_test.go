package player

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"playnode/internal/audio/loudness"
	"playnode/internal/audio/pcm"
	"playnode/manifests"
)

// left16 is the left channel of stereo s16le.
func left16(b []byte) []float64 {
	f := make([]float32, len(b)/2)
	pcm.Float(f, b, pcm.I16)
	out := make([]float64, len(f)/2)
	for i := range out {
		out[i] = float64(f[2*i])
	}
	return out
}

// level is a stretch's power in dB.
func level(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return 10 * math.Log10(sum/float64(len(x)))
}

// One steady tone is laid over another, at one rate and at two: it dips by less than 0.5 dB, and no frame is too many.
func TestCrossfade(t *testing.T) {
	for _, rate := range []int{44100, 48000} {
		w := newWorld(t)
		dir := t.TempDir()
		other := make([]float32, 2*rate*8)
		for i := range len(other) / 2 {
			v := float32(0.2 * math.Sin(2*math.Pi*1500*float64(i)/float64(rate)))
			other[2*i], other[2*i+1] = v, v
		}
		w.publish("main", encoded(t, dir, "a.wav", 44100, 2, sine(1000, 8, 0.2)), encoded(t, dir, "b.wav", rate, 2, other))
		w.grant("main", time.Hour)
		h := w.play(w.player(), Request{Crossfade: 3 * time.Second}, nil)
		if h.err != nil || h.played.Samples != 13*44100 || h.played.Joins != 1 {
			t.Fatalf("%d Hz: %+v %v, want %d samples", rate, h.played, h.err, 13*44100)
		}
		var at []int64
		for _, e := range h.events {
			if e.Kind == NewTrack || e.Kind == EndTrack {
				at = append(at, e.At)
			}
		}
		if want := []int64{0, 5 * 44100, 8 * 44100, 13 * 44100}; fmt.Sprint(at) != fmt.Sprint(want) {
			t.Errorf("%d Hz: events at %d, want %d", rate, at, want)
		}
		x := left16(h.pcm)
		whole := level(x[44100 : 4*44100])
		for i := 44100; i+2205 < 12*44100; i += 441 {
			if d := level(x[i:i+2205]) - whole; math.Abs(d) > 0.5 {
				t.Fatalf("%d Hz: %.2f dB at %.2f s", rate, d, float64(i)/44100)
			}
		}
		if m, at := jerk(x[100 : len(x)-100]); m > 0.011 { // 1.5 kHz at 0.2 alone bends by 0.0091
			t.Errorf("%d Hz: a click of %.4f at %.3f s", rate, m, float64(at)/44100)
		}
	}
}

// Loud tracks together stay below the ceiling that each of them keeps to.
func TestCrossfadeCeiling(t *testing.T) {
	c := newCrossfade(0, 1000, ceiling, ceiling)
	a, dst := make([]float32, 2000), make([]float32, 2000)
	for i := range a {
		a[i] = ceiling
	}
	c.mix(dst, a, a, 0)
	for i, v := range dst {
		if v > ceiling*1.00001 || v < ceiling*0.99 {
			t.Fatalf("frame %d of two at the ceiling is %g", i/2, v)
		}
	}
}

// A set that goes on from track to track is never crossfaded.
func TestContinuous(t *testing.T) {
	base := manifests.Info{Album: "A", Number: 3, Disc: 1, Rate: 44100, Codec: "flac"}
	with := func(f func(*manifests.Info)) *manifests.Info {
		i := base
		i.Number = 4
		f(&i)
		return &i
	}
	for name, c := range map[string]struct {
		b    *manifests.Info
		want bool
	}{
		"next track":                {with(func(*manifests.Info) {}), true},
		"next disc":                 {with(func(i *manifests.Info) { i.Disc, i.Number = 2, 1 }), true},
		"mp3 that says its padding": {with(func(i *manifests.Info) { i.Codec, i.Delay = "mp3", 1105 }), true},
		"mp3 that does not":         {with(func(i *manifests.Info) { i.Codec = "mp3" }), false},
		"another album":             {with(func(i *manifests.Info) { i.Album = "B" }), false},
		"not the next":              {with(func(i *manifests.Info) { i.Number = 5 }), false},
		"another rate":              {with(func(i *manifests.Info) { i.Rate = 48000 }), false},
	} {
		if got := continuous(&base, c.b); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	none := base
	none.Album = ""
	if continuous(&none, with(func(i *manifests.Info) { i.Album = "" })) {
		t.Error("two tracks of no album are one set")
	}
}

// splash is how much of a stretch's power lies outside of a tone at hz, in dB of the tone's. A click is broad; a tone
// that runs through is not.
func splash(x []float64, hz, rate float64) float64 {
	n := len(x)
	w := make([]float64, n)
	for i := range w { // a window whose sides are below -90 dB
		a := 2 * math.Pi * float64(i) / float64(n-1)
		w[i] = x[i] * (0.35875 - 0.48829*math.Cos(a) + 0.14128*math.Cos(2*a) - 0.01168*math.Cos(3*a))
	}
	power := func(f float64) float64 {
		var re, im float64
		for i, v := range w {
			s, c := math.Sincos(2 * math.Pi * f * float64(i) / rate)
			re += v * c
			im += v * s
		}
		return re*re + im*im
	}
	tone, worst := power(hz), 0.0
	for f := 200.0; f < 15000; f += 150 {
		if math.Abs(f-hz) > 300 {
			worst = max(worst, power(f))
		}
	}
	return 10 * math.Log10(worst/tone)
}

// A tone that is cut into tracks of 44.1, 48 and again 44.1 kHz runs through both joins without a click, at a sink of
// either rate. The measure finds one sample too many or too few.
func TestNoClickAtJoins(t *testing.T) {
	const hz = 1000.0
	tone := func(rate, frames int, from float64) []float32 {
		out := make([]float32, 2*frames)
		for i := range frames {
			v := float32(0.5 * math.Sin(2*math.Pi*hz*(from+float64(i)/float64(rate))))
			out[2*i], out[2*i+1] = v, v
		}
		return out
	}
	w := newWorld(t)
	dir := t.TempDir()
	// The lengths are whole numbers of samples at both rates, 147 and 160.
	w.publish("main",
		encoded(t, dir, "1.wav", 44100, 2, tone(44100, 147*200, 0)),
		encoded(t, dir, "2.wav", 48000, 2, tone(48000, 160*200, 200.0/300)),
		encoded(t, dir, "3.wav", 44100, 2, tone(44100, 147*200, 400.0/300)))
	w.grant("main", time.Hour)
	for _, rate := range []int{44100, 48000} {
		h := w.play(w.player(), Request{Rate: rate}, nil)
		if h.err != nil || h.played.Samples != int64(600*rate/300) {
			t.Fatalf("%d Hz: %+v %v", rate, h.played, h.err)
		}
		x := left16(h.pcm)
		for join := 1; join <= 2; join++ {
			at := join * 200 * rate / 300
			clean := splash(x[at-1024:at+1024], hz, float64(rate))
			slip := append(append([]float64{}, x[at-1024:at]...), x[at+1:at+1025]...)
			twice := append(append([]float64{}, x[at-1024:at]...), x[at-1:at+1023]...)
			if clean > -60 {
				t.Errorf("%d Hz, join %d: %.1f dB beside the tone", rate, join, clean)
			}
			for _, y := range [][]float64{slip, twice} {
				if s := splash(y, hz, float64(rate)); s < -50 {
					t.Errorf("%d Hz, join %d: a slip of one sample shows as %.1f dB only", rate, join, s)
				}
			}
		}
	}
}

// Real files of many loudnesses are within half an LU of the target at the sink, as ffmpeg measures it, and below -1 dBTP.
func TestLoudnessAtTheSink(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(4, 4))
	var paths []string
	const n = 6
	for i := range n {
		rate := []int{44100, 48000, 44100}[i%3]
		src := music(rate, 2, 6*rate)
		g := float32(0.05 + 0.4*rnd.Float64())
		for k := range src {
			src[k] *= g
		}
		paths = append(paths, encoded(t, dir, fmt.Sprint(i, []string{".flac", ".mp3", ".wav"}[i%3]), rate, 2, src))
	}
	w.publish("main", paths...)
	w.grant("main", time.Hour)
	h := w.play(w.player(), Request{Loudness: "-20"}, nil)
	if h.err != nil {
		t.Fatal(h.err)
	}
	var at []int64
	for _, e := range h.events {
		if e.Kind == NewTrack || e.Kind == Done {
			at = append(at, e.At)
		}
	}
	re := regexp.MustCompile(`I: +(-?[\d.]+) LUFS`)
	for i := range n {
		cmd := exec.Command("ffmpeg", "-nostats", "-f", "s16le", "-ar", fmt.Sprint(h.info.Rate), "-ac", "2", "-i", "-", "-af", "ebur128=peak=true", "-f", "null", "-")
		cmd.Stdin = bytes.NewReader(h.pcm[4*at[i] : 4*at[i+1]])
		out, err := cmd.CombinedOutput()
		all := re.FindAllSubmatch(out, -1)
		if err != nil || len(all) == 0 {
			t.Fatalf("ffmpeg: %v %s", err, out)
		}
		lufs, err := strconv.ParseFloat(string(all[len(all)-1][1]), 64)
		if err != nil || math.Abs(lufs+20) > 0.5 {
			t.Errorf("track %d is at %.1f LUFS", i, lufs)
		}
		m, err := loudness.New(h.info.Rate, 2)
		if err != nil {
			t.Fatal(err)
		}
		f := make([]float32, 2*(at[i+1]-at[i]))
		pcm.Float(f, h.pcm[4*at[i]:4*at[i+1]], pcm.I16)
		m.Write(f)
		if p := m.TruePeak(); p > -0.9 {
			t.Errorf("track %d has a peak of %.2f dBTP", i, p)
		}
	}
}

// The ring hands over every frame once, in order, and whether it is plain, to a reader that runs beside its writer and goes back now and then.
func TestRing(t *testing.T) {
	r := newRing(1500)
	const total = 200_000
	go func() {
		b := make([]float32, 2*700)
		for at := 0; at < total; {
			n := min(1+at%700, total-at, 1000-at%1000)
			for i := range n {
				b[2*i], b[2*i+1] = float32(at+i), -float32(at+i)
			}
			w := r.write(b[:2*n], at/1000%2 == 0)
			at += w
			if w == 0 {
				<-r.room
			}
		}
		r.end()
	}()
	dst := make([]float32, 2*333)
	for next, rounds := 0, 0; ; rounds++ {
		n, plain := r.take(dst)
		if n == 0 {
			if r.ended() {
				if next != total {
					t.Fatalf("%d frames of %d", next, total)
				}
				return
			}
			<-r.more
			continue
		}
		for i := range n {
			if dst[2*i] != float32(next+i) || dst[2*i+1] != -float32(next+i) {
				t.Fatalf("frame %d is %g", next+i, dst[2*i])
			}
			if plain != ((next+i)/1000%2 == 0) {
				t.Fatalf("frame %d: plain is %v", next+i, plain)
			}
		}
		next += n
		if rounds%5 == 4 && int64(next-100) >= r.floor.Load() {
			next -= 100
			r.seek(int64(next))
		}
		r.raise(int64(next) - 200)
		if r.ended() {
			r.raise(int64(next))
		}
	}
}

// Feeding a sink allocates nothing, whatever the volume does.
func TestFeedAllocatesNothing(t *testing.T) {
	r := newRing(1 << 14)
	tr := newTransport(r, 44100, true, 1)
	tr.sink = newPaced(t.Context(), nullSink{rate: 44100}, time.Hour)
	o := newOutlet(sinkSpec{kind: "null"}, sinkWant{paced: true}, nil)
	b := make([]float32, 2*feedFrames)
	i := 0
	per := testing.AllocsPerRun(200, func() {
		r.write(b, i%2 == 0)
		if i++; i%3 == 0 {
			tr.setVolume(float32(i%10) / 10)
		}
		if _, err := tr.step(context.Background(), o); err != nil {
			t.Fatal(err)
		}
	})
	if per != 0 {
		t.Errorf("%.1f allocations a block", per)
	}
	if per := testing.AllocsPerRun(50, func() {
		tr.setPaused(true)
		tr.step(context.Background(), o)
		tr.setPaused(false)
		tr.step(context.Background(), o)
	}); per != 0 {
		t.Errorf("%.1f allocations a pause", per)
	}
}

// Three tracks come out of a real sound server as they went in, and again when the server is killed and comes back: then
// what was heard before and after are the same music, with at most what the server had in advance between.
func TestPlayThroughPulse(t *testing.T) {
	dir := t.TempDir()
	stop := pulseServer(t, dir, 44100)
	w := newWorld(t)
	piece := music(44100, 2, 8*44100+17)
	paths, _ := album(t, 44100, 2, piece, "1.flac", "2.wav", "3.flac")
	w.publish("main", append([]string{encoded(t, dir, "0.wav", 44100, 2, make([]float32, 2*44100))}, paths...)...)
	w.grant("main", time.Hour)
	want := bytes16(piece)
	for n := 1; ; n++ {
		heard := monitor(t, dir, 44100)
		from := len(heard())
		res, err := w.player().Play(t.Context(), Request{Name: string(w.name()), Sink: "pulse:cap", Once: true, Latency: testLatency}, func(e Event) {
			if e.Kind == Failed {
				t.Log(e.Err)
			}
		})
		if err != nil || res.Samples != 9*44100+17 || res.Joins != 3 {
			t.Fatalf("%+v %v", res, err)
		}
		if bytes.Contains(heard()[from:], want) {
			break
		}
		if n == 4 {
			t.Fatal("what was heard is not what was published")
		}
	}
	heard := monitor(t, dir, 44100)
	begun := make(chan struct{})
	done := make(chan error, 1)
	var res Played
	hearing := make(chan struct{})
	go func() {
		var err error
		n := 0
		p := w.player()
		opened := 0
		p.open = func(ctx context.Context, spec sinkSpec, want sinkWant) (Sink, error) {
			if opened++; opened > 1 { // the server changes its blocks for who begins to hear, and what sounds then is cut
				<-hearing
			}
			return spec.open(ctx, want)
		}
		res, err = p.Play(t.Context(), Request{Name: string(w.name()), Sink: "pulse:cap", Once: true, Latency: 2 * time.Second}, func(e Event) {
			if e.Kind == NewTrack {
				if n++; n == 2 {
					close(begun)
				}
			}
		})
		done <- err
	}()
	<-begun
	until(t, func() bool {
		h := heard()
		for piece := range slices.Chunk(want[:4*22050], 22050) {
			if bytes.Contains(h, piece) {
				return true
			}
		}
		return false
	})
	stop()
	pulseServer(t, dir, 44100)
	second := monitor(t, dir, 44100)
	close(hearing)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	tail := second()
	tail = tail[(len(tail)-len(bytes.TrimLeft(tail, "\x00")))/4*4:] // whole frames
	tail = tail[:(len(bytes.TrimRight(tail, "\x00"))+3)/4*4]
	i := bytes.Index(want, tail[:min(len(tail), 64)])
	if i < 0 || len(tail) < 44100 || !bytes.HasPrefix(want[i:], tail) {
		same := 0
		for i >= 0 && same < min(len(tail), len(want)-i) && tail[same] == want[i+same] {
			same++
		}
		t.Errorf("after the server came back %d bytes were heard, the music's own from %d on for %d bytes", len(tail), i, same)
	}
	if res.Samples > 9*44100+17 {
		t.Errorf("%d samples were handed out", res.Samples)
	}
}

// The same through libasound.
func TestPlayThroughALSA(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.raw")
	alsaConf(t, fmt.Sprintf("pcm_type.x {}\npcm.nil { type null }\npcm.out { type file slave.pcm nil file %q format raw }\n", out))
	w := newWorld(t)
	piece := music(44100, 2, 3*44100+17)
	paths, _ := album(t, 44100, 2, piece, "1.flac", "2.wav", "3.flac")
	// A card without a pace is known as one after a second.
	w.publish("main", append([]string{encoded(t, t.TempDir(), "0.wav", 44100, 2, make([]float32, 2*3*44100))}, paths...)...)
	w.grant("main", time.Hour)
	res, err := w.player().Play(t.Context(), Request{Name: string(w.name()), Sink: "alsa:out", Once: true}, func(Event) {})
	if err != nil || res.Joins != 3 {
		t.Fatalf("%+v %v", res, err)
	}
	if heard := content(t, out); !bytes.Contains(heard, bytes16(piece)) {
		t.Errorf("%d bytes were heard, and not what was published", len(heard))
	}
}
