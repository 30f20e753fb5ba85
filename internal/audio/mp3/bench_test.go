//go:build unix

package mp3

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gomp3 "github.com/hajimehoshi/go-mp3"
)

// BenchmarkDecode gives seconds of audio a second of one core ("x") beside go-mp3 and mpg123 on the same
// files, by CPU time, mpg123's start included.
func BenchmarkDecode(b *testing.B) {
	p := pieces()[0]
	for _, args := range [][]string{{"-b", "128"}, {"-V", "0"}, {"-b", "320"}, {"-b", "64", "-m", "m"}, {"-b", "64", "--resample", "22.05"}} {
		file := lame(b, p, args...)
		all := frames(b, file)
		h, _ := ParseHeader(all[0])
		seconds := float64(len(all)*h.Samples()) / float64(h.Rate)
		name := strings.ReplaceAll(strings.Join(args, ""), "-", "")
		b.Run(name+"/playnode", func(b *testing.B) {
			b.ReportAllocs()
			start := cpuTime(b)
			var d Decoder
			var buf [2 * MaxSamples]float32
			for b.Loop() {
				d.Reset()
				for _, f := range all {
					if _, err := d.Decode(f, buf[:]); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(seconds*float64(b.N)/(cpuTime(b)-start).Seconds(), "x")
		})
		b.Run(name+"/go-mp3", func(b *testing.B) {
			b.ReportAllocs()
			start := cpuTime(b)
			for b.Loop() {
				d, err := gomp3.NewDecoder(io.MultiReader(bytes.NewReader(file))) // a plain reader
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, d); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(seconds*float64(b.N)/(cpuTime(b)-start).Seconds(), "x")
		})
		b.Run(name+"/mpg123", func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "in.mp3")
			if err := os.WriteFile(path, bytes.Repeat(file, 20), 0o600); err != nil {
				b.Fatal(err)
			}
			var spent time.Duration
			for b.Loop() {
				cmd := exec.Command("mpg123", "-q", "-t", "-e", "f32", path)
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			}
			b.ReportMetric(20*seconds*float64(b.N)/spent.Seconds(), "x")
		})
	}
}

// cpuTime is what this process has used so far.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
