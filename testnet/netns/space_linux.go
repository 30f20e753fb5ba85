package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// inside runs f on a thread that is in a namespace.
func inside(space string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		// A thread that could not come back is locked still when the goroutine
		// ends, and ends with it.
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		away, err := os.Open("/run/netns/" + space)
		if err != nil {
			done <- err
			return
		}
		defer away.Close()
		if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter %s: %w", space, err)
			return
		}
		err = f()
		back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET)
		if back == nil {
			runtime.UnlockOSThread()
		}
		done <- errors.Join(err, back)
	}()
	return <-done
}

// openTUN makes a device of whole IP packets, which is gone when it is closed.
func openTUN(e end) (file *os.File, err error) {
	err = inside(e.space, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		req, err := unix.NewIfreq(e.device)
		if err == nil {
			req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
		}
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("make device %s: %w", e.device, err)
		}
		// The poller may wait for the device only once it is one.
		file = os.NewFile(uintptr(fd), e.device)
		return nil
	})
	return file, err
}

// until waits for a moment, by the kernel's timer: the runtime's is up to a
// millisecond late.
func until(due time.Time) {
	for wait := time.Until(due); wait > 0; wait = time.Until(due) {
		at := unix.NsecToTimespec(int64(wait))
		unix.Nanosleep(&at, nil)
	}
}

// endWithin kills every process that runs in some namespaces.
func endWithin(spaces []string) {
	inodes := map[uint64]bool{}
	for _, s := range spaces {
		var st unix.Stat_t
		if unix.Stat("/run/netns/"+s, &st) == nil {
			inodes[st.Ino] = true
		}
	}
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		var st unix.Stat_t
		if err == nil && pid != os.Getpid() && unix.Stat("/proc/"+p.Name()+"/ns/net", &st) == nil && inodes[st.Ino] {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}
