package player

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
	"playnode/player/schedule"
)

// timed is a world of playlists, one track of so many seconds for each frequency, in which a bubble's time goes by
// from a Thursday's midnight on, and a schedule. Where nobody listens to the tones they are of a telephone's rate.
func timed(t *testing.T, heard bool, seconds int, playlists map[string][]float64) (*world, map[string][]cid.Cid, *schedule.Book) {
	w := newWorld(t)
	ids := map[string][]cid.Cid{}
	for _, label := range []string{"day", "evening", "locked"} {
		dir := t.TempDir()
		var paths []string
		for i, f := range playlists[label] {
			rate, channels, sound := 8000, 1, make([]float32, 8000*seconds)
			if heard {
				rate, channels, sound = 44100, 2, sine(f, float64(seconds), 0.25)
			} else {
				for k := range sound {
					sound[k] = float32(0.25 * math.Sin(2*math.Pi*f*float64(k)/8000))
				}
			}
			paths = append(paths, encoded(t, dir, string(rune('a'+i))+".wav", rate, channels, sound))
		}
		if len(paths) > 0 {
			ids[label] = w.publish(label, paths...)
		}
		if len(paths) > 0 && label != "locked" {
			w.grant(label, 24*time.Hour)
		}
	}
	b, err := schedule.Open(schedule.Config{Store: newTable(), Zone: time.UTC})
	if err != nil {
		t.Fatal(err)
	}
	return w, ids, b
}

// goes has time go by from now on.
func (w *world) goes() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began = time.Now()
}

// slot sets one, from and till minutes of every day.
func slot(t *testing.T, b *schedule.Book, playlist string, from, till, priority int) string {
	t.Helper()
	s, err := b.Set(schedule.Slot{Playlist: playlist, Days: 1<<7 - 1, From: from, Till: till, Priority: priority})
	if err != nil {
		t.Fatal(err)
	}
	return s.ID
}

// scheduled starts a playback that keeps to a book.
func scheduled(t *testing.T, w *world, b *schedule.Book, req Request, change func(*Player)) *running {
	w.goes()
	return begin(t, w.player(), req, func(p *Player) {
		p.cfg.Schedule = b.Schedule
		if change != nil {
			change(p)
		}
	})
}

// sounds wants a track to be heard; a nil one is silence.
func (r *running) sounds(when string, track cid.Cid) {
	r.t.Helper()
	s := r.State()
	switch {
	case track.Defined() && (s.State != "playing" || s.CID != track.String()):
		r.t.Errorf("%s: %+v, want %s", when, s, track)
	case !track.Defined() && (s.State != "silent" || s.CID != ""):
		r.t.Errorf("%s: %+v, want silence", when, s)
	}
}

// begun is when tracks began, in seconds since the first, and which.
func (r *running) begun() (at []float64, tracks []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == NewTrack {
			at, tracks = append(at, float64(e.At)/44100), append(tracks, e.CID)
		}
	}
	return at, tracks
}

// The schedule changes at its time and not at a track's end: what sounds is faded out, under what comes or into
// silence. A playlist that comes again goes on with its next track. Nothing clicks, and no silence is a fault.
func TestTheScheduleIsKept(t *testing.T) {
	w, ids, b := timed(t, true, 40, map[string][]float64{"day": {200, 300}, "evening": {400}})
	slot(t, b, "day", 0, 1, 0)
	slot(t, b, "evening", 1, 2, 0)
	slot(t, b, "day", 3, 4, 0)
	synctest.Test(t, func(t *testing.T) {
		r := scheduled(t, w, b, Request{Mixed: true, Stay: true}, nil)
		defer r.end()
		wait(30 * time.Second)
		r.sounds("by day", ids["day"][0])
		wait(20 * time.Second)
		r.sounds("still", ids["day"][1])
		wait(11 * time.Second) // 1:01
		r.sounds("in the evening", ids["evening"][0])
		wait(58 * time.Second) // 1:59
		r.sounds("its one track again", ids["evening"][0])
		wait(6 * time.Second) // 2:05
		r.sounds("at night", cid.Undef)
		wait(50 * time.Second) // 2:55
		r.sounds("still night", cid.Undef)
		wait(7 * time.Second) // 3:02
		r.sounds("by day again", ids["day"][0])
		at, tracks := r.begun()
		want := []string{ids["day"][0].String(), ids["day"][1].String(), ids["evening"][0].String(), ids["evening"][0].String(), ids["day"][0].String()}
		if !slices.Equal(tracks, want) || math.Abs(at[2]-60) > 0.2 || math.Abs(at[4]-180) > 0.3 {
			t.Errorf("tracks at %v: %v", at, tracks)
		}
		var cut []float64
		for _, e := range r.events {
			if e.Kind == EndTrack && e.Cut {
				cut = append(cut, float64(e.At)/44100)
			}
		}
		if len(cut) != 2 || math.Abs(cut[0]-63) > 0.3 || math.Abs(cut[1]-123) > 0.3 {
			t.Errorf("what sounded was heard until %v, want 63 and 123 s", cut)
		}
		x := r.room.left()
		if m, at := jerk(x); m > 0.015 {
			t.Errorf("a click of %.3f at %.3f s", m, float64(at)/44100)
		}
		if p := level(x[44100*61 : 44100*62]); p < level(x[44100*30:44100*31])-3 {
			t.Errorf("in the middle of the change it is %.1f dB", p)
		}
		if s := silences(x[:44100*120]); s > 0 {
			t.Errorf("%.2f s of silence before there should be any", s)
		}
		if n, f := r.count(Underrun), r.player.Faults(); n > 0 || len(f) > 0 {
			t.Errorf("%d underruns, faults %+v", n, f)
		}
	})
}

