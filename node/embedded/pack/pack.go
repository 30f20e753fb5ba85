// Package pack keeps blocks in few large files, so that a batch of them costs
// a disk what one plain file costs: a write and a sync.
//
// What comes in: blocks that hash to their CIDs. What goes out: the same,
// hashed once more when they are read. What is trusted: the disk with keeping
// what fdatasync acknowledged, and that no other process writes here, which a
// lock sees to. Whatever else a disk does is found: a cut leaves what was
// acknowledged, and a bit that flips costs the block that it is in.
//
// A pack is only ever appended to. Beside each lies an index of it, which is
// written without a sync and believed as far as its sums go; the rest is read
// from the pack itself. What is deleted is told of in one file, and its pages
// are given back to the disk; where the disk takes none back, packs that have
// much that is dead are written anew.
package pack

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/gofrs/flock"

	"playnode/node"
)

const (
	// packRoom is how large a pack may be before the next is begun, in bytes.
	packRoom = 192 << 20
	// packRecords is how many records a pack may have: what is read of a pack
	// at once are their heads.
	packRecords = 1 << 16
	// handles is how many packs are kept open that nobody reads.
	handles = 64
)

// ErrBusy says that another process has the store open.
var ErrBusy = errors.New("another playnode has these packs open")

// Config is how a Store is opened.
type Config struct {
	// Dir is the store's own directory, made 0700 when absent.
	Dir string
	// Log, when nil, drops everything.
	Log *slog.Logger

	disk disk  // nil is Dir's
	room int64 // 0 is packRoom
}

// Store is a node.Blocks, a node.Keeper and a node.Lender. Safe for concurrent use; who reads
// never waits for a disk that syncs what others write.
type Store struct {
	disk disk
	log  *slog.Logger
	room int64
	lock *flock.Flock // nil in tests that have no directory

	queue queue
	// writing has one slot, held by who writes, and guards what follows.
	writing chan struct{}
	active  *active // the pack that is written to, nil before the first
	next    uint32
	graves  graves
	removed bool // packs, which the disk may not know of yet
	closed  bool
	buffer  *bufio.Writer

	sweeping sync.Mutex // held while packs are written anew

	mu      sync.RWMutex // guards what follows, and the like in each pack
	table   *table
	packs   map[uint32]*pack
	pending []grave // dead, which the disk has not been told yet

	spare sync.Pool // of *[]byte: what was lent, and is free again

	reads atomic.Uint64 // counts holds, so that the least used is known
	open  atomic.Int64  // packs that are open
	shut  atomic.Bool   // nothing is opened any more
}

// pack is one file of records.
type pack struct {
	number uint32
	salt   salt
	salted bool // else the salt is lost, and each record must hash

	// Guarded by Store.mu.
	end   int64 // up to here all is on the disk
	live  int64 // what its live records take, in bytes
	taken int64 // what it takes of the disk, in bytes
	index int64 // what its index takes

	mu   sync.Mutex // guards what follows
	file file       // nil while it is closed
	refs int
	used uint64
	gone bool // its file goes when nobody reads it
}

func packName(n uint32) string  { return fmt.Sprintf("%07d.pack", n) }
func indexName(n uint32) string { return fmt.Sprintf("%07d.index", n) }

// Open makes or opens a store, and cuts off what a power cut has left half
// written. ErrBusy when another process has it open.
func Open(cfg Config) (*Store, error) {
	s := &Store{
		disk: cfg.disk, log: cfg.Log, room: cfg.room, writing: make(chan struct{}, 1),
		table: newTable(), packs: map[uint32]*pack{}, next: 1, buffer: bufio.NewWriterSize(nil, 16<<10),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.room == 0 {
		s.room = packRoom
	}
	err := s.enter(cfg.Dir)
	if err == nil {
		err = s.load()
	}
	if err != nil {
		s.release()
		return nil, fmt.Errorf("open packs in %s: %w", cfg.Dir, noSpace(err))
	}
	return s, nil
}

// enter makes the directory, durably, and locks it.
func (s *Store) enter(path string) error {
	if s.disk != nil {
		return nil
	}
	s.disk = dir(path)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		up := filepath.Dir(path)
		if err := errors.Join(dir(up).sync(), dir(filepath.Dir(up)).sync()); err != nil {
			return err
		}
	}
	l := flock.New(filepath.Join(path, "lock"))
	switch ok, err := l.TryLock(); {
	case err != nil:
		return err
	case !ok:
		return ErrBusy
	}
	s.lock = l
	return nil
}

