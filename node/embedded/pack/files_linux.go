package pack

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func (f osFile) taken() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	n := (st.Size() + page - 1) / page * page
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		n = min(n, sys.Blocks*512)
	}
	return n, nil
}

// sync leaves out times, which nobody asks for.
func (f osFile) sync() error { return f.control("fdatasync", unix.Fdatasync) }

func (f osFile) punch(at, n int64) error {
	err := f.control("fallocate", func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, n)
	})
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return errNoHoles
	}
	return err
}

// control calls the system with the file's descriptor, again while a signal
// comes between.
func (f osFile) control(what string, call func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	err = c.Control(func(fd uintptr) {
		for done = call(int(fd)); done == syscall.EINTR; {
			done = call(int(fd))
		}
	})
	if err == nil && done != nil {
		err = &os.PathError{Op: what, Path: f.Name(), Err: done}
	}
	return err
}
