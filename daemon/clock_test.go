package daemon

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"playnode/manifests"
)

// alone is what a box knows of the time that nobody tells it: its wall clock
// may say anything, its uptime is what passes.
type alone struct {
	wall *clock
	up   atomic.Int64 // a time.Duration
}

func (a *alone) Wall() (int64, bool)           { return a.wall.now().Unix(), false }
func (a *alone) Boot() (string, time.Duration) { return "first", time.Duration(a.up.Load()) }

// lonely is a venue of that kind, following p's DJ, with a lease of hers.
func (p *pair) lonely(at int64, lasts time.Duration) (*pair, *alone) {
	p.t.Helper()
	c := &clock{}
	c.unix.Store(at)
	a := &alone{wall: c}
	v := &pair{t: p.t, clock: c, dj: p.dj, music: p.music, name: p.name}
	v.venue = &box{t: p.t, dir: tempDir(p.t), clock: a}
	v.venue.start(c)
	id := do(p.t, v.venue, OpID, struct{}{})
	do(p.t, p.dj, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: id.Device, For: lasts})
	v.follow()
	return v, a
}

// A box whose clock stands at 1970, or is years ahead or days behind, follows,
// plays while its lease lasts by what its DJ has signed and by its own uptime,
// and stops after that.
func TestBoxesWithoutAClock(t *testing.T) {
	p := newPair(t, time.Hour)
	now := p.clock.now().Unix()
	for what, at := range map[string]int64{"1970": 1000, "two days back": now - 2*manifests.Day, "three years ahead": now + 3*365*manifests.Day} {
		t.Run(what, func(t *testing.T) {
			q := *p
			q.t = t
			v, a := q.lonely(at, 72*time.Hour)
			v.mustPlay(firstFrames + secondFrames)
			// Two days and a bit by its uptime, over a restart.
			for range 2 {
				a.up.Add(int64(25 * time.Hour))
				v.clock.forward(25 * time.Hour)
				if at <= now {
					v.mustPlay(firstFrames + secondFrames)
				}
			}
			v.venue.stop()
			v.venue.start(v.clock)
			a.up.Add(int64(25 * time.Hour))
			_, wav, err := v.play(nil)
			wantKind(t, err, NoLease, wav)
		})
	}
}

// A DJ who dates herself 2099 ends her own leases at a box without a clock,
// and nobody else's.
func TestADJDated2099(t *testing.T) {
	p := newPair(t, time.Hour)
	v, _ := p.lonely(1000, 24*time.Hour)
	v.mustPlay(firstFrames + secondFrames)
	late := &clock{}
	late.unix.Store(4_070_908_800) // 2099
	mad := &pair{t: t, clock: late, dj: newBox(t, late), venue: v.venue, music: t.TempDir()}
	mad.name = mad.publish(tone(t, mad.music, "third.wav", 1000)).Name
	id := do(t, v.venue, OpID, struct{}{})
	do(t, mad.dj, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: id.Device, For: 24 * time.Hour})
	mad.follow()
	mad.mustPlay(1000)
	v.mustPlay(firstFrames + secondFrames)
	v.venue.stop()
	v.venue.start(v.clock)
	v.mustPlay(firstFrames + secondFrames)
	// Where the clock is kept, such a date is refused, and nothing else is hurt.
	_, err := Call(t.Context(), p.venue, OpFollow, FollowRequest{Link: mad.name, Once: true,
		Node: NodeRequest{Peers: []string{mad.dj.opened.node.Addrs()[0]}, Timeout: 20 * time.Second}}, nil)
	if KindOf(err) != Verify || !strings.Contains(err.Error(), "dated") {
		t.Errorf("a date of 2099: %v (%s)", err, KindOf(err))
	}
	p.mustPlay(firstFrames + secondFrames)
}
