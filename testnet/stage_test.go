package testnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"playnode/testnet/binary"
	"playnode/testnet/music/piece"
)

// playnode is the program under test, built with the race detector, and with
// a clock that tests may set.
var playnode string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "playnode-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if playnode, err = binary.Build(context.Background(), dir, "-race", "-tags", "testclock"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// A stage is where a test plays: boxes, files and daemons that end with it.
type stage struct {
	*testing.T
	ctx context.Context
	dir string
}

func newStage(t *testing.T) *stage {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	t.Cleanup(cancel)
	return &stage{t, ctx, t.TempDir()}
}

// identity is what init prints.
type identity struct{ Name, Root, Device, Peer string }

// box makes a machine with a fresh repo that no network but ours reaches. Its
// temporary files lie inside the repo's parent, to be searched with it.
func (s *stage) box(name string) (binary.Box, identity) {
	s.Helper()
	home := filepath.Join(s.dir, name)
	tmp := filepath.Join(home, "tmp")
	s.ok(os.MkdirAll(tmp, 0o700))
	b := binary.Box{Program: playnode, Repo: filepath.Join(home, "repo"),
		Env: []string{"TMPDIR=" + tmp, "HOME=" + home, "XDG_RUNTIME_DIR=" + tmp, "GORACE=halt_on_error=1 exitcode=66 atexit_sleep_ms=0"}}
	var id identity
	s.ok(b.JSON(s.ctx, &id, "init", "--network", "none"))
	return b, id
}

// start runs a daemon on loopback until the test ends.
func (s *stage) start(b binary.Box, args ...string) *binary.Daemon {
	s.Helper()
	d, err := b.Start(s.ctx, append([]string{"--listen", "/ip4/127.0.0.1/tcp/0"}, args...)...)
	s.ok(err)
	s.Cleanup(func() {
		if err := d.Stop(); err != nil {
			s.Errorf("daemon of %s: %v", b.Repo, err)
		}
	})
	return d
}

// lease has dj grant playlist to a device for a day and venue take it in.
func (s *stage) lease(dj, venue binary.Box, playlist, device string) {
	s.Helper()
	file := filepath.Join(s.dir, playlist+".grant")
	s.ok(dj.JSON(s.ctx, nil, "lease", "grant", playlist, "--device", device, "--for", "1d", "--out", file))
	s.ok(venue.JSON(s.ctx, nil, "lease", "import", file))
}

// play plays at full speed into a file and returns what was written, with the
// error of the command.
func (s *stage) play(venue binary.Box, what string, flags ...string) (binary.Sound, []binary.Event, error) {
	s.Helper()
	out := filepath.Join(s.TempDir(), "out.wav")
	events, err := venue.Play(s.ctx, append([]string{what, "--sink", "wav:" + out, "--once"}, flags...)...)
	sound, rerr := binary.ReadWAV(out)
	if rerr != nil && err == nil {
		s.Fatal(rerr)
	}
	return sound, events, err
}

func (s *stage) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// exits fails unless err is the exit of a command with one of codes.
func (s *stage) exits(err error, what string, codes ...int) {
	s.Helper()
	exit := (*binary.ExitError)(nil)
	if !errors.As(err, &exit) {
		s.Errorf("%s: %v, want exit %d", what, err, codes)
		return
	}
	for _, c := range codes {
		if exit.Code == c {
			return
		}
	}
	s.Errorf("%s: want exit %d, got %v", what, codes, exit)
}

// composed are the two rates' renderings, each made once; they are only read.
var composed = map[int]func() binary.Sound{
	44100: sync.OnceValue(func() binary.Sound { return render(44100) }),
	48000: sync.OnceValue(func() binary.Sound { return render(48000) }),
}

// compose is the demo's piece at 44100 or 48000 Hz.
func compose(rate int) binary.Sound { return composed[rate]() }

// render renders the piece as 16-bit sound.
func render(rate int) binary.Sound {
	pcm := piece.Render(rate)
	s := binary.Sound{Rate: rate, PCM: make([]int16, len(pcm))}
	for i, x := range pcm {
		s.PCM[i] = int16(math.Round(float64(x) * 32767))
	}
	return s
}

// A side is one track of a record: a part of a sound, and the file it became.
type side struct {
	title, path string
	sound       binary.Sound
}

// encoding names a codec and LAME's arguments.
type encoding struct {
	codec string
	lame  []string
}

// record cuts sound at frames and encodes each part in turn.
func (s *stage) record(sound binary.Sound, prefix string, cuts []int, encodings ...encoding) []side {
	s.Helper()
	dir := filepath.Join(s.dir, "music", prefix)
	s.ok(os.MkdirAll(dir, 0o755))
	var sides []side
	first := 0
	for i, end := range append(cuts, sound.Frames()) {
		e := encodings[i%len(encodings)]
		title := fmt.Sprintf("Quetzalvane %s %d", prefix, i+1)
		path, err := sound.Cut(first, end).Encode(dir, fmt.Sprintf("%02d", i+1), title, e.codec, e.lame...)
		s.ok(err)
		sides = append(sides, side{title, path, sound.Cut(first, end)})
		first = end
	}
	return sides
}

func paths(sides []side) []string {
	var p []string
	for _, s := range sides {
		p = append(p, s.path)
	}
	return p
}

// same fails at the first sample where got differs from want.
func (s *stage) same(what string, got, want binary.Sound) {
	s.Helper()
	if got.Rate != want.Rate {
		s.Errorf("%s: rate %d, want %d", what, got.Rate, want.Rate)
	}
	if got.Frames() != want.Frames() {
		s.Errorf("%s: %d frames, want %d", what, got.Frames(), want.Frames())
	}
	for i := range min(len(got.PCM), len(want.PCM)) {
		if got.PCM[i] != want.PCM[i] {
			s.Errorf("%s: frame %d is %d, want %d", what, i/2, got.PCM[i], want.PCM[i])
			return
		}
	}
}

// traces lists where below dir a title or a stretch of the music itself stands
// in clear: of what was encoded, and of the samples.
func (s *stage) traces(dir string, sides []side) []string {
	s.Helper()
	marks := map[string][]byte{}
	for _, side := range sides {
		marks["title "+side.title] = []byte(side.title)
		file, err := os.ReadFile(side.path)
		s.ok(err)
		for part := 1; part < 8; part++ {
			at := len(file) * part / 8
			marks[fmt.Sprintf("%s at byte %d", side.path, at)] = file[at : at+48]
		}
		raw := make([]byte, 0, 48)
		for _, x := range side.sound.PCM[len(side.sound.PCM)/2:][:24] {
			raw = append(raw, byte(x), byte(x>>8))
		}
		marks["samples of "+side.title] = raw
	}
	var found []string
	s.ok(filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a daemon works here
		}
		if err != nil {
			return err
		}
		for name, mark := range marks {
			if bytes.Contains(b, mark) {
				found = append(found, name+" in "+path)
			}
		}
		return nil
	}))
	return found
}
