package player

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
)

// remove takes tracks out of a playlist.
func (w *world) remove(label string, tracks ...cid.Cid) {
	w.t.Helper()
	if _, err := w.dj.Remove(w.t.Context(), label, tracks); err != nil {
		w.t.Fatal(err)
	}
}

// daytime is a playlist, day, of four tracks of 6 s, which plays, where the schedule has it or by itself.
func daytime(t *testing.T, name string, inHours bool, f func(t *testing.T, w *world, cids []cid.Cid, r *running)) {
	t.Run(name, func(t *testing.T) {
		w, ids, b := timed(t, false, 6, map[string][]float64{"day": {200, 300, 400, 500}})
		slot(t, b, "day", 0, 24*60, 0)
		synctest.Test(t, func(t *testing.T) {
			var r *running
			if inHours {
				r = scheduled(t, w, b, Request{Stay: true}, nil)
			} else {
				r = start(t, w, Request{Stay: true})
			}
			defer r.end()
			f(t, w, ids["day"], r)
			if n := r.count(Underrun); n > 0 {
				t.Errorf("%d underruns", n)
			}
		})
	})
}

// A track that is taken out of the playlist while it sounds is heard to its end, and what came behind it follows; one
// that was to come next, and was opened for that, is not heard, and the one behind it is.
func TestRemovedWhileItPlays(t *testing.T) {
	for name, c := range map[string]struct {
		gone, heard []int
		inHours     bool
	}{
		"what sounds":            {[]int{1}, []int{1, 2, 3, 0, 2}, false},
		"what comes next":        {[]int{2}, []int{1, 3, 0, 1}, false},
		"that, in its hours":     {[]int{2}, []int{1, 3, 0, 1}, true},
		"both, and the one gone": {[]int{0, 1, 2}, []int{1, 3, 3}, false},
		"all that would come":    {[]int{2, 3}, []int{1, 0, 1}, false},
		"what sounds and last":   {[]int{1, 3}, []int{1, 2, 0, 2}, false},
	} {
		daytime(t, name, c.inHours, func(t *testing.T, w *world, cids []cid.Cid, r *running) {
			wait(8 * time.Second)
			r.sounds("before", cids[1])
			var gone []cid.Cid
			for _, i := range c.gone {
				gone = append(gone, cids[i])
			}
			w.remove("day", gone...)
			for i, k := range c.heard {
				if i > 0 {
					wait(6 * time.Second)
				}
				r.sounds("after", cids[k])
			}
		})
	}
}

// When all tracks are taken out, what sounds is heard to its end, and then a box that is to stay is silent, says why, and
// plays what is put in their place.
func TestAllRemovedWhileItPlays(t *testing.T) {
	more := encoded(t, t.TempDir(), "more.wav", 8000, 1, music(8000, 1, 48_000))
	daytime(t, "all", false, func(t *testing.T, w *world, cids []cid.Cid, r *running) {
		wait(3 * time.Second)
		w.remove("day", cids...)
		wait(time.Second)
		r.sounds("still", cids[0])
		wait(10 * time.Second)
		r.mu.Lock()
		if last := r.events[len(r.events)-1]; last.Kind != EndTrack || last.Cut || last.At < 6*8000 {
			t.Errorf("it ends with %+v", last)
		}
		r.mu.Unlock()
		if s := r.State(); s.State != "silent" {
			t.Errorf("with nothing to play: %+v", s)
		}
		if f := r.player.Faults(); len(f) != 1 || !f[0].Mended.IsZero() {
			t.Errorf("faults %+v", f)
		}
		if n := r.count(Lapsed); n > 0 {
			t.Errorf("%d lapses told", n)
		}
		came := w.publish("day", more)
		wait(3 * time.Second)
		r.sounds("what came", came[0])
		if f := r.player.Faults(); len(f) != 1 || f[0].Mended.IsZero() {
			t.Errorf("faults %+v", f)
		}
	})
}

// When the order changes while it plays, what sounds goes on, and what comes next is the new order's: also where another
// track had been opened for that, and where what sounds was moved itself.
func TestMovedWhileItPlays(t *testing.T) {
	for name, c := range map[string]struct {
		moved, to int
		heard     []int
		inHours   bool
	}{
		"another comes next":   {3, 2, []int{1, 3, 2, 0, 1}, false},
		"that, in its hours":   {3, 2, []int{1, 3, 2, 0}, true},
		"what sounds, to last": {1, 3, []int{1, 0, 2}, false},
		"what sounds, to 1st":  {1, 0, []int{1, 0, 2}, false},
		"what is far away":     {0, 3, []int{1, 2, 3, 0}, false},
	} {
		daytime(t, name, c.inHours, func(t *testing.T, w *world, cids []cid.Cid, r *running) {
			wait(8 * time.Second)
			r.sounds("before", cids[1])
			if _, err := w.dj.Move(t.Context(), "day", cids[c.moved], c.to); err != nil {
				t.Fatal(err)
			}
			for i, k := range c.heard {
				if i > 0 {
					wait(6 * time.Second)
				}
				r.sounds("after", cids[k])
			}
		})
	}
}
