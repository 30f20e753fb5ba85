package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// unmapProgram has no page of the program's file stay mapped. Most were touched
// at the start alone, or lie beside one that was. The system keeps them as it
// keeps any file, and maps those that are touched again, some at once, without
// reading a disk.
func unmapProgram() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer smaps.Close()
	for _, s := range asInFile(smaps, exe) {
		unix.Syscall(unix.SYS_MADVISE, s.from, s.to-s.from, unix.MADV_DONTNEED)
	}
}

// mappedFiles is how many bytes of files are mapped and have been touched: the
// program's, and a few of libraries'. Memory that is shared counts, too, of which a
// daemon has none. It costs one read.
func mappedFiles() (n int) {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int
	fmt.Sscan(string(statm), &size, &resident, &n)
	return n * os.Getpagesize()
}

// stretch is a part of a process's memory.
type stretch struct{ from, to uintptr }

// asInFile are the stretches that are as they are in a file, and stay so: not
// writable, and no page of them was written, by a loader or a debugger. Its own
// program is a process's as long as it runs.
func asInFile(smaps io.Reader, file string) (all []stretch) {
	var s stretch
	ours := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); { // thousands: one at a time
		line := lines.Bytes()
		switch {
		case bytes.HasSuffix(line, []byte(" "+file)): // 00400000-015ac000 r-xp 00000000 fe:00 1234 /usr/bin/playnode
			var perms string
			_, err := fmt.Sscanf(string(line), "%x-%x %s", &s.from, &s.to, &perms)
			ours = err == nil && (perms == "r-xp" || perms == "r--p")
		case ours && bytes.HasPrefix(line, []byte("Anonymous:")):
			ours = false
			if bytes.HasSuffix(line, []byte(" 0 kB")) {
				all = append(all, s)
			}
		}
	}
	return all
}
