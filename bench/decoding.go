package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"playnode/internal/audio"
)

// decoded is what a child process tells of one file that it decoded.
type decoded struct {
	Seconds float64 // of sound
	Allocs  uint64  // while decoding
}

// decodeFile decodes a file to its end, in a process of its own so that its CPU time is known, and
// prints what it was. engine is exact or go-mp3.
func decodeFile(path, engine string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	src, err := audio.Ingest(context.Background(), bytes.NewReader(b), int64(len(b)), path)
	if err != nil {
		return err
	}
	defer src.Close()
	var opt audio.Options
	if engine == "go-mp3" {
		opt.Engine = audio.GoMP3
	}
	r, size := src.ReaderAt()
	d, err := audio.Open(r, size, src.Track, opt)
	if err != nil {
		return err
	}
	defer d.Close()
	buf := make([]float32, 4096*src.Track.Channels)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for err == nil {
		_, err = d.Read(buf)
	}
	if err != io.EOF {
		return err
	}
	runtime.ReadMemStats(&after)
	return json.NewEncoder(os.Stdout).Encode(decoded{float64(d.Len()) / float64(d.Format().Rate), after.Mallocs - before.Mallocs})
}

// decodings are the formats, how they are made ($0 into $1), and who else decodes them.
var decodings = []struct {
	name, encode string
	rivals       []string
}{
	{"mp3", "lame --silent -b 128 $0 $1", []string{"go-mp3", "mpg123", "ffmpeg"}},
	{"mp3 V0", "lame --silent -V 0 $0 $1", []string{"go-mp3", "mpg123", "ffmpeg"}},
	{"mp2", "ffmpeg -v error -i $0 -c:a mp2 -b:a 192k -f mp2 $1", []string{"mpg123", "ffmpeg"}},
	{"flac", "flac --silent -5 -o $1 $0", []string{"flac", "ffmpeg"}},
	{"wav", "cp $0 $1", []string{"ffmpeg"}},
	{"aiff", "ffmpeg -v error -i $0 -f aiff $1", []string{"ffmpeg"}},
	{"vorbis", "ffmpeg -v error -i $0 -c:a libvorbis -q:a 4 -f ogg $1", []string{"ffmpeg"}},
	{"opus", "ffmpeg -v error -i $0 -c:a libopus -b:a 128k -f ogg $1", []string{"ffmpeg"}},
}

// rivals are programs that write samples to stdout, the file being their last argument.
var rivals = map[string][]string{
	"mpg123": {"mpg123", "-q", "-s"}, "flac": {"flac", "-d", "-c", "--silent"},
}

// decoding measures every format's decoder beside others on one track, by CPU time.
func (r *runner) decoding() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	source := filepath.Join(r.dir, "decoding.wav")
	if out, err := exec.CommandContext(r.ctx, "ffmpeg", "-v", "error", "-i", r.files[0], "-f", "wav", source).CombinedOutput(); err != nil {
		return fmt.Errorf("make %s: %w: %s", source, err, out)
	}
	for range r.Rounds {
		for _, f := range decodings {
			file := filepath.Join(r.dir, "decoding."+strings.ReplaceAll(f.name, " ", "."))
			if _, err := os.Stat(file); err != nil {
				if out, err := exec.CommandContext(r.ctx, "bash", "-c", f.encode, source, file).CombinedOutput(); err != nil {
					return fmt.Errorf("encode %s: %w: %s", f.name, err, out)
				}
			}
			var d decoded
			for _, who := range append([]string{"exact"}, f.rivals...) {
				args, ours := rivals[who], who == "exact" || who == "go-mp3"
				switch {
				case ours:
					args = []string{self, "decode", file, who}
				case who == "ffmpeg":
					args = []string{"ffmpeg", "-v", "error", "-threads", "1", "-i", file, "-f", "s16le", "-"}
				default:
					args = append(append([]string{}, args...), file)
				}
				cmd := exec.CommandContext(r.ctx, args[0], args[1:]...)
				var out bytes.Buffer
				if ours {
					cmd.Stdout = &out
				}
				if err := cmd.Run(); err != nil {
					return fmt.Errorf("decode %s by %s: %w", f.name, who, err)
				}
				if ours {
					if err := json.Unmarshal(out.Bytes(), &d); err != nil {
						return err
					}
				}
				key := "decode " + f.name + " " + who
				cpu := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
				r.taken[key] = append(r.taken[key], d.Seconds/cpu)
				if who == "exact" {
					r.taken["allocs "+f.name] = append(r.taken["allocs "+f.name], float64(d.Allocs)/d.Seconds)
				}
			}
		}
	}
	return nil
}

// decodingPage writes the table.
func (r *runner) decodingPage(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n### Decoding\n\nSeconds of sound a second of one core, whole processes by their CPU time, their start included; and allocations a second of sound.\n\n")
	fmt.Fprintf(b, "| | playnode | go-mp3 | mpg123 | flac | ffmpeg | allocations |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, f := range decodings {
		fmt.Fprintf(b, "| %s ", f.name)
		for _, who := range []string{"exact", "go-mp3", "mpg123", "flac", "ffmpeg"} {
			if v := r.median("decode " + f.name + " " + who); v > 0 {
				fmt.Fprintf(b, "| %.0f ", v)
			} else {
				fmt.Fprint(b, "| ")
			}
		}
		fmt.Fprintf(b, "| %.1f |\n", r.median("allocs "+f.name))
	}
}
