package testnet_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"playnode/testnet/binary"
)

// published is what publish prints.
type published struct {
	Name, Manifest string
	Seq            uint64
	Playlists      []struct {
		Name   string
		Tracks []struct {
			CID, Title string
			Samples    int64
			Rate       int
		}
	}
	Skipped []struct{ Path, Why string }
}

// followed is what follow prints.
type followed struct {
	Name, Manifest        string
	Seq                   uint64
	Tracks, Held, Missing int
}

// A lossless record goes from the DJ's daemon to the venue's and comes out bit
// for bit, with the DJ there, with her gone, and without any daemon; an
// archivist takes it from the venue alone; neither keeps a word or a sample of
// it in clear.
func TestLosslessRecordIsBitExact(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	whole := compose(44100)
	sides := s.record(whole, "lossless", []int{265_437, 700_001, 1_234_567}, encoding{codec: "flac"}, encoding{codec: "wav"})
	if found := s.traces(filepath.Join(s.dir, "music"), sides); len(found) != 8*len(sides) {
		t.Fatalf("the search for traces is blind: %d found in the sources", len(found))
	}

	dj, djID := s.box("dj")
	venue, venueID := s.box("venue")
	djd := s.start(dj)
	var pub published
	s.ok(dj.JSON(s.ctx, &pub, append([]string{"publish", "--playlist", "night"}, paths(sides)...)...))
	if pub.Name != djID.Name || len(pub.Playlists) != 1 || len(pub.Playlists[0].Tracks) != len(sides) {
		t.Fatalf("published %+v", pub)
	}
	for i, track := range pub.Playlists[0].Tracks {
		if track.Samples != int64(sides[i].sound.Frames()) || track.Rate != whole.Rate {
			t.Errorf("track %d: %d samples at %d Hz, its source has %d", i, track.Samples, track.Rate, sides[i].sound.Frames())
		}
	}

	vd := s.start(venue, "--peer", djd.Addrs[0])
	var link struct{ Link string }
	s.ok(dj.JSON(s.ctx, &link, "share", "night"))
	var f followed
	s.ok(venue.JSON(s.ctx, &f, "follow", link.Link, "--once"))
	if f.Seq != pub.Seq || f.Manifest != pub.Manifest || f.Missing != 0 || f.Held != len(sides) {
		t.Errorf("followed %+v, published seq %d manifest %s", f, pub.Seq, pub.Manifest)
	}
	s.lease(dj, venue, "night", venueID.Device)

	got, events, err := s.play(venue, djID.Name+"/night")
	s.ok(err)
	s.same("from the venue's daemon", got, whole)
	s.story(events, sides)

	// The grant lies in a mailbox of the revision after it.
	s.ok(venue.JSON(s.ctx, &f, "follow", djID.Name, "--once"))
	djd.Kill()
	got, _, err = s.play(venue, djID.Name+"/night")
	s.ok(err)
	s.same("with the DJ's daemon dead", got, whole)

	archivist, _ := s.box("archivist")
	var a struct {
		Seq            uint64
		Blocks, Bytes  int64
		Missing        int64
		Name, Manifest string
	}
	s.ok(archivist.JSON(s.ctx, &a, "archive", djID.Name, "--once", "--peer", vd.Addrs[0]))
	if a.Manifest != f.Manifest || a.Seq != f.Seq || a.Missing != 0 || a.Blocks == 0 || a.Bytes < int64(whole.Frames()) {
		t.Errorf("archived %+v, the venue holds %+v", a, f)
	}

	s.ok(vd.Stop())
	got, _, err = s.play(venue, djID.Name+"/night")
	s.ok(err)
	s.same("with no daemon at all", got, whole)

	for _, b := range []string{"venue", "archivist"} {
		if found := s.traces(filepath.Join(s.dir, b), sides); len(found) > 0 {
			t.Errorf("in clear at the %s: %q", b, found)
		}
	}
}

// story fails unless events tell of every side in turn, at its very sample.
func (s *stage) story(events []binary.Event, sides []side) {
	s.Helper()
	var at int64
	started := 0
	for _, e := range events {
		if e.Event != "track" {
			continue
		}
		if started < len(sides) && e.At != at {
			s.Errorf("side %d starts at %d, want %d", started+1, e.At, at)
		}
		if started < len(sides) {
			at += int64(sides[started].sound.Frames())
		}
		started++
	}
	if started != len(sides) {
		s.Errorf("%d sides started of %d", started, len(sides))
	}
	if len(events) == 0 {
		return
	}
	done := events[len(events)-1]
	if done.Event != "done" || done.Samples != at || done.Joins != len(sides)-1 || done.Skipped != 0 {
		s.Errorf("last event %+v, want done with %d samples and %d joins", done, at, len(sides)-1)
	}
}

