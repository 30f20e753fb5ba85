//go:build interop

package testnet_test

import (
	"os"
	"path/filepath"
	"testing"

	"playnode/testnet/binary"
)

// Real music, not made for tests: cut, encoded in the run, and taken all the
// way. PLAYNODE_MUSIC is the directory of Ogg files that `make interop` names.
func TestRealMusic(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	dir := os.Getenv("PLAYNODE_MUSIC")
	files, err := filepath.Glob(filepath.Join(dir, "*.ogg"))
	s.ok(err)
	if dir == "" || len(files) < 2 {
		t.Fatalf("PLAYNODE_MUSIC=%q holds %d Ogg files; run make interop", dir, len(files))
	}
	dj, djID := s.box("dj")
	venue, venueID := s.box("venue")
	records := map[string][]side{}
	lossless := map[string]binary.Sound{}
	for i, e := range [][]encoding{
		{{codec: "flac"}, {codec: "wav"}, {codec: "flac"}},
		{{"mp3", []string{"-V", "0"}}, {"mp3", []string{"-b", "128"}}, {"mp3", []string{"-b", "320"}}},
	} {
		whole, err := binary.Decode(files[i], 48000)
		s.ok(err)
		whole = whole.Cut(0, min(whole.Frames(), 60*48000+13))
		name := []string{"lossless", "mp3"}[i]
		records[name] = s.record(whole, name, []int{whole.Frames()/3 | 1, whole.Frames()/2 | 1}, e...)
		if i == 0 {
			lossless[name] = whole
		}
		s.ok(dj.JSON(s.ctx, nil, append([]string{"publish", "--playlist", name}, paths(records[name])...)...))
	}
	djd := s.start(dj)
	s.start(venue, "--peer", djd.Addrs[0])
	s.ok(venue.JSON(s.ctx, nil, "follow", djID.Name, "--once"))
	for name, sides := range records {
		s.lease(dj, venue, name, venueID.Device)
		got, events, err := s.play(venue, djID.Name+"/"+name)
		s.ok(err)
		s.story(events, sides)
		if whole, ok := lossless[name]; ok {
			s.same(name, got, whole)
		} else {
			s.aligned(name, got, sides)
		}
	}
}
