package pack

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// disk is the directory that a Store lives in. Names are plain.
type disk interface {
	names() ([]string, error)
	// open opens a file to read and write; one that is to be made must not be
	// there.
	open(name string, fresh bool) (file, error)
	remove(name string) error
	rename(from, to string) error
	// sync makes durable which names there are.
	sync() error
}

// file is one file of it. Reads and writes at offsets may be concurrent.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	size() (int64, error)
	// taken is what the file takes of the disk, no more than its size in
	// whole pages.
	taken() (int64, error)
	truncate(n int64) error
	// sync makes the bytes durable, and as much as is needed to find them.
	sync() error
	// punch gives whole pages within n bytes back to the disk; they read as
	// zeros. errNoHoles where the disk cannot.
	punch(at, n int64) error
}

// errNoHoles says that a disk gives nothing of a file back but its end.
var errNoHoles = errors.New("no holes in files here")

// page is what disks give out by.
const page = 4096

// full tells whether err is a disk's that takes no more.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// dir is a directory of the system's.
type dir string

func (d dir) names() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

func (d dir) open(name string, fresh bool) (file, error) {
	flag := os.O_RDWR
	if fresh {
		flag |= os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(filepath.Join(string(d), name), flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d dir) remove(name string) error { return os.Remove(filepath.Join(string(d), name)) }

func (d dir) rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

func (d dir) sync() error {
	if runtime.GOOS == "windows" { // directories cannot be synced there
		return nil
	}
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

type osFile struct{ *os.File }

func (f osFile) size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f osFile) truncate(n int64) error { return f.Truncate(n) }

// readAll reads a file of at most limit bytes whole.
func readAll(f file, limit int64) ([]byte, error) {
	n, err := f.size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(n, limit))
	m, err := f.ReadAt(b, 0)
	if err == io.EOF {
		err = nil // it was cut meanwhile
	}
	return b[:m], err
}
