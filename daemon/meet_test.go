package daemon

import (
	"slices"
	"testing"
	"time"

	"playnode/manifests"
)

// until waits for what no event tells of.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ends := time.After(time.Minute)
	for !is() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ends:
			t.Fatalf("never: %s", what)
		}
	}
}

// TestUndialable: neither DJ nor venue can be dialled by anyone. The archivist
// whose address both have brings the catalogue to the venue, introduces it to
// the DJ, and relays its request for a lease.
func TestUndialable(t *testing.T) {
	c := &clock{}
	c.unix.Store(2970*manifests.Week + manifests.Week/2)
	open := func(args ...string) *box {
		b := &box{t: t, dir: tempDir(t), args: args}
		b.start(c)
		return b
	}
	archive := open("--listen=/ip4/127.0.0.1/tcp/0", "--relay")
	do(t, archive, OpID, struct{}{})
	hub := archive.opened.node.Addrs()[0]
	behind := []string{"--listen=none", "--reach=private", "--peer=" + hub}
	dj := open(behind...)
	do(t, dj, OpPublish, PublishRequest{Paths: []string{tone(t, t.TempDir(), "a.wav", 44_100)}, Playlist: "bar"})
	do(t, dj, OpOfferSet, OfferRequest{Playlist: "bar", Price: Price{500, "EUR"}, Per: 30 * 24 * time.Hour})
	name := do(t, dj, OpID, struct{}{}).Name
	until(t, "the DJ has reached the archivist", func() bool { return do(t, dj, OpStatus, struct{}{}).Peers == 1 })
	do(t, archive, OpFollow, FollowRequest{Link: name, Once: true})
	until(t, "the DJ is reached through the archivist", func() bool {
		r := do(t, dj, OpStatus, struct{}{}).Reach
		return r.State == "private" && slices.Equal(r.Relays, []string{archive.opened.node.ID()})
	})
	venue := open(behind...)
	do(t, venue, OpFollow, FollowRequest{Link: name, Once: true})
	until(t, "the venue has met the DJ", func() bool {
		c.forward(time.Second) // it asks once a minute who else is there
		r := do(t, venue, OpStatus, struct{}{}).Reach
		return r.Near == 1 && r.Relayed == 1 && r.Far == 0
	})
	r := do(t, venue, OpLeaseRequest, AskRequest{Name: name + "/bar", For: 30 * 24 * time.Hour})
	if r.State != "pending" {
		t.Fatalf("the request is %s", r.State)
	}
	asked := do(t, dj, OpRequests, struct{}{})
	if len(asked) != 1 || asked[0].Request != r.Request {
		t.Fatalf("the DJ was asked %+v", asked)
	}
}

// TestAllowed: a box of a fleet has to do with its own, and none else.
func TestAllowed(t *testing.T) {
	c := &clock{}
	c.unix.Store(2970*manifests.Week + manifests.Week/2)
	dj := newBox(t, c)
	stranger := newBox(t, c)
	name := do(t, dj, OpPublish, PublishRequest{Paths: []string{tone(t, t.TempDir(), "a.wav", 44_100)}, Playlist: "bar"}).Name
	addr := func(b *box) string { return b.opened.node.Addrs()[0] }
	do(t, stranger, OpFollow, FollowRequest{Link: name, Once: true, Node: NodeRequest{Peers: []string{addr(dj)}}})
	fleet := &box{t: t, dir: tempDir(t), args: []string{"--listen=/ip4/127.0.0.1/tcp/0", "--allow=" + dj.opened.node.ID()}}
	fleet.start(c)
	_, err := Call(t.Context(), fleet, OpFollow, FollowRequest{Link: name, Once: true, Node: NodeRequest{Peers: []string{addr(stranger)}, Timeout: time.Second}}, nil)
	wantKind(t, err, NotFound, "from a stranger who has it")
	do(t, fleet, OpFollow, FollowRequest{Link: name, Once: true, Node: NodeRequest{Peers: []string{addr(dj)}}})
	if got := fleet.opened.node.Connected(); !slices.Equal(got, []string{dj.opened.node.ID()}) {
		t.Errorf("it is connected with %v", got)
	}
	if err := stranger.opened.node.Connect(t.Context(), addr(fleet)); err == nil {
		until(t, "the stranger is shut out", func() bool {
			return !slices.Contains(stranger.opened.node.Connected(), fleet.opened.node.ID())
		})
	}
	if fleet.opened.meeting != nil {
		t.Error("it tells whom it knows")
	}
}
