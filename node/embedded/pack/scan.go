package pack

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// load reads what there is in the directory. A process that was killed may
// have left what no disk has yet: that is synced before it is believed.
func (s *Store) load() error {
	if err := s.disk.sync(); err != nil {
		return err
	}
	names, err := s.disk.names()
	if err != nil {
		return err
	}
	slices.Sort(names)
	dead, err := s.loadGraves(names)
	if err != nil {
		return err
	}
	var last *pack
	for _, name := range names {
		var number uint32
		if _, err := fmt.Sscanf(name, "%d.pack", &number); err != nil || packName(number) != name || number >= maxPacks {
			continue
		}
		s.next = max(s.next, number+1)
		pk, err := s.loadPack(number, dead[number])
		if err != nil {
			// What is in it is fetched anew; the file is left as it is.
			s.log.Error("a pack cannot be read", "pack", name, "err", err)
		}
		last = pk
	}
	for n := range dead {
		s.next = max(s.next, n+1)
	}
	for _, name := range names {
		if number, ok := strings.CutSuffix(name, ".index"); ok && !slices.Contains(names, number+".pack") {
			if err := s.disk.remove(name); err != nil {
				s.log.Warn("remove an index", "err", err)
			}
		}
	}
	if last != nil {
		if err := s.resume(last, dead[last.number]); err != nil {
			s.log.Warn("go on with a pack", "pack", packName(last.number), "err", err) // the next is begun
		}
	}
	return nil
}

// loadPack reads a pack's index and what the index lacks, and brings the index
// up to date. It returns nil for what a cut has left of a pack that never was.
func (s *Store) loadPack(number uint32, dead map[int64]salt) (_ *pack, err error) {
	pk := &pack{number: number}
	f, err := s.hold(pk)
	if err != nil {
		return nil, err
	}
	defer func() {
		s.letGo(pk)
		if err != nil {
			s.close(pk) // nobody else knows of it
		}
	}()
	size, err := f.size()
	if err != nil {
		return nil, err
	}
	head := make([]byte, headSize)
	if err := readFull(f, head, 0); err == nil {
		pk.salt, pk.salted = readPackHead(head, number)
	}
	x, written, err := s.readIndexOf(number)
	if err != nil {
		return nil, err
	}
	if pk.salted && x.salted && pk.salt != x.salt {
		x = index{end: headSize} // another pack's
	}
	if !pk.salted && x.salted {
		pk.salt, pk.salted = x.salt, true
	}
	more, err := scan(f, pk, min(x.end, size), size)
	if err != nil {
		return nil, err
	}
	more, torn := intact(f, more)
	for _, r := range torn {
		// Else it is believed once more is written behind it and the index is
		// lost.
		if _, err := f.WriteAt(make([]byte, headSize), r.at); err != nil {
			return nil, err
		}
	}
	if len(more)+len(torn) > 0 { // an index has what was synced alone
		if err := f.sync(); err != nil {
			return nil, err
		}
	}
	end := x.end
	for _, r := range more {
		end = max(end, r.at+takes(r.size))
	}
	pk.end = end // a cut may have taken the padding of the last
	if pk.taken, err = f.taken(); err != nil {
		return nil, err
	}
	if !pk.salted && len(more) == 0 {
		if string(head[:len(packMagic)]) == packMagic {
			return nil, errors.New("its head is of another version, or damaged")
		}
		pk.gone = true
		return nil, nil
	}
	if pk.index = written; pk.salted && (len(more) > 0 || x.valid != written) {
		s.mend(pk, x, more)
	}
	s.mu.Lock()
	s.packs[number] = pk
	s.mu.Unlock()
	for _, r := range append(x.recs, more...) {
		if t, ok := dead[r.at]; (!ok || t != pk.salt) && r.at+headSize+int64(r.size) <= size && r.at < maxAt {
			s.found(pk, r)
		}
	}
	return pk, nil
}

// readIndexOf reads the index of a pack; written is its length.
func (s *Store) readIndexOf(number uint32) (x index, written int64, err error) {
	f, err := s.disk.open(indexName(number), false)
	if errors.Is(err, fs.ErrNotExist) {
		return index{end: headSize}, 0, nil
	}
	if err != nil {
		return x, 0, err
	}
	defer f.Close()
	// A frame for each record is the most.
	b, err := readAll(f, headSize+packRecords*(frameHead+frameRow))
	if err != nil {
		return index{end: headSize}, 0, nil // the pack has it all
	}
	return readIndex(b, number), int64(len(b)), nil
}

// mend writes what an index lacks. What fails is done by the next start.
func (s *Store) mend(pk *pack, x index, more []record) {
	if !x.salted {
		s.disk.remove(indexName(pk.number))
	}
	f, err := s.disk.open(indexName(pk.number), !x.salted)
	if err != nil {
		s.log.Warn("mend an index", "err", err)
		return
	}
	defer f.Close()
	b := frame(pk.salt, more, pk.end)
	if !x.salted {
		b = append(packHead(pk.number, pk.salt), b...)
	}
	if err = f.truncate(x.valid); err == nil {
		_, err = f.WriteAt(b, x.valid)
	}
	if err != nil {
		s.log.Warn("mend an index", "err", err)
		return
	}
	pk.index = x.valid + int64(len(b))
}

