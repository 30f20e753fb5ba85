package pack

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// What is dead is a row for each record in one file:
//
//	pack u32 | at u32 | salt 16 | sum 8
//
// A pack's number is not used again once something in it was acknowledged, and
// the salt is that pack's: no row can be of what is written later.
const (
	deadName = "dead"
	deadRow  = 32
	// staleRows is how many rows of packs that are no more are left standing.
	staleRows = 1 << 12
)

// graves is that file.
type graves struct {
	file file // nil before the first row
	end  int64
}

// grave is a record that is dead.
type grave struct {
	place place
	salt  salt
}

func (g grave) row() []byte {
	b := make([]byte, 0, deadRow)
	b = binary.LittleEndian.AppendUint32(b, g.place.pack())
	b = binary.LittleEndian.AppendUint32(b, uint32(g.place.at()))
	b = append(b, g.salt[:]...)
	sum := sha256.Sum256(b)
	return append(b, sum[:8]...)
}

func readGrave(b []byte) (pack uint32, at int64, k salt, ok bool) {
	sum := sha256.Sum256(b[:24])
	copy(k[:], b[8:24])
	return binary.LittleEndian.Uint32(b), int64(binary.LittleEndian.Uint32(b[4:])), k, bytes.Equal(sum[:8], b[24:deadRow])
}

// rows are the records that are dead, by pack and place.
type rows map[uint32]map[int64]salt

func (r rows) add(pack uint32, at int64, k salt) {
	if r[pack] == nil {
		r[pack] = map[int64]salt{}
	}
	r[pack][at] = k
}

// eachGrave calls f for each row that is good, with where it ends.
func eachGrave(file file, f func(end int64, pack uint32, at int64, k salt, row []byte)) error {
	size, err := file.size()
	if err != nil {
		return err
	}
	b := make([]byte, 1<<10*deadRow)
	for at := int64(0); at+deadRow <= size; at += int64(len(b)) {
		b = b[:min(int64(len(b)), (size-at)/deadRow*deadRow)]
		if err := readFull(file, b, at); err != nil {
			return err
		}
		for i := 0; i < len(b); i += deadRow {
			if pack, off, k, ok := readGrave(b[i:]); ok {
				f(at+int64(i)+deadRow, pack, off, k, b[i:i+deadRow])
			}
		}
	}
	return nil
}

// loadGraves reads which records are dead. When most rows are of packs
// that are no more the file is written anew.
func (s *Store) loadGraves(names []string) (rows, error) {
	half := deadName + ".new"
	if slices.Contains(names, half) {
		if err := s.disk.remove(half); err != nil {
			return nil, err
		}
	}
	dead := rows{}
	f, err := s.disk.open(deadName, false)
	if errors.Is(err, fs.ErrNotExist) {
		return dead, nil
	}
	if err != nil {
		return nil, err
	}
	s.graves.file = f
	if err := f.sync(); err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	var standing []byte
	n := 0
	err = eachGrave(f, func(end int64, pack uint32, at int64, k salt, row []byte) {
		n++
		s.graves.end = end
		dead.add(pack, at, k)
		if there[packName(pack)] {
			standing = append(standing, row...)
		}
	})
	if err != nil {
		// What is not known to be dead is found damaged when it is read.
		s.log.Error("the file of what is dead cannot be read", "err", err)
		size, err := f.size()
		s.graves.end = (size + deadRow - 1) / deadRow * deadRow
		return dead, err
	}
	if left := len(standing) / deadRow; n-left > max(left, staleRows) {
		if err := s.rewriteGraves(half, standing); err != nil {
			s.log.Warn("shorten the file of what is dead", "err", err)
		}
	}
	return dead, nil
}

// rewriteGraves leaves the rows that count. That packs are gone for good is on
// the disk before their rows go.
func (s *Store) rewriteGraves(half string, rows []byte) error {
	if err := s.disk.sync(); err != nil {
		return err
	}
	f, err := s.disk.open(half, true)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(rows, 0); err == nil {
		err = f.sync()
	}
	f.Close()
	if err != nil {
		s.disk.remove(half)
		return err
	}
	s.graves.file.Close() // some systems rename nothing on to what is open
	err = s.disk.rename(half, deadName)
	if err == nil {
		s.graves.end = int64(len(rows))
		err = s.disk.sync()
	}
	f, again := s.disk.open(deadName, false)
	if again != nil {
		// No row can be written: deletes fail, and all else goes on.
		s.graves = graves{}
	}
	s.graves.file = f
	return errors.Join(err, again)
}

// Delete is node.Blocks'.
func (s *Store) Delete(_ context.Context, c cid.Cid) error {
	if s.Drop(c) {
		return s.Flush()
	}
	return nil
}