// A venue that wants no crossfade has none: what sounds is cut, with the fade of a cut, at the schedule's time.
func TestTheScheduleCuts(t *testing.T) {
	w, ids, b := timed(t, true, 40, map[string][]float64{"day": {200}, "evening": {400}})
	slot(t, b, "day", 0, 1, 0)
	slot(t, b, "evening", 1, 2, 0)
	synctest.Test(t, func(t *testing.T) {
		r := scheduled(t, w, b, Request{Stay: true}, nil)
		defer r.end()
		wait(65 * time.Second)
		r.sounds("in the evening", ids["evening"][0])
		x := r.room.left()
		if p := pitch(x[44100*58 : 44100*59]); math.Abs(p-200) > 3 {
			t.Errorf("before the change %.0f Hz", p)
		}
		if p := pitch(x[44100*61 : 44100*62]); math.Abs(p-400) > 3 {
			t.Errorf("behind the change %.0f Hz", p)
		}
		if at, _ := r.begun(); math.Abs(at[len(at)-1]-60) > 0.2 {
			t.Errorf("tracks at %v", at)
		}
		if m, at := jerk(x); m > 0.015 {
			t.Errorf("a click of %.3f at %.3f s", m, float64(at)/44100)
		}
	})
}

// What people set while it plays is heard at once, and so is a clock that is set.
func TestTheScheduleChanges(t *testing.T) {
	w, ids, b := timed(t, false, 40, map[string][]float64{"day": {200}, "evening": {400}})
	synctest.Test(t, func(t *testing.T) {
		r := scheduled(t, w, b, Request{Mixed: true, Stay: true, Name: ""}, nil)
		defer r.end()
		wait(10 * time.Second)
		s := r.State()
		if s.State != "playing" {
			t.Errorf("with nothing scheduled: %+v", s)
		}
		id := slot(t, b, s.Playlist, 0, 13*60, -1)
		wait(3 * time.Second)
		if now := r.State(); now.CID != s.CID || !near(now.At, s.At+3*time.Second) {
			t.Errorf("a slot of what plays has moved it from %+v to %+v", s, now)
		}
		if err := b.Remove(id); err != nil {
			t.Error(err)
		}
		id = slot(t, b, "day", 0, 12*60, 0)
		wait(3 * time.Second)
		r.sounds("scheduled", ids["day"][0])
		at := r.State().At
		slot(t, b, "day", 0, 10*60, 5)
		wait(5 * time.Second)
		if s := r.State(); !near(s.At, at+5*time.Second) {
			t.Errorf("a slot of what plays has moved it from %s to %s", at, s.At)
		}
		evening := slot(t, b, string(w.name())+"/evening", 0, 11*60, 9)
		wait(3 * time.Second)
		r.sounds("a slot that goes before", ids["evening"][0])
		if err := b.Remove(evening); err != nil {
			t.Error(err)
		}
		wait(3 * time.Second)
		r.sounds("and is taken out", ids["day"][0])
		if err := b.Override(schedule.Override{Playlist: "evening", Till: w.clock().Add(time.Minute)}); err != nil {
			t.Error(err)
		}
		wait(3 * time.Second)
		r.sounds("an override", ids["evening"][0])
		wait(time.Minute)
		r.sounds("that is over", ids["day"][0])
		w.pass(11 * time.Hour) // 11:01 by the clock
		wait(3 * time.Second)
		r.sounds("the clock is set", ids["day"][0])
		if err := b.Remove(id); err != nil {
			t.Error(err)
		}
		wait(7 * time.Second)
		r.sounds("nothing is left at that hour", cid.Undef)
		w.pass(-4 * time.Hour)
		wait(3 * time.Second)
		r.sounds("the clock is set back", ids["day"][0])
		if n := r.count(Underrun); n > 0 {
			t.Errorf("%d underruns", n)
		}
	})
}

