package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// Of a program all is unmapped that is in its file as it is in memory.
func TestOnlyWhatIsInTheFileIsUnmapped(t *testing.T) {
	one := func(from, perms, file string, written int) string {
		return fmt.Sprintf("%s-%s0 %s 00000000 fe:00 12  %s\nSize: 4 kB\nRss: 4 kB\nAnonymous: %d kB\nVmFlags: rd mr\n", from, from, perms, file, written)
	}
	smaps := one("1000", "r-xp", "/a b/playnode", 0) + one("2000", "r--p", "/a b/playnode", 0) +
		one("3000", "rw-p", "/a b/playnode", 0) + one("4000", "r--p", "/a b/playnode", 4) + one("5000", "r--s", "/a b/playnode", 0) +
		one("6000", "r-xp", "/lib/libc.so.6", 0) + one("7000", "r--p", "", 0) + one("8000", "r-xp", "/a b/playnode.db", 0)
	if got, want := asInFile(strings.NewReader(smaps), "/a b/playnode"), []stretch{{0x1000, 0x10000}, {0x2000, 0x20000}}; !slices.Equal(got, want) {
		t.Errorf("%x are as in the file, want %x", got, want)
	}
}

// What is unmapped is there again when it is touched, and not before: at once where
// much is mapped, and whatever is when a daemon is calm.
func TestADaemonsProgramIsUnmapped(t *testing.T) {
	for name, room := range map[string]int{"busy": programRoom, "calm": math.MaxInt} {
		t.Run(name, func(t *testing.T) { unmapped(t, room) })
	}
}

func unmapped(t *testing.T, room int) {
	t.Cleanup(func() { debug.SetMemoryLimit(math.MaxInt64) })
	t.Cleanup(func() { debug.SetGCPercent(100) })
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	read := func() string {
		t.Helper()
		smaps, err := os.ReadFile("/proc/self/smaps")
		if err != nil {
			t.Fatal(err)
		}
		return string(smaps)
	}
	before := read()
	all := asInFile(strings.NewReader(before), exe)
	if len(all) == 0 {
		t.Fatalf("nothing of %s is mapped:\n%s", exe, before)
	}
	// resident is what of all is mapped, size all of it, in kB; touch is a sum of
	// all pages.
	resident := func() (kb, size int) {
		smaps := read()
		for _, s := range all {
			_, of, ok := strings.Cut(smaps, fmt.Sprintf("%08x-%08x ", s.from, s.to))
			_, rss, has := strings.Cut(of, "\nRss:")
			var n int
			if _, err := fmt.Sscan(rss, &n); err != nil || !ok || !has {
				t.Fatalf("%x: %v", s, err)
			}
			kb, size = kb+n, size+int(s.to-s.from)>>10
		}
		return kb, size
	}
	touch := func() (sum int) {
		for _, s := range all {
			for at := s.from; at < s.to; at += uintptr(os.Getpagesize()) {
				sum += int(**(**byte)(unsafe.Pointer(&at)))
			}
		}
		return sum
	}
	sum := touch()
	kb, size := resident()
	if kb < size || size<<10 < programRoom {
		t.Fatalf("%d kB of %d are mapped when all was touched, and %d may be", kb, size, programRoom>>10)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go fitMemory(ctx, true, room)
		synctest.Wait()
		// What is touched meanwhile is mapped again, with what lies around it.
		if kb, size := resident(); (kb <= size*3/4) != (room == programRoom) {
			t.Errorf("%d kB of %d are mapped at once", kb, size)
		}
		for range 20 { // until nothing is collected for so long
			<-time.After(4 * calm * memoryPeriod)
			synctest.Wait()
			if kb, size := resident(); kb <= size*3/4 {
				return
			}
		}
		kb, size := resident()
		t.Errorf("%d kB of %d are mapped", kb, size)
	})
	if again := touch(); again != sum {
		t.Errorf("all pages sum up to %d, and to %d before", again, sum)
	}
}
