package player

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"playnode/internal/audio/loudness"
	"playnode/internal/audio/pcm"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
)

// A continuous piece, cut and published as FLAC and WAV, is heard as it was, bit for bit, with every event at its sample.
func TestLosslessJoins(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := newWorld(t)
	piece := music(44100, 2, 150_003)
	paths, cuts := album(t, 44100, 2, piece, "1.flac", "2.wav", "3.flac", "4.wav")
	cids := w.publish("main", paths...)
	w.grant("main", 24*time.Hour)
	h := w.play(w.player(), Request{}, nil)
	if h.err != nil {
		t.Fatal(h.err)
	}
	if !bytes.Equal(h.pcm, bytes16(piece)) {
		t.Fatal("what was heard is not what was published")
	}
	if want := (Played{Samples: 150_003, Joins: 3}); h.played != want {
		t.Errorf("%+v, want %+v", h.played, want)
	}
	if want := []Kind{Started, NewTrack, EndTrack, NewTrack, EndTrack, NewTrack, EndTrack, NewTrack, EndTrack, Done}; !slices.Equal(h.kinds(), want) {
		t.Fatalf("events %v", h.kinds())
	}
	for i := range 4 {
		begin, end := h.events[1+2*i], h.events[2+2*i]
		if begin.At != int64(cuts[i]) || end.At != int64(cuts[i+1]) || begin.CID != cids[i].String() || begin.Rate != 44100 {
			t.Errorf("track %d: %+v to %+v, want %d to %d", i, begin, end, cuts[i], cuts[i+1])
		}
	}
}

// mp3 joins: not one sample too many or too few.
func TestMP3Joins(t *testing.T) {
	w := newWorld(t)
	piece := music(48000, 2, 150_001)
	paths, cuts := album(t, 48000, 2, piece, "1.mp3", "2.mp3", "3.mp3")
	w.publish("main", paths...)
	w.grant("main", 24*time.Hour)
	h := w.play(w.player(), Request{}, nil)
	if h.err != nil || h.played != (Played{Samples: 150_001, Joins: 2}) || h.info.Rate != 48000 {
		t.Fatalf("%+v %+v %v", h.played, h.info, h.err)
	}
	got := make([]float32, len(piece))
	pcm.Float(got, h.pcm, pcm.I16)
	// Every track lies where it lay, to the sample.
	for i := range 3 {
		a, b := 2*cuts[i]+4000, 2*cuts[i+1]-4000
		rms := func(shift int) (sum float64) {
			for k := a; k < b; k++ {
				d := float64(got[k+shift] - piece[k])
				sum += d * d
			}
			return sum
		}
		if here := rms(0); here > 0.8*rms(2) || here > 0.8*rms(-2) {
			t.Errorf("track %d is not in its place", i)
		}
	}
}

// Other rates are brought to the first track's; counts are exact and a tone runs through without a click.
func TestRatesMix(t *testing.T) {
	w := newWorld(t)
	tone := func(rate, frames int, from float64) []float32 {
		out := make([]float32, 2*frames)
		for i := range frames {
			v := float32(0.5 * math.Sin(2*math.Pi*1000*(from+float64(i)/float64(rate))))
			out[2*i], out[2*i+1] = v, v
		}
		return out
	}
	dir := t.TempDir()
	a := encoded(t, dir, "1.wav", 44100, 2, tone(44100, 44100, 0))
	b := encoded(t, dir, "2.wav", 48000, 2, tone(48000, 24001, 1))
	c := encoded(t, dir, "3.wav", 48000, 2, tone(48000, 24002, 1+24001.0/48000))
	d := encoded(t, dir, "4.wav", 44100, 2, tone(44100, 10000, 1+48003.0/48000))
	w.publish("main", a, b, c, d)
	w.grant("main", 24*time.Hour)
	h := w.play(w.player(), Request{}, nil)
	middle := int64(math.Round(48003 * 44100.0 / 48000))
	if want := int64(44100 + middle + 10000); h.err != nil || h.played.Samples != want || h.info.Frames != want || h.played.Joins != 3 {
		t.Fatalf("%+v, want %d samples: %v", h.played, want, h.err)
	}
	var at []int64
	for _, e := range h.events {
		if e.Kind == NewTrack || e.Kind == Done {
			at = append(at, e.At)
		}
	}
	inside := int64(math.Round(24001 * 44100.0 / 48000))
	if want := []int64{0, 44100, 44100 + inside, 44100 + middle, h.info.Frames}; !slices.Equal(at, want) {
		t.Errorf("tracks begin at %d, want %d", at, want)
	}
	got := make([]float32, len(h.pcm)/2)
	pcm.Float(got, h.pcm, pcm.I16)
	want := tone(44100, int(h.info.Frames), 0)
	for i := range want {
		if e := math.Abs(float64(got[i] - want[i])); e > 0.02 {
			t.Fatalf("sample %d: off by %g", i/2, e)
		}
	}
	// The join inside the resampled stretch costs nothing at all.
	join := 2 * int(44100+inside)
	for i := join - 400; i < join+400; i++ {
		if e := math.Abs(float64(got[i] - want[i])); e > 1e-4 {
			t.Fatalf("sample %d, at the join: off by %g", i/2, e)
		}
	}
	if h := w.play(w.player(), Request{Rate: 48000}, nil); h.info.Rate != 48000 || h.err != nil {
		t.Errorf("--rate 48000 gives %d, %v", h.info.Rate, h.err)
	}
}