// A command behind a change of the schedule goes by what is heard, too: where the slot's first track has ended by
// itself, and where what sounded goes on in another slot.
func TestCommandsBehindAChange(t *testing.T) {
	w, ids, b := timed(t, false, 20, map[string][]float64{"day": {200, 210, 220}, "evening": {400, 410, 420, 430}})
	slot(t, b, "day", 0, 1, 0)
	slot(t, b, "evening", 1, 3, 0)
	slot(t, b, string(w.name())+"/evening", 3, 60, 0)
	synctest.Test(t, func(t *testing.T) {
		r := scheduled(t, w, b, Request{Mixed: true, Stay: true}, nil)
		defer r.end()
		wait(90 * time.Second)
		r.sounds("the second of the evening", ids["evening"][1])
		r.do("next", r.Next, "playing", ids["evening"][2])
		r.do("prev", r.Prev, "playing", ids["evening"][1])
		wait(85 * time.Second) // 2:55
		r.do("next", r.Next, "playing", ids["evening"][2])
		wait(10 * time.Second) // 3:05
		r.sounds("it goes on", ids["evening"][2])
		r.do("next in the next slot", r.Next, "playing", ids["evening"][3])
	})
}

// Without Stay a gap is waited out, and a pass of what is scheduled now is just that.
func TestTheScheduleOnce(t *testing.T) {
	w, ids, b := timed(t, false, 5, map[string][]float64{"day": {200}, "evening": {400, 500}})
	slot(t, b, "evening", 60, 120, 0)
	synctest.Test(t, func(t *testing.T) {
		r := scheduled(t, w, b, Request{}, nil)
		defer r.end()
		wait(59*time.Minute + 59*time.Second)
		if s := r.State(); s.State != "starting" {
			t.Errorf("before the first slot: %+v", s)
		}
		wait(2 * time.Second)
		r.sounds("its first", ids["evening"][0])
	})
	p := w.player()
	p.cfg.Schedule = b.Schedule
	w.began = time.Time{}
	once := func() heard {
		h := heard{}
		h.played, h.err = p.Play(t.Context(), Request{Sink: "null", Once: true}, func(Event) {})
		return h
	}
	if h := once(); h.err == nil || h.played.Samples > 0 {
		t.Errorf("in a gap: %+v", h)
	}
	w.pass(time.Hour)
	for range 2 { // and is not one of what is left
		if h := once(); h.err != nil || h.played.Samples != 10*8000 {
			t.Errorf("a pass: %+v", h)
		}
	}
}

// Where nothing is scheduled a playback ends with the last lease, and one that keeps to a schedule waits for the next slot.
func TestALapseWithAndWithoutASchedule(t *testing.T) {
	w, _, b := timed(t, false, 5, map[string][]float64{"day": {200}})
	synctest.Test(t, func(t *testing.T) {
		r := scheduled(t, w, b, Request{}, nil)
		wait(3 * time.Second)
		w.pass(48 * time.Hour)
		err := <-r.done
		r.done <- err
		if !errors.Is(err, lease.ErrLapsed) {
			t.Errorf("without a schedule it ends with %v", err)
		}
	})
	w.began = time.Time{}
	w.grant("day", time.Hour)
	slot(t, b, "day", 0, 24*60, 0)
	synctest.Test(t, func(t *testing.T) {
		r := scheduled(t, w, b, Request{}, nil)
		defer r.end()
		wait(3 * time.Second)
		w.pass(48 * time.Hour)
		wait(time.Minute)
		r.sounds("lapsed", cid.Undef)
		w.grant("day", time.Hour)
		wait(2 * time.Second)
		if s := r.State(); s.State != "playing" {
			t.Errorf("renewed: %+v", s)
		}
	})
}

// channel is a station of one playlist.
type channel struct {
	*station
	sel manifests.SelID
}

