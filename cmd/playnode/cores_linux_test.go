package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func TestNoCores(t *testing.T) {
	if err := noCores(); err != nil {
		t.Fatal(err)
	}
	if v, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || v != 0 {
		t.Errorf("dumpable is %d, %v", v, err)
	}
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil || l.Cur != 0 || l.Max != 0 {
		t.Errorf("core dumps of %d to %d bytes, %v", l.Cur, l.Max, err)
	}
}

// nocores REPO: wants the daemon of that repo to be unable to dump core.
func nocores(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nocores REPO")
	}
	d, ok := daemons.Load("daemon " + ts.MkAbs(args[0]))
	if !ok {
		ts.Fatalf("no daemon of %s", args[0])
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(d.(*exec.Cmd).Process.Pid) + "/limits")
	ts.Check(err)
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Max core file size") {
			if f[4] != "0" || f[5] != "0" {
				ts.Fatalf("%s", line)
			}
			return
		}
	}
	ts.Fatalf("no limit of cores in %s", b)
}
