package testnet_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/testnet/binary"
)

// servedBy is what publish --wait-served and status say.
type servedBy struct {
	Seq          uint64
	Blocks, Held int
	Safe         bool
}

// holds fails unless a track is among a box's blocks, with all that is below it,
// and they are no more than it says that it keeps.
func (s *stage) holds(b binary.Box, track string) {
	s.Helper()
	var st struct{ Storage struct{ Used int64 } }
	s.ok(b.JSON(s.ctx, &st, "status"))
	held, err := b.Blocks()
	s.ok(err)
	var all int64
	for _, size := range held {
		all += size
	}
	c, err := cid.Decode(track)
	s.ok(err)
	n := 0
	s.ok(b.Below(c, func(c cid.Cid) {
		n++
		if held[string(c.Hash())] == 0 {
			s.Errorf("%s is not held", c)
		}
	}))
	if all > st.Storage.Used || n < 2 {
		s.Errorf("%s holds %d bytes and says %d; a track is %d blocks", b.Repo, all, st.Storage.Used, n)
	}
}

// The DJ is killed at the word "safe to close", and then any one of the three
// venues: what is left has everything.
func TestSafeToClose(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	sides := s.record(compose(44100).Cut(0, 700_001), "close", []int{300_003}, encoding{codec: "flac"})
	dj, djID := s.box("dj")
	djd := s.start(dj)
	var venues []binary.Box
	var daemons []*binary.Daemon
	var args []string
	for i := range 3 {
		v, _ := s.box(fmt.Sprint("venue", i))
		d := s.start(v, append([]string{"--peer", djd.Addrs[0]}, args...)...)
		args = append(args, "--peer", d.Addrs[0])
		venues, daemons = append(venues, v), append(daemons, d)
	}
	// With one follower two copies are never there, and it is not said.
	s.ok(dj.JSON(s.ctx, nil, "publish", sides[0].path))
	s.ok(venues[0].JSON(s.ctx, nil, "follow", djID.Name, "--once"))
	s.exits(dj.JSON(s.ctx, nil, "publish", "--wait-served", "2", "--timeout", "2s"), "two copies at one venue", 20)
	var st struct{ Served servedBy }
	s.ok(dj.JSON(s.ctx, &st, "status"))
	if st.Served.Safe || st.Served.Held != 0 || st.Served.Blocks == 0 {
		t.Fatalf("with one venue: %+v", st.Served)
	}

	for _, v := range venues[1:] {
		s.ok(v.JSON(s.ctx, nil, "follow", djID.Name))
	}
	var pub struct {
		Seq       uint64
		Served    servedBy
		Playlists []struct{ Tracks []struct{ CID string } }
	}
	s.ok(dj.JSON(s.ctx, &pub, "publish", sides[1].path, "--wait-served", "2"))
	djd.Kill()
	if !pub.Served.Safe || pub.Served.Seq != pub.Seq || pub.Served.Held != pub.Served.Blocks {
		t.Fatalf("the word: %+v", pub)
	}
	for i := range venues {
		daemons[i].Kill()
		late, _ := s.box(fmt.Sprint("late", i))
		var f followed
		args := []string{"follow", djID.Name, "--once", "--timeout", "20s"}
		for k := range venues {
			if k != i {
				args = append(args, "--peer", daemons[k].Addrs[0])
			}
		}
		s.ok(late.JSON(s.ctx, &f, args...))
		if f.Seq != pub.Seq || f.Held != 2 || f.Missing != 0 {
			t.Errorf("without the DJ and venue %d: %+v", i, f)
		}
		s.holds(late, pub.Playlists[0].Tracks[0].CID)
		daemons[i] = s.start(venues[i], "--peer", daemons[(i+1)%3].Addrs[0], "--peer", daemons[(i+2)%3].Addrs[0])
	}
}

