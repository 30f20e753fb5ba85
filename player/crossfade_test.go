package player

import (
	"fmt"
	"math"
	"os/exec"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
	"playnode/publisher"
)

// mixed has the DJ say how a playlist is mixed.
func (w *world) mixed(label string, fade time.Duration, album bool) {
	w.t.Helper()
	if _, err := w.dj.SetMixing(w.t.Context(), publisher.MixTerms{Playlist: label, Fade: &fade, Album: &album}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) cue(label string, track cid.Cid, in, out time.Duration) {
	w.t.Helper()
	terms := publisher.CueTerms{Playlist: label, Track: track}
	if in > 0 {
		terms.In = &in
	}
	if out > 0 {
		terms.Out = &out
	}
	if _, err := w.dj.SetCue(w.t.Context(), terms); err != nil {
		w.t.Fatal(err)
	}
}

// tagged is a track of an album; number 0 is of none.
func tagged(t *testing.T, album string, number int, sound []float32) string {
	t.Helper()
	path := encoded(t, t.TempDir(), fmt.Sprint("track ", number, ".flac"), 44100, 2, sound)
	if number > 0 {
		cmd := exec.Command("metaflac", "--set-tag=ALBUM="+album, fmt.Sprint("--set-tag=TRACKNUMBER=", number), path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v %s", cmd.Args, err, out)
		}
	}
	return path
}

// begins are the places at which tracks begin, and at which all is over.
func (h heard) begins() (at []int64) {
	for _, e := range h.events {
		if e.Kind == NewTrack || e.Kind == Done {
			at = append(at, e.At)
		}
	}
	return at
}

// What a playlist says is what is heard where the request leaves it to that, and nowhere else.
func TestCrossfadeAsThePlaylistSays(t *testing.T) {
	w, _ := tones(t, 3, 1000, 1500)
	const s = 44100
	for _, c := range []struct {
		says time.Duration
		req  Request
		want []int64
	}{
		{0, Request{Mixed: true}, []int64{0, 3 * s, 6 * s}},
		{time.Second, Request{}, []int64{0, 3 * s, 6 * s}},
		{time.Second, Request{Mixed: true}, []int64{0, 2 * s, 5 * s}},
		{time.Second, Request{Mixed: true, Crossfade: time.Second / 2}, []int64{0, 2 * s, 5 * s}},
		{time.Second, Request{Crossfade: time.Second / 2}, []int64{0, 5 * s / 2, 11 * s / 2}},
	} {
		w.mixed("main", c.says, false)
		h := w.play(w.player(), c.req, nil)
		if h.err != nil || fmt.Sprint(h.begins()) != fmt.Sprint(c.want) {
			t.Errorf("%s and %+v: tracks at %d, want %d: %v", c.says, c.req, h.begins(), c.want, h.err)
		}
	}
}

// A crossfade lies where the cues are, to the sample: what is before the one's in and behind the other's out is not heard.
func TestCrossfadeAtTheCues(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	const s = 44100
	loud := sine(1000, 6, 0.2)
	for i := 2 * 4 * s; i < len(loud); i++ { // from 4 s on something that must not be heard
		loud[i] = 0.4
	}
	late := sine(1500, 9, 0.2)
	for i := range 2 * 3 * s { // up to 3 s likewise, more than a deck decodes ahead
		late[i] = 0.4
	}
	ids := w.publish("main", encoded(t, dir, "a.wav", s, 2, loud), encoded(t, dir, "b.wav", s, 2, late))
	w.grant("main", time.Hour)
	w.mixed("main", time.Second, false)
	w.cue("main", ids[0], 0, 4*time.Second)
	w.cue("main", ids[1], 3*time.Second, 0)
	h := w.play(w.player(), Request{Mixed: true}, nil)
	if want := []int64{0, 3 * s, 9 * s}; h.err != nil || h.played.Joins != 1 || fmt.Sprint(h.begins()) != fmt.Sprint(want) {
		t.Fatalf("%+v at %d, want %d: %v", h.played, h.begins(), want, h.err)
	}
	x := left16(h.pcm)
	whole := level(x[s : 2*s])
	for i := s; i+2205 < 8*s; i += 441 {
		if d := level(x[i:i+2205]) - whole; math.Abs(d) > 0.5 {
			t.Fatalf("%.2f dB at %.2f s", d, float64(i)/s)
		}
	}
	if m, at := jerk(x[100 : len(x)-100]); m > 0.011 {
		t.Errorf("a click of %.4f at %.3f s", m, float64(at)/s)
	}
	// The cues act in a crossfade alone.
	if h := w.play(w.player(), Request{}, nil); h.played.Samples != 15*s {
		t.Errorf("without a crossfade %d samples are heard", h.played.Samples)
	}
}

// A continuous set is never laid over itself, whatever its DJ says of cues and crossfades; the track after it is.
func TestNoCrossfadeInsideASet(t *testing.T) {
	w := newWorld(t)
	ids := w.publish("main", tagged(t, "Album", 1, sine(1000, 5, 0.2)), tagged(t, "Album", 2, sine(1000, 5, 0.2)), tagged(t, "", 0, sine(1500, 5, 0.2)))
	w.grant("main", time.Hour)
	w.mixed("main", time.Second, false)
	w.cue("main", ids[0], 0, 4*time.Second)
	w.cue("main", ids[1], time.Second, 0)
	h := w.play(w.player(), Request{Mixed: true}, nil)
	const s = 44100
	if want := []int64{0, 5 * s, 9 * s, 14 * s}; h.err != nil || fmt.Sprint(h.begins()) != fmt.Sprint(want) {
		t.Fatalf("tracks at %d, want %d: %v", h.begins(), want, h.err)
	}
}

// Silence at a track's ends is left out of a crossfade where its DJ says nothing, and only as much as is surely that.
func TestSilenceIsNotCrossfaded(t *testing.T) {
	wave := func(silentFirst, silentLast int) []byte {
		w := make([]byte, 3000)
		for b := silentFirst; b < 1000-silentLast; b++ {
			w[3*b+2] = 9
		}
		return w
	}
	entry := &manifests.Entry{Track: cid.NewCidV1(cid.Raw, []byte{0x12, 0x20, 31: 0, 33: 0})}
	at := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		wave     []byte
		cue      *manifests.Cue
		from, to int64
	}{
		"sound throughout":           {wave(0, 0), nil, 0, 441_000},
		"silence at both ends":       {wave(3, 100), nil, 1323, 396_900},
		"nothing but silence":        {wave(1000, 0), nil, 0, 441_000},
		"no waveform":                {nil, nil, 0, 441_000},
		"a cue goes before it":       {wave(3, 100), &manifests.Cue{In: at(0), Out: at(441_000)}, 0, 441_000},
		"one bound":                  {wave(3, 100), &manifests.Cue{Out: at(2000)}, 1323, 2000},
		"in at the end":              {wave(0, 0), &manifests.Cue{In: at(441_000)}, 0, 441_000},
		"in beyond the end":          {wave(0, 0), &manifests.Cue{In: at(manifests.MaxInt)}, 0, 441_000},
		"out beyond the end":         {wave(0, 0), &manifests.Cue{Out: at(441_001)}, 0, 441_000},
		"both beyond the end":        {wave(0, 0), &manifests.Cue{In: at(manifests.MaxInt - 1), Out: at(manifests.MaxInt)}, 0, 441_000},
		"in behind the last sound":   {wave(0, 900), &manifests.Cue{In: at(400_000)}, 0, 441_000},
		"a waveform that ends early": {wave(3, 0)[:1000], nil, 3972, 441_000},
	} {
		it := item{entry: entry, mixing: &manifests.Mixing{}}
		if c.cue != nil {
			it.mixing.Cues = map[cid.Cid]manifests.Cue{entry.Track: *c.cue}
		}
		from, to := it.bounds(&manifests.Info{Rate: 44100, Waveform: c.wave}, 441_000)
		if from != c.from || to != c.to {
			t.Errorf("%s: from %d to %d, want %d to %d", name, from, to, c.from, c.to)
		}
	}
	// Long silence is music.
	if from, to := sounding(&manifests.Info{Rate: 1000, Waveform: wave(400, 300)}, 100_000); from != 10_000 || to != 90_000 {
		t.Errorf("of 40 and 30 s of silence %d and %d ms are left out", from, 100_000-to)
	}
}

// A DJ's hostile cues and crossfades stop no music and lose none of it: a cue that no honest publisher writes.
func TestHostileCues(t *testing.T) {
	w, _ := tones(t, 2, 1000, 1500)
	w.mixed("main", time.Second, false)
	huge, small := int64(manifests.MaxInt), int64(1)
	p := w.player()
	for _, q := range []manifests.Cue{{In: &huge}, {Out: &huge}, {In: new(int64), Out: &small}, {Out: &small}} {
		g, err := p.program(t.Context(), Request{Name: string(w.name())})
		if err != nil {
			t.Fatal(err)
		}
		for i := range g.passes[0].items { // as if it had come sealed
			it := &g.passes[0].items[i]
			it.mixing = &manifests.Mixing{Fade: manifests.MaxFade, Cues: map[cid.Cid]manifests.Cue{it.entry.Track: q}}
		}
		g.close()
		h := w.play(p, Request{Mixed: true}, nil)
		if h.err != nil || h.played.Skipped > 0 || h.played.Joins != 1 || h.played.Samples > 4*44100 || h.played.Samples < 3*44100 {
			t.Errorf("%v: %+v %v", q, h.played, h.err)
		}
	}
}
