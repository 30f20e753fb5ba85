package main

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"
)

// A daemon's runtime is bound, by more where more lives, and by no limit of
// ours where the environment has one.
func TestMemoryIsBound(t *testing.T) {
	t.Cleanup(func() { debug.SetMemoryLimit(math.MaxInt64) })
	t.Cleanup(func() { debug.SetGCPercent(100) })
	limit := func() int64 { return debug.SetMemoryLimit(-1) }
	bound := func(t *testing.T, then func()) {
		synctest.Test(t, func(t *testing.T) {
			debug.SetMemoryLimit(math.MaxInt64)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			fit := boundMemory()
			synctest.Wait()
			if got := limit(); got != math.MaxInt64 { // the node, which opens now, would take it for the box's
				t.Errorf("the limit is %d before the node is open", got)
			}
			fit(ctx)
			synctest.Wait()
			then()
		})
	}
	t.Setenv("GOGC", "70")
	t.Setenv("GOMEMLIMIT", "1GiB")
	bound(t, func() {
		if got := limit(); got != math.MaxInt64 {
			t.Errorf("GOMEMLIMIT is set, and the limit is made %d", got)
		}
		if got := debug.SetGCPercent(100); got != 100 {
			t.Errorf("GOGC is set, and the percentage is made %d", got)
		}
	})
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	bound(t, func() {
		runtime.GC() // little lives
		if got := debug.SetGCPercent(100); got < gcPercent {
			t.Errorf("the percentage is %d, want %d or more", got, gcPercent)
		}
		if got := limit(); got != goMemory {
			t.Errorf("the limit is %d, want %d", got, goMemory)
		}
	})
	for live, want := range map[uint64]int64{0: goMemory, 20 << 20: goMemory, 100 << 20: 158 << 20} {
		if got := memoryLimit(live); got != want {
			t.Errorf("%d live: the limit is %d, want %d", live, got, want)
		}
	}
}

// What little lives has room to be collected seldom while it is collected often,
// which is no more than a heap of busyHeap, and else half of it.
func TestLittleIsCollectedSeldom(t *testing.T) {
	for _, c := range []struct {
		live, roots uint64
		busy        bool
		want        int
	}{
		{6 << 20, 3 << 20, false, gcPercent},
		{6 << 20, 3 << 20, true, 200},
		{busyHeap / 2, 0, true, 100},
		{busyHeap * 2 / 3, 0, true, gcPercent},
		{busyHeap * 2, 0, true, gcPercent},
		{0, 0, true, 800},
	} {
		got := heapGrowth(c.live, c.roots, c.busy)
		if got != c.want {
			t.Errorf("%d live, %d roots, busy %t: %d %%, want %d", c.live, c.roots, c.busy, got, c.want)
		}
		if most := max(busyHeap, c.live*3/2+c.roots); c.live > 0 && c.live+(c.live+c.roots)*uint64(got)/100 > most {
			t.Errorf("%d live, %d roots, busy %t: more than %d before it is collected", c.live, c.roots, c.busy, most)
		}
	}
}

// What lives may grow, and the limit with it.
func TestMemoryGrowsWithWhatLives(t *testing.T) {
	t.Cleanup(func() { debug.SetMemoryLimit(math.MaxInt64) })
	t.Cleanup(func() { debug.SetGCPercent(100) })
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go fitMemory(ctx, true, math.MaxInt)
		synctest.Wait()
		much := make([]byte, goMemory)
		runtime.GC()
		<-time.After(memoryPeriod)
		synctest.Wait()
		if got := debug.SetMemoryLimit(-1); got < goMemory+goMemory/2 {
			t.Errorf("%d live: the limit is %d", len(much), got)
		}
		runtime.KeepAlive(much)
	})
}

// When all is calm what the heap has free goes back to the system, once.
func TestMemoryIsGivenBackWhenCalm(t *testing.T) {
	t.Cleanup(func() { debug.SetMemoryLimit(math.MaxInt64) })
	t.Cleanup(func() { debug.SetGCPercent(100) })
	cycles := []metrics.Sample{{Name: "/gc/cycles/automatic:gc-cycles"}, {Name: "/gc/cycles/forced:gc-cycles"}}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go fitMemory(ctx, true, math.MaxInt)
		read := func() (automatic, forced uint64) {
			metrics.Read(cycles)
			return cycles[0].Value.Uint64(), cycles[1].Value.Uint64()
		}
		_, before := read()
		for range 20 {
			collected, was := read()
			<-time.After(4 * calm * memoryPeriod)
			synctest.Wait()
			again, now := read()
			if again == collected && now != was && now-was != 2 { // nothing was collected meanwhile
				t.Errorf("given back by %d collections: two empty the pools, once", now-was)
			}
			if now > before {
				if got := debug.SetGCPercent(gcPercent); got != gcPercent {
					t.Errorf("the heap of a calm daemon may grow by %d %%, want %d", got, gcPercent)
				}
				return
			}
		}
		t.Error("nothing was given back")
	})
}

// A program that is in use stays mapped, and so it does where others' files are what is
// mapped: unmapping it twice a second would help nobody.
func TestWhatIsInUseStaysMapped(t *testing.T) {
	const mb = 1 << 20
	m := mapping{room: 20 * mb}
	for i, c := range []struct {
		mapped int
		full   bool
	}{
		{20 * mb, false}, {36 * mb, true}, {25 * mb, false}, // it fell to what is in use
		{33 * mb, false}, {33*mb + 1, true}, {34 * mb, false}, // it did not fall
		{42 * mb, false}, {42 * mb, false}, {43 * mb, true}, {5 * mb, false},
		{13*mb + 1, false}, {20*mb + 1, true},
	} {
		if got := m.full(c.mapped); got != c.full {
			t.Errorf("look %d, %d MB: it is unmapped: %v, want %v", i, c.mapped/mb, got, c.full)
		}
	}
}
