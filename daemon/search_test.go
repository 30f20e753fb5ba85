package daemon

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"playnode/ipns"
	"playnode/node"
)

// titles are what a query finds, in order.
func titles(t *testing.T, b *box, query string) string {
	t.Helper()
	var out []string
	for _, f := range do(t, b.Daemon, OpSearch, SearchRequest{Query: query}).Tracks {
		out = append(out, f.Title)
	}
	return strings.Join(out, " ")
}

func wantTitles(t *testing.T, b *box, query, want string) {
	t.Helper()
	if got := titles(t, b, query); got != want {
		t.Errorf("%q finds %q, want %q", query, got, want)
	}
}

// scopes are what a box's index holds, without asking it to look again.
func (b *box) scopes() int {
	f := b.opened.search
	f.busy <- struct{}{}
	defer func() { <-f.busy }()
	return len(f.scopes)
}

// TestSearchLapses finds what a lease unlocks for as long as it does, and the
// same again when it is renewed.
func TestSearchLapses(t *testing.T) {
	p := newPair(t, time.Hour)
	wantTitles(t, p.venue, "sec", "second-longer-name")
	wantTitles(t, p.dj, "sec", "second-longer-name")
	p.clock.forward(59 * time.Minute)
	wantTitles(t, p.venue, "sec", "second-longer-name")
	p.clock.forward(2 * time.Minute)
	// Without a question, by the look that is due when the lease ends.
	if _, err := p.venue.opened.search.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := p.venue.scopes(); n != 0 {
		t.Errorf("%d playlists are indexed after the lapse", n)
	}
	wantTitles(t, p.venue, "sec", "")
	wantTitles(t, p.dj, "sec", "second-longer-name")
	// A clock set back brings nothing back.
	p.publish(tone(t, p.music, "third.wav", 1000))
	p.follow()
	p.clock.forward(-time.Hour)
	wantTitles(t, p.venue, "sec", "")
	p.clock.forward(time.Hour)

	id := do(t, p.venue, OpID, struct{}{})
	g := do(t, p.dj, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: id.Device, For: time.Hour})
	do(t, p.venue, OpLeaseImport, ImportRequest{Blob: g.Blob})
	wantTitles(t, p.venue, "sec", "second-longer-name")
	wantTitles(t, p.venue, "thi", "third")
	do(t, p.venue, OpUnfollow, UnfollowRequest{Name: p.name})
	wantTitles(t, p.venue, "thi", "")
}

// TestSearchLooksWhenALeaseEnds wants the next look at the lease's end, or
// sooner.
func TestSearchLooksWhenALeaseEnds(t *testing.T) {
	p := newPair(t, 20*time.Second)
	wantTitles(t, p.venue, "sec", "second-longer-name")
	if s := p.venue.opened.search.next.Load(); s < 1 || s > 20 {
		t.Errorf("the next look is in %d s, the lease ends in 20", s)
	}
}

// TestSearchTags finds a track by what its file says beyond title, artist and
// album, on both sides.
func TestSearchTags(t *testing.T) {
	p := newPair(t, time.Hour)
	path := tone(t, p.music, "tagged.wav", 1000)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, "LIST\x40\x00\x00\x00INFOINAM\x06\x00\x00\x00Gecesi"+"IART\x04\x00\x00\x00Isik"+"IGNR\x08\x00\x00\x00Arabesk\x00"+"ICRD\x0a\x00\x00\x001989-01-01"...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	p.publish(path)
	p.follow()
	for _, q := range []string{"gecesi", "arabesk", "arabeks", "1989", "1989 gec"} {
		wantTitles(t, p.dj, q, "Gecesi")
		wantTitles(t, p.venue, q, "Gecesi")
	}
}

