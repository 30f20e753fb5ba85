package mp3

import (
	"fmt"
	"testing"
)

// The limits against another decoder: in units of 16-bit samples.
const (
	peakLimit = 2
	rmsLimit  = 0.1
)

// lameModes are made of every piece.
var lameModes = [][]string{
	{"-b", "128"}, {"-b", "192"}, {"-b", "320"}, {"-V", "0"}, {"-V", "2"},
	{"-b", "128", "-m", "f"},
}

// oddModes are spread over the pieces.
var oddModes = [][]string{
	{"-b", "160", "-m", "s"}, {"-b", "64", "-m", "m"}, {"-b", "192", "-m", "d"}, {"-V", "4", "-m", "m"},
	{"-b", "128", "-p"}, {"-b", "128", "--nores"}, {"-V", "0", "-p", "-m", "s"}, {"-b", "320", "--nores", "-m", "f"},
	{"-b", "64", "--resample", "22.05"}, {"-b", "80", "--resample", "24"}, {"-b", "48", "--resample", "16"},
	{"-b", "32", "--resample", "12"}, {"-b", "40", "--resample", "11.025"}, {"-b", "24", "--resample", "8"},
	{"-V", "3", "--resample", "22.05"}, {"-V", "5", "--resample", "24", "-m", "f"}, {"-b", "16", "--resample", "8", "-m", "m"},
	{"-b", "144", "--resample", "22.05", "-m", "s"}, {"-b", "160", "--resample", "16", "-p"}, {"-V", "6", "--resample", "11.025"},
	{"--freeformat", "-b", "160"}, {"--freeformat", "-b", "320"}, {"--freeformat", "-b", "48", "-m", "m", "--resample", "22.05"},
	{"-b", "192", "--resample", "48"}, {"-V", "1", "--resample", "32"}, {"--allshort", "-b", "256"}, {"--noshort", "-b", "112"},
	{"-b", "128", "--abr", "150"}, {"-b", "320", "--resample", "32", "--allshort"}, {"-b", "64", "--resample", "24", "--allshort"},
}

var ffmpegModes = [][]string{
	{"-c:a", "libmp3lame", "-b:a", "128k"}, {"-c:a", "libmp3lame", "-q:a", "3", "-ar", "48000"},
	{"-c:a", "libshine", "-b:a", "128k"}, {"-c:a", "libshine", "-b:a", "192k", "-ac", "1"},
	{"-c:a", "libshine", "-b:a", "256k", "-ar", "48000"}, {"-c:a", "libshine", "-b:a", "160k", "-ar", "32000"},
}

// TestOracle decodes real encodings beside mpg123.
func TestOracle(t *testing.T) {
	type job struct {
		p    pcm
		args []string
		enc  func(testing.TB, pcm, ...string) []byte
	}
	var jobs []job
	all := pieces()
	for _, p := range all {
		for _, args := range lameModes {
			jobs = append(jobs, job{p, args, lame})
		}
	}
	for i, args := range oddModes {
		jobs = append(jobs, job{all[i%len(all)], args, lame})
	}
	for i, args := range ffmpegModes {
		jobs = append(jobs, job{all[i%len(all)], args, ffmpeg})
	}
	if len(jobs) < 60 {
		t.Fatalf("%d encodings, want 60 or more", len(jobs))
	}
	for i, j := range jobs {
		if testing.Short() && i%5 != 0 {
			continue
		}
		t.Run(fmt.Sprint(j.p.name, j.args), func(t *testing.T) {
			t.Parallel()
			file := j.enc(t, j.p, j.args...)
			var d Decoder
			compare(t, decodeAll(t, &d, frames(t, file)), mpg123(t, file))
		})
	}
}

// compare fails unless got is want within the limits, sample for sample.
func compare(t *testing.T, got, want []float32) {
	t.Helper()
	if len(want) == 0 || len(got) != len(want) {
		t.Fatalf("%d samples, want %d", len(got), len(want))
	}
	peak, rms := difference(got, want)
	t.Logf("%d samples, peak %.4f, RMS %.5f", len(got), peak, rms)
	if peak > peakLimit || rms > rmsLimit {
		t.Errorf("differs by %.3f at most, RMS %.4f, of 1/32768", peak, rms)
	}
}

// TestOracleFFmpeg decodes beside ffmpeg, whose 24 kHz is not to be relied on.
func TestOracleFFmpeg(t *testing.T) {
	p := pieces()[0]
	for _, args := range [][]string{{"-b", "128"}, {"-V", "0"}, {"-b", "64", "-m", "m"}, {"-b", "64", "--resample", "22.05"}, {"-b", "24", "--resample", "8"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			t.Parallel()
			file := lame(t, p, append(args, "-t")...) // -t: no Info frame, so nothing is trimmed
			want := floats(tool(t, file, "ffmpeg", "-v", "error", "-f", "mp3", "-i", "-", "-f", "f32le", "-"))
			var d Decoder
			compare(t, decodeAll(t, &d, frames(t, file)), want)
		})
	}
}
