//go:build unix

package embedded

import "golang.org/x/sys/unix"

// maxFiles is how many files this process may open.
func maxFiles() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur > mostFiles*2 {
		return mostFiles * 2
	}
	return int(l.Cur)
}