// TestSearchFollowsRevisions finds what a newer version has, and leaves what
// it has no more.
func TestSearchFollowsRevisions(t *testing.T) {
	p := newPair(t, time.Hour)
	wantTitles(t, p.venue, "third", "")
	p.publish(tone(t, p.music, "third.wav", 1000))
	wantTitles(t, p.dj, "third", "third")
	p.follow()
	wantTitles(t, p.venue, "third", "third")
	wantTitles(t, p.venue, "sec", "second-longer-name")
	p.venue.stop()
	p.venue.start(p.clock)
	wantTitles(t, p.venue, "third", "third")
	for _, f := range do(t, p.venue.Daemon, OpSearch, SearchRequest{Query: "third"}).Tracks {
		if !f.Held || f.Source != "leased" || f.Name != p.name || f.Ms != 1000*1000/44100 || f.Match != "exact" {
			t.Errorf("found %+v", f)
		}
	}
	id := do(t, p.venue, OpID, struct{}{})
	for _, l := range do(t, p.dj, OpLeases, struct{}{}) {
		if l.Device != "" && id.Device != "" {
			do(t, p.dj, OpLeaseRevoke, RevokeRequest{Leases: []string{l.Lease}})
		}
	}
	p.follow()
	wantTitles(t, p.venue, "third", "")
}

// TestSearchWaitsForMetadata finds the rest at once, and what was missing when
// it has come; sound that is missing is said.
func TestSearchWaitsForMetadata(t *testing.T) {
	p := newPair(t, time.Hour)
	name, err := ipns.ParseName(p.name)
	if err != nil {
		t.Fatal(err)
	}
	p.publish(tone(t, p.music, "third.wav", 1000))
	p.follow()
	p.venue.stop()
	p.venue.start(p.clock)
	n := p.venue.opened
	c, err := n.follow.Newest(name)
	if err != nil {
		t.Fatal(err)
	}
	third := do(t, p.dj, OpSearch, SearchRequest{Query: "third"}).Tracks[0].CID
	var info node.Block
	for _, e := range c.Selections[0].Entries {
		if e.Track.String() == third {
			info = node.Block{CID: e.Info, Data: p.block(e.Info)}
		}
	}
	wantTitles(t, p.venue, "third", "third")
	// As if the newest version had come without it.
	if err := n.node.Delete(t.Context(), info.CID); err != nil {
		t.Fatal(err)
	}
	p.venue.stop()
	p.venue.start(p.clock)
	n = p.venue.opened
	res := do(t, p.venue.Daemon, OpSearch, SearchRequest{Query: "third"})
	if len(res.Tracks) != 0 || res.Unread != 1 {
		t.Errorf("found %+v without its metadata, %d unread", res.Tracks, res.Unread)
	}
	wantTitles(t, p.venue, "sec", "second-longer-name")
	if err := n.node.Put(t.Context(), info); err != nil {
		t.Fatal(err)
	}
	n.search.changed()
	res = do(t, p.venue.Daemon, OpSearch, SearchRequest{Query: "third"})
	if len(res.Tracks) != 1 || res.Unread != 0 {
		t.Errorf("found %+v with its metadata, %d unread", res.Tracks, res.Unread)
	}
}

// TestSearchLeavesNothingOnDisk looks through a venue's files, while it runs
// and after, for a title that was found.
func TestSearchLeavesNothingOnDisk(t *testing.T) {
	p := newPair(t, time.Hour)
	wantTitles(t, p.venue, "longer", "second-longer-name")
	for range 2 {
		for _, marker := range []string{"second-longer-name", "second longer name", "_longer_"} {
			if holds(t, p.venue.dir, marker) {
				t.Errorf("the venue's disk has %q", marker)
			}
		}
		p.venue.stop()
	}
	if !holds(t, p.dj.dir, "second-longer-name") {
		t.Error("the look is blind: the DJ's own library is in clear")
	}
	if left, err := filepath.Glob(filepath.Join(p.venue.dir, "*etilqs*")); err != nil || len(left) > 0 {
		t.Errorf("files of SQLite's: %v, %v", left, err)
	}
}
