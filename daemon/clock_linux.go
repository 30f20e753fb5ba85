package daemon

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clockSynchronised asks the kernel whether something outside keeps its clock
// (adjtimex(2): STA_UNSYNC is cleared by NTP, and set again after 16 s of
// growing error).
func clockSynchronised() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "" // no boot is then the same as another: elapsed time counts as 0
	}
	return strings.TrimSpace(string(b))
}

func uptime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