// Drop removes a block for all who ask from now on, and tells whether it was
// there. The disk is told by the next Flush; a cut before that leaves the
// block where it was.
func (s *Store) Drop(c cid.Cid) (was bool) {
	if node.Verifiable(c, 0) != nil {
		return false
	}
	d := digestOf(c)
	for moved := true; moved; {
		moved = false
		for _, p := range s.find(d) {
			if s.others(p, d) {
				continue
			}
			s.mu.Lock()
			killed := s.kill(d, p)
			s.mu.Unlock()
			was, moved = was || killed, moved || !killed
		}
	}
	return was
}

// kill has nobody find what is at p any more, and tells whether somebody
// would have. s.mu is held.
func (s *Store) kill(d digest, p place) bool {
	if !s.table.drop(d, p) {
		return false
	}
	if pk := s.packs[p.pack()]; pk != nil {
		pk.live -= p.takes()
		s.pending = append(s.pending, grave{p, pk.salt})
	}
	return true
}

// Flush makes durable what was dropped and gives its room back to the disk.
func (s *Store) Flush() error {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	if s.closed {
		return errors.New("delete blocks: the store is closed")
	}
	if err := s.bury(); err != nil {
		return fmt.Errorf("delete blocks: %w", noSpace(err))
	}
	return nil
}

// bury is Flush. s.writing is held.
func (s *Store) bury() error {
	if err := s.empty(); err != nil {
		return err
	}
	s.mu.Lock()
	list := slices.DeleteFunc(s.pending, func(g grave) bool { return s.packs[g.place.pack()] == nil })
	s.pending = nil
	s.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b grave) int { return cmp.Compare(a.place, b.place) })
	err := s.tell(list)
	if full(err) {
		// Nobody wants these bytes; without their row they are found damaged
		// after a cut, and no more.
		s.punch(list)
		err = s.tell(list)
	}
	if err != nil {
		s.mu.Lock()
		s.pending = append(list, s.pending...)
		s.mu.Unlock()
		return err
	}
	s.punch(list)
	return nil
}

// empty removes the packs of which nothing lives. One that is being read is
// left to the next flush, and rows say what is dead in it.
func (s *Store) empty() error {
	s.mu.RLock()
	var idle []*pack
	for _, pk := range s.packs {
		if pk.live == 0 && (s.active == nil || s.active.pack != pk) {
			idle = append(idle, pk)
		}
	}
	s.mu.RUnlock()
	for _, pk := range idle {
		pk.mu.Lock()
		read := pk.refs > 0
		if !read {
			pk.gone = true
			s.rest(pk)
		}
		pk.mu.Unlock()
		if read {
			continue
		}
		s.removed = true
		s.mu.Lock()
		delete(s.packs, pk.number)
		s.mu.Unlock()
	}
	if !s.removed {
		return nil
	}
	if err := s.disk.sync(); err != nil { // a cut brings back what was deleted
		return err
	}
	s.removed = false
	return nil
}

// tell writes rows, durably.
func (s *Store) tell(list []grave) error {
	fresh := s.graves.file == nil
	if fresh {
		f, err := s.disk.open(deadName, true)
		if err != nil {
			return err
		}
		s.graves.file = f
	}
	var b []byte
	for _, g := range list {
		b = append(b, g.row()...)
	}
	if _, err := s.graves.file.WriteAt(b, s.graves.end); err != nil {
		return err
	}
	if err := s.graves.file.sync(); err != nil {
		return err
	}
	if s.graves.end == 0 {
		if err := s.disk.sync(); err != nil {
			return err
		}
	}
	s.graves.end += int64(len(b))
	return nil
}

// punch gives back the room of records, which are in order; neighbours
// together, so that the page between two goes as well.
func (s *Store) punch(list []grave) {
	for i := 0; i < len(list); {
		first := list[i].place
		end := first.at() + first.takes()
		for i++; i < len(list) && list[i].place.pack() == first.pack() && list[i].place.at() == end; i++ {
			end += list[i].place.takes()
		}
		s.mu.RLock()
		pk := s.packs[first.pack()]
		s.mu.RUnlock()
		if pk == nil {
			continue
		}
		f, err := s.hold(pk)
		if err != nil {
			continue
		}
		err = f.punch(first.at(), end-first.at())
		taken, sized := f.taken()
		s.letGo(pk)
		if err != nil && err != errNoHoles {
			s.log.Warn("give room back", "pack", packName(pk.number), "err", err)
		}
		if sized == nil {
			s.mu.Lock()
			pk.taken = taken
			s.mu.Unlock()
		}
	}
}
