package player

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/lease"
	"playnode/node"
)

// room is a loudspeaker in a bubble of time, and what was heard of it.
type room struct {
	mu     sync.Mutex // guards what follows
	heard  []float32
	broken bool // it does not sound, and does not open
	opened int
}

// ear is a sink of a room's.
type ear struct {
	*pacedSink
	room *room
}

var errBroken = errors.New("the loudspeaker is broken")

func (r *room) open(ctx context.Context, s sinkSpec, w sinkWant) (Sink, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken || s.kind != "null" {
		return nil, errBroken
	}
	r.opened++
	return &ear{newPaced(ctx, nullSink{rate: w.rate}, w.latency), r}, nil
}

func (r *room) set(broken bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = broken
}

func (e *ear) Write(b []float32) error {
	e.room.mu.Lock()
	if e.room.broken {
		// What it had in advance is lost.
		e.room.heard = e.room.heard[:len(e.room.heard)-Channels*e.pacedSink.Flush()]
		e.room.mu.Unlock()
		return errBroken
	}
	e.room.heard = append(e.room.heard, b...)
	e.room.mu.Unlock()
	return e.pacedSink.Write(b)
}

func (e *ear) Flush() int {
	n := e.pacedSink.Flush()
	e.room.mu.Lock()
	e.room.heard = e.room.heard[:len(e.room.heard)-Channels*n]
	e.room.mu.Unlock()
	return n
}

// left is the left channel of all that was heard.
func (r *room) left() []float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]float64, len(r.heard)/2)
	for i := range out {
		out[i] = float64(r.heard[2*i])
	}
	return out
}

// sine is stereo, so many seconds at 44.1 kHz.
func sine(hz, seconds, level float64) []float32 {
	out := make([]float32, 2*int(44100*seconds))
	for i := range len(out) / 2 {
		v := float32(level * math.Sin(2*math.Pi*hz*float64(i)/44100))
		out[2*i], out[2*i+1] = v, v
	}
	return out
}

// tones publishes one track for each frequency, and leases them.
func tones(t *testing.T, seconds float64, hz ...float64) (*world, []cid.Cid) {
	w := newWorld(t)
	dir := t.TempDir()
	var paths []string
	for i, f := range hz {
		paths = append(paths, encoded(t, dir, fmt.Sprint(i, ".wav"), 44100, 2, sine(f, seconds, 0.25)))
	}
	cids := w.publish("main", paths...)
	w.grant("main", 24*time.Hour)
	return w, cids
}

// playing runs a playback in a room, in the bubble of the test.
type running struct {
	*Playback
	t      *testing.T
	room   *room
	player *Player
	done   chan error
	cancel context.CancelFunc
	mu     sync.Mutex // guards events
	events []Event
}

func start(t *testing.T, w *world, req Request) *running {
	return begin(t, w.player(), req, func(*Player) {})
}

// begin starts a playback of a player that is changed before.
func begin(t *testing.T, p *Player, req Request, change func(*Player)) *running {
	r := &running{t: t, room: &room{}, done: make(chan error, 1), player: p}
	r.player.open = r.room.open
	r.player.cfg.Patience = 5 * time.Second
	change(p)
	req.Sink = "null"
	req.Paced = true
	var err error
	r.Playback, err = r.player.Open(req, func(e Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() {
		_, err := r.Run(ctx)
		r.done <- err
	}()
	return r
}

func (r *running) end() {
	r.cancel()
	<-r.done
}

func (r *running) count(k Kind) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == k {
			n++
		}
	}
	return n
}

// do gives a command, wants it obeyed within 300 ms, and that state.
func (r *running) do(what string, f func(context.Context) (State, error), state string, track cid.Cid) State {
	r.t.Helper()
	begun := time.Now()
	s, err := f(r.t.Context())
	if d := time.Since(begun); err != nil || d > 300*time.Millisecond {
		r.t.Fatalf("%s: %v after %s", what, err, d)
	}
	if s.State != state || track.Defined() && s.CID != track.String() {
		r.t.Fatalf("%s: %+v, want %s of %s", what, s, state, track)
	}
	return s
}

// jerk is the greatest second difference, from sample on.
func jerk(x []float64) (most float64, at int) {
	for i := 2; i < len(x); i++ {
		if d := math.Abs(x[i] - 2*x[i-1] + x[i-2]); d > most {
			most, at = d, i
		}
	}
	return most, at
}

// pitch is how often a stretch crosses zero upwards, in Hz.
func pitch(x []float64) float64 {
	n := 0
	for i := 1; i < len(x); i++ {
		if x[i-1] < 0 && x[i] >= 0 {
			n++
		}
	}
	return float64(n) * 44100 / float64(len(x))
}

func near(a, b time.Duration) bool { return max(a-b, b-a) < 60*time.Millisecond }

// wait lets time go by in the bubble.
func wait(d time.Duration) { <-time.After(d) }

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

// silences are the stretches of silence of over 20 ms, in seconds.
func silences(x []float64) (longest float64) {
	run := 0
	for _, v := range x {
		if v == 0 {
			run++
			if s := float64(run) / 44100; s > 0.02 {
				longest = max(longest, s)
			}
		} else {
			run = 0
		}
	}
	return longest
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
				return l[len(l)/2 : len(l)-1] // the last is read first: that no track is cut short
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

// --from counts by the tracks' exact lengths.
func TestFrom(t *testing.T) {
	w, cids := tones(t, 10.3, 200, 300, 400)
	h := w.play(w.player(), Request{From: 25 * time.Second}, nil)
	if h.err != nil || h.played.Samples != int64(3*454230-25*44100) || h.events[0].CID != cids[2].String() {
		t.Errorf("%+v %v", h.played, h.err)
	}
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
