package player

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"playnode/node"
)

// soakFor is how much time passes in the bubble: PLAYNODE_SOAK, or a little.
func soakFor(t *testing.T, or time.Duration) time.Duration {
	s := os.Getenv("PLAYNODE_SOAK")
	if s == "" && testing.Short() {
		return or / 2
	}
	if s == "" {
		return or
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// meter is a loudspeaker that keeps nothing of what it hears but how long it was silent: writes that have no sound at
// all, which nobody has asked for. One of those is an underrun, whoever counts.
type meter struct {
	*pacedSink
	s *soaked
}

// soaked is what a soak has heard.
type soaked struct {
	broken  atomic.Bool
	frames  atomic.Int64
	silent  atomic.Int64 // frames of silence, since the last sound
	longest atomic.Int64 // the longest such
	excused atomic.Bool  // it is silent for a reason
}

func (m *meter) Write(b []float32) error {
	if m.s.broken.Load() {
		return errBroken
	}
	n := int64(len(b) / Channels)
	m.s.frames.Add(n)
	zero := true
	for _, v := range b {
		if v != 0 {
			zero = false
			break
		}
	}
	switch {
	case !zero || m.s.excused.Load():
		m.s.silent.Store(0)
	default:
		m.s.longest.Store(max(m.s.longest.Load(), m.s.silent.Add(n)))
	}
	return m.pacedSink.Write(b)
}

// faulty is a fetch that is made to fail.
type faulty struct {
	*world
	mu   sync.Mutex // guards what follows
	hurt map[cid.Cid]int
}

const (
	missing = 1 + iota
	damagedBlock
	late
)

func (f *faulty) set(c cid.Cid, how int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hurt[c] = how
}

func (f *faulty) Get(ctx context.Context, c cid.Cid, _ node.Want) ([]byte, error) {
	f.mu.Lock()
	how := f.hurt[c]
	f.mu.Unlock()
	f.world.mu.Lock()
	b := f.world.blocks[c]
	f.world.mu.Unlock()
	switch how {
	case missing:
		return nil, fmt.Errorf("block %s: %w", c, node.ErrNotFound)
	case damagedBlock:
		b = append([]byte{}, b...)
		b[len(b)/2] ^= 1
	case late:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return b, nil
}

// Has says of what would not come that it is not here; damage shows only when it is read.
func (f *faulty) Has(_ context.Context, c cid.Cid) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hurt[c] != missing && f.hurt[c] != late, nil
}

type use struct {
	heap       uint64
	goroutines int
	files      int
}

// used is what the process has in use.
func used(t *testing.T) use {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Log("descriptors cannot be counted here:", err)
	}
	return use{m.HeapAlloc, runtime.NumGoroutine(), len(fds)}
}

// A long time with everything going wrong now and then: music goes on, and nothing is used up. make soak has a day of it.
func TestSoak(t *testing.T) {
	defer goleak.VerifyNone(t)
	long := soakFor(t, 4*time.Minute)
	w := newWorld(t)
	dir := t.TempDir()
	var paths []string
	for i, name := range []string{"0.wav", "1.mp3", "2.wav", "3.flac", "4.wav", "5.wav", "6.wav", "7.wav"} {
		rate := 44100
		if i%3 == 2 {
			rate = 48000
		}
		src := music(rate, 2, (20+3*i)*rate)
		src[0], src[1] = float32(i+1)/100, 0 // all are different
		paths = append(paths, encoded(t, dir, name, rate, 2, src))
	}
	cids := w.publish("main", paths...)
	w.grant("main", 400*24*time.Hour)
	var leaves [][]cid.Cid
	for _, c := range cids {
		leaves = append(leaves, w.leaves(c))
	}
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{world: w, hurt: map[cid.Cid]int{}}
		p := w.player()
		p.cfg.Fetch, p.cfg.Held, p.cfg.Patience = f, f, 5*time.Second
		var s soaked
		p.open = func(ctx context.Context, spec sinkSpec, want sinkWant) (Sink, error) {
			if s.broken.Load() || spec.kind != "null" {
				return nil, errBroken
			}
			return &meter{newPaced(ctx, nullSink{rate: want.rate}, want.latency), &s}, nil
		}
		var tracks, failed, underruns atomic.Int64
		b, err := p.Open(Request{Sink: "null", Stay: true, Loudness: "-18", Crossfade: 3 * time.Second}, func(e Event) {
			switch e.Kind {
			case NewTrack:
				tracks.Add(1)
			case Failed:
				failed.Add(1)
			case Underrun:
				underruns.Add(1)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); b.Run(ctx) }()
		rnd := rand.New(rand.NewPCG(1, 9))
		begun := time.Now()
		var first use
		lates, throws := 0, 0
		for time.Since(begun) < long {
			wait(time.Duration(20+rnd.IntN(40)) * time.Second)
			w.pass(time.Minute)
			if first.heap == 0 && time.Since(begun) > long/4 {
				first = used(t)
			}
			throws++
			i := rnd.IntN(len(leaves))
			c := leaves[i][rnd.IntN(len(leaves[i]))]
			switch what := rnd.IntN(8); what {
			case 0, 1:
				f.set(c, missing)
				wait(time.Duration(rnd.IntN(120)) * time.Second)
				f.set(c, 0)
			case 2:
				f.set(c, damagedBlock)
				wait(time.Minute)
				f.set(c, 0)
			case 3:
				f.set(c, late)
				lates++
				wait(time.Minute)
				f.set(c, 0)
			case 4: // the loudspeaker dies, and comes back
				s.excused.Store(true)
				s.broken.Store(true)
				wait(time.Duration(rnd.IntN(20000)) * time.Millisecond)
				s.broken.Store(false)
				wait(time.Second)
				if st := b.State(); st.State != "playing" {
					t.Errorf("a second after the loudspeaker came back: %+v", st)
				}
				s.excused.Store(false)
			case 5: // the clock is set back, and forward again
				w.pass(-time.Hour)
				wait(time.Minute)
				w.pass(time.Hour)
			case 6: // somebody fiddles
				b.Next(ctx)
				wait(time.Second)
				b.Prev(ctx)
				b.Seek(ctx, time.Duration(rnd.IntN(20))*time.Second)
				b.SetVolume(50 + rnd.IntN(50))
			case 7: // a pause
				s.excused.Store(true)
				b.Pause(ctx)
				wait(10 * time.Second)
				b.Resume(ctx)
				wait(500 * time.Millisecond)
				s.excused.Store(false)
			}
		}
		last := used(t)
		st := b.State()
		cancel()
		<-done
		gap := time.Duration(s.longest.Load()) * time.Second / 44100
		t.Logf("%s: %d tracks, %d failed, %d throws, %d late blocks, %d underruns, %s of silence at the most; heap %d KB, then %d KB; %d goroutines, %d; %d descriptors, %d",
			time.Since(begun).Round(time.Second), tracks.Load(), failed.Load(), throws, lates, underruns.Load(), gap, first.heap>>10, last.heap>>10, first.goroutines, last.goroutines, first.files, last.files)
		if st.State == "stopped" || tracks.Load() < int64(long/time.Minute) {
			t.Errorf("%d tracks in %s; %+v", tracks.Load(), long, st)
		}
		if n := underruns.Load(); n > 0 {
			t.Errorf("%d underruns, where %d blocks did not come", n, lates)
		}
		if gap > 0 {
			t.Errorf("%s of silence", gap)
		}
		if last.heap > first.heap+8<<20 {
			t.Errorf("the heap grew from %d to %d bytes", first.heap, last.heap)
		}
		if last.goroutines > first.goroutines+20 || last.files > first.files {
			t.Errorf("goroutines %d to %d, descriptors %d to %d", first.goroutines, last.goroutines, first.files, last.files)
		}
	})
}

