package player

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/lease"
)

// What comes next is known while a track is heard, also in the moment in which
// the next one is in the mix and not yet at the ear, and follows what a person
// does.
func TestNextIsKnown(t *testing.T) {
	w, cids := tones(t, 20, 200, 300, 400)
	synctest.Test(t, func(t *testing.T) {
		r := start(t, w, Request{})
		defer r.end()
		next := func(when string, heard, want int) {
			t.Helper()
			s := r.State()
			if s.CID != cids[heard].String() || s.Next == nil || s.Next.CID != cids[want].String() || s.Next.Title == "" {
				t.Errorf("%s: %s is heard, and next is %+v", when, s.CID, s.Next)
			}
		}
		wait(5 * time.Second)
		next("after 5 s", 0, 1)
		for range 140 { // to 19 s, and then in small steps beyond the join
			wait(100 * time.Millisecond)
			next("later", 0, 1)
		}
		for range 95 {
			wait(10 * time.Millisecond)
			if s := r.State(); s.CID == cids[0].String() {
				next("near the join", 0, 1)
			}
		}
		wait(3 * time.Second)
		next("in the second", 1, 2)
		r.do("next", r.Next, "playing", cids[2])
		wait(time.Second)
		next("in the last", 2, 0)
		if s, _ := r.Stop(t.Context()); s.Next != nil {
			t.Errorf("nothing is played, and next is %+v", s.Next)
		}
	})
}

// What a person does to a playback is heard within 300 ms, without a click, and the answer is what is heard.
func TestControls(t *testing.T) {
	w, cids := tones(t, 20, 200, 300, 400)
	synctest.Test(t, func(t *testing.T) {
		r := start(t, w, Request{})
		defer r.end()
		wait(5 * time.Second)
		if s := r.State(); s.State != "playing" || s.CID != cids[0].String() || !near(s.At, 5*time.Second) || s.Length != 20*time.Second {
			t.Fatalf("after 5 s: %+v", s)
		}
		r.do("next", r.Next, "playing", cids[1])
		wait(3 * time.Second)
		if p := pitch(r.room.left()[len(r.room.left())-44100:]); math.Abs(p-300) > 3 {
			t.Errorf("after next %.0f Hz is heard", p)
		}
		s := r.do("pause", r.Pause, "paused", cids[1])
		at := s.At
		wait(10 * time.Second)
		x := r.room.left()
		if m, _ := jerk(x[len(x)-44100*9:]); m != 0 {
			t.Error("a pause is not silent")
		}
		if s := r.do("now", func(context.Context) (State, error) { return r.State(), nil }, "paused", cids[1]); s.At != at {
			t.Errorf("a pause has moved from %s to %s", at, s.At)
		}
		r.do("resume", r.Resume, "playing", cids[1])
		wait(2 * time.Second)
		if s := r.State(); !near(s.At, at+2*time.Second) {
			t.Errorf("2 s after a pause at %s it is at %s", at, s.At)
		}
		r.do("prev", r.Prev, "playing", cids[0])
		wait(time.Second)
		s = r.do("seek", func(ctx context.Context) (State, error) { return r.Seek(ctx, 15*time.Second) }, "playing", cids[0])
		if !near(s.At, 15*time.Second) {
			t.Errorf("seek went to %s", s.At)
		}
		r.do("next", r.Next, "playing", cids[1])
		r.do("next", r.Next, "playing", cids[2])
		r.do("next at the end of the list", r.Next, "playing", cids[0])
		wait(time.Second)
		if s, err := r.SetVolume(50); err != nil || s.Volume != 50 {
			t.Errorf("volume: %+v %v", s, err)
		}
		wait(time.Second)
		x = r.room.left()
		top := 0.0
		for _, v := range x[len(x)-4410:] {
			top = max(top, math.Abs(v))
		}
		if math.Abs(top-0.25/8) > 0.002 {
			t.Errorf("at half the volume the peak is %.4f", top)
		}
		begun := time.Now()
		if s, err := r.Stop(t.Context()); err != nil || s.State != "stopped" || time.Since(begun) > 300*time.Millisecond {
			t.Errorf("stop: %+v %v in %s", s, err, time.Since(begun))
		}
		if err := <-r.done; err != nil {
			t.Errorf("stopped with %v", err)
		}
		r.done <- nil
		// A track of 400 Hz at a quarter begins with a bend of 0.014; a cut in full sound has up to 0.5.
		if m, at := jerk(r.room.left()); m > 0.015 {
			t.Errorf("a click of %.3f at %.3f s", m, float64(at)/44100)
		}
		if n := r.count(Underrun); n > 0 {
			t.Errorf("%d underruns", n)
		}
	})
}

