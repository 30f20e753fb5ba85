package daemon

import (
	"errors"
	"strings"
	"testing"
	"time"

	"playnode/lease"
	"playnode/manifests"
)

const week = manifests.Week * time.Second

// A lease of a year over nine weeks: the DJ is awake in the first two and from
// the eighth on, an archive keeps her name, and the venue, which sees the
// archive alone, has music in every one of them.
func TestMailboxesThroughAnArchiveForSixtyDays(t *testing.T) {
	p := newPair(t, time.Hour)
	id := do(t, p.venue, OpID, struct{}{})
	year := do(t, p.dj, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: id.Device, For: 365 * 24 * time.Hour}).Lease
	archive := newBox(t, p.clock)
	p.clock.forward(2 * time.Hour) // the hour's lease is over
	kept := map[string]time.Time{}
	for w := range 9 {
		if w < 2 || w >= 7 {
			if w > 0 {
				p.dj.start(p.clock)
			}
			do(t, p.dj, OpPublish, PublishRequest{})
			do(t, archive, OpArchive, ArchiveRequest{Names: []string{p.name}, Once: true,
				Node: NodeRequest{Peers: []string{p.dj.opened.node.Addrs()[0]}, Timeout: 20 * time.Second}})
			p.dj.stop()
		}
		do(t, p.venue, OpFollow, FollowRequest{Link: p.name, Once: true,
			Node: NodeRequest{Peers: []string{archive.opened.node.Addrs()[0]}, Timeout: 20 * time.Second}})
		for range 2 {
			p.mustPlay(firstFrames + secondFrames)
			p.clock.forward(week / 2)
		}
		for _, l := range p.venue.venue.Leases() {
			if l.ID.String() == year {
				kept[time.Unix(l.Keys, 0).UTC().String()] = time.Unix(l.Keys, 0)
				if l.Grant.Keys() > 8 {
					t.Errorf("week %d: %d keys inside a year's grant", w, l.Grant.Keys())
				}
			}
		}
	}
	if len(kept) != 4 {
		t.Errorf("the keys' ends %v: the mailboxes of 4 periods were opened", kept)
	}
}

// A venue that sees that it is revoked plays its current track to the end,
// and nothing after it; one that does not see it plays on.
func TestRevokedInTheMiddleOfATrack(t *testing.T) {
	p := newPair(t, time.Hour)
	id := do(t, p.venue, OpID, struct{}{})
	var mine []string
	for _, l := range do(t, p.dj, OpLeases, struct{}{}) {
		if l.Device != "" {
			mine = append(mine, l.Lease)
		}
	}
	if len(mine) != 1 {
		t.Fatalf("leases %v of %s", mine, id.Peer)
	}
	told := false
	got, _, err := p.play(func(e PlayEvent) {
		if e.Event == "track" && !told {
			told = true
			if l := do(t, p.dj, OpLeaseRevoke, RevokeRequest{Leases: mine}); l[0].State != "revoked" {
				t.Errorf("%+v", l)
			}
			p.follow()
		}
	})
	wantKind(t, err, NoLease, "")
	if !errors.Is(err, lease.ErrRevoked) && !strings.Contains(err.Error(), "revoked") || got.Samples != firstFrames {
		t.Errorf("played %+v, %v; want %d samples", got, err, firstFrames)
	}
	if n := p.periodKeys(); n != 0 {
		t.Errorf("%d keys after the revocation", n)
	}
	_, wav, err := p.play(nil)
	wantKind(t, err, NoLease, wav)
	if l := do(t, p.venue, OpLeases, struct{}{}); len(l) != 1 || l[0].State != "revoked" {
		t.Errorf("leases %+v", l)
	}
	// After a restart too.
	p.venue.stop()
	p.venue.start(p.clock)
	_, wav, err = p.play(nil)
	wantKind(t, err, NoLease, wav)
	// Granted anew, by mailbox.
	do(t, p.dj, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: id.Device, For: time.Hour})
	p.follow()
	p.mustPlay(firstFrames + secondFrames)
}
