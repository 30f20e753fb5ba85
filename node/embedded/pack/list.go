package pack

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/ipfs/go-cid"
)

// Spot is where a block's bytes lie.
type Spot struct {
	CID  cid.Cid // raw: a store knows digests alone
	File string
	At   int64
	Size int
}

// List tells where blocks lie, by their CIDs' order, without opening the
// store: another process may have it open, and what that deletes may still be
// listed. There are none where there is no directory.
func List(path string) ([]Spot, error) {
	s := &Store{disk: dir(path), packs: map[uint32]*pack{}}
	names, err := s.disk.names()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list packs: %w", err)
	}
	slices.Sort(names)
	dead := rows{}
	if slices.Contains(names, deadName) {
		if dead, err = s.deadRows(); err != nil {
			return nil, fmt.Errorf("list packs: %w", err)
		}
	}
	spots := map[digest]Spot{}
	for _, name := range names {
		var number uint32
		if _, err := fmt.Sscanf(name, "%d.pack", &number); err != nil || packName(number) != name {
			continue
		}
		if err := s.listPack(number, dead[number], func(r record) {
			spots[r.digest] = Spot{rawCID(r.digest), filepath.Join(path, name), r.at + headSize, r.size}
		}); err != nil {
			return nil, fmt.Errorf("list %s: %w", name, err)
		}
	}
	out := slices.Collect(maps.Values(spots))
	slices.SortFunc(out, func(a, b Spot) int { return slices.Compare(a.CID.Bytes(), b.CID.Bytes()) })
	return out, nil
}

func (s *Store) deadRows() (rows, error) {
	f, err := s.disk.open(deadName, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	dead := rows{}
	return dead, eachGrave(f, func(_ int64, pack uint32, at int64, k salt, _ []byte) { dead.add(pack, at, k) })
}

func (s *Store) listPack(number uint32, dead map[int64]salt, f func(record)) error {
	file, err := s.disk.open(packName(number), false)
	if err != nil {
		return err
	}
	defer file.Close()
	pk := &pack{number: number}
	head := make([]byte, headSize)
	if err := readFull(file, head, 0); err == nil {
		pk.salt, pk.salted = readPackHead(head, number)
	}
	size, err := file.size()
	if err != nil {
		return err
	}
	more, err := scan(file, pk, headSize, size)
	for _, r := range more {
		if k, ok := dead[r.at]; !ok || k != pk.salt {
			f(r)
		}
	}
	return err
}
