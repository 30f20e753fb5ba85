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
	// goMemory is how many bytes a daemon's Go runtime is to make do with,
	// where GOMEMLIMIT does not say. The program itself, some 40 MB, is beside
	// it.
	goMemory = 54 << 20
	// besideHeap is about what of that is no living object: stacks, tables, and
	// rooms between objects.
	besideHeap = 8 << 20
	// memoryPeriod is how often it is looked at whether that still fits.
	memoryPeriod = 2 * time.Second
)

// boundMemory has this process take little memory, unless its environment says
// how much it may take. What it returns does the rest until ctx ends, and is
// called when the node is open: that takes a limit that it finds for the box's.
func boundMemory() (fit func(ctx context.Context)) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return func(context.Context) {}
	}
	return func(ctx context.Context) { go fitMemory(ctx) }
}

// fitMemory sets the runtime's soft limit anew as what lives grows and
// shrinks.
func fitMemory(ctx context.Context) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(memoryPeriod)
	defer tick.Stop()
	for was := int64(0); ; {
		metrics.Read(live)
		if limit := memoryLimit(live[0].Value.Uint64()); limit != was {
			debug.SetMemoryLimit(limit)
			was = limit
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// memoryLimit is the runtime's limit while so many bytes of its heap live. A
// box that needs more gets more: at a limit that leaves no room, the runtime
// would collect all the time.
func memoryLimit(live uint64) int64 { return max(goMemory, int64(live+live/2+besideHeap)) }
