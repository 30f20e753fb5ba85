package testnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"playnode/node/embedded/pack"
	"playnode/node/nodetest"
	"playnode/testnet/binary"
)

// blocks lists where the blocks of a repo lie that have n bytes or more,
// largest first.
func (s *stage) blocks(b binary.Box, n int) []pack.Spot {
	s.Helper()
	all, err := pack.List(filepath.Join(b.Repo, "ipfs", "packs"))
	s.ok(err)
	all = slices.DeleteFunc(all, func(x pack.Spot) bool { return x.Size < n })
	slices.SortFunc(all, func(x, y pack.Spot) int { return y.Size - x.Size })
	return all
}

// A block that rots on the venue's disk is fetched again while somebody has it;
// when nobody has, its track goes silent from there and the next one follows:
// never a wrong sample.
func TestDamagedBlock(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	sides := s.record(compose(44100), "damaged", []int{400_003, 900_007}, encoding{codec: "wav"})
	dj, djID := s.box("dj")
	venue, venueID := s.box("venue")
	djd := s.start(dj)
	s.ok(dj.JSON(s.ctx, nil, append([]string{"publish"}, paths(sides)...)...))
	s.ok(venue.JSON(s.ctx, nil, "follow", djID.Name, "--once", "--peer", djd.Addrs[0]))
	s.lease(dj, venue, "main", venueID.Device)

	leaves := s.blocks(venue, 100<<10)
	if len(leaves) < 6 {
		t.Fatalf("the venue holds %d leaves", len(leaves))
	}
	rot := func(x pack.Spot) {
		t.Helper()
		nodetest.Flip(t, x.File, x.At+int64(x.Size/2))
	}
	rot(leaves[1])
	got, _, err := s.play(venue, djID.Name+"/main", "--peer", djd.Addrs[0])
	s.ok(err)
	s.same("with the DJ to ask again", got, compose(44100))

	djd.Kill()
	rot(leaves[2])
	got, events, err := s.play(venue, djID.Name+"/main", "--timeout", "2s")
	if exit := (*binary.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	s.onlyRightSamples(got, events, sides)
	if got.Frames() >= compose(44100).Frames() || got.Frames() == 0 {
		t.Errorf("%d frames were played: neither all but the damaged part, nor less than all", got.Frames())
	}
}

// onlyRightSamples fails unless every track in events is followed by the very
// samples of one side, from its first, up to the next track.
func (s *stage) onlyRightSamples(got binary.Sound, events []binary.Event, sides []side) {
	s.Helper()
	var starts []int
	for _, e := range events {
		if e.Event == "track" {
			starts = append(starts, int(e.At))
		}
	}
	for i, first := range starts {
		end := got.Frames()
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		if first > end || end > got.Frames() {
			s.Fatalf("track %d at %d of %d frames", i+1, first, got.Frames())
		}
		part := got.Cut(first, end)
		if !slices.ContainsFunc(sides, func(side side) bool {
			return len(part.PCM) <= len(side.sound.PCM) && slices.Equal(part.PCM, side.sound.PCM[:len(part.PCM)])
		}) {
			s.Errorf("frames %d to %d are the beginning of no track", first, end)
		}
	}
	if len(starts) == 0 && got.Frames() > 0 {
		s.Errorf("%d frames were played and no track was told", got.Frames())
	}
}

// A venue that has seen revision 2 keeps it when a peer has only revision 1 to
// show, also after it was started anew.
func TestOlderRevisionReplayed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	sides := s.record(compose(44100).Cut(0, 120_001), "replayed", []int{60_013}, encoding{codec: "flac"})
	dj, djID := s.box("dj")
	venue, venueID := s.box("venue")
	var first, second published
	s.ok(dj.JSON(s.ctx, &first, "publish", sides[0].path))
	old := dj
	old.Repo = filepath.Join(s.dir, "old")
	s.ok(exec.Command("cp", "-a", dj.Repo, old.Repo).Run())
	s.ok(dj.JSON(s.ctx, &second, "publish", sides[1].path))
	if second.Seq <= first.Seq {
		t.Fatalf("revision %d after %d", second.Seq, first.Seq)
	}
	djd := s.start(dj)
	var f followed
	s.ok(venue.JSON(s.ctx, &f, "follow", djID.Name, "--once", "--peer", djd.Addrs[0]))
	s.lease(dj, venue, "main", venueID.Device)
	s.ok(djd.Stop())

	oldd := s.start(old)
	if err := venue.JSON(s.ctx, &f, "follow", djID.Name, "--once", "--peer", oldd.Addrs[0], "--timeout", "3s"); err != nil {
		s.exits(err, "an older revision", 20, 21)
	}
	var all struct{ Follows []followed }
	s.ok(venue.JSON(s.ctx, &all, "follows"))
	if len(all.Follows) != 1 || all.Follows[0].Seq != second.Seq {
		t.Errorf("follows %+v, want revision %d kept", all.Follows, second.Seq)
	}
	got, _, err := s.play(venue, djID.Name+"/main")
	s.ok(err)
	s.same("after the replay", got, compose(44100).Cut(0, 120_001))
}

