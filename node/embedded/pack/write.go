package pack

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"playnode/node"
)

// groupRoom bounds what is written with one sync, in bytes, but for one batch
// that is larger; a batch that is larger is written as several.
const groupRoom = 32 << 20

// queue are the batches that wait for the one that is being written, to be
// written together.
type queue struct {
	mu      sync.Mutex // guards waiting
	waiting []*deposit
}

// deposit is what is to be written together; done and err are the writer's.
type deposit struct {
	items []item
	takes int64
	done  bool
	err   error
}

// item is a block to write; from is where it is moved from, 0 for a new one.
type item struct {
	digest digest
	data   []byte
	from   place
}

// active is the pack that is written to. Its end is the pack's.
type active struct {
	pack    *pack
	file    file
	index   file // nil when it could not be written: the next start mends it
	records int
}

// Put is node.Putter's.
func (s *Store) Put(ctx context.Context, blocks ...node.Block) error {
	for _, b := range blocks {
		if err := node.Verify(b.CID, b.Data); err != nil {
			return fmt.Errorf("put: %w", err)
		}
	}
	return s.Keep(ctx, blocks...)
}

// Keep is node.Keeper's. What is held in the very same bytes is not written
// again.
func (s *Store) Keep(_ context.Context, blocks ...node.Block) error {
	for _, b := range blocks {
		if err := node.Verifiable(b.CID, len(b.Data)); err != nil {
			return fmt.Errorf("put: %w", err)
		}
	}
	d := &deposit{}
	seen := map[digest]bool{}
	for _, b := range blocks {
		sum := digestOf(b.CID)
		if seen[sum] || s.holdsBytes(sum, b.Data) {
			continue
		}
		seen[sum] = true
		if n := takes(len(b.Data)); len(d.items) > 0 && d.takes+n > groupRoom {
			if err := s.commit(d); err != nil {
				return err
			}
			d = &deposit{}
		}
		d.add(item{digest: sum, data: b.Data})
	}
	return s.commit(d)
}

func (d *deposit) add(it item) {
	d.items = append(d.items, it)
	d.takes += takes(len(it.data))
}

// commit writes a deposit durably, together with what waits beside it.
func (s *Store) commit(d *deposit) error {
	if len(d.items) == 0 {
		return nil
	}
	s.queue.mu.Lock()
	s.queue.waiting = append(s.queue.waiting, d)
	s.queue.mu.Unlock()
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	for !d.done {
		s.writeNext()
	}
	if d.err != nil {
		return fmt.Errorf("put %d blocks: %w", len(d.items), noSpace(d.err))
	}
	return nil
}

// writeNext writes those who have waited longest, with one sync. What is
// refused together is tried one by one: one that has no room fails nobody else.
func (s *Store) writeNext() {
	s.queue.mu.Lock()
	n, size := 0, int64(0)
	for _, d := range s.queue.waiting {
		if size += d.takes; n > 0 && size > groupRoom {
			break
		}
		n++
	}
	group := s.queue.waiting[:n:n]
	s.queue.waiting = s.queue.waiting[n:]
	s.queue.mu.Unlock()
	err := s.write(group)
	for _, d := range group {
		d.done, d.err = true, err
		if err != nil && n > 1 {
			d.err = s.write([]*deposit{d})
		}
	}
	clear(group) // which what waits is a part of
}

// write appends the blocks of a group and makes them durable, or leaves
// nothing of them. s.writing is held.
func (s *Store) write(group []*deposit) error {
	if s.closed {
		return errors.New("the store is closed")
	}
	items := s.wanted(group)
	if len(items) == 0 {
		return nil
	}
	var size int64
	for _, it := range items {
		size += takes(len(it.data))
	}
	if a := s.active; a != nil && (a.pack.end+size > s.room || a.records+len(items) > packRecords) {
		s.seal()
	}
	fresh := s.active == nil
	if fresh {
		if err := s.begin(); err != nil {
			return err
		}
	}
	a := s.active
	recs, end, err := a.append(s.buffer, items, fresh)
	if err != nil {
		s.takeBack(fresh, false)
		return err
	}
	if err = a.file.sync(); err == nil && fresh {
		err = s.disk.sync()
	}
	if err != nil {
		// What a sync that failed has done nobody knows: nothing is appended
		// behind it.
		s.takeBack(fresh, true)
		return err
	}
	taken, err := a.file.taken()
	if err != nil {
		taken = end
	}
	a.note(recs, end, fresh)
	a.records += len(recs)
	s.publish(items, recs, end, taken)
	return nil
}