// A volume has a ceiling, and changes within 300 ms however much the sink has in advance.
func TestVolumeCeiling(t *testing.T) {
	w, _ := tones(t, 20, 200)
	synctest.Test(t, func(t *testing.T) {
		r := start(t, w, Request{Ceiling: 50, Latency: 2 * time.Second})
		defer r.end()
		wait(3 * time.Second)
		if s, _ := r.SetVolume(100); s.Volume != 50 || s.Ceiling != 50 {
			t.Errorf("%+v", s)
		}
		r.SetVolume(0)
		wait(300 * time.Millisecond)
		e := int64(len(r.room.left())) - int64(2*44100) // the rest is in advance
		for _, v := range r.room.left()[max(0, e):] {
			if v != 0 {
				t.Fatal("0.3 s after the volume went to 0 something is still to be heard")
			}
		}
	})
}

// A loudspeaker that dies is opened again, and goes on with the sample that it broke off at.
func TestSinkDies(t *testing.T) {
	w, cids := tones(t, 30, 200)
	synctest.Test(t, func(t *testing.T) {
		r := start(t, w, Request{})
		defer r.end()
		wait(5 * time.Second)
		r.room.set(true)
		wait(100 * time.Millisecond)
		before := len(r.room.left())
		wait(10 * time.Second)
		if s := r.State(); s.State != "sinkless" || s.CID != cids[0].String() {
			t.Errorf("without a sink: %+v", s)
		}
		r.do("pause without a sink", r.Pause, "paused", cids[0])
		r.do("resume without a sink", r.Resume, "sinkless", cids[0])
		if f := r.player.Faults(); len(f) != 1 || f[0].Kind != "sink" || !f[0].Mended.IsZero() {
			t.Errorf("faults %+v", f)
		}
		r.room.set(false)
		wait(time.Second)
		if s := r.State(); s.State != "playing" {
			t.Errorf("a second after the sink came back: %+v", s)
		}
		if f := r.player.Faults(); len(f) != 1 || f[0].Mended.IsZero() {
			t.Errorf("faults %+v", f)
		}
		x, want := r.room.left(), sine(200, 30, 0.25)
		if len(x) < before+22050 {
			t.Fatalf("%d samples were heard after %d", len(x), before)
		}
		for i, v := range x {
			if d := math.Abs(v - float64(want[2*i])); d > 1.0/32768 {
				t.Fatalf("sample %d is another, %d were heard before", i, before)
			}
		}
	})
}

// A lease that lapses is waited out by a playback that stays; a renewal is heard at once. One that does not ends.
func TestLapseAndRenewal(t *testing.T) {
	w, _ := tones(t, 10, 200, 300)
	synctest.Test(t, func(t *testing.T) {
		r := start(t, w, Request{Stay: true})
		defer r.end()
		wait(5 * time.Second)
		w.pass(48 * time.Hour)
		wait(30 * time.Second)
		if s := r.State(); s.State != "silent" || s.CID != "" {
			t.Errorf("lapsed: %+v", s)
		}
		if n := r.count(Lapsed); n != 1 {
			t.Errorf("%d lapses told", n)
		}
		w.grant("main", time.Hour)
		wait(2 * time.Second)
		if s := r.State(); s.State != "playing" {
			t.Errorf("renewed: %+v", s)
		}
		if n := r.count(Underrun); n > 0 {
			t.Errorf("%d underruns", n)
		}
		w.pass(2 * time.Hour)
	})
	w2, _ := tones(t, 5, 200, 300)
	synctest.Test(t, func(t *testing.T) {
		r := start(t, w2, Request{})
		wait(3 * time.Second)
		w2.pass(48 * time.Hour)
		if err := <-r.done; !errors.Is(err, lease.ErrLapsed) {
			t.Errorf("ends with %v", err)
		}
		if s := len(r.room.left()); s < 5*44100 {
			t.Errorf("the track was cut after %d samples", s)
		}
	})
}

