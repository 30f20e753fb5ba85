package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// gcPercent is how much a daemon's heap may grow before it is collected,
	// where GOGC does not say: a venue's box has little memory, and cores to
	// spare.
	gcPercent = 50
	// busyHeap is how large the heap may be, in bytes, before it is collected, if
	// that is more, while it is collected often, which is so many times in a
	// period: half of what little lives is allocated in no time.
	busyHeap, often = 24 << 20, 4
	// goMemory is how many bytes a daemon's Go runtime is to make do with,
	// where GOMEMLIMIT does not say. The program itself is beside it.
	goMemory = 40 << 20
	// besideHeap is about what of that is no living object: stacks, tables, and
	// rooms between objects.
	besideHeap = 8 << 20
	// memoryPeriod is how often it is looked at whether much is collected.
	memoryPeriod = 2 * time.Second
	// calm is after how many periods in which nothing was collected the system is
	// given back what the heap has free, and the program's own pages.
	calm = 10
	// programRoom is how many bytes of files, the program's own nearly all, may be
	// mapped while it is not calm before the program is unmapped, and moreProgram how
	// many more than half a second after it was: what is in use by then is needed.
	programRoom, moreProgram = 20 << 20, 8 << 20
	// limitPeriod is how often it is looked at whether that, and the limit, still
	// fit.
	limitPeriod = 500 * time.Millisecond
)

// boundMemory has this process take little memory, unless its environment says
// how much it may take. What it returns does the rest until ctx ends, and is
// called when the node is open: that takes a limit that it finds for the box's.
func boundMemory() (fit func(ctx context.Context)) {
	growth := os.Getenv("GOGC") == ""
	if growth {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return func(context.Context) {}
	}
	return func(ctx context.Context) { go fitMemory(ctx, growth, programRoom) }
}

// fitMemory sets the runtime's soft limit anew as what lives grows and
// shrinks, has little collected often, about program bytes of the program mapped
// at the most, and no room kept for what a calm daemon does not need. Unless growth
// is set it leaves alone how much the heap may grow.
func fitMemory(ctx context.Context, growth bool, program int) {
	heap := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/cycles/automatic:gc-cycles"},
		{Name: "/gc/scan/globals:bytes"}, {Name: "/gc/scan/stack:bytes"},
	}
	tick, look := time.NewTicker(memoryPeriod), time.NewTicker(limitPeriod)
	defer tick.Stop()
	defer look.Stop()
	cycles, still, busy := uint64(0), 0, true // who starts is
	mapped := mapping{room: program}
	for was, grows := int64(0), 0; ; {
		metrics.Read(heap)
		live := heap[0].Value.Uint64()
		n := heap[1].Value.Uint64()
		if n-cycles >= often {
			busy = true
		}
		if n != cycles {
			cycles, still = n, 0
		} else if still++; still == calm { // once, until it has been less calm
			busy = false
			for range 2 { // what a pool held is let go by the second collection
				debug.FreeOSMemory()
			}
			unmapProgram()
			mapped.fresh = true
		}
		if p := heapGrowth(live, heap[2].Value.Uint64()+heap[3].Value.Uint64(), busy); growth && p != grows {
			debug.SetGCPercent(p)
			grows = p
		}
		for waits := true; waits; metrics.Read(heap[:1]) {
			if limit := memoryLimit(heap[0].Value.Uint64()); limit != was {
				debug.SetMemoryLimit(limit)
				was = limit
			}
			if mapped.full(mappedFiles()) {
				unmapProgram()
			}
			select {
			case <-look.C:
			case <-tick.C:
				waits = false
			case <-ctx.Done():
				return
			}
		}
	}
}

// mapping is how much of files is mapped.
type mapping struct {
	room  int  // the program is unmapped for none of so much
	left  int  // what was there at the next look after it was
	fresh bool // it was, since the last look
}

// full tells, when so much is mapped, whether the program is to be unmapped now.
func (m *mapping) full(mapped int) bool {
	if m.fresh {
		m.left, m.fresh = mapped, false
		return false
	}
	m.fresh = mapped > m.room && mapped > m.left+moreProgram
	return m.fresh
}

// heapGrowth is how much of what lives and of roots, in percent, is allocated
// before the heap is collected.
func heapGrowth(live, roots uint64, busy bool) int {
	if !busy || live >= busyHeap {
		return gcPercent
	}
	p := 100 * (busyHeap - live) / max(live+roots, busyHeap/8)
	return max(gcPercent, int(p/20*20)) // each change stops all for a moment
}

// memoryLimit is the runtime's limit while so many bytes of its heap live. A
// box that needs more gets more: at a limit that leaves no room, the runtime
// would collect all the time.
func memoryLimit(live uint64) int64 { return max(goMemory, int64(live+live/2+besideHeap)) }