// Mono is heard on both sides, and 24 bits are rounded once.
func TestMono(t *testing.T) {
	w := newWorld(t)
	src := music(44100, 1, 30_000)
	w.publish("main", encoded(t, t.TempDir(), "m.flac", 44100, 1, src))
	w.grant("main", time.Hour)
	h := w.play(w.player(), Request{}, nil)
	want := make([]float32, 2*len(src))
	pcm.Stereo(want, src, 1)
	if !bytes.Equal(h.pcm, bytes16(want)) {
		t.Error("mono came out otherwise")
	}
}

func TestLoudness(t *testing.T) {
	for _, ch := range []int{1, 2} {
		w := newWorld(t)
		src := music(44100, ch, 2*44100)
		for i := range src {
			src[i] *= 0.2
		}
		w.publish("main", encoded(t, t.TempDir(), "q.wav", 44100, ch, src))
		w.grant("main", time.Hour)
		for _, target := range []string{"-18", "-23"} {
			h := w.play(w.player(), Request{Loudness: target}, nil)
			got := make([]float32, len(h.pcm)/2)
			pcm.Float(got, h.pcm, pcm.I16)
			m, err := loudness.New(44100, 2)
			if err != nil {
				t.Fatal(err)
			}
			m.Write(got)
			want := map[string]float64{"-18": -18, "-23": -23}[target]
			if l, p := m.Loudness(), m.TruePeak(); math.Abs(l-want) > 0.5 && p < -1.1 || p > -0.9 {
				t.Errorf("%d channels, target %s: %.2f LUFS, %.2f dBTP", ch, target, l, p)
			}
		}
	}
	if _, err := parseLoudness("loud"); err == nil {
		t.Error("a loudness of words was taken")
	}
	quiet := &manifests.Info{Loudness: &manifests.Loudness{Integrated: -30_000, Peak: -2_000}, Rate: 44100, Channels: 2, Samples: 1}
	if g := levelOf(quiet).gain(-16); math.Abs(20*math.Log10(float64(g))-1) > 0.001 {
		t.Errorf("a track of -30 LUFS and -2 dBTP is raised by %.2f dB, want 1", 20*math.Log10(float64(g)))
	}
}

// Without a lease nothing is opened and nothing is heard.
func TestNoLease(t *testing.T) {
	w := newWorld(t)
	paths, _ := album(t, 44100, 2, music(44100, 2, 20_000), "1.wav")
	w.publish("main", paths...)
	h := w.play(w.player(), Request{}, nil)
	if !errors.Is(h.err, lease.ErrNoLease) || len(h.events) != 0 || h.pcm != nil || h.info.Rate != 0 {
		t.Errorf("%v, events %v, %d bytes", h.err, h.kinds(), len(h.pcm))
	}
	w.grant("main", time.Hour)
	w.pass(8 * 24 * time.Hour)
	if h = w.play(w.player(), Request{}, nil); !errors.Is(h.err, lease.ErrLapsed) || len(h.events) != 0 || h.info.Rate != 0 {
		t.Errorf("lapsed: %v, events %v", h.err, h.kinds())
	}
}

// A lease that runs on while its DJ is away for longer than its keys reach:
// play says that, and not that it has lapsed.
func TestKeysEndBeforeTheLease(t *testing.T) {
	w := newWorld(t)
	paths, _ := album(t, 44100, 2, music(44100, 2, 20_000), "1.wav")
	w.publish("main", paths...)
	w.grant("main", 120*24*time.Hour)
	w.pass(44 * 24 * time.Hour)
	if h := w.play(w.player(), Request{}, nil); h.err != nil {
		t.Fatalf("after 44 days: %v", h.err)
	}
	w.pass(16 * 24 * time.Hour)
	h := w.play(w.player(), Request{}, nil)
	if !errors.Is(h.err, lease.ErrKeysEnded) || !errors.Is(h.err, lease.ErrLapsed) || h.info.Rate != 0 {
		t.Fatalf("after 60 days: %v, events %v", h.err, h.kinds())
	}
	if say := h.err.Error(); strings.Contains(say, "lapsed") || !strings.Contains(say, "next version") {
		t.Errorf("play says %q", say)
	}
}