// publish is killed again and again; in the end everything is there once, in
// order, and no more was sealed twice than was in flight at each kill.
func TestPublishKilled(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	whole := compose(44100)
	cuts := make([]int, 15)
	for i := range cuts {
		cuts[i] = (i+1)*100_003 + i
	}
	sides := s.record(whole, "killed", cuts, encoding{codec: "wav"}, encoding{codec: "flac"})
	dj, djID := s.box("dj")
	args := append([]string{"publish"}, paths(sides)...)
	kills := 0
	var pub published
	for patience := 80 * time.Millisecond; ; patience += patience / 4 {
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		err := dj.JSON(ctx, &pub, args...)
		cut := ctx.Err() != nil
		cancel()
		if err == nil {
			break
		}
		if !cut {
			t.Fatalf("after %d kills: %v", kills, err)
		}
		kills++
	}
	if kills == 0 {
		t.Fatal("no publish was killed")
	}
	t.Logf("%d kills", kills)
	if len(pub.Playlists) != 1 || len(pub.Playlists[0].Tracks) != len(sides) {
		t.Fatalf("published %+v", pub)
	}
	seen := map[string]bool{}
	for i, track := range pub.Playlists[0].Tracks {
		if seen[track.CID] || track.Samples != int64(sides[i].sound.Frames()) {
			t.Errorf("track %d of %d: %+v", i+1, len(sides), track)
		}
		seen[track.CID] = true
	}
	var largest, all int64
	for _, side := range sides {
		info, err := os.Stat(side.path)
		s.ok(err)
		largest, all = max(largest, info.Size()), all+info.Size()
	}
	var held int64
	for _, x := range s.blocks(dj, 8<<10) {
		held += int64(x.Size)
	}
	const inFlight = 4
	if most := all + all/50 + int64(kills)*inFlight*largest; held > most {
		t.Errorf("%d bytes of blocks after %d kills, want at most %d for %d of music", held, kills, most, all)
	}

	venue, venueID := s.box("venue")
	djd := s.start(dj)
	s.ok(venue.JSON(s.ctx, nil, "follow", djID.Name, "--once", "--peer", djd.Addrs[0]))
	s.lease(dj, venue, "main", venueID.Device)
	got, _, err := s.play(venue, djID.Name+"/main")
	s.ok(err)
	s.same("after the kills", got, whole)
}

// Bad files are named one by one and the rest is published.
func TestBadFilesAreSkipped(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	sides := s.record(compose(44100).Cut(0, 50_001), "mixed", nil, encoding{codec: "flac"})
	dir := filepath.Dir(sides[0].path)
	for name, content := range map[string][]byte{
		"broken.flac": bytes.Repeat([]byte("fLaC\x00"), 300), "empty.mp3": nil, "notes.txt": []byte("set list"), "noise.wav": []byte("RIFF\xff\xff\xff\xffWAVE"),
	} {
		s.ok(os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
	dj, _ := s.box("dj")
	var pub published
	err := dj.JSON(s.ctx, &pub, "publish", dir)
	s.exits(err, "some files were bad", 3)
	if len(pub.Skipped) != 3 || len(pub.Playlists) != 1 || len(pub.Playlists[0].Tracks) != 1 {
		t.Errorf("published %+v", pub)
	}
	for _, sk := range pub.Skipped {
		if sk.Why == "" || filepath.Base(sk.Path) == "notes.txt" {
			t.Errorf("skipped %+v", sk)
		}
	}
	s.ok(os.Remove(sides[0].path))
	fresh, _ := s.box("fresh")
	s.exits(fresh.JSON(s.ctx, &pub, "publish", dir), fmt.Sprint("nothing but bad files in ", dir), 1)
}
