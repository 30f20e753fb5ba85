package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// story is what a store was told, and what it has said of it.
type story struct {
	*testing.T
	seed   uint64
	from   string // the cut that it was before
	disk   *fragile
	store  *Store
	rand   *rand.Rand
	blocks []node.Block
	state  []state
}

// state is what must be true of a block after a cut.
type state int

const (
	absent state = iota
	maybe
	held
)

// smallRoom has packs of a few records, so that all that happens to packs
// happens.
const smallRoom = 12 << 10

func newStory(t *testing.T, seed uint64) *story {
	s := &story{T: t, seed: seed, disk: newDisk(seed), rand: rand.New(rand.NewPCG(seed, 2))}
	for i := range 40 {
		b := make([]byte, []int{0, 1, 63, 64, 65, 700, 1500, 3000}[i%8])
		for j := range b {
			b[j] = byte(i + j*7)
		}
		s.blocks = append(s.blocks, node.NewBlock(cid.Raw, append(b, byte(i))))
	}
	s.state = make([]state, len(s.blocks))
	return s
}

func (s *story) open() error {
	var err error
	s.store, err = Open(Config{disk: s.disk, room: smallRoom})
	if err == nil && s.disk.cut { // what it could not read any more it left alone
		err = errCut
	}
	return err
}

// step does one thing at random.
func (s *story) step() error {
	some := func(n int) (out []int) {
		for range 1 + s.rand.IntN(n) {
			out = append(out, s.rand.IntN(len(s.blocks)))
		}
		return out
	}
	switch n := s.rand.IntN(20); {
	case n < 12:
		var batch []node.Block
		which := some(5)
		for _, i := range which {
			batch = append(batch, s.blocks[i])
			if s.state[i] == absent {
				s.state[i] = maybe
			}
		}
		if err := s.store.Keep(context.Background(), batch...); err != nil {
			return err
		}
		for _, i := range which {
			s.state[i] = held
		}
	case n < 17:
		which := some(8)
		for _, i := range which {
			s.store.Drop(s.blocks[i].CID)
			s.state[i] = min(s.state[i], maybe)
		}
		if s.rand.IntN(2) == 0 {
			return nil // a later flush has them
		}
		if err := s.store.Flush(); err != nil {
			return err
		}
		for _, i := range which {
			s.state[i] = absent
		}
	case n < 19:
		return s.store.Sweep(s.Context())
	default:
		if err := s.store.Close(); err != nil {
			return err
		}
		return s.open()
	}
	return nil
}

// check has the store say of each block what may be true.
func (s *story) check() {
	s.Helper()
	listed := map[string]int{}
	var live int64
	if err := s.store.Each(s.Context(), func(c cid.Cid, size int64) error {
		listed[string(c.Hash())]++
		live += takes(int(size))
		return nil
	}); err != nil {
		s.Fatal(err)
	}
	var counted int64
	for _, pk := range s.store.all() {
		counted += pk.live
	}
	if live != counted {
		s.Fatalf("%d bytes live, %d counted", live, counted)
	}
	for i, b := range s.blocks {
		data, err := s.store.Read(s.Context(), b.CID)
		has, _ := s.store.Has(s.Context(), b.CID)
		switch {
		case err == nil && !bytes.Equal(data, b.Data):
			s.Fatalf("block %d is wrong", i)
		case err != nil && (!errors.Is(err, node.ErrNotFound) || errors.Is(err, node.ErrVerify)):
			s.Fatalf("block %d: %v", i, err)
		case err == nil && s.state[i] == absent, err != nil && s.state[i] == held:
			s.Fatalf("seed %d, %s: block %d, %d bytes, is to be %d: %v", s.seed, s.from, i, len(b.Data), s.state[i], err)
		case has != (err == nil), has && listed[string(b.CID.Hash())] == 0, !has && listed[string(b.CID.Hash())] != 0:
			s.Fatalf("block %d: has %v, listed %d, read %v", i, has, listed[string(b.CID.Hash())], err)
		}
		if err == nil {
			s.state[i] = held // what is there after a start stays
		} else {
			s.state[i] = absent
		}
	}
}

// end has the process killed, or the power cut.
func (s *story) end() string {
	if s.rand.IntN(2) == 0 {
		s.disk = s.disk.killed()
		return "killed"
	}
	s.disk = s.disk.after()
	return "cut"
}

// TestCuts cuts power, or kills the process, at every write, sync, name and
// hole, several times in a row, and wants all that was acknowledged, and all
// that was there after a start.
func TestCuts(t *testing.T) {
	for cut := 0; cut < 250; cut += 2 {
		s := newStory(t, uint64(cut))
		s.disk.solid = cut%4 == 2
		for generation := range 4 {
			s.disk.left = cut
			if generation > 0 {
				s.disk.left = s.rand.IntN(60)
			}
			err := s.open()
			for range 40 {
				if err != nil {
					break
				}
				err = s.step()
			}
			s.from = fmt.Sprintf("generation %d", generation)
			if err != nil && !errors.Is(err, errCut) {
				t.Fatalf("cut %d, %s: %v", cut, s.from, err)
			}
			s.from += ", " + s.end()
			if err := s.open(); err != nil {
				t.Fatalf("cut %d, %s: open: %v", cut, s.from, err)
			}
			s.check()
			s.from += ", " + s.end()
			if err := s.open(); err != nil {
				t.Fatalf("cut %d, %s: open: %v", cut, s.from, err)
			}
			s.check()
			s.end()
		}
	}
}