// A lease that lapses in the middle: the track ends, and nothing further starts.
func TestLapseInTheMiddle(t *testing.T) {
	w := newWorld(t)
	piece := music(44100, 2, 200_000)
	paths, cuts := album(t, 44100, 2, piece, "1.wav", "2.wav", "3.wav")
	w.publish("main", paths...)
	w.grant("main", time.Hour)
	tracks := 0
	h := w.play(w.player(), Request{}, func(e Event) {
		if e.Kind == NewTrack {
			if tracks++; tracks == 2 {
				w.pass(30 * 24 * time.Hour)
			}
		}
	})
	if !errors.Is(h.err, lease.ErrLapsed) {
		t.Errorf("ends with %v", h.err)
	}
	if !bytes.Equal(h.pcm, bytes16(piece[:2*cuts[2]])) {
		t.Errorf("%d frames were heard, want %d", len(h.pcm)/4, cuts[2])
	}
	if want := []Kind{Started, NewTrack, EndTrack, NewTrack, EndTrack, Lapsed, Done}; !slices.Equal(h.kinds(), want) {
		t.Errorf("events %v", h.kinds())
	}
}

// leaves are a track's, in order.
func (w *world) leaves(c cid.Cid) []cid.Cid {
	w.t.Helper()
	p := w.player()
	cat, err := catalogues{w}.Newest(w.name())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range cat.Selections {
		for _, e := range s.Entries {
			if e.Track == c {
				f, err := p.openFile(w.t.Context(), e, within(w.clock(), 0))
				if err != nil {
					w.t.Fatal(err)
				}
				var out []cid.Cid
				for _, l := range f.tree.Leaves {
					out = append(out, l.CID)
				}
				return out
			}
		}
	}
	w.t.Fatalf("no track %s", c)
	return nil
}

// Missing and damaged blocks skip their track; what was handed out before is right.
func TestBadBlocks(t *testing.T) {
	defer goleak.VerifyNone(t)
	piece := music(44100, 2, 600_000)
	for name, hurt := range map[string]func(w *world, leaves []cid.Cid){
		"first leaf missing": func(w *world, l []cid.Cid) { delete(w.blocks, l[0]) },
		"last leaf missing":  func(w *world, l []cid.Cid) { delete(w.blocks, l[len(l)-1]) },
		"middle missing":     func(w *world, l []cid.Cid) { delete(w.blocks, l[len(l)/2]) },
		"middle flipped": func(w *world, l []cid.Cid) {
			b := bytes.Clone(w.blocks[l[len(l)/2]])
			b[1000] ^= 1
			w.blocks[l[len(l)/2]] = b
		},
		"middle short": func(w *world, l []cid.Cid) { w.blocks[l[len(l)/2]] = w.blocks[l[len(l)/2]][:100] },
		"never comes": func(w *world, l []cid.Cid) {
			w.hook = func(c cid.Cid, b []byte) ([]byte, error) {
				if c == l[len(l)/2] {
					return nil, context.DeadlineExceeded
				}
				return b, nil
			}
		},
	} {
		w := newWorld(t)
		paths, cuts := album(t, 44100, 2, piece, "1.wav", "2.wav", "3.wav")
		cids := w.publish("main", paths...)
		w.grant("main", time.Hour)
		hurt(w, w.leaves(cids[1]))
		h := w.play(w.player(), Request{}, nil)
		if h.err != nil || h.played.Skipped != 1 {
			t.Errorf("%s: %+v %v", name, h.played, h.err)
			continue
		}
		a, b, c := bytes16(piece[:2*cuts[1]]), bytes16(piece[2*cuts[1]:2*cuts[2]]), bytes16(piece[2*cuts[2]:])
		rest, ok := bytes.CutPrefix(h.pcm, a)
		part, ok2 := bytes.CutSuffix(rest, c)
		if !ok || !ok2 || !bytes.HasPrefix(b, part) {
			t.Errorf("%s: a wrong sample was heard", name)
		}
		if i := slices.Index(h.kinds(), Failed); i < 0 || h.events[i].CID != cids[1].String() || h.events[i].Err == nil {
			t.Errorf("%s: events %v", name, h.kinds())
		}
	}
}

