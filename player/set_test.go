package player

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/lease"
	"playnode/publisher"
)

// find is where a stretch of sound begins in x, from a place on; -1 where it is not in it.
func find(x, what []float64, from int) int {
	for i := from; i+len(what) <= len(x); i++ {
		if x[i] == what[0] && slices.Equal(x[i:i+len(what)], what) {
			return i
		}
	}
	return -1
}

// differs is where x is not sound, but for a rounding to 16 bits; -1 where it is.
func differs(x []float64, sound []float32) int {
	for i := range sound[:min(len(sound)/2, len(x))] {
		if math.Abs(x[i]-float64(sound[2*i])) > 1e-4 {
			return i
		}
	}
	return -1
}

const fadeFrames = 1102 // 25 ms

// A set that goes on air is put in place of the track that sounds, and the next track follows its last sample. Of none
// of them a sample is lost or doubled, but for the fade of the cut.
func TestASetBetweenTracks(t *testing.T) {
	w, cids := tones(t, 9, 200, 300)
	tp := w.air("main", 7.3, nil)
	synctest.Test(t, func(t *testing.T) {
		s := w.broadcast(tp, 5*time.Second)
		r := tuned(t, w, s, Request{})
		defer r.end()
		wait(9 * time.Second)
		on := r.State()
		wait(10 * time.Second)
		x := r.room.left()
		at := find(x, tp.sound[:1000], 0)
		if at < 0 {
			t.Fatalf("the set is not heard from its first sample on: %+v, %+v", on, r.events)
		}
		if i := differs(x[:at-1280], sine(200, 9, 0.25)); i >= 0 {
			t.Errorf("before the set the track is another at sample %d of %d", i, at)
		}
		if n := len(tp.sound); !slices.Equal(x[at:at+n], tp.sound) {
			t.Error("the set is not heard as it was")
		} else if i := differs(x[at+n:], sine(300, 9, 0.25)); i >= 0 {
			t.Errorf("%d samples behind the set the next track is another", i)
		}
		if m, at := jerk(x[:at]); m > 0.015 {
			t.Errorf("a click of %.3f at %.3f s", m, float64(at)/44100)
		}
		if st := r.State(); st.CID != cids[1].String() || st.Live != nil {
			t.Errorf("behind the set: %+v", st)
		}
		lag := time.Duration(float64(at)/44100*float64(time.Second)) - s.on
		switch l := on.Live; {
		case l == nil || on.CID != "" || on.State != "playing":
			t.Errorf("on air: %+v", on)
		case l.Lag < lag-10*time.Millisecond || l.Lag > lag+150*time.Millisecond || lag < 2*time.Second || lag > 3*time.Second:
			t.Errorf("the lag is said to be %s, and is %s", l.Lag, lag)
		case l.Target != 2*time.Second && !near(l.Target, 2*time.Second), l.Buffer < 800*time.Millisecond || l.Buffer > 2500*time.Millisecond:
			t.Errorf("%+v", l)
		case l.Text != "one", on.Title != "one":
			t.Errorf("%q is on", l.Text)
		}
		var kinds []Kind
		var texts []string
		for _, e := range r.events {
			kinds = append(kinds, e.Kind)
			if e.Kind == OnAir {
				texts = append(texts, e.Title)
			}
		}
		if want := []Kind{Started, NewTrack, EndTrack, NewTrack, OnAir, OnAir, EndTrack, NewTrack}; !slices.Equal(kinds, want) || !slices.Equal(texts, []string{"one", "four"}) {
			t.Errorf("told %v %q", kinds, texts)
		}
		if n := r.count(Underrun); n > 0 {
			t.Errorf("%d underruns", n)
		}
	})
}

