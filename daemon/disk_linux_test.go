package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// fill takes all the room of a file system.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, n := range []int{1 << 20, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, n))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// On a disk that is full music starts, goes on and obeys; status says what could not be remembered, and that it is over
// when there is room again.
func TestFullDisk(t *testing.T) {
	p := newPair(t, time.Hour)
	disk := tempDir(t)
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"); err != nil {
		t.Skip("a file system of 64 MB needs root:", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	p.venue.stop()
	dir := filepath.Join(disk, "venue")
	if err := os.CopyFS(dir, os.DirFS(p.venue.dir)); err != nil {
		t.Fatal(err)
	}
	p.venue.dir = dir
	p.venue.start(p.clock)
	faults := func(mended bool) bool {
		return slices.ContainsFunc(do(t, p.venue, OpStatus, struct{}{}).Faults, func(f Fault) bool {
			return f.Kind == "disk" && (f.Mended != nil) == mended
		})
	}
	hog := filepath.Join(disk, "hog")
	fill(t, hog)
	do(t, p.venue, OpPlay, PlayRequest{Name: p.name, Sink: "null", Detach: true})
	until(t, "it plays", func() bool { return do(t, p.venue, OpCtl, CtlRequest{Do: "now"}).AtMs > 0 })
	if !faults(false) {
		t.Error("status knows nothing of a full disk")
	}
	if k, err := Call(t.Context(), p.venue, OpRemote, RemoteRequest{}, nil); KindOf(err) != NoSpace || p.venue.Admits(k.Key) {
		t.Errorf("a key of remote controls that is not kept: %+v, %v", k, err)
	}
	if s := do(t, p.venue, OpCtl, CtlRequest{Do: "volume", Volume: 30}); s.Volume != 30 || s.State != "playing" {
		t.Errorf("volume: %+v", s)
	}
	first := do(t, p.venue, OpCtl, CtlRequest{Do: "now"}).CID
	if s := do(t, p.venue, OpCtl, CtlRequest{Do: "block", Track: "now"}); len(s.Blocked) != 1 {
		t.Errorf("block: %+v", s)
	}
	until(t, "it plays another track", func() bool {
		s := do(t, p.venue, OpCtl, CtlRequest{Do: "now"})
		return s.State == "playing" && s.CID != first
	})
	if s := do(t, p.venue, OpCtl, CtlRequest{Do: "stop"}); s.State != "stopped" {
		t.Errorf("stop: %+v", s)
	}
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	do(t, p.venue, OpCtl, CtlRequest{Do: "volume", Volume: 40})
	if faults(false) || !faults(true) {
		t.Error("the fault outlives the full disk")
	}
}
