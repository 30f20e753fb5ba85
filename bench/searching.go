package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// searching asks a venue that leases 10,000 tracks. A test has them: nobody
// waits for as many files to be sealed.
func (r *runner) searching() error {
	cmd := exec.CommandContext(r.ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkSearch$", "-benchtime", fmt.Sprint(r.Rounds, "x"), "./daemon")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("search: %w\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 2 || !strings.HasPrefix(f[0], "BenchmarkSearch") {
			continue
		}
		for i := 2; i+1 < len(f); i += 2 { // value, unit
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				return fmt.Errorf("search: %q: %w", line, err)
			}
			r.keep("search "+f[i+1], v)
		}
	}
	if r.median("search p95-ms") == 0 {
		return fmt.Errorf("search: nothing was measured\n%s", out)
	}
	return nil
}

// searchingPage writes the table.
func (r *runner) searchingPage(b *bytes.Buffer) {
	fmt.Fprintf(b, "A venue that leases 10,000 tracks, whose sealed metadata has a cover, an index and a waveform, 39 KiB in all; a thousand questions of five kinds (a word,\n"+
		"the beginning of one, one with an error, two words, artist and title) in each of %d rounds, over the daemon's socket, the least\nof three times each.\n\n", r.Rounds)
	fmt.Fprintf(b, "| | p50 | p95 | p99 |\n|---|---:|---:|---:|\n| a question, ms | %.1f | %.1f | %.1f |\n\n", r.median("search p50-ms"), r.median("search p95-ms"), r.median("search p99-ms"))
	fmt.Fprintf(b, "| | seconds |\n|---|---:|\n")
	for _, row := range [][2]string{{"rebuild-s", "rebuilt: all metadata read from the disk's cache, verified, opened, indexed"}, {"rebuild-cpu-s", "of that, CPU time on all cores"},
		{"read-s", "reading, verifying and opening alone"}, {"own-s", "the DJ's own library, from her database"}} {
		fmt.Fprintf(b, "| %s | %.2f |\n", row[1], r.median("search "+row[0]))
	}
	writeGoals(b,
		goal{"p95 at most 20 ms", fmt.Sprintf("%.1f ms", r.median("search p95-ms")), r.median("search p95-ms") <= 20},
		goal{"rebuilt in at most 2 s", fmt.Sprintf("%.2f s", r.median("search rebuild-s")), r.median("search rebuild-s") <= 2})
}