// Close says on the disk what is dead, and lets others in. It waits for what
// is being written.
func (s *Store) Close() error {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	if s.closed {
		return nil
	}
	err := s.bury()
	s.closed = true
	s.release()
	if err != nil {
		return fmt.Errorf("close packs: %w", err)
	}
	return nil
}

// release closes all files that nobody reads; others are closed by the last
// who does.
func (s *Store) release() {
	s.shut.Store(true)
	s.seal()
	if s.graves.file != nil {
		s.graves.file.Close()
	}
	for _, pk := range s.all() {
		s.close(pk)
	}
	if s.lock != nil {
		s.lock.Unlock()
	}
}

// all lists the packs, in no order.
func (s *Store) all() []*pack {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*pack, 0, len(s.packs))
	for _, pk := range s.packs {
		out = append(out, pk)
	}
	return out
}

// errGone says that a pack is no more: what was in it is elsewhere, or dead.
var errGone = errors.New("the pack is gone")

// hold opens a pack's file, until letGo is called.
func (s *Store) hold(pk *pack) (file, error) {
	pk.mu.Lock()
	if pk.gone {
		pk.mu.Unlock()
		return nil, errGone
	}
	if s.shut.Load() {
		pk.mu.Unlock()
		return nil, fs.ErrClosed
	}
	opened := pk.file == nil
	if opened {
		f, err := s.disk.open(packName(pk.number), false)
		if err != nil {
			pk.mu.Unlock()
			return nil, err
		}
		pk.file = f
	}
	f := pk.file
	pk.refs++
	pk.used = s.reads.Add(1)
	pk.mu.Unlock()
	if opened && s.open.Add(1) > handles {
		s.closeLeast()
	}
	return f, nil
}

func (s *Store) letGo(pk *pack) {
	pk.mu.Lock()
	defer pk.mu.Unlock()
	pk.refs--
	if pk.gone || s.shut.Load() {
		s.rest(pk)
	}
}

// close is rest, without the lock.
func (s *Store) close(pk *pack) {
	pk.mu.Lock()
	defer pk.mu.Unlock()
	s.rest(pk)
}

// rest closes a pack that nobody reads, and removes one that is gone. pk.mu is
// held.
func (s *Store) rest(pk *pack) {
	if pk.refs > 0 {
		return
	}
	if pk.file != nil {
		pk.file.Close()
		pk.file = nil
		s.open.Add(-1)
	}
	if pk.gone {
		for _, name := range []string{indexName(pk.number), packName(pk.number)} {
			if err := s.disk.remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				s.log.Warn("remove a pack", "name", name, "err", err)
			}
		}
	}
}

// closeLeast closes the pack that has not been read for the longest.
func (s *Store) closeLeast() {
	var least *pack
	var used uint64
	for _, pk := range s.all() {
		pk.mu.Lock()
		if pk.file != nil && pk.refs == 0 && (least == nil || pk.used < used) {
			least, used = pk, pk.used
		}
		pk.mu.Unlock()
	}
	if least != nil {
		s.close(least)
	}
}

// Used is what all of it takes of the disk, in bytes.
func (s *Store) Used() (n int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, pk := range s.packs {
		n += pk.taken + pk.index
	}
	return n
}

// noSpace makes a disk's refusal node.ErrNoSpace.
func noSpace(err error) error {
	if full(err) {
		return fmt.Errorf("%w: %w", node.ErrNoSpace, err)
	}
	return err
}

// readFull reads all of b, or says that the bytes are not there.
func readFull(f file, b []byte, at int64) error {
	n, err := f.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

var (
	_ node.Blocks = (*Store)(nil)
	_ node.Keeper = (*Store)(nil)
	_ node.Lender = (*Store)(nil)
)