// What is blocked is left at once, and never played.
func TestBlocked(t *testing.T) {
	w, cids := tones(t, 10, 200, 300, 400)
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		blocked := map[cid.Cid]bool{}
		r := begin(t, w.player(), Request{}, func(p *Player) {
			p.cfg.Blocked = func(c cid.Cid) bool { mu.Lock(); defer mu.Unlock(); return blocked[c] }
		})
		defer r.end()
		wait(3 * time.Second)
		mu.Lock()
		blocked[cids[0]], blocked[cids[1]] = true, true
		mu.Unlock()
		r.do("block", r.Unwanted, "playing", cids[2])
		wait(time.Minute)
		r.mu.Lock()
		for _, e := range r.events {
			if e.Kind == NewTrack && e.CID == cids[1].String() {
				t.Error("a blocked track was played")
			}
		}
		r.mu.Unlock()
		mu.Lock()
		delete(blocked, cids[0])
		mu.Unlock()
		r.do("unblock", r.Unwanted, "playing", cids[2])
		r.do("next", r.Next, "playing", cids[0])
	})
}

// A command goes by the track that is heard, also where an earlier command's has ended by itself since.
func TestCommandsGoByWhatIsHeard(t *testing.T) {
	w, cids := tones(t, 10, 200, 300, 400, 500)
	for name, c := range map[string]func(t *testing.T, r *running, block func(cid.Cid)){
		"next": func(t *testing.T, r *running, block func(cid.Cid)) { r.do("next again", r.Next, "playing", cids[3]) },
		"prev": func(t *testing.T, r *running, block func(cid.Cid)) { r.do("prev", r.Prev, "playing", cids[1]) },
		"blocked": func(t *testing.T, r *running, block func(cid.Cid)) {
			block(cids[2])
			r.do("block", r.Unwanted, "playing", cids[3])
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				blocked := map[cid.Cid]bool{}
				r := begin(t, w.player(), Request{}, func(p *Player) {
					p.cfg.Blocked = func(c cid.Cid) bool { mu.Lock(); defer mu.Unlock(); return blocked[c] }
				})
				defer r.end()
				wait(3 * time.Second)
				r.do("next", r.Next, "playing", cids[1])
				wait(13 * time.Second)
				r.sounds("by itself", cids[2])
				c(t, r, func(c cid.Cid) { mu.Lock(); defer mu.Unlock(); blocked[c] = true })
			})
		})
	}
}

// --from counts by the tracks' exact lengths.
func TestFrom(t *testing.T) {
	w, cids := tones(t, 10.3, 200, 300, 400)
	h := w.play(w.player(), Request{From: 25 * time.Second}, nil)
	if h.err != nil || h.played.Samples != int64(3*454230-25*44100) || h.events[0].CID != cids[2].String() {
		t.Errorf("%+v %v", h.played, h.err)
	}
}

// A seek behind a track's end goes to the next track, and is no fault.
func TestSeekBehindTheEnd(t *testing.T) {
	w, cids := tones(t, 10, 200, 300)
	synctest.Test(t, func(t *testing.T) {
		r := start(t, w, Request{})
		defer r.end()
		wait(time.Second)
		s := r.do("seek", func(ctx context.Context) (State, error) { return r.Seek(ctx, 10*time.Second) }, "playing", cids[1])
		if s.At > 100*time.Millisecond || len(r.player.Faults()) > 0 {
			t.Errorf("%+v, faults %+v", s, r.player.Faults())
		}
		s = r.do("seek", func(ctx context.Context) (State, error) { return r.Seek(ctx, 9900*time.Millisecond) }, "playing", cids[1])
		if !near(s.At, 9900*time.Millisecond) {
			t.Errorf("the last tenth of a second is at %s", s.At)
		}
	})
}