// Every LAME setting at both rates joins with no sample added or lost, where
// and as mpg123 --gapless has it.
func TestMp3JoinsAreExact(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	settings := map[string][]string{
		"128": {"-b", "128"}, "192": {"-b", "192"}, "320": {"-b", "320"}, "V0": {"-V", "0"}, "V2": {"-V", "2"},
	}
	dj, djID := s.box("dj")
	venue, venueID := s.box("venue")
	records := map[string][]side{}
	for _, rate := range []int{44100, 48000} {
		// The stretch where drums, melody and all else have come in.
		whole := compose(rate).Cut(9*rate+1, 17*rate+7)
		for name, lame := range settings {
			playlist := fmt.Sprintf("mp3-%s-%d", name, rate)
			records[playlist] = s.record(whole, playlist, []int{2*rate + 1_111, 5*rate + 77}, encoding{"mp3", lame})
			s.ok(dj.JSON(s.ctx, nil, append([]string{"publish", "--playlist", playlist}, paths(records[playlist])...)...))
		}
	}
	djd := s.start(dj)
	s.start(venue, "--peer", djd.Addrs[0])
	var f followed
	s.ok(venue.JSON(s.ctx, &f, "follow", djID.Name, "--once"))
	if f.Held != 3*len(records) {
		t.Fatalf("followed %+v", f)
	}
	for playlist, sides := range records {
		s.lease(dj, venue, playlist, venueID.Device)
		got, events, err := s.play(venue, djID.Name+"/"+playlist)
		s.ok(err)
		s.story(events, sides)
		s.aligned(playlist, got, sides)
	}
}

// aligned fails unless got is the sides' decodings by somebody else's decoder,
// one after another at the exact sample.
func (s *stage) aligned(what string, got binary.Sound, sides []side) {
	s.Helper()
	at := 0
	for i, side := range sides {
		want, err := binary.Decode(side.path, side.sound.Rate)
		s.ok(err)
		if want.Frames() != side.sound.Frames() {
			s.Fatalf("%s %d: the oracle itself has %d frames of %d", what, i+1, want.Frames(), side.sound.Frames())
		}
		if got.Frames() < at+want.Frames() {
			s.Fatalf("%s: %d frames, too few for side %d", what, got.Frames(), i+1)
		}
		part := got.Cut(at, at+want.Frames())
		worst, noise := 0, 0.0
		for k := range part.PCM {
			d := int(part.PCM[k]) - int(want.PCM[k])
			worst = max(worst, d, -d)
			noise += float64(d * d)
		}
		rms := math.Sqrt(noise / float64(len(part.PCM)))
		s.Logf("%s side %d: against its oracle RMS %.3f, worst %d LSB", what, i+1, rms, worst)
		if rms > .1 || worst > 1 {
			s.Errorf("%s side %d: RMS %.3f, worst %d LSB from its oracle", what, i+1, rms, worst)
		}
		// A slip of one frame at either end would fit better at another lag.
		const window = 4096
		for _, first := range []int{64, want.Frames() - window - 64} {
			best, least := 0, math.Inf(1)
			for lag := -32; lag <= 32; lag++ {
				var e float64
				for k := 2 * first; k < 2*(first+window); k++ {
					d := float64(part.PCM[k]) - float64(want.PCM[k+2*lag])
					e += d * d
				}
				if e < least {
					best, least = lag, e
				}
			}
			if best != 0 {
				s.Errorf("%s side %d: shifted by %d frames near frame %d", what, i+1, best, first)
			}
		}
		at += want.Frames()
	}
	if got.Frames() != at {
		s.Errorf("%s: %d frames, the sides have %d", what, got.Frames(), at)
	}
}

