// Package nodetest is the conformance kit of package node's interfaces. Every
// implementation runs the parts that it claims; a new one needs a function
// that makes it, and no tests of its own for what is promised there.
package nodetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"playnode/node"
)

// limit bounds every step that should end by itself.
const limit = 20 * time.Second

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// Store is a store under test and how to hurt it.
type Store struct {
	node.Blocks
	// Damage changes the stored bytes of a block behind the store's back.
	Damage func(c cid.Cid)
	// Reopen stops the store as a crash would after its last answer, and
	// opens it again; nil when it keeps nothing.
	Reopen func() Store
}

// sizes are both sides of what a store might get wrong.
var sizes = []int{0, 1, 255, 4096, 256<<10 - 1, 256 << 10, 256<<10 + 1, node.MaxBlock}

func sized(n int) node.Block {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7 + n)
	}
	return node.NewBlock(cid.Raw, data)
}

// Blocks tests node.Blocks.
func Blocks(t *testing.T, open func(t *testing.T) Store) {
	t.Run("every size comes back", func(t *testing.T) {
		s, ctx := open(t), within(t, limit)
		for _, n := range sizes {
			b := sized(n)
			if has, err := s.Has(ctx, b.CID); err != nil || has {
				t.Fatalf("Has before Put of %d bytes = %v, %v", n, has, err)
			}
			if err := s.Put(ctx, b); err != nil {
				t.Fatalf("Put of %d bytes: %v", n, err)
			}
			if has, err := s.Has(ctx, b.CID); err != nil || !has {
				t.Fatalf("Has after Put of %d bytes = %v, %v", n, has, err)
			}
			if got, err := s.Read(ctx, b.CID); err != nil || !bytes.Equal(got, b.Data) {
				t.Fatalf("Read of %d bytes: %d bytes, %v", n, len(got), err)
			}
		}
	})
	t.Run("wrong bytes are refused, and all that came with them", func(t *testing.T) {
		s, ctx := open(t), within(t, limit)
		good, bad := sized(10), sized(11)
		bad.Data = []byte("something else")
		if err := s.Put(ctx, good, bad); !errors.Is(err, node.ErrVerify) {
			t.Fatalf("Put = %v, want ErrVerify", err)
		}
		for _, b := range []node.Block{good, bad} {
			if has, _ := s.Has(ctx, b.CID); has {
				t.Fatalf("%s was stored", b.CID)
			}
		}
		if err := s.Put(ctx, sized(node.MaxBlock+1)); !errors.Is(err, node.ErrVerify) {
			t.Fatalf("Put of an oversized block = %v, want ErrVerify", err)
		}
	})
	t.Run("absent and deleted", func(t *testing.T) {
		s, ctx := open(t), within(t, limit)
		b := sized(100)
		if _, err := s.Read(ctx, b.CID); !errors.Is(err, node.ErrNotFound) || errors.Is(err, node.ErrVerify) {
			t.Fatalf("Read of an absent block = %v", err)
		}
		if err := s.Delete(ctx, b.CID); err != nil {
			t.Fatalf("Delete of an absent block = %v", err)
		}
		put(t, s, b)
		if err := s.Delete(ctx, b.CID); err != nil {
			t.Fatal(err)
		}
		if has, err := s.Has(ctx, b.CID); has || err != nil {
			t.Fatalf("Has after Delete = %v, %v", has, err)
		}
		if _, err := s.Read(ctx, b.CID); !errors.Is(err, node.ErrNotFound) {
			t.Fatalf("Read after Delete = %v", err)
		}
	})
	t.Run("a damaged block is absent and can be put again", func(t *testing.T) {
		s, ctx := open(t), within(t, limit)
		b := sized(300 << 10)
		put(t, s, b)
		s.Damage(b.CID)
		if _, err := s.Read(ctx, b.CID); !errors.Is(err, node.ErrNotFound) || !errors.Is(err, node.ErrVerify) {
			t.Fatalf("Read of a damaged block = %v, want ErrNotFound and ErrVerify", err)
		}
		if has, err := s.Has(ctx, b.CID); has || err != nil {
			t.Fatalf("Has after damage was found = %v, %v", has, err)
		}
		put(t, s, b)
		if got, err := s.Read(ctx, b.CID); err != nil || !bytes.Equal(got, b.Data) {
			t.Fatalf("Read after it was put again: %v", err)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		s, ctx := open(t), within(t, limit)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				var batch []node.Block
				for j := range 20 {
					batch = append(batch, sized(1000+(i*20+j)%50)) // many twice
				}
				if err := s.Put(ctx, batch...); err != nil {
					t.Error(err)
				}
				for _, b := range batch {
					if got, err := s.Read(ctx, b.CID); err != nil || !bytes.Equal(got, b.Data) {
						t.Errorf("Read %s: %v", b.CID, err)
					}
				}
			})
		}
		wg.Wait()
	})
	t.Run("what is kept is there, hashed or not", func(t *testing.T) {
		s, ctx := open(t), within(t, limit)
		k, ok := s.Blocks.(node.Keeper)
		if !ok {
			return
		}
		good, other := sized(10), sized(11)
		sum, err := multihash.Sum(other.Data, multihash.SHA2_512, -1)
		if err != nil {
			t.Fatal(err)
		}
		other.CID = cid.NewCidV1(cid.Raw, sum)
		if err := k.Keep(ctx, good, other); !errors.Is(err, node.ErrVerify) {
			t.Fatalf("Keep of another hash = %v, want ErrVerify", err)
		}
		if has, _ := s.Has(ctx, good.CID); has {
			t.Fatal("what came with it was stored")
		}
		if err := k.Keep(ctx, good); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read(ctx, good.CID); err != nil || !bytes.Equal(got, good.Data) {
			t.Fatalf("Read of what is kept: %d bytes, %v", len(got), err)
		}
	})
	t.Run("what is lent is as it was put until it is given back", func(t *testing.T) {
		s, ctx := open(t), within(t, limit)
		l, ok := s.Blocks.(node.Lender)
		if !ok {
			return
		}
		lend := func(b node.Block) (check, free func()) {
			data, free, err := l.Lend(ctx, b.CID)
			if err != nil {
				t.Fatalf("Lend of %d bytes: %v", len(b.Data), err)
			}
			if cap(data) != len(b.Data) {
				t.Fatalf("%d bytes are lent of %d", cap(data), len(b.Data))
			}
			return func() {
				t.Helper()
				if !bytes.Equal(data, b.Data) {
					t.Fatalf("%d bytes that are lent are not those of the block", len(b.Data))
				}
			}, free
		}
		for _, n := range sizes {
			b, others := sized(n), []node.Block{sized(64 << 10), sized(200 << 10), sized(300 << 10)}
			put(t, s, append(others, b)...)
			check, free := lend(b)
			for range 3 {
				for _, o := range others {
					check2, free2 := lend(o)
					check2()
					check()
					free2()
				}
			}
			check()
			free()
		}
		b := sized(300<<10 + 1)
		if _, _, err := l.Lend(ctx, b.CID); !errors.Is(err, node.ErrNotFound) || errors.Is(err, node.ErrVerify) {
			t.Fatalf("Lend of an absent block = %v", err)
		}
		put(t, s, b)
		s.Damage(b.CID)
		if _, _, err := l.Lend(ctx, b.CID); !errors.Is(err, node.ErrNotFound) || !errors.Is(err, node.ErrVerify) {
			t.Fatalf("Lend of a damaged block = %v, want ErrNotFound and ErrVerify", err)
		}
	})
	t.Run("what was put survives a restart", func(t *testing.T) {
		s, ctx := open(t), within(t, limit)
		if s.Reopen == nil {
			return
		}
		var all []node.Block
		for i := range 50 {
			all = append(all, sized(2000+i))
		}
		put(t, s, all...)
		s = s.Reopen()
		for _, b := range all {
			if got, err := s.Read(ctx, b.CID); err != nil || !bytes.Equal(got, b.Data) {
				t.Fatalf("Read %s: %v", b.CID, err)
			}
		}
	})
}

