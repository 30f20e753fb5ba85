package player

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// blocking is a fetch that never answers for some blocks.
type blocking struct {
	*world
	mu    sync.Mutex // guards never
	never map[cid.Cid]bool
}

func (s *blocking) Get(ctx context.Context, c cid.Cid, want node.Want) ([]byte, error) {
	s.mu.Lock()
	never := s.never[c]
	s.mu.Unlock()
	if never {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.world.Get(ctx, c, want)
}

// A track whose block does not come, and two after it that do not begin or go on: the fourth is heard, and no silence
// before it.
func TestNextGoodThing(t *testing.T) {
	w, cids := tones(t, 30, 200, 300, 400, 500, 600)
	for name, lost := range map[string]func(i int) []cid.Cid{
		"the next ones do not begin": func(i int) []cid.Cid {
			l := w.leaves(cids[i])
			if i == 0 {
				return l[len(l)/2 : len(l)-1] // the last is here all the same
			}
			return l
		},
		"none of them goes on": func(i int) []cid.Cid { l := w.leaves(cids[i]); return l[3 : len(l)-1] },
	} {
		f := &blocking{world: w, never: map[cid.Cid]bool{}}
		for i := range 3 {
			for _, c := range lost(i) {
				f.never[c] = true
			}
		}
		synctest.Test(t, func(t *testing.T) {
			p := w.player()
			p.cfg.Fetch = f
			p.cfg.Patience = 5 * time.Second
			rm := &room{}
			p.open = rm.open
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			failed, underruns := 0, 0
			b, err := p.Open(Request{Sink: "null"}, func(e Event) {
				switch e.Kind {
				case Failed:
					failed++
				case Underrun:
					underruns++
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			b.Run(ctx)
			x := rm.left()
			if s := silences(x); s > 0 || failed < 3 || underruns > 0 {
				t.Errorf("%s: %.2f s of silence, %d underruns, %d tracks failed", name, s, underruns, failed)
			}
			// A track that is left fades: in full sound a cut has up to 0.5.
			if m, at := jerk(x); m > 0.025 {
				t.Errorf("%s: a click of %.3f at %.3f s", name, m, float64(at)/44100)
			}
			last := x[len(x)-22050:]
			if p := pitch(last); math.Abs(p-500) > 3 && math.Abs(p-600) > 3 {
				t.Errorf("%s: at the end %.0f Hz are heard", name, p)
			}
			if f := p.Faults(); len(f) == 0 {
				t.Errorf("%s: no fault is known", name)
			}
		})
	}
}

// So it is when somebody asks for the next track at once, before it was known that it is not there: what was heard
// goes on until there is something.
func TestNextIsNotThere(t *testing.T) {
	w, cids := tones(t, 20, 200, 300, 400, 500)
	f := &blocking{world: w, never: map[cid.Cid]bool{}}
	for _, c := range cids[1:3] {
		for _, l := range w.leaves(c) {
			f.never[l] = true
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, w.player(), Request{}, func(p *Player) { p.cfg.Fetch = f })
		defer r.end()
		wait(time.Second)
		if _, err := r.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		wait(3 * time.Second)
		x := r.room.left()
		if s := silences(x); s > 0 {
			t.Errorf("%.2f s of silence", s)
		}
		if p := pitch(x[44100 : 44100+13230]); math.Abs(p-200) > 5 {
			t.Errorf("0.3 s after it was asked for %.0f Hz are heard", p)
		}
		if p := pitch(x[2*44100 : 3*44100]); math.Abs(p-500) > 3 {
			t.Errorf("1 s after it was asked for %.0f Hz are heard", p)
		}
		if s := r.State(); s.CID != cids[3].String() {
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Errorf("%+v after %+v", s, r.events)
		}
	})
}

// held is a store that lacks some blocks.
type held map[cid.Cid]bool

func (h held) Has(_ context.Context, c cid.Cid) (bool, error) { return !h[c], nil }

// A track that is not whole here, and whose rest cannot be had, gives way to the next one that is; one whose rest comes
// does not, nor one that somebody asks for.
func TestWholeFirst(t *testing.T) {
	for name, c := range map[string]struct {
		lost  func(leaves []cid.Cid) cid.Cid
		comes bool // nobody has said that it does not
		want  int
	}{
		"near its beginning":   {func(l []cid.Cid) cid.Cid { return l[1] }, false, 2},
		"far from it":          {func(l []cid.Cid) cid.Cid { return l[len(l)-2] }, false, 2},
		"far, and it may come": {func(l []cid.Cid) cid.Cid { return l[len(l)-2] }, true, 1},
	} {
		w := newWorld(t)
		dir := t.TempDir()
		var paths []string
		for i, seconds := range []int{12, 60, 8} {
			paths = append(paths, encoded(t, dir, fmt.Sprint(i, ".wav"), 8000, 1, music(8000, 1, seconds*8000+i)))
		}
		cids := w.publish("main", paths...)
		w.grant("main", 24*time.Hour)
		lost := c.lost(w.leaves(cids[1]))
		f := &blocking{world: w, never: map[cid.Cid]bool{lost: true}}
		synctest.Test(t, func(t *testing.T) {
			r := begin(t, w.player(), Request{}, func(p *Player) {
				p.cfg.Fetch, p.cfg.Held = f, held{lost: true}
				if c.comes {
					p.cfg.Patience = time.Minute
				}
			})
			defer r.end()
			wait(15 * time.Second)
			if s := r.State(); s.CID != cids[c.want].String() || s.Underruns > 0 {
				t.Errorf("%s: %+v, want %s", name, s, cids[c.want])
			}
			if n := r.count(Failed); n != c.want-1 {
				t.Errorf("%s: %d tracks passed over", name, n)
			}
			if c.want == 2 {
				r.do(name+": prev", r.Prev, "playing", cids[1])
			}
		})
	}
}