// wanted lists what of a group is to be written: of two that came with the
// same, one; of what is moved, what was neither put again nor deleted
// meanwhile. A delete that the disk knows of must not be undone by a move.
// s.writing is held.
func (s *Store) wanted(group []*deposit) (items []item) {
	seen := map[digest]bool{}
	for _, d := range group {
		for _, it := range d.items {
			if it.from == 0 && !seen[it.digest] {
				seen[it.digest] = true
				items = append(items, it)
			}
		}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, d := range group {
		for _, it := range d.items {
			if it.from != 0 && !seen[it.digest] && s.table.has(it.digest, it.from) {
				items = append(items, it)
			}
		}
	}
	return items
}

// begin makes the next pack.
func (s *Store) begin() error {
	var f file
	for {
		if s.next >= maxPacks {
			return errors.New("there are too many packs")
		}
		var err error
		if f, err = s.disk.open(packName(s.next), true); err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		s.next++
	}
	pk := &pack{number: s.next, salted: true, refs: 1, file: f}
	rand.Read(pk.salt[:])
	s.next++
	s.open.Add(1)
	s.active = &active{pack: pk, file: f}
	if x, err := s.disk.open(indexName(pk.number), true); err == nil {
		s.active.index = x
	}
	return nil
}

// seal ends the pack that is written to.
func (s *Store) seal() {
	if s.active == nil {
		return
	}
	if s.active.index != nil {
		s.active.index.Close()
	}
	s.letGo(s.active.pack)
	s.active = nil
}

// takeBack removes what was not acknowledged; a full disk needs the room.
func (s *Store) takeBack(fresh, doubtful bool) {
	a := s.active
	if fresh {
		a.pack.mu.Lock()
		a.pack.gone = true
		a.pack.mu.Unlock()
		s.seal()
		s.next = a.pack.number // nobody has heard of it
		return
	}
	if err := a.file.truncate(a.pack.end); err != nil || doubtful {
		s.seal()
	}
}

// append writes records behind the end, and returns what they are and where
// they end.
func (a *active) append(w *bufio.Writer, items []item, fresh bool) ([]record, int64, error) {
	at := a.pack.end
	w.Reset(io.NewOffsetWriter(a.file, at))
	if fresh {
		w.Write(packHead(a.pack.number, a.pack.salt))
		at = headSize
	}
	batch := at
	var recs []record
	var pad [align]byte
	for _, it := range items {
		r := record{digest: it.digest, at: at, batch: batch, size: len(it.data)}
		w.Write(r.head(a.pack.salt))
		w.Write(it.data)
		w.Write(pad[:takes(r.size)-headSize-int64(r.size)])
		recs = append(recs, r)
		at += takes(r.size)
	}
	return recs, at, w.Flush() // which has the first error of all
}

// note adds what is durable to the index. One that fails is as long as it was
// good, and the rest is read from the pack.
func (a *active) note(recs []record, end int64, fresh bool) {
	if a.index == nil {
		return
	}
	b := frame(a.pack.salt, recs, end)
	if fresh {
		b = append(packHead(a.pack.number, a.pack.salt), b...)
	}
	if _, err := a.index.WriteAt(b, a.pack.index); err != nil {
		a.index.Close()
		a.index = nil
	}
}

// publish has readers find what was written.
func (s *Store) publish(items []item, recs []record, end, taken int64) {
	a := s.active
	before := make([][]place, len(items))
	for i, it := range items {
		if it.from != 0 {
			before[i] = []place{it.from}
			continue
		}
		for _, p := range s.find(it.digest) {
			if !s.others(p, it.digest) {
				before[i] = append(before[i], p)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packs[a.pack.number] = a.pack
	a.pack.end, a.pack.taken = end, taken
	if a.index != nil {
		if a.pack.index == 0 {
			a.pack.index = headSize
		}
		a.pack.index += int64(frameHead + frameRow*len(recs))
	}
	for i, it := range items {
		p := placeOf(a.pack.number, recs[i].at, recs[i].size)
		was := false
		for _, old := range before[i] {
			was = s.kill(it.digest, old) || was
		}
		if it.from != 0 && !was { // deleted while it was moved
			s.pending = append(s.pending, grave{p, a.pack.salt})
			continue
		}
		s.table.add(it.digest, p)
		a.pack.live += p.takes()
	}
}