func put(t *testing.T, s node.Putter, blocks ...node.Block) {
	t.Helper()
	if err := s.Put(within(t, limit), blocks...); err != nil {
		t.Fatal(err)
	}
}

// PinStore is a Store that pins.
type PinStore struct {
	node.Blocks
	node.Pinner
	// Reopen is as Store's.
	Reopen func() PinStore
}

// Pinner tests node.Pinner.
func Pinner(t *testing.T, open func(t *testing.T) PinStore) {
	leaf := []node.Block{sized(1), sized(2), sized(3)}
	pb := node.NewBlock(cid.DagProtobuf, dagPB(leaf[0].CID, leaf[1].CID))
	root := node.NewBlock(cid.DagCBOR, dagCBOR(pb.CID, leaf[2].CID))
	graph := append([]node.Block{pb, root}, leaf...)

	t.Run("a graph with a hole is not pinned", func(t *testing.T) {
		for i, hole := range graph {
			s, ctx := open(t), within(t, limit)
			for _, b := range graph {
				if b.CID != hole.CID {
					put(t, s, b)
				}
			}
			if err := s.Pin(ctx, node.Pin{Name: "x", Root: root.CID}); !errors.Is(err, node.ErrNotFound) {
				t.Fatalf("Pin without block %d = %v, want ErrNotFound", i, err)
			}
			if pins, err := s.Pins(ctx); err != nil || len(pins) != 0 {
				t.Fatalf("Pins = %v, %v", pins, err)
			}
		}
	})
	t.Run("pins are kept by name and root", func(t *testing.T) {
		s, ctx := open(t), within(t, limit)
		put(t, s, graph...)
		a, b := node.Pin{Name: "a", Root: root.CID}, node.Pin{Name: "b", Root: root.CID}
		c := node.Pin{Name: "a", Root: pb.CID}
		for _, p := range []node.Pin{a, b, c, a} {
			if err := s.Pin(ctx, p); err != nil {
				t.Fatal(err)
			}
		}
		wantPins(t, s, a, b, c)
		if err := s.Unpin(ctx, a); err != nil {
			t.Fatal(err)
		}
		if err := s.Unpin(ctx, a); err != nil {
			t.Fatalf("Unpin of an absent pin = %v", err)
		}
		wantPins(t, s, b, c)
		if s.Reopen != nil {
			s = s.Reopen()
			wantPins(t, s, b, c)
		}
	})
}