// A block that was not there when it was first asked for, and came before its turn, is heard.
func TestLateBlock(t *testing.T) {
	w := newWorld(t)
	piece := music(44100, 2, 150_000)
	paths, _ := album(t, 44100, 2, piece, "1.wav", "2.wav")
	cids := w.publish("main", paths...)
	w.grant("main", time.Hour)
	first := w.leaves(cids[1])[0]
	var asked atomic.Int32
	w.hook = func(c cid.Cid, b []byte) ([]byte, error) {
		if c == first && asked.Add(1) == 1 {
			return nil, node.ErrNotFound
		}
		return b, nil
	}
	if h := w.play(w.player(), Request{}, nil); h.err != nil || !bytes.Equal(h.pcm, bytes16(piece)) {
		t.Errorf("%+v %v", h.played, h.err)
	}
}

// Every read says what it is for: the playhead's leaf now, later ones by when they are heard.
func TestWants(t *testing.T) {
	w := newWorld(t)
	paths, _ := album(t, 44100, 2, music(44100, 2, 1_000_000), "1.wav")
	cids := w.publish("main", paths...)
	w.grant("main", time.Hour)
	leaves := w.leaves(cids[0])
	clear(w.wants)
	if h := w.play(w.player(), Request{}, nil); h.err != nil {
		t.Fatal(h.err)
	}
	if got := w.wants[leaves[0]]; len(got) == 0 || got[0].Class != node.Now || !got[0].Deadline.Equal(w.clock()) {
		t.Errorf("the first leaf: %+v", got)
	}
	later := w.wants[leaves[3]]
	if len(later) != 1 || later[0].Class != node.Next {
		t.Fatalf("the fourth leaf: %+v", later)
	}
	if in := later[0].Deadline.Sub(w.clock()).Seconds(); in < 1 || in > 6 {
		t.Errorf("the fourth leaf is wanted in %.1f s; a leaf lasts 1.5", in)
	}
}

// The end of ctx ends a Play at once, with a file whose sizes are right.
func TestCancel(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := newWorld(t)
	paths, _ := album(t, 44100, 2, music(44100, 2, 500_000), "1.wav", "2.wav")
	w.publish("main", paths...)
	w.grant("main", time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "x.wav")
	var kinds []Kind
	_, err := w.player().Play(ctx, Request{Name: string(w.name()), Sink: "wav:" + path, Once: true, Paced: true}, func(e Event) {
		kinds = append(kinds, e.Kind)
		if e.Kind == NewTrack {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || kinds[len(kinds)-1] != Done {
		t.Errorf("%v, events %v", err, kinds)
	}
	if st, err := os.Stat(path); err != nil || st.Size() < 44 {
		t.Errorf("%v %v", st, err)
	}
}

// A sink that fails ends a Play at once, whatever the next track waits for.
func TestSinkFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	w := newWorld(t)
	paths, _ := album(t, 44100, 2, music(44100, 2, 150_000), "1.wav", "2.wav")
	cids := w.publish("main", paths...)
	w.grant("main", time.Hour)
	second := w.leaves(cids[1])[0]
	p, err := New(Config{Catalogues: catalogues{w}, Leases: w.venue, Fetch: stuck{w, second}, Now: w.clock, Patience: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Play(t.Context(), Request{Name: string(w.name()), Sink: "wav:" + filepath.Join(t.TempDir(), "no", "dir.wav"), Once: true}, func(Event) {})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ends with %v", err)
	}
}

// stuck is a fetch that waits for one block for ever.
type stuck struct {
	*world
	block cid.Cid
}

func (s stuck) Get(ctx context.Context, c cid.Cid, want node.Want) ([]byte, error) {
	if c == s.block {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.world.Get(ctx, c, want)
}

// The order is the playlist's; other playlists of the name are left alone unless all were asked for.
func TestPlaylists(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	var paths []string
	for i, name := range []string{"a.wav", "b.wav", "c.wav"} {
		s := music(44100, 2, 9_000+i)
		paths = append(paths, encoded(t, dir, name, 44100, 2, s[i:]))
	}
	w.publish("one", paths[2], paths[0])
	w.publish("two", paths[1])
	w.grant("one", time.Hour)
	h := w.play(w.player(), Request{Name: string(w.name()) + "/one"}, nil)
	if h.err != nil || h.played.Joins != 1 {
		t.Fatalf("%+v %v", h.played, h.err)
	}
	if h := w.play(w.player(), Request{Name: string(w.name()) + "/two"}, nil); !errors.Is(h.err, lease.ErrNoLease) {
		t.Errorf("two: %v", h.err)
	}
	all := w.play(w.player(), Request{}, nil)
	if all.err != nil || !reflect.DeepEqual(all.pcm, h.pcm) {
		t.Errorf("all of the name: %v", all.err)
	}
	if h := w.play(w.player(), Request{Name: string(w.name()) + "/none"}, nil); h.err == nil || errors.Is(h.err, lease.ErrNoLease) {
		t.Errorf("none: %v", h.err)
	}
}