// Without a lease, with somebody else's, a lapsed or an edited one, with no
// repo, no network and no sense: the exit code of each, and no sample.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	sides := s.record(compose(44100).Cut(0, 99_991), "refused", []int{44_444}, encoding{codec: "flac"})
	dj, djID := s.box("dj")
	venue, venueID := s.box("venue")
	other, otherID := s.box("other")
	djd := s.start(dj)
	s.ok(dj.JSON(s.ctx, nil, append([]string{"publish"}, paths(sides)...)...))
	var link struct{ Link string }
	s.ok(dj.JSON(s.ctx, &link, "share", "main"))
	mixed := strings.Replace(link.Link, djID.Root, otherID.Root, 1)
	if mixed == link.Link {
		t.Fatalf("link %s does not carry the root %s", link.Link, djID.Root)
	}
	s.exits(other.JSON(s.ctx, nil, "follow", mixed, "--once", "--peer", djd.Addrs[0]), "a name that leads to another DJ than its link says", 21)
	s.ok(venue.JSON(s.ctx, nil, "follow", djID.Name, "--once", "--peer", djd.Addrs[0]))
	what := djID.Name + "/main"
	silent := func(why string) {
		t.Helper()
		got, _, err := s.play(venue, what)
		s.exits(err, why, 22)
		if got.Frames() > 0 {
			t.Errorf("%s: %d frames were played", why, got.Frames())
		}
	}
	silent("no lease")

	grant := func(name, device string, args ...string) string {
		t.Helper()
		file := filepath.Join(s.dir, name)
		s.ok(dj.JSON(s.ctx, nil, append([]string{"lease", "grant", "main", "--device", device, "--out", file}, args...)...))
		return file
	}
	others := grant("others", otherID.Device, "--for", "1d")
	s.exits(venue.JSON(s.ctx, nil, "lease", "import", others), "another device's lease", 22)
	silent("another device's lease")

	good := grant("good", venueID.Device, "--for", "1d")
	blob, err := os.ReadFile(good)
	s.ok(err)
	for _, at := range []int{3, len(blob) / 4, len(blob) - 1} {
		edited := filepath.Join(s.dir, "edited")
		s.ok(os.WriteFile(edited, append(append(append([]byte{}, blob[:at]...), blob[at]^1), blob[at+1:]...), 0o600))
		s.exits(venue.JSON(s.ctx, nil, "lease", "import", edited), fmt.Sprintf("a lease edited at byte %d", at), 21, 22)
	}
	silent("an edited lease")

	s.ok(venue.JSON(s.ctx, nil, "lease", "import", good))
	got, _, err := s.play(venue, what)
	s.ok(err)
	if got.Frames() != 99_991 {
		t.Errorf("a good lease played %d frames of 99991", got.Frames())
	}

	s.exits(venue.JSON(s.ctx, nil, "follow", otherID.Name, "--once", "--timeout", "2s", "--peer", djd.Addrs[0]), "a name that nobody has", 20)
	s.exits(venue.JSON(s.ctx, nil, "play", "--no-such-flag"), "an unknown flag", 64)
	s.exits(dj.JSON(s.ctx, nil, "publish", filepath.Join(s.dir, "nothing.flac")), "nothing published", 1, 64)
	_, err = dj.Start(s.ctx)
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("ready line")) {
		t.Errorf("a second daemon on one repo: %v", err)
	}
	s.exits(dj.JSON(s.ctx, nil, "daemon"), "a second daemon on one repo", 11)
	nowhere := dj
	nowhere.Repo = filepath.Join(s.dir, "nowhere")
	s.exits(nowhere.JSON(s.ctx, nil, "id"), "no repo", 10)
	s.exits(nowhere.JSON(s.ctx, nil, "publish", sides[0].path), "no repo", 10)
}

// A lease whose end has passed unlocks nothing; nor does one that has not
// begun.
func TestLeaseOutOfItsTime(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	sides := s.record(compose(44100).Cut(0, 50_021), "late", nil, encoding{codec: "wav"})
	dj, djID := s.box("dj")
	djd := s.start(dj)
	s.ok(dj.JSON(s.ctx, nil, append([]string{"publish"}, paths(sides)...)...))
	for name, from := range map[string]string{"lapsed": "2020-01-01T00:00:00Z", "future": "2199-01-01T00:00:00Z"} {
		venue, id := s.box(name)
		file := filepath.Join(s.dir, name+".grant")
		err := dj.JSON(s.ctx, nil, "lease", "grant", "main", "--device", id.Device, "--for", "1d", "--from", from, "--out", file)
		if name == "lapsed" && err != nil {
			s.exits(err, "granting what has lapsed", 22, 64)
			continue
		}
		s.ok(err)
		s.ok(venue.JSON(s.ctx, nil, "follow", djID.Name, "--once", "--peer", djd.Addrs[0]))
		if err := venue.JSON(s.ctx, nil, "lease", "import", file); err != nil {
			s.exits(err, name, 22)
		}
		got, _, err := s.play(venue, djID.Name+"/main")
		s.exits(err, name, 22)
		if got.Frames() > 0 {
			t.Errorf("%s: %d frames were played", name, got.Frames())
		}
	}
}