func wantPins(t *testing.T, s node.Pinner, want ...node.Pin) {
	t.Helper()
	pins, err := s.Pins(within(t, limit))
	if err != nil {
		t.Fatal(err)
	}
	have := map[node.Pin]bool{}
	for _, p := range pins {
		have[p] = true
	}
	for _, p := range want {
		if !have[p] {
			t.Fatalf("pin %s of %s is missing from %v", p.Name, p.Root, pins)
		}
	}
	if len(pins) != len(want) {
		t.Fatalf("%d pins, want %d", len(pins), len(want))
	}
}

// dagPB is a node of nothing but links.
func dagPB(links ...cid.Cid) []byte {
	var out []byte
	for _, l := range links {
		link := append([]byte{0x0a, byte(l.ByteLen())}, l.Bytes()...)
		out = append(append(out, 0x12, byte(len(link))), link...)
	}
	return out
}

// dagCBOR is a list of links.
func dagCBOR(links ...cid.Cid) []byte {
	out := []byte{0x80 + byte(len(links))}
	for _, l := range links {
		out = append(out, 0xd8, 42, 0x58, byte(l.ByteLen()+1), 0)
		out = append(out, l.Bytes()...)
	}
	return out
}

// Links tests that an implementation's idea of a graph is node.Links'.
func Links(t *testing.T) {
	a, b := sized(1).CID, sized(2).CID
	for name, block := range map[string]node.Block{
		"dag-pb":   node.NewBlock(cid.DagProtobuf, dagPB(a, b, a)),
		"dag-cbor": node.NewBlock(cid.DagCBOR, dagCBOR(a, b, a)),
	} {
		got, err := node.Links(block.CID, block.Data)
		if err != nil || fmt.Sprint(got) != fmt.Sprint([]cid.Cid{a, b, a}) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// Flip turns one bit of a file.
func Flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
