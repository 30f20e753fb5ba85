package pack

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// TestOthersDoNotWait: while one batch is synced everything else is read, and
// what comes meanwhile shares the next sync.
func TestOthersDoNotWait(t *testing.T) {
	disk := newDisk(1)
	s, err := Open(Config{disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	block := func(i int) node.Block { return node.NewBlock(cid.Raw, fmt.Append(nil, "block ", i)) }
	if err := s.Keep(t.Context(), block(0)); err != nil {
		t.Fatal(err)
	}
	reached, onward := make(chan bool), make(chan bool)
	disk.held = func() { reached <- true; <-onward }
	var writers sync.WaitGroup
	keep := func(i int) {
		writers.Go(func() {
			if err := s.Keep(t.Context(), block(i)); err != nil {
				t.Error(err)
			}
		})
	}
	keep(1)
	<-reached
	if data, err := s.Read(t.Context(), block(0).CID); err != nil || !bytes.Equal(data, block(0).Data) {
		t.Fatal(err)
	}
	listed := 0
	if err := s.Each(t.Context(), func(cid.Cid, int64) error { listed++; return nil }); err != nil || listed != 1 {
		t.Fatal(listed, err)
	}
	for i := range 2 {
		if has, err := s.Has(t.Context(), block(i).CID); err != nil || has != (i == 0) {
			t.Fatalf("block %d, which the disk may not have yet, is held: %v, %v", i, has, err)
		}
	}
	const more = 10
	for i := range more {
		keep(2 + i)
	}
	for waiting := 0; waiting < more; runtime.Gosched() {
		s.queue.mu.Lock()
		waiting = len(s.queue.waiting)
		s.queue.mu.Unlock()
	}
	onward <- true
	<-reached
	onward <- true
	writers.Wait()
	if disk.syncs != 3 {
		t.Errorf("%d syncs for one, one and %d", disk.syncs, more)
	}
	for i := range 2 + more {
		if _, err := s.Read(t.Context(), block(i).CID); err != nil {
			t.Error(err)
		}
	}
}
