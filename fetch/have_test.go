package fetch_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/fetch"
	"playnode/node"
	"playnode/node/memory"
)

// blocksOf are n blocks and their digests.
func blocksOf(n int) (blocks []node.Block, digests []fetch.Digest) {
	for i := range n {
		b := node.NewBlock(cid.Raw, fmt.Append(nil, "block ", i))
		blocks = append(blocks, b)
		digests = append(digests, fetch.Digest(b.CID.Hash()[2:]))
	}
	return blocks, digests
}

// peers are a DJ's node and others that answer her.
func peers(t *testing.T, others int) (dj *memory.Node, rest []*memory.Node) {
	w := memory.NewWorld()
	dj = w.Node("dj")
	t.Cleanup(func() { dj.Close() })
	for i := range others {
		n := w.Node(fmt.Sprint("venue ", i))
		t.Cleanup(func() { n.Close() })
		fetch.ServeHave(fetch.HaveConfig{Streams: n, Blocks: n, Now: time.Now})
		w.Link(dj, n)
		rest = append(rest, n)
	}
	return dj, rest
}

func put(t *testing.T, n *memory.Node, blocks ...node.Block) {
	t.Helper()
	if err := n.Put(t.Context(), blocks...); err != nil {
		t.Fatal(err)
	}
}

// TestHoldersCount: a block counts once so many hold it, and not before; also
// over more questions than one, and after a new version.
func TestHoldersCount(t *testing.T) {
	for _, n := range []int{1, 7, 8, 9, fetch.MaxHave, fetch.MaxHave + 1} {
		dj, venues := peers(t, 3)
		blocks, digests := blocksOf(n)
		put(t, dj, blocks...)
		h := fetch.NewHolders(dj, dj)
		h.Watch(digests)
		want := func(copies, held int) {
			t.Helper()
			for _, v := range venues {
				if _, err := h.Ask(t.Context(), v.ID()); err != nil {
					t.Fatal(err)
				}
			}
			if all, got := h.Count(copies); all != n || got != held {
				t.Fatalf("%d of %d blocks have %d copies, want %d of %d", got, all, copies, held, n)
			}
		}
		want(1, 0)
		put(t, venues[0], blocks...)
		want(1, n)
		want(2, 0)
		put(t, venues[1], blocks[:n-1]...)
		want(2, n-1)
		put(t, venues[2], blocks[n-1])
		want(2, n)
		want(3, 0)
		h.Forget(venues[0].ID())
		if _, got := h.Count(2); got != 0 {
			t.Fatalf("without the first %d blocks have 2 copies", got)
		}
		more, newer := blocksOf(n + 1)
		put(t, dj, more...)
		h.Watch(newer)
		if all, got := h.Count(1); all != n+1 || got != n {
			t.Fatalf("of the new version %d of %d", got, all)
		}
	}
}

// boast is a peer's store that claims to have all and has nothing.
type boast struct{ *memory.Node }

func (boast) Has(context.Context, cid.Cid) (bool, error) { return true, nil }

// TestClaimWithoutProof is worth nothing, and loses what was believed.
func TestClaimWithoutProof(t *testing.T) {
	w := memory.NewWorld()
	dj, liar := w.Node("dj"), w.Node("liar")
	t.Cleanup(func() { dj.Close(); liar.Close() })
	fetch.ServeHave(fetch.HaveConfig{Streams: liar, Blocks: boast{liar}, Now: time.Now})
	w.Link(dj, liar)
	blocks, digests := blocksOf(10)
	put(t, dj, blocks...)
	put(t, liar, blocks[0])
	h := fetch.NewHolders(dj, dj)
	h.Watch(digests[:1])
	if held, err := h.Ask(t.Context(), liar.ID()); held != 1 || err != nil {
		t.Fatal(held, err)
	}
	h.Watch(digests)
	if held, err := h.Ask(t.Context(), liar.ID()); held != 0 || !errors.Is(err, node.ErrNotFound) {
		t.Fatal(held, err)
	}
	if _, held := h.Count(1); held != 0 {
		t.Fatalf("%d blocks of a liar's count", held)
	}
}

// TestTooManyQuestions are put off, until time has passed.
func TestTooManyQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dj, venues := peers(t, 1)
		_, digests := blocksOf(fetch.MaxHave)
		h := fetch.NewHolders(dj, dj)
		h.Watch(digests)
		asked := 0
		for ; asked < 100; asked++ {
			if _, err := h.Ask(t.Context(), venues[0].ID()); errors.Is(err, fetch.ErrBusy) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if asked != 16 {
			t.Fatalf("%d questions at once", asked)
		}
		<-time.After(time.Second)
		if _, err := h.Ask(t.Context(), venues[0].ID()); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Ask(t.Context(), venues[0].ID()); !errors.Is(err, fetch.ErrBusy) {
			t.Fatal(err)
		}
		dj.Close()
		venues[0].Close()
	})
}

// TestBadQuestions end the stream without an answer.
func TestBadQuestions(t *testing.T) {
	dj, venues := peers(t, 1)
	for what, q := range map[string][]byte{
		"nothing":         {},
		"an unknown op":   {9, 0, 1},
		"no block":        {1, 0, 0},
		"too many":        binary.BigEndian.AppendUint16([]byte{1}, fetch.MaxHave+1),
		"a cut digest":    append([]byte{1, 0, 2}, make([]byte, 33)...),
		"a cut challenge": append([]byte{2}, make([]byte, 20)...),
	} {
		s, err := dj.Open(t.Context(), venues[0].ID(), fetch.HaveProtocol)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { s.Write(q); s.CloseWrite() })
		if answer, err := io.ReadAll(s); len(answer) > 0 {
			t.Errorf("%s was answered %x, %v", what, answer, err)
		}
		wg.Wait()
		s.Reset()
	}
}
