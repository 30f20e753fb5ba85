package pack

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
)

var errCut = errors.New("the power is cut")

const sector = 512

// fragile is a disk in memory that loses power after so many operations. What
// was not synced is then there or not, by sectors, and so are names.
type fragile struct {
	mu    sync.Mutex // guards all
	rand  *rand.Rand
	left  int // operations until the cut; below 0 there is none
	cut   bool
	room  int    // sectors there are; 0 is no bound
	solid bool   // it makes no holes
	held  func() // is called by each sync of a file, which waits for it
	read  func() // is called before each read
	fails string // what fails, of "truncate" and "names"
	syncs int
	ops   int
	now   map[string]*inode
	kept  map[string]*inode // what a cut leaves
}

// inode has what is there now, and what a cut leaves but for dirty sectors.
type inode struct {
	now, kept []byte
	dirty     map[int]bool
	holes     map[int]bool
}

func newDisk(seed uint64) *fragile {
	return &fragile{rand: rand.New(rand.NewPCG(seed, 1)), left: -1, now: map[string]*inode{}, kept: map[string]*inode{}}
}

// do is one operation. d.mu is held.
func (d *fragile) do() error {
	d.ops++
	if d.left == 0 {
		d.cut = true
	}
	if d.cut {
		return errCut
	}
	d.left--
	return nil
}

func (d *fragile) coin() bool { return d.rand.IntN(2) == 0 }

// after is the disk when power is back.
func (d *fragile) after() *fragile {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newDisk(d.rand.Uint64())
	next.solid = d.solid
	names := slices.Sorted(maps.Keys(d.now))
	for name := range d.kept {
		if d.now[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		x := d.now[name]
		if y := d.kept[name]; x != y && d.coin() {
			x = y
		}
		if x == nil {
			continue
		}
		n := len(x.now)
		if d.coin() {
			n = len(x.kept)
		}
		b := make([]byte, n)
		for i := 0; i*sector < n; i++ {
			from := x.now
			if x.dirty[i] && d.coin() {
				from = x.kept
			}
			if i*sector < len(from) {
				copy(b[i*sector:min(n, (i+1)*sector)], from[i*sector:])
			}
		}
		y := &inode{now: b, kept: bytes.Clone(b), dirty: map[int]bool{}, holes: maps.Clone(x.holes)}
		next.now[name], next.kept[name] = y, y
	}
	return next
}

// killed is the disk when the process alone has ended: all is there, and what
// was not synced is still to be lost.
func (d *fragile) killed() *fragile {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newDisk(d.rand.Uint64())
	next.solid = d.solid
	same := map[*inode]*inode{}
	of := func(x *inode) *inode {
		if same[x] == nil {
			same[x] = &inode{bytes.Clone(x.now), bytes.Clone(x.kept), maps.Clone(x.dirty), maps.Clone(x.holes)}
		}
		return same[x]
	}
	for name, x := range d.now {
		next.now[name] = of(x)
	}
	for name, x := range d.kept {
		next.kept[name] = of(x)
	}
	return next
}

func (d *fragile) names() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.now)), nil
}

func (d *fragile) open(name string, fresh bool) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return nil, errCut
	}
	x := d.now[name]
	if fresh {
		if x != nil {
			return nil, fs.ErrExist
		}
		if err := d.do(); err != nil {
			return nil, err
		}
		x = &inode{dirty: map[int]bool{}, holes: map[int]bool{}}
		d.now[name] = x
	} else if x == nil {
		return nil, fs.ErrNotExist
	}
	return &handle{d, x}, nil
}

func (d *fragile) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.now[name] == nil {
		return fs.ErrNotExist
	}
	if err := d.do(); err != nil {
		return err
	}
	delete(d.now, name)
	return nil
}

func (d *fragile) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.do(); err != nil {
		return err
	}
	d.now[to] = d.now[from]
	delete(d.now, from)
	return nil
}

func (d *fragile) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails == "names" {
		return syscall.EIO
	}
	if err := d.do(); err != nil {
		return err
	}
	d.kept = maps.Clone(d.now)
	return nil
}

// used counts sectors.
func (d *fragile) used() (n int) {
	for _, x := range d.now {
		n += (len(x.now)+sector-1)/sector - len(x.holes)
	}
	return n
}

type handle struct {
	d *fragile
	x *inode
}

func (h *handle) ReadAt(b []byte, at int64) (int, error) {
	if h.d.read != nil {
		h.d.read()
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.cut {
		return 0, errCut
	}
	if at >= int64(len(h.x.now)) {
		return 0, io.EOF
	}
	n := copy(b, h.x.now[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes some of it when power is cut, or when the disk is full.
func (h *handle) WriteAt(b []byte, at int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	was := h.d.cut
	err := h.d.do()
	if was {
		return 0, err
	}
	n := len(b)
	if err != nil {
		n = h.d.rand.IntN(len(b) + 1)
	}
	if end := int(at) + n; end > len(h.x.now) {
		// What is asked for beyond the file's last sector takes room.
		if last := (len(h.x.now) + sector - 1) / sector * sector; h.d.room > 0 && end > last {
			fits := max(0, h.d.room-h.d.used())*sector + last - int(at)
			if fits < n {
				n, err = max(0, fits), syscall.ENOSPC
			}
		}
		h.x.now = append(h.x.now, make([]byte, max(0, int(at)+n-len(h.x.now)))...)
	}
	if n == 0 {
		return 0, err
	}
	copy(h.x.now[at:], b[:n])
	for i := int(at) / sector; i*sector < int(at)+n; i++ {
		delete(h.x.holes, i)
		h.x.dirty[i] = true
	}
	return n, err
}

func (h *handle) Close() error { return nil }

func (h *handle) size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64(len(h.x.now)), nil
}

func (h *handle) taken() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64((len(h.x.now)+sector-1)/sector-len(h.x.holes)) * sector, nil
}

func (h *handle) truncate(n int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.fails == "truncate" {
		return syscall.EIO
	}
	if err := h.d.do(); err != nil {
		return err
	}
	for i := int(n) / sector; i*sector < len(h.x.now); i++ {
		h.x.dirty[i] = true
		if int64(i*sector) >= n {
			delete(h.x.holes, i)
		}
	}
	if n < int64(len(h.x.now)) {
		h.x.now = bytes.Clone(h.x.now[:n])
	} else {
		h.x.now = append(h.x.now, make([]byte, n-int64(len(h.x.now)))...)
	}
	return nil
}

func (h *handle) sync() error {
	if h.d.held != nil {
		h.d.held()
	}
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	h.d.syncs++
	if err := h.d.do(); err != nil {
		return err
	}
	h.x.kept, h.x.dirty = bytes.Clone(h.x.now), map[int]bool{}
	return nil
}

func (h *handle) punch(at, n int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.solid {
		return errNoHoles
	}
	if err := h.d.do(); err != nil {
		return err
	}
	end := min(at+n, int64(len(h.x.now)))
	clear(h.x.now[at:end])
	for i := int(at) / sector; int64(i*sector) < end; i++ {
		h.x.dirty[i] = true
		if int64(i*sector) >= at && int64((i+1)*sector) <= end {
			h.x.holes[i] = true
		}
	}
	return nil
}