// What is missing is silence of its length, faded; bytes that are not what they should be are missing.
func TestASetWithGaps(t *testing.T) {
	w, _ := tones(t, 1, 200)
	tp := w.air("main", 8.3, nil)
	bad := bytes.Clone(tp.items[6].Sealed) // segment 5
	bad[len(bad)/2] ^= 1
	tp.items[6].Sealed = bad
	synctest.Test(t, func(t *testing.T) {
		s := w.broadcast(tp, time.Second)
		s.lost[3] = true
		r := tuned(t, w, s, Request{Live: OnlySets})
		err := <-r.done
		r.done <- err
		x := r.room.left()
		at := find(x, tp.sound[:1000], 0)
		if at < 0 || err != nil || len(x) != at+len(tp.sound) {
			for k := 0; k < len(tp.sound); k += 22050 {
				if n := min(1000, len(tp.sound)-k); find(x, tp.sound[k:k+n], 0) != k {
					t.Logf("%d at %d", k, find(x, tp.sound[k:k+n], 0))
				}
			}
			t.Fatalf("at %d, %d of %d samples, %v", at, len(x)-at, len(tp.sound), err)
		}
		x = x[at:]
		last := 0
		for _, n := range []int{3, 5} {
			var from, to int
			for _, it := range tp.items {
				if it.Head != nil && it.Head.Seq == uint64(n) {
					to = int(math.Round(it.at.Seconds() * 44100))
				} else if it.Head != nil && it.Head.Seq == uint64(n-1) {
					from = int(math.Round(it.at.Seconds() * 44100))
				}
			}
			for from%4096 != 0 { // frames of FLAC have so many
				from--
			}
			for to%4096 != 0 {
				to--
			}
			if !slices.Equal(x[last:from-fadeFrames], tp.sound[last:from-fadeFrames]) {
				t.Errorf("before segment %d it is not heard as it was", n)
			}
			for i := from; i < to; i++ {
				if x[i] != 0 {
					t.Fatalf("segment %d is not silent at %d of %d", n, i-from, to-from)
				}
			}
			last = to + fadeFrames
		}
		if !slices.Equal(x[last:], tp.sound[last:]) {
			t.Error("after the gaps it is not heard as it was")
		}
		if e := r.events[len(r.events)-1]; e.Kind != Done || e.Played.Skipped > 0 {
			t.Errorf("%+v", e)
		}
		if m := r.events[len(r.events)-3].Reception; m == nil || m.Missing != 2 {
			t.Errorf("missing: %+v", r.events[len(r.events)-3])
		}
	})
}

// Where the line stalls for a moment the set waits, and then has more in advance; where it stalls for long the playlist
// goes on within a second, until the set is back.
func TestASetThatStalls(t *testing.T) {
	w, _ := tones(t, 11, 200, 300)
	tp := w.air("main", 15.3, nil)
	for _, c := range []struct {
		name  string
		stall time.Duration
	}{{"for a moment", 2500 * time.Millisecond}, {"for long", 7 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := w.broadcast(tp, 3*time.Second)
				s.delay = func(i int) time.Duration {
					return max(0, min(c.stall, c.stall-(tp.items[i].at-6*time.Second))) * time.Duration(min(1, i/7))
				}
				r := tuned(t, w, s, Request{})
				defer r.end()
				wait(20 * time.Second)
				st := r.State()
				x := r.room.left()
				at := find(x, tp.sound[:1000], 0)
				if at < 0 || st.Live == nil {
					t.Fatalf("%d, %+v", at, st)
				}
				if m, at := jerk(x[:at]); m > 0.015 {
					t.Errorf("a click of %.3f at %.3f s", m, float64(at)/44100)
				}
				quiet := silences(x[at:])
				if c.stall < 3*time.Second {
					if quiet == 0 || quiet > 2 || st.Live.Target < 2900*time.Millisecond {
						t.Errorf("%.2f s of silence, %+v", quiet, st.Live)
					}
					return
				}
				// What was heard of the set before, and of the next track meanwhile.
				away := at
				for ; away-at < len(tp.sound) && math.Abs(x[away]-tp.sound[away-at]) < 1e-9; away++ {
				}
				if n := float64(away-at) / 44100; n < 5.5 || n > 6.5 || quiet > 1 {
					t.Errorf("after %.2f s of the set there is silence for %.2f s", n, quiet)
				}
				next := away + fadeFrames
				for x[next] == 0 {
					next++
				}
				if i := differs(x[next-1:next+44100], sine(300, 11, 0.25)); i >= 0 {
					t.Errorf("the next track is another at sample %d: %v; away %d next %d, %v", i, x[next-3:next+5], away, next, r.events)
				}
				end := r.State()
				if end.Live == nil || end.Live.Lag > 12*time.Second {
					t.Errorf("it is not taken up again: %+v", end)
				}
			})
		})
	}
}