// A dead DJ's laptop is rebuilt from her backup and an archivist, bit for bit;
// she publishes on, and an old venue takes it. A venue that lost all but its
// keys gets catalogue and lease back from the archivist alone.
func TestRebuiltFromAnArchivist(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	sides := s.record(compose(44100).Cut(0, 900_001), "rebuilt", []int{300_003, 600_005}, encoding{codec: "flac"}, encoding{codec: "wav"})
	whole := sides[0].sound
	whole.PCM = append(append([]int16{}, sides[0].sound.PCM...), sides[1].sound.PCM...)
	dj, djID := s.box("dj")
	dj.Env = append(dj.Env, "PLAYNODE_PASSPHRASE=correct horse")
	venue, venueID := s.box("venue")
	ark, _ := s.box("ark")
	var pub published
	s.ok(dj.JSON(s.ctx, nil, "publish", sides[0].path, sides[1].path, "--playlist", "night"))
	s.ok(dj.JSON(s.ctx, nil, "lease", "grant", "night", "--device", venueID.Device, "--for", "30d"))
	backup := filepath.Join(s.dir, "dj.backup")
	s.ok(dj.JSON(s.ctx, nil, "keys", "backup", backup))
	export := func(b binary.Box, name string) []byte {
		t.Helper()
		file := filepath.Join(s.dir, name)
		s.ok(b.JSON(s.ctx, nil, "export", djID.Name, file))
		data, err := os.ReadFile(file)
		s.ok(err)
		return data
	}
	before := export(dj, "before.car")
	djd, err := dj.Start(s.ctx, "--listen", "/ip4/127.0.0.1/tcp/0")
	s.ok(err)
	s.ok(ark.JSON(s.ctx, nil, "archive", djID.Name, "--once", "--peer", djd.Addrs[0]))
	s.ok(venue.JSON(s.ctx, nil, "follow", djID.Name, "--once", "--peer", djd.Addrs[0]))
	djd.Kill()
	s.ok(os.RemoveAll(dj.Repo))
	if !bytes.Equal(export(ark, "ark.car"), before) {
		t.Fatal("the archivist's file is not the DJ's, bit for bit")
	}
	arkd := s.start(ark)

	// The venue's card is new, its keys were kept.
	s.ok(os.Rename(filepath.Join(venue.Repo, "keys"), filepath.Join(s.dir, "keys")))
	s.ok(os.RemoveAll(venue.Repo))
	s.ok(os.MkdirAll(venue.Repo, 0o700))
	s.ok(os.Rename(filepath.Join(s.dir, "keys"), filepath.Join(venue.Repo, "keys")))
	// Of the leases nothing was: they come by mailbox.
	s.ok(os.Remove(filepath.Join(venue.Repo, "keys", "leases.json")))
	var id identity
	s.ok(venue.JSON(s.ctx, &id, "init", "--network", "none"))
	if id.Device != venueID.Device {
		t.Fatal("the venue is another device")
	}
	var f followed
	s.ok(venue.JSON(s.ctx, &f, "follow", djID.Name, "--once", "--peer", arkd.Addrs[0]))
	got, _, err := s.play(venue, djID.Name+"/night")
	s.ok(err)
	s.same("at the venue, from the archivist", got, whole)

	// The laptop.
	s.ok(dj.JSON(s.ctx, &id, "keys", "restore", backup, "--network", "none"))
	s.ok(dj.JSON(s.ctx, &pub, "publish", sides[2].path, "--playlist", "night", "--peer", arkd.Addrs[0]))
	if pub.Name != djID.Name || len(pub.Playlists) != 1 || len(pub.Playlists[0].Tracks) != 3 || pub.Seq <= f.Seq {
		t.Fatalf("published %+v after seq %d", pub, f.Seq)
	}
	var v struct{ Blocks, Damaged, Lost int }
	s.ok(dj.JSON(s.ctx, &v, "verify"))
	if v.Damaged+v.Lost != 0 || v.Blocks < 20 {
		t.Errorf("the laptop holds %+v", v)
	}
	after := export(dj, "after.car")
	for _, track := range pub.Playlists[0].Tracks[:2] {
		if track.Title == "" {
			t.Errorf("track %+v has lost its title", track)
		}
	}
	if len(after) <= len(before) {
		t.Errorf("the new version has %d bytes, the old %d", len(after), len(before))
	}
	djd = s.start(dj, "--peer", arkd.Addrs[0])
	s.ok(venue.JSON(s.ctx, &f, "follow", djID.Name, "--once", "--peer", djd.Addrs[0]))
	if f.Seq != pub.Seq || f.Held != 3 || f.Missing != 0 {
		t.Fatalf("the venue has %+v of %+v", f, pub)
	}
	whole.PCM = append(whole.PCM, sides[2].sound.PCM...)
	got, _, err = s.play(venue, djID.Name+"/night")
	s.ok(err)
	s.same("at the venue, from the rebuilt laptop", got, whole)
}

