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
	// where GOMEMLIMIT does not say. The program itself, some 40 MB, is beside
	// it.
	goMemory = 54 << 20
	// besideHeap is about what of that is no living object: stacks, tables, and
	// rooms between objects.
	besideHeap = 8 << 20
	// memoryPeriod is how often it is looked at whether that still fits.
	memoryPeriod = 2 * time.Second
	// calm is after how many periods in which nothing was collected the system is
	// given back what the heap has free, and the program's own pages.
	calm = 10
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
	return func(ctx context.Context) { go fitMemory(ctx, growth) }
}

// fitMemory sets the runtime's soft limit anew as what lives grows and
// shrinks, has little collected often, and no room kept for what a calm daemon
// does not need. Unless growth is set it leaves alone how much the heap may grow.
func fitMemory(ctx context.Context, growth bool) {
	heap := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/cycles/automatic:gc-cycles"},
		{Name: "/gc/scan/globals:bytes"}, {Name: "/gc/scan/stack:bytes"},
	}
	tick := time.NewTicker(memoryPeriod)
	defer tick.Stop()
	cycles, still, busy := uint64(0), 0, true // who starts is
	for was, grows := int64(0), 0; ; {
		metrics.Read(heap)
		live := heap[0].Value.Uint64()
		if limit := memoryLimit(live); limit != was {
			debug.SetMemoryLimit(limit)
			was = limit
		}
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
		}
		if p := heapGrowth(live, heap[2].Value.Uint64()+heap[3].Value.Uint64(), busy); growth && p != grows {
			debug.SetGCPercent(p)
			grows = p
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
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