// Who comes into a set hears it at its edge, and begins it softly.
func TestASetComeInto(t *testing.T) {
	w, _ := tones(t, 1, 200)
	tp := w.air("main", 9.3, nil)
	synctest.Test(t, func(t *testing.T) {
		s := w.broadcast(tp, -6*time.Second)
		s.from = 6
		r := tuned(t, w, s, Request{Live: OnlySets})
		err := <-r.done
		r.done <- err
		x := r.room.left()
		first := 4 * 44100
		at := find(x, tp.sound[first+44100*3:][:1000], 0) - first - 44100*3
		if err != nil || len(x) != at+len(tp.sound) {
			t.Fatalf("ends %d behind, %v", len(x)-at-len(tp.sound), err)
		}
		begin := -at
		for x[begin+at] == 0 {
			begin++
		}
		if begin < 4*44100 || !slices.Equal(x[at+begin+fadeFrames+1:], tp.sound[begin+fadeFrames+1:]) || x[at+begin+200] == tp.sound[begin+200] {
			t.Errorf("begins at %.2f s", float64(begin)/44100)
		}
		if lag := r.events[2].Reception.Lag; lag < 1500*time.Millisecond || lag > 4*time.Second {
			t.Errorf("lag %s", lag)
		}
	})
}

// A set is left for good, and its playlist goes on.
func TestASetIsLeft(t *testing.T) {
	w, cids := tones(t, 13, 200, 300)
	tp := w.air("main", 9.3, nil)
	synctest.Test(t, func(t *testing.T) {
		r := tuned(t, w, w.broadcast(tp, 3*time.Second), Request{})
		defer r.end()
		wait(7 * time.Second)
		if s := r.State(); s.Live == nil {
			t.Fatalf("%+v", s)
		}
		if s, err := r.Seek(t.Context(), time.Second); err != nil || s.Live == nil {
			t.Errorf("seek: %+v, %v", s, err)
		}
		if s, err := r.Unwanted(t.Context()); err != nil || s.Live == nil {
			t.Errorf("sift: %+v, %v", s, err)
		}
		r.do("next", r.Next, "playing", cids[1])
		wait(5 * time.Second)
		if s := r.State(); s.CID != cids[1].String() || s.Live != nil {
			t.Errorf("the set is back: %+v", s)
		}
	})
}

// A pause holds the place; when it is over the set is heard as it was held, and then at its edge again.
func TestASetIsPaused(t *testing.T) {
	w, _ := tones(t, 1, 200)
	tp := w.air("main", 14.3, nil)
	synctest.Test(t, func(t *testing.T) {
		r := tuned(t, w, w.broadcast(tp, time.Second), Request{Live: OnlySets})
		defer r.end()
		wait(5 * time.Second)
		before := r.State().Live
		r.do("pause", r.Pause, "paused", cid.Undef)
		wait(5 * time.Second)
		at := len(r.room.left())
		r.do("resume", r.Resume, "playing", cid.Undef)
		wait(4 * time.Second)
		after := r.State().Live
		if before == nil || after == nil || after.Lag > before.Lag+3500*time.Millisecond || after.Missing > 0 {
			t.Errorf("before %+v, after %+v", before, after)
		}
		if s := silences(r.room.left()[at+44100:]); s > 0.05 {
			t.Errorf("%.2f s of silence", s)
		}
	})
}

