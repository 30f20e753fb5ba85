package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
)

// quantile is the value below which a share q of the measurements lies.
func (r *runner) quantile(name string, q float64) float64 {
	v := slices.Sorted(slices.Values(r.taken[name]))
	if len(v) == 0 {
		return 0
	}
	return v[int(q*float64(len(v)-1)+.5)]
}

func (r *runner) median(name string) float64 { return r.quantile(name, .5) }

// page is what BENCH.md says.
func (r *runner) page() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Measured\n\nBy `make bench`, whole or section by section; each says when, and on what. In one section contenders took turns on one machine. Speeds on a shared machine are ratios:\ncompare within a section only.\n")
	for _, s := range sections {
		b.Write(s.page(r))
	}
	return b.Bytes()
}

// machine says what this ran on.
func machine() string {
	field := func(file, key string) string {
		b, _ := os.ReadFile(file)
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
				return strings.TrimSpace(value)
			}
		}
		return "unknown"
	}
	var kb float64
	fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%f", &kb)
	kernel, _ := exec.Command("uname", "-sr").Output()
	return fmt.Sprintf("%d cores of %s, %.0f GB of memory, %s, %s", runtime.NumCPU(), field("/proc/cpuinfo", "model name"), kb/1e6, strings.TrimSpace(string(kernel)), runtime.Version())
}