func (c channel) OnAir(ctx context.Context, name ipns.Name, sel manifests.SelID) (Set, error) {
	if sel != c.sel {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return c.station.OnAir(ctx, name, sel)
}

// A set is heard while its playlist's slot is, and no longer: neither before nor behind it.
func TestASetInItsSlot(t *testing.T) {
	w, ids, _ := timed(t, true, 60, map[string][]float64{"day": {200}, "evening": {400}})
	tp := w.air("evening", 20, nil) // and it becomes a track of it
	c, err := catalogues{w}.Newest(w.name())
	if err != nil {
		t.Fatal(err)
	}
	sel, _ := c.Selection("evening")
	play := func(from, till time.Duration, f func(r *running)) {
		synctest.Test(t, func(t *testing.T) {
			s := w.broadcast(tp, 10*time.Second)
			began := tp.began.Add(-10 * time.Second)
			book, err := schedule.Open(schedule.Config{Store: newTable(), Zone: time.FixedZone("", -int(began.Sub(began.Truncate(24*time.Hour)).Seconds()))}) // it begins at its midnight
			if err != nil {
				t.Fatal(err)
			}
			slot(t, book, "day", 0, 24*60, 0)
			r := begin(t, w.player(), Request{Mixed: true, Stay: true}, func(p *Player) {
				p.cfg.Schedule, p.cfg.Sets = book.Schedule, channel{s, sel.ID}
			})
			defer r.end()
			wait(from)
			if err := book.Override(schedule.Override{Playlist: "evening", Till: began.Add(till)}); err != nil {
				t.Fatal(err)
			}
			f(r)
		})
	}
	set := func(r *running) bool { s := r.State(); return s.Live != nil && s.CID == "" && s.State == "playing" }
	play(5*time.Second, time.Minute, func(r *running) { // the set is from 10 to 30 s
		wait(3 * time.Second)
		r.sounds("before the set", ids["evening"][0])
		wait(12 * time.Second)
		if !set(r) {
			t.Errorf("on air: %+v", r.State())
		}
		wait(15 * time.Second)
		if s := r.State(); s.Playlist != "evening" || s.CID == "" || s.State != "playing" { // the set is a track of it, too
			t.Errorf("behind the set: %+v", s)
		}
		if find(r.room.left(), tp.sound[:1000], 0) < 0 {
			t.Error("the set is not heard from its first sample on")
		}
		wait(27 * time.Second)
		r.sounds("by day again", ids["day"][0])
	})
	play(5*time.Second, 20*time.Second, func(r *running) {
		wait(12 * time.Second)
		if !set(r) {
			t.Errorf("on air: %+v", r.State())
		}
		wait(5 * time.Second) // 22 s
		for range 15 {        // while the set goes on, and when it is over
			r.sounds("its slot is over", ids["day"][0])
			wait(time.Second)
		}
	})
	play(32*time.Second, time.Minute, func(r *running) { // when it was over
		if find(r.room.left(), tp.sound[44100:45100], 0) >= 0 {
			t.Error("a set of another playlist was heard")
		}
		r.sounds("meanwhile", ids["day"][0])
	})
}

// What is to come is what the schedule says, from what is heard now on, and each of its tracks once.
func TestAheadOfTheSchedule(t *testing.T) {
	w, ids, b := timed(t, false, 60, map[string][]float64{"day": {200, 210, 220, 230, 240}, "evening": {400, 410}, "locked": {500}})
	p := w.player()
	p.cfg.Schedule = b.Schedule
	ahead := func(playing string, d time.Duration) (out []cid.Cid) {
		for _, e := range p.Ahead(t.Context(), playing, d) {
			out = append(out, e.Track)
		}
		return out
	}
	if got := ahead("", 24*time.Hour); len(got) != 7 {
		t.Errorf("with nothing scheduled %d tracks", len(got))
	}
	slot(t, b, "day", 0, 2, 0)
	slot(t, b, "evening", 4, 5, 0)
	slot(t, b, "locked", 4, 5, 1)
	day := ids["day"]
	for _, c := range []struct {
		playing string
		d       time.Duration
		want    []cid.Cid
	}{
		{"", time.Minute, day[:1]},
		{"", 3 * time.Minute, day[:2]},
		{day[3].String(), 3 * time.Minute, day[3:]},
		{day[4].String(), 3 * time.Minute, []cid.Cid{day[4], day[0]}},
		{"", 5 * time.Minute, append(day[:2:2], ids["evening"][0])},
		{"", 25 * time.Hour, append(day[:2:2], ids["evening"][0], day[2], day[3], ids["evening"][1])}, // the next day goes on
	} {
		if got := ahead(c.playing, c.d); !slices.Equal(got, c.want) {
			t.Errorf("within %s from %.8s on: %v, want %v", c.d, c.playing, got, c.want)
		}
	}
	// A box without a lease has nothing to come.
	w.pass(48 * time.Hour)
	if got := ahead("", 24*time.Hour); len(got) != 0 {
		t.Errorf("after the lease %d tracks", len(got))
	}
}

// Two rooms keep to one schedule, each from the beginning, and neither moves the other on.
func TestTwoRooms(t *testing.T) {
	w, ids, b := timed(t, false, 40, map[string][]float64{"day": {200, 210, 220}, "evening": {400}})
	slot(t, b, "day", 0, 1, 0)
	slot(t, b, "evening", 1, 2, 0)
	slot(t, b, "day", 2, 4, 0)
	synctest.Test(t, func(t *testing.T) {
		p := w.player()
		w.goes()
		keep := func(p *Player) { p.cfg.Schedule = b.Schedule }
		one := begin(t, p, Request{Mixed: true, Stay: true}, keep)
		defer one.end()
		wait(50 * time.Second)
		one.sounds("the second", ids["day"][1])
		two := begin(t, p, Request{Mixed: true, Stay: true}, keep)
		wait(5 * time.Second)
		two.sounds("from the beginning", ids["day"][0])
		wait(70 * time.Second) // 2:05
		one.sounds("on from its second", ids["day"][2])
		two.sounds("on from its first", ids["day"][1])
		two.end()
		wait(40 * time.Second)
		if n := len(p.places); n != 1 {
			t.Errorf("%d playbacks are remembered", n)
		}
	})
}

// What comes is opened before its time, and not with urgency: a minute before the change, for that change, and once,
// also while something else stands in. Where it is not there then, the next of it is heard at its time, and no silence.
func TestTheNextSlotIsOpenedEarly(t *testing.T) {
	w, ids, b := timed(t, false, 100, map[string][]float64{"day": {200}, "evening": {400, 500}})
	slot(t, b, "day", 0, 2, 0)
	slot(t, b, "evening", 2, 4, 0)
	early := func(t *testing.T, first cid.Cid) {
		w.began, w.wants = time.Time{}, map[cid.Cid][]node.Want{}
		r := scheduled(t, w, b, Request{Mixed: true, Stay: true}, nil)
		defer r.end()
		asked := func() int {
			w.mu.Lock()
			defer w.mu.Unlock()
			n := 0
			for _, want := range w.wants[ids["evening"][0]] {
				if n++; want.Class < node.Next || want.Deadline.Sub(w.now.Add(2*time.Minute)).Abs() > 2*time.Second {
					t.Errorf("asked for as %+v", want)
				}
			}
			return n
		}
		wait(58 * time.Second)
		if n := asked(); n > 0 {
			t.Errorf("%d times before its time", n)
		}
		wait(4 * time.Second)
		if n := asked(); n == 0 {
			t.Error("it was not asked for a minute before its time")
		}
		wait(50 * time.Second)
		if n := asked(); n != 1 {
			t.Errorf("it was opened %d times", n)
		}
		wait(10 * time.Second)
		r.sounds("at its time", first)
		if n := r.count(Underrun); n > 0 {
			t.Errorf("%d underruns", n)
		}
	}
	synctest.Test(t, func(t *testing.T) { early(t, ids["evening"][0]) })
	slot(t, b, "nobody's", 0, 2, 1)
	synctest.Test(t, func(t *testing.T) { early(t, ids["evening"][0]) })
	w.hook = func(c cid.Cid, data []byte) ([]byte, error) {
		if c == ids["evening"][0] {
			return nil, node.ErrNotFound
		}
		return data, nil
	}
	synctest.Test(t, func(t *testing.T) { early(t, ids["evening"][1]) })
}

// A night in which a playlist is leased and nothing of it is here leaves no keys behind but those in use.
func TestNoKeysAddUp(t *testing.T) {
	w, ids, b := timed(t, false, 5, map[string][]float64{"day": {200, 300}})
	for _, c := range ids["day"] {
		delete(w.blocks, c)
	}
	synctest.Test(t, func(t *testing.T) {
		r := scheduled(t, w, b, Request{Stay: true}, nil)
		wait(time.Minute)
		r.end()
		if n := len(r.programs); n > 2 {
			t.Errorf("after a minute the keys of %d programs are held", n)
		}
	})
}