// A set that is recorded is brought as it is heard: a pause misses nothing of it, and of what has not been heard no more
// is asked for than may wait.
func TestARecordedSetIsPaused(t *testing.T) {
	w, _ := tones(t, 1, 200)
	tp := w.air("main", 30.3, nil)
	synctest.Test(t, func(t *testing.T) {
		s := w.broadcast(tp, time.Second)
		s.recorded = true
		r := tuned(t, w, s, Request{Live: OnlySets})
		wait(5 * time.Second)
		on := r.State().Live
		r.do("pause", r.Pause, "paused", cid.Undef)
		wait(time.Minute)
		if s.asked > 22 {
			t.Errorf("%d items were asked for in the first seconds", s.asked)
		}
		r.do("resume", r.Resume, "playing", cid.Undef)
		err := <-r.done
		r.done <- err
		x, last, lost := r.room.left(), 0, 0
		for from := 0; from+1000 < len(tp.sound); from += 22050 {
			if at := find(x, tp.sound[from:from+1000], last); at < 0 {
				lost++ // the pause fades out, and in
			} else {
				last = at + 1000
			}
		}
		if err != nil || on == nil || !on.Recorded || on.Missing > 0 || lost > 1 || last < 89*44100 {
			t.Errorf("%d half seconds are not heard, the last at %.1f s, %+v, %v", lost, float64(last)/44100, on, err)
		}
	})
}

// There is no sound of a set without a lease, from where it is revoked, and from when it lapses; with one it goes on
// into the next period.
func TestASetAndItsLease(t *testing.T) {
	hear := func(t *testing.T, w *world, tp *tape, on time.Duration, req Request) (r *running, heard float64, err error) {
		synctest.Test(t, func(t *testing.T) {
			req.Live = OnlySets
			r = tuned(t, w, w.broadcast(tp, on), req)
			err = <-r.done
			r.done <- err
			x := r.room.left()
			for len(x) > 0 && x[len(x)-1] == 0 {
				x = x[:len(x)-1]
			}
			if at := find(x, tp.sound[:1000], 0); at >= 0 {
				heard = float64(len(x)-at) / 44100
			}
		})
		w.began = time.Time{}
		return r, heard, err
	}
	t.Run("none", func(t *testing.T) {
		w := newWorld(t)
		w.publish("main", encoded(t, t.TempDir(), "a.wav", 44100, 2, sine(200, 1, 0.2)))
		tp := w.air("main", 3, nil)
		if _, n, err := hear(t, w, tp, time.Second, Request{Name: string(w.name()) + "/main", Wait: true}); !errors.Is(err, lease.ErrNoLease) || n > 0 {
			t.Errorf("%.2f s, %v", n, err)
		}
	})
	t.Run("revoked", func(t *testing.T) {
		w, _ := tones(t, 1, 200)
		tp := w.air("main", 6.3, func(n int) {
			if n == 4 {
				w.revoke()
			}
		})
		_, n, err := hear(t, w, tp, time.Second, Request{Name: string(w.name()) + "/main"})
		if !errors.Is(err, lease.ErrRevoked) && !errors.Is(err, lease.ErrNoLease) && !errors.Is(err, lease.ErrLapsed) || n < 3.5 || n > 4.2 {
			t.Errorf("%.2f s, %v", n, err)
		}
	})
	t.Run("lapsed", func(t *testing.T) {
		w, _ := tones(t, 1, 200)
		w.pass(24*time.Hour - 4*time.Second)
		tp := w.air("main", 8.3, nil)
		r, n, err := hear(t, w, tp, 0, Request{})
		if !errors.Is(err, lease.ErrLapsed) || n < 1 || n > 5 || r.count(Lapsed) != 1 {
			t.Errorf("%.2f s, %v, %d lapses", n, err, r.count(Lapsed))
		}
	})
	t.Run("next period", func(t *testing.T) {
		w, _ := tones(t, 1, 200)
		w.grant("main", 30*24*time.Hour)
		w.pass(7*24*time.Hour - 4*time.Second)
		tp := w.air("main", 6.3, nil)
		records := 0
		for _, it := range tp.items {
			if it.Record != nil {
				records++
			}
		}
		if _, n, err := hear(t, w, tp, time.Second, Request{Wait: true}); records != 2 || err != nil || n < 6.2 {
			t.Errorf("%d records, %.2f s, %v", records, n, err)
		}
	})
}