// A week without any network, the lease's keys changing in its middle: no slot is empty.
func TestWeekOffline(t *testing.T) {
	long := soakFor(t, 4*time.Minute)
	if os.Getenv("PLAYNODE_SOAK") != "" {
		long = 7 * 24 * time.Hour
	}
	w := newWorld(t)
	dir := t.TempDir()
	var paths []string
	for i := range 5 {
		src := music(8000, 1, 180*8000)
		src[0] = float32(i) / 100
		paths = append(paths, encoded(t, dir, fmt.Sprint(i, ".wav"), 8000, 1, src))
	}
	w.publish("main", paths...)
	w.grant("main", 20*24*time.Hour)
	f := &faulty{world: w, hurt: map[cid.Cid]int{}}
	synctest.Test(t, func(t *testing.T) {
		p := w.player()
		p.cfg.Fetch = f
		var s soaked
		p.open = func(ctx context.Context, _ sinkSpec, want sinkWant) (Sink, error) {
			return &meter{newPaced(ctx, nullSink{rate: want.rate}, want.latency), &s}, nil
		}
		var underruns, failed atomic.Int64
		ctx, cancel := context.WithTimeout(t.Context(), long)
		defer cancel()
		go func() {
			for ctx.Err() == nil {
				wait(time.Hour)
				w.pass(time.Hour)
			}
		}()
		b, err := p.Open(Request{Sink: "null", Stay: true}, func(e Event) {
			switch e.Kind {
			case Underrun:
				underruns.Add(1)
			case Failed, Lapsed:
				failed.Add(1)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		b.Run(ctx)
		heard := time.Duration(s.frames.Load()) * time.Second / 8000
		if underruns.Load()+failed.Load() > 0 || heard < long-time.Second || s.longest.Load() > 800 {
			t.Errorf("%s heard of %s, %d underruns, %d failures, %d silent frames", heard, long, underruns.Load(), failed.Load(), s.longest.Load())
		}
		t.Logf("%s heard of %s", heard, long)
		wait(2 * time.Hour) // the hour's goroutine ends
	})
}