// found notes a record that was there at the start. Of two with the same bytes
// the later is the one; the earlier was damaged, or has been moved.
func (s *Store) found(pk *pack, r record) {
	for _, p := range s.table.find(r.digest) {
		if s.others(p, r.digest) {
			continue
		}
		s.mu.Lock()
		s.kill(r.digest, p)
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.table.add(r.digest, placeOf(pk.number, r.at, r.size))
	pk.live += takes(r.size)
	s.mu.Unlock()
}

// resume goes on with the last pack, without what a cut has left behind it.
func (s *Store) resume(pk *pack, dead map[int64]salt) error {
	for at, k := range dead {
		if k == pk.salt && at >= pk.end {
			return nil // what would be written there would be taken for dead
		}
	}
	x, written, err := s.readIndexOf(pk.number)
	if err != nil {
		return err
	}
	if !pk.salted || pk.end >= s.room || len(x.recs) >= packRecords || x.salt != pk.salt || x.end != pk.end || x.valid != written {
		return nil
	}
	f, err := s.hold(pk)
	if err != nil {
		return err
	}
	size, err := f.size()
	if err == nil && size+align <= pk.end {
		s.letGo(pk)
		return nil // somebody has cut it, and records are missing
	}
	if err == nil && size > pk.end {
		s.log.Info("cut off what was half written", "pack", packName(pk.number), "bytes", size-pk.end)
		err = f.truncate(pk.end)
	}
	if err == nil {
		pk.taken, err = f.taken()
	}
	if err != nil {
		s.letGo(pk)
		return err
	}
	a := &active{pack: pk, file: f, records: len(x.recs)}
	if a.index, err = s.disk.open(indexName(pk.number), false); err != nil {
		a.index = nil
	}
	s.active = a
	return nil
}

// records lists what is in a pack up to its end, dead or not.
func (s *Store) records(pk *pack) ([]record, error) {
	f, err := s.hold(pk)
	if err != nil {
		return nil, err
	}
	defer s.letGo(pk)
	s.mu.RLock()
	end := pk.end
	s.mu.RUnlock()
	x, _, err := s.readIndexOf(pk.number)
	if err != nil {
		return nil, err
	}
	if !x.salted || x.salt != pk.salt {
		x = index{end: headSize}
	}
	size, err := f.size()
	if err != nil {
		return nil, err
	}
	more, err := scan(f, pk, x.end, min(end, size))
	return append(x.recs, more...), err
}

// scan finds the records of a pack between two places. What is damaged is
// passed over.
func scan(f file, pk *pack, from, to int64) (recs []record, err error) {
	head := make([]byte, headSize)
	for at := from; at+headSize <= to; {
		if err := readFull(f, head, at); err != nil {
			return nil, err
		}
		r, ok := pk.read(f, head, at)
		if !ok || at+headSize+int64(r.size) > to {
			if at, err = seek(f, pk, at+align, to); err != nil {
				return nil, err
			}
			continue
		}
		recs = append(recs, r)
		at += takes(r.size)
	}
	return recs, nil
}

// read reads a record's head. Where the salt is lost anything could be one:
// its bytes must hash.
func (pk *pack) read(f file, head []byte, at int64) (record, bool) {
	if pk.salted {
		return readRecord(head, at, pk.salt)
	}
	r, ok := unsalted(head, at)
	return r, ok && holds(f, r)
}

// seek finds the next record's head, or returns to.
func seek(f file, pk *pack, from, to int64) (int64, error) {
	b := make([]byte, 256<<10)
	for ; from+headSize <= to; from += int64(len(b)) {
		b = b[:min(int64(len(b)), to-from)]
		if err := readFull(f, b, from); err != nil {
			return 0, err
		}
		for i := 0; i+headSize <= len(b); i += align {
			if string(b[i:i+4]) != recMagic {
				continue
			}
			if r, ok := pk.read(f, b[i:i+headSize], from+int64(i)); ok && r.at+headSize+int64(r.size) <= to {
				return r.at, nil
			}
		}
	}
	return to, nil
}

// intact tells apart what a cut may have torn: of the last batch that was
// written, what does not hash.
func intact(f file, recs []record) (whole, torn []record) {
	for _, r := range recs {
		if r.at >= recs[len(recs)-1].batch && !holds(f, r) {
			torn = append(torn, r)
		} else {
			whole = append(whole, r)
		}
	}
	return whole, torn
}

// holds tells whether the bytes of a record hash to what its head says.
func holds(f file, r record) bool {
	b := make([]byte, r.size)
	return readFull(f, b, r.at+headSize) == nil && sha256.Sum256(b) == r.digest
}
