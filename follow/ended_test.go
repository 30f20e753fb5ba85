package follow_test

import (
	"testing"
	"time"

	"playnode/follow"
	"playnode/manifests"
)

// TestANewVenueAfterTheRecordHasEnded: the DJ sleeps, her record has ended, and
// who keeps it still brings a newcomer her catalogue; her next record is taken
// in its place.
func TestANewVenueAfterTheRecordHasEnded(t *testing.T) {
	w, d, keeper := stage(t)
	s, m := d.manifest(0, 1, []manifests.Entry{d.track(100, 100), d.track(200, 100)}, nil)
	envelope := d.head([]manifests.Signed{s}, []*manifests.Manifest{m}, nil)
	ended := now.Add(-time.Hour)
	if _, _, err := d.box.names.Publish(t.Context(), d.ipns, envelope, 0, ended); err != nil {
		t.Fatal(err)
	}
	mustFollow(t, keeper, string(d.name))
	mustSync(t, keeper, d.name)
	w.Cut(d.box.Node, keeper.Node)
	venue := newBox(t, w, "a new venue")
	w.Link(venue.Node, keeper.Node)
	mustFollow(t, venue, string(d.name))
	c, err := venue.follow.Sync(t.Context(), d.name, follow.Options{Ask: true})
	if err != nil || c.Envelope != envelope {
		t.Fatalf("a newcomer: %v", err)
	}
	if rec, err := venue.names.Newest(d.name); err != nil || !rec.Ended(now) {
		t.Fatalf("the record has ended: %+v, %v", rec.EOL, err)
	}
	again, _, err := d.box.names.Publish(t.Context(), d.ipns, envelope, 0, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	w.Link(d.box.Node, venue.Node)
	mustSync(t, venue, d.name)
	if rec, err := venue.names.Newest(d.name); err != nil || rec.Seq != again.Seq || rec.Ended(now) {
		t.Fatalf("she is back: %+v, %v", rec, err)
	}
}