// two are the streams of an encoder that came back.
type two struct{ w []publisher.Streams }

func (s *two) Next(ctx context.Context) (publisher.Stream, error) {
	x, err := s.w[0].Next(ctx)
	if errors.Is(err, io.EOF) && len(s.w) > 1 {
		s.w = s.w[1:]
		return s.Next(ctx)
	}
	return x, err
}

// An encoder that comes back with another rate is heard on, at its pitch, where the one before has ended; and that as
// well by a box that may play nothing else, and waits.
func TestASetChangesItsRate(t *testing.T) {
	w := newWorld(t)
	sound := sine(200, 3.1, 0.25)
	var in []publisher.Streams
	for _, rate := range []int{44100, 48000} {
		b, err := os.ReadFile(encoded(t, t.TempDir(), "part.flac", rate, 2, sound))
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, publisher.One(io.NopCloser(bytes.NewReader(b))))
	}
	tp := &tape{began: w.clock()}
	feed := publisher.NewFeed(publisher.FeedConfig{Streams: &two{in}})
	if _, err := w.dj.OnAir(t.Context(), &sourced{w: w, src: feed}, publisher.SetOptions{Playlist: "main", Carrier: recorder{w, tp}}); err != nil {
		t.Fatal(err)
	}
	w.grant("main", 24*time.Hour)
	synctest.Test(t, func(t *testing.T) {
		p := w.player()
		p.cfg.Sets, p.cfg.Blocked = w.broadcast(tp, 3*time.Second), func(cid.Cid) bool { return true }
		r := begin(t, p, Request{Stay: true}, func(*Player) {})
		defer r.end()
		wait(14 * time.Second)
		x := r.room.left()
		at := 0
		for at < len(x) && x[at] == 0 {
			at++
		}
		n := len(sound) / 2
		if len(x) < at+2*n {
			t.Fatalf("%d samples", len(x)-at)
		}
		first, second := x[at:at+n-100], x[at+n+100:at+n+n*441/480-100]
		if a, b := pitch(first), pitch(second); math.Abs(a-200) > 1 || math.Abs(b-200*48/44.1) > 1.5 {
			t.Errorf("%.1f Hz and %.1f Hz are heard", a, b)
		}
		end := len(x)
		for x[end-1] == 0 {
			end--
		}
		if whole := at + n + (n*441+479)/480; end < whole-2 || end > whole+2 {
			t.Errorf("it ends %d samples late", end-whole)
		}
		if s := silences(x[at : at+n+n*441/480-100]); s > 0 {
			t.Errorf("%.3f s of silence between", s)
		}
	})
}

// Where nobody brings sets, or nothing is on air, that is said.
func TestListenToNothing(t *testing.T) {
	w, _ := tones(t, 1, 200)
	if _, err := w.player().Open(Request{Live: OnlySets}, nil); !errors.Is(err, ErrNoSets) {
		t.Errorf("%v", err)
	}
	tp := w.air("main", 3, nil)
	synctest.Test(t, func(t *testing.T) {
		r := tuned(t, w, w.broadcast(tp, time.Hour), Request{Live: OnlySets})
		begun := time.Now()
		err := <-r.done
		r.done <- err
		if d := time.Since(begun); !errors.Is(err, ErrOffAir) || d < offAirAfter || d > 2*offAirAfter {
			t.Errorf("%v after %s", err, d)
		}
	})
}