// TestNoCut has the same story end well, and room that is free be free.
func TestNoCut(t *testing.T) {
	for seed := range uint64(20) {
		s := newStory(t, seed)
		s.disk.solid = seed%2 == 1
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			if err := s.step(); err != nil {
				t.Fatal(err)
			}
		}
		for i, b := range s.blocks {
			if s.state[i] == maybe {
				s.store.Drop(b.CID)
				s.state[i] = absent
			}
		}
		if err := s.store.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.check()
		var live int64
		for _, pk := range s.store.all() {
			live += pk.live
		}
		if used := s.store.Used(); used > live+live/wasteShare+wasteFloor+8<<10 {
			t.Errorf("%d bytes used for %d that live", used, live)
		}
		if err := s.store.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		s.check()
	}
}

// TestCutsOfMany has several write at once, in groups, when power is cut.
func TestCutsOfMany(t *testing.T) {
	for cut := range 60 {
		disk := newDisk(uint64(cut))
		disk.left = cut
		s, err := Open(Config{disk: disk, room: smallRoom})
		if err != nil {
			continue
		}
		var mu sync.Mutex // guards acked
		var acked []node.Block
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for i := range 10 {
					b := node.NewBlock(cid.Raw, fmt.Append(make([]byte, 300*w), w, i))
					if s.Keep(context.Background(), b) != nil {
						return
					}
					mu.Lock()
					acked = append(acked, b)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		s, err = Open(Config{disk: disk.after(), room: smallRoom})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range acked {
			if data, err := s.Read(t.Context(), b.CID); err != nil || !bytes.Equal(data, b.Data) {
				t.Fatalf("cut %d: %v", cut, err)
			}
		}
	}
}

// TestFullDisk: what is held stays, the error is told, and deletes make room.
func TestFullDisk(t *testing.T) {
	for room := 4; room < 60; room++ {
		disk := newDisk(1)
		disk.room = room
		s, err := Open(Config{disk: disk, room: smallRoom})
		if err != nil {
			t.Fatal(err)
		}
		var kept []node.Block
		for i := 0; ; i++ {
			b := node.NewBlock(cid.Raw, append(make([]byte, 1000), byte(i)))
			before := disk.used()
			err := s.Keep(t.Context(), b)
			if errors.Is(err, node.ErrNoSpace) {
				if after := disk.used(); after > before {
					t.Fatalf("%d sectors: what failed takes %d", room, after-before)
				}
				break
			}
			if err != nil || i > 100 {
				t.Fatalf("%d sectors: block %d: %v", room, i, err)
			}
			kept = append(kept, b)
		}
		read := func(all []node.Block) {
			t.Helper()
			for i, b := range all {
				if data, err := s.Read(t.Context(), b.CID); err != nil || !bytes.Equal(data, b.Data) {
					t.Fatalf("%d sectors: block %d of %d: %v", room, i, len(all), err)
				}
			}
		}
		read(kept)
		if next := s.next; len(kept) > 0 && s.active == nil {
			err := s.Keep(t.Context(), node.NewBlock(cid.Raw, make([]byte, 2000)))
			if !errors.Is(err, node.ErrNoSpace) || s.next != next {
				t.Fatalf("%d sectors: the next pack was %d, and is %d: %v", room, next, s.next, err)
			}
		}
		if len(kept) < 6 {
			continue
		}
		for _, b := range kept[:4] {
			s.Drop(b.CID)
		}
		if err := s.Flush(); err != nil && !errors.Is(err, node.ErrNoSpace) {
			t.Fatalf("%d sectors: %v", room, err)
		}
		kept = kept[4:]
		if err := s.Keep(t.Context(), node.NewBlock(cid.Raw, []byte("again"))); err != nil {
			t.Fatalf("%d sectors: after deletes: %v", room, err)
		}
		read(kept)
		disk.room = 0
		if s, err = Open(Config{disk: disk.after(), room: smallRoom}); err != nil {
			t.Fatal(err)
		}
		read(kept)
	}
}

// TestFlippedBits flips each of many bits, one at a time, and wants one block
// to be lost at the most: found damaged where it was held, or absent when it
// was flipped before the start.
func TestFlippedBits(t *testing.T) {
	base := newStory(t, 5)
	if err := base.open(); err != nil {
		t.Fatal(err)
	}
	for i := range base.blocks {
		if err := base.store.Keep(t.Context(), base.blocks[i]); err != nil {
			t.Fatal(err)
		}
	}
	base.store.Drop(base.blocks[7].CID)
	if err := base.store.Close(); err != nil {
		t.Fatal(err)
	}
	names, _ := base.disk.names()
	slices.Sort(names)
	for _, lost := range []string{"", ".index"} { // with the index, and without
		for _, name := range names {
			for at := 0; at < len(base.disk.now[name].now); at += 191 {
				s := newStory(t, 5)
				for n, x := range base.disk.now {
					if lost == "" || n[len(n)-4:] == "pack" || n == deadName {
						s.disk.now[n] = &inode{now: bytes.Clone(x.now), dirty: map[int]bool{}, holes: map[int]bool{}}
					}
				}
				x := s.disk.now[name]
				if x == nil {
					continue
				}
				x.now[at] ^= 1 << (at % 8)
				if err := s.open(); err != nil {
					t.Fatal(err)
				}
				bad := 0
				for i, b := range s.blocks {
					data, err := s.store.Read(t.Context(), b.CID)
					if err == nil && !bytes.Equal(data, b.Data) || err != nil && !errors.Is(err, node.ErrNotFound) {
						t.Fatalf("%s at %d: block %d: %v", name, at, i, err)
					}
					if err != nil && i != 7 {
						bad++
						if has, _ := s.store.Has(t.Context(), b.CID); has {
							t.Fatalf("%s at %d: block %d is damaged, and held", name, at, i)
						}
						if err := s.store.Keep(t.Context(), b); err != nil {
							t.Fatal(err)
						}
						if data, err := s.store.Read(t.Context(), b.CID); err != nil || !bytes.Equal(data, b.Data) {
							t.Fatalf("%s at %d: block %d put again: %v", name, at, i, err)
						}
					}
				}
				if bad > 1 || bad == 1 && name[len(name)-4:] != "pack" {
					t.Fatalf("%s at %d, without %q: %d blocks are lost", name, at, lost, bad)
				}
			}
		}
	}
}

// TestShortPack: what somebody has cut off is absent from the start on, and
// all else is there, and goes on.
func TestShortPack(t *testing.T) {
	s := newStory(t, 1)
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	for _, b := range s.blocks[:8] {
		if err := s.store.Keep(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	x := s.disk.now[packName(1)]
	x.now = x.now[:len(x.now)-2000] // of the eighth, which is 3,001 bytes long
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for i, b := range s.blocks[:9] {
			has, _ := s.store.Has(t.Context(), b.CID)
			data, err := s.store.Read(t.Context(), b.CID)
			if want := i != 7 && i != 8 || s.state[i] == held; has != want || (err == nil) != want || want && !bytes.Equal(data, b.Data) {
				t.Fatalf("block %d: has %v, %v", i, has, err)
			}
		}
		if err := s.store.Keep(t.Context(), s.blocks[7], s.blocks[8]); err != nil {
			t.Fatal(err)
		}
		s.state[7], s.state[8] = held, held
		if err := s.store.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStart: a pack that cannot be read is not kept open, and one that cannot
// be gone on with is followed by the next.
func TestStart(t *testing.T) {
	s := newStory(t, 1)
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Keep(t.Context(), s.blocks[:4]...); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	of := func(b []byte) *inode { return &inode{now: b, dirty: map[int]bool{}, holes: map[int]bool{}} }
	s.disk.now[packName(0)] = of([]byte("playpack\x02\x00\x00\x00 of a later version, to be left alone, whatever it has"))
	x := s.disk.now[packName(1)]
	x.now = append(x.now, "half written"...)
	s.disk.fails = "truncate"
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	if n := s.store.open.Load(); n != 1 {
		t.Errorf("%d packs are open", n)
	}
	if err := s.store.Keep(t.Context(), s.blocks[4:8]...); err != nil {
		t.Fatal(err)
	}
	for i, b := range s.blocks[:8] {
		if _, err := s.store.Read(t.Context(), b.CID); err != nil {
			t.Errorf("block %d: %v", i, err)
		}
	}
}

// TestTorn: what a cut has torn within a batch is not believed later, when
// more is behind it and the index is lost: the earlier copy lives.
func TestTorn(t *testing.T) {
	s := newStory(t, 1)
	start := func() {
		t.Helper()
		delete(s.disk.now, indexName(1))
		if err := s.open(); err != nil {
			t.Fatal(err)
		}
		if data, err := s.store.Read(t.Context(), s.blocks[6].CID); err != nil || !bytes.Equal(data, s.blocks[6].Data) {
			t.Fatal(err)
		}
	}
	keep := func(blocks ...node.Block) {
		t.Helper()
		if err := s.store.Keep(t.Context(), blocks...); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	keep(s.blocks[6])
	s.store.Drop(s.blocks[6].CID) // the disk never hears of it
	keep(s.blocks[6], s.blocks[5])
	p := s.store.find(digestOf(s.blocks[6].CID))[0]
	s.disk.now[packName(1)].now[p.at()+headSize] ^= 1
	start()
	keep(s.blocks[7])
	start()
}
