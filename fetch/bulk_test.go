package fetch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/fetch"
	"playnode/node"
)

// gateway is a source of streams: its blocks, and then err.
type gateway struct {
	source
	blocks []node.Block
	err    error
	asked  int
}

func (g *gateway) Stream(ctx context.Context, root cid.Cid, f func(node.Block) error) error {
	g.asked++
	for _, b := range g.blocks {
		if err := f(b); err != nil {
			return err
		}
	}
	return g.err
}

// many are n blocks of a thousand bytes.
func many(n int) (all []node.Block) {
	for i := range n {
		all = append(all, node.NewBlock(cid.Raw, append(make([]byte, 998), byte(i), byte(i>>8))))
	}
	return all
}

// TestBulk has what a gateway streams kept before each is called for it, up to
// a bound, and counts it.
func TestBulk(t *testing.T) {
	d, all := newDisk(), many(300)
	lacking, good := &gateway{err: node.ErrNotFound}, &gateway{blocks: all}
	s := scheduler(d, &source{delay: time.Hour})
	s.Add(fetch.Source{Name: "x", Getter: lacking})
	s.Add(fetch.Source{Name: "y", Getter: good})
	b := fetch.NewBulk(s)
	stream := func(most int64) (kept int, err error) {
		err = b.Stream(t.Context(), all[0].CID, most, func(c cid.Cid, size int) {
			if has, _ := d.Has(t.Context(), c); !has || size != 1000 {
				t.Errorf("%s is told of and not here", c)
			}
			kept++
		})
		return kept, err
	}
	if kept, err := stream(99_999); err != nil || kept != 100 {
		t.Fatalf("within 99,999 bytes: %d, %v", kept, err)
	}
	if kept, err := stream(1 << 20); err != nil || kept != 300 {
		t.Fatalf("%d, %v", kept, err)
	}
	if c := s.Counts(); c["y"] != (fetch.Count{Blocks: 400, Bytes: 400_000}) || c["x"].Failed != 2 || c["x"].Dropped {
		t.Fatalf("counts %+v", c)
	}
	good.err, good.blocks = node.ErrVerify, all[:3]
	if kept, err := stream(1 << 20); !errors.Is(err, node.ErrVerify) || kept != 3 || !s.Counts()["y"].Dropped {
		t.Fatalf("from a liar: %d, %v, %+v", kept, err, s.Counts()["y"])
	}
	if _, err := stream(1 << 20); !errors.Is(err, node.ErrNotFound) || good.asked != 3 {
		t.Fatalf("a liar asked again: %v, %d times", err, good.asked)
	}
	lacking.blocks, lacking.err, d.full = all, nil, true
	if _, err := stream(1 << 20); !errors.Is(err, node.ErrNoSpace) || s.Counts()["x"].Dropped {
		t.Fatalf("on a full disk: %v, %+v", err, s.Counts()["x"])
	}
}

// TestBulkLeavesItToPeers streams nothing while peers give blocks.
func TestBulkLeavesItToPeers(t *testing.T) {
	clock := time.Unix(1_000_000, 0)
	peer, g := &source{data: block.Data}, &gateway{blocks: many(1)}
	s := fetch.New(fetch.Config{Local: newDisk(), Now: func() time.Time { return clock }})
	s.Add(fetch.Source{Name: "peers", Getter: peer})
	s.Add(fetch.Source{Name: "g", Getter: g})
	b := fetch.NewBulk(s)
	stream := func() bool { return b.Stream(t.Context(), g.blocks[0].CID, 1<<20, nil) == nil }
	if !stream() {
		t.Fatal("nothing was streamed though no peer has given anything")
	}
	if _, err := s.Get(t.Context(), block.CID, node.Want{}); err != nil {
		t.Fatal(err)
	}
	if stream() {
		t.Fatal("streamed while a peer gives")
	}
	clock = clock.Add(4 * time.Second)
	if stream() {
		t.Fatal("streamed after 4 s of silence")
	}
	clock = clock.Add(time.Second)
	if !stream() {
		t.Fatal("not streamed after 5 s of silence")
	}
}

// TestAStreamYieldsToAPlayhead: while a playhead waits for a block no stream is
// read on, for as long as that may still be what it waits for.
func TestAStreamYieldsToAPlayhead(t *testing.T) {
	for takes, want := range map[time.Duration]time.Duration{300 * time.Millisecond: 300 * time.Millisecond, time.Minute: 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			all := many(3)
			s := scheduler(newDisk(), &source{delay: takes, data: block.Data})
			s.Add(fetch.Source{Name: "g", Getter: &gateway{source: source{delay: time.Hour}, blocks: all}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go s.Get(ctx, block.CID, node.Want{Class: node.Now, Deadline: time.Now()})
			synctest.Wait()
			began, kept := time.Now(), 0
			if err := fetch.NewBulk(s).Stream(ctx, all[0].CID, 1<<20, func(cid.Cid, int) { kept++ }); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); kept != 3 || took < want || took > want+50*time.Millisecond {
				t.Errorf("%d blocks after %v, want %v", kept, took, want)
			}
		})
	}
}
