// Command render writes the demo's tracks: it renders the piece, cuts it, and
// has flac and lame encode the parts into the directory above. They are found
// in PATH.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/exec"

	"playnode/testnet/music/piece"
)

const rate = 44100

// tracks are the record's sides: each ends at a frame that is no round number
// of anything, inside a sounding chord. The last one runs to the end.
var tracks = []struct {
	title, file string
	until       int
	encode      []string
}{
	{"Lamp", "1-lamp.flac", 265_437, []string{"flac", "--silent", "--force", "--best", "--no-padding"}},
	{"Harbour", "2-harbour.mp3", 969_431, []string{"lame", "--quiet", "-V", "4"}},
	{"Morning", "3-morning.mp3", 0, []string{"lame", "--quiet", "-b", "96", "--resample", "44.1"}},
}

const artist, album = "Playnode", "First Light"

func main() {
	if err := render(); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func render() error {
	pcm := quantise(piece.Render(rate))
	start := 0
	for i, t := range tracks {
		if t.until == 0 {
			t.until = len(pcm) / 2
		}
		raw := pcm[2*start : 2*t.until]
		start = t.until
		args := append(t.encode[1:], tags(t.encode[0], t.title, i+1)...)
		switch t.encode[0] {
		case "flac":
			args = append(args, "--force-raw-format", "--endian=little", "--sign=signed", "--channels=2",
				"--bps=16", fmt.Sprint("--sample-rate=", rate), "-o", t.file, "-")
		case "lame":
			args = append(args, "-r", "-s", "44.1", "--bitwidth", "16", "-", t.file)
		}
		var in bytes.Buffer
		binary.Write(&in, binary.LittleEndian, raw)
		cmd := exec.Command(t.encode[0], args...)
		cmd.Stdin, cmd.Stderr = &in, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("encode %s: %w", t.file, err)
		}
	}
	return nil
}

func tags(encoder, title string, number int) []string {
	if encoder == "flac" {
		return []string{"-T", "TITLE=" + title, "-T", "ARTIST=" + artist, "-T", "ALBUM=" + album, "-T", fmt.Sprint("TRACKNUMBER=", number)}
	}
	return []string{"--tt", title, "--ta", artist, "--tl", album, "--tn", fmt.Sprintf("%d/%d", number, len(tracks))}
}

// quantise rounds to 16 bits, to nearest.
func quantise(pcm []float32) []int16 {
	out := make([]int16, len(pcm))
	for i, x := range pcm {
		out[i] = int16(math.Round(float64(x) * 32767))
	}
	return out
}