// An archivist's daemon never has a title or a sound, on disk or in memory.
func TestArchivistCannotRead(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("another process's memory is read by Linux's /proc")
	}
	t.Parallel()
	s := newStage(t)
	sides := s.record(compose(44100).Cut(0, 500_001), "unread", []int{200_003}, encoding{codec: "flac"}, encoding{codec: "wav"})
	dj, djID := s.box("dj")
	ark, _ := s.box("ark")
	djd := s.start(dj)
	s.ok(dj.JSON(s.ctx, nil, append([]string{"publish"}, paths(sides)...)...))
	s.ok(dj.JSON(s.ctx, nil, "playlist", "show", "main"))
	arkd := s.start(ark, "--peer", djd.Addrs[0], "--metrics", "127.0.0.1:0")
	s.ok(ark.JSON(s.ctx, nil, "archive", djID.Name, "--history", "all"))
	s.ok(ark.JSON(s.ctx, nil, "verify"))
	s.ok(ark.JSON(s.ctx, nil, "status"))
	marks := map[string][]byte{}
	for _, side := range sides {
		marks[side.title] = []byte(side.title)
		for part := 1; part < 8; part++ {
			var raw []byte
			for _, x := range side.sound.PCM[len(side.sound.PCM)*part/8:][:24] {
				raw = append(raw, byte(x), byte(x>>8))
			}
			marks[fmt.Sprintf("%s, sample %d of 8", side.title, part)] = raw
		}
	}
	if found := s.remembered(djd.PID(), marks); !found[sides[0].title] {
		t.Fatalf("the search of a memory is blind: %v of the DJ's", found)
	}
	if found := s.remembered(arkd.PID(), map[string][]byte{"name": []byte(djID.Name)}); !found["name"] {
		t.Fatal("the search of the archivist's memory is blind")
	}
	if found := s.remembered(arkd.PID(), marks); len(found) > 0 {
		t.Errorf("in the archivist's memory: %v", found)
	}
	if found := s.traces(ark.Repo, sides); len(found) > 0 {
		t.Errorf("on the archivist's disk: %q", found)
	}
}

// remembered tells which marks stand in a process's writable memory. The race
// detector's shadow, terabytes of address space, is none of the program's.
func (s *stage) remembered(pid int, marks map[string][]byte) map[string]bool {
	s.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	s.ok(err)
	defer maps.Close()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	s.ok(err)
	defer mem.Close()
	found := map[string]bool{}
	searched := 0
	const piece, lap = 4 << 20, 256
	buf := make([]byte, piece+lap)
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var perm string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &perm); err != nil || !strings.HasPrefix(perm, "rw") || to-from > 1<<30 {
			continue
		}
		for at := from; at < to; at += piece {
			n, err := mem.ReadAt(buf[:min(piece+lap, to-at)], at)
			if err != nil && err != io.EOF && n == 0 {
				continue // a page that is not there
			}
			searched += n
			for name, mark := range marks {
				if bytes.Contains(buf[:n], mark) {
					found[name] = true
				}
			}
		}
	}
	s.Logf("searched %d MB of process %d", searched>>20, pid)
	if searched < 1<<20 {
		s.Fatalf("only %d bytes of process %d could be read", searched, pid)
	}
	return found
}
