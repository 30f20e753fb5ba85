package main

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"playnode/testnet/music"
	"playnode/testnet/music/piece"
)

// The committed tracks are the rendered piece: joined as other people's
// decoders trim them, they have its exact length; the lossless one has its
// samples.
func TestCommittedTracksAreThePiece(t *testing.T) {
	want := quantise(piece.Render(rate))
	start := 0
	for i, track := range tracks {
		encoded, err := fs.ReadFile(music.Files(), track.file)
		if err != nil {
			t.Fatal(err)
		}
		end := track.until
		if end == 0 {
			end = len(want) / 2
		}
		got := decode(t, track.file, encoded)
		if len(got) != 2*(end-start) {
			t.Errorf("%s: %d frames, the piece has %d there", track.file, len(got)/2, end-start)
		}
		if i == 0 {
			for k := range got {
				// One step: other architectures may fuse multiply and add.
				if d := int(got[k]) - int(want[2*start+k]); d < -1 || d > 1 {
					t.Fatalf("%s: sample %d is %d, the piece has %d", track.file, k, got[k], want[2*start+k])
				}
			}
		}
		start = end
	}
	if start != len(want)/2 {
		t.Errorf("the tracks end at frame %d of %d", start, len(want)/2)
	}
}

func decode(t *testing.T, name string, encoded []byte) []int16 {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("mpg123", "-q", "--gapless", "-e", "s16", "-s", path)
	if filepath.Ext(name) == ".flac" {
		cmd = exec.Command("flac", "--silent", "--decode", "--force-raw-format", "--endian=little", "--sign=signed", "--stdout", path)
	}
	cmd.Stderr = os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd, err)
	}
	pcm := make([]int16, len(raw)/2)
	if err := binary.Read(bytes.NewReader(raw), binary.LittleEndian, pcm); err != nil {
		t.Fatal(err)
	}
	return pcm
}
