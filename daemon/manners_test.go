package daemon

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestQuietHours: by the clock of the box's zone, status says so, and the
// gateway is for those who are near.
func TestQuietHours(t *testing.T) {
	c := &clock{}
	at := func(hour, minute int) {
		c.unix.Store(time.Date(2031, time.March, 3, hour, minute, 0, 0, time.Local).Unix())
	}
	at(17, 59)
	b := &box{t: t, dir: tempDir(t), args: []string{"--listen=/ip4/127.0.0.1/tcp/0", "--quiet-hours=18:00-23:30", "--quiet-hours=sun 08:00-09:00"}}
	b.start(c)
	asks := func(from string) int {
		h := b.keptFrom(b.opened, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
		r := httptest.NewRequest(http.MethodGet, "/ipfs/x", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for _, x := range []struct {
		hour, minute int
		quiet        bool
	}{{17, 59, false}, {18, 0, true}, {23, 29, true}, {23, 30, false}} {
		at(x.hour, x.minute)
		l := do(t, b, OpStatus, struct{}{}).Line
		if l.Quiet != x.quiet || len(l.QuietHours) != 2 || (l.Until != nil) != x.quiet {
			t.Errorf("at %d:%d the line is %+v", x.hour, x.minute, l)
		}
		if x.quiet && l.Until.Local().Format("15:04") != "23:30" {
			t.Errorf("quiet until %s", l.Until)
		}
		if m := b.manners(); m.Rest != x.quiet || m.Keep != x.quiet {
			t.Errorf("at %d:%d its manners are %+v", x.hour, x.minute, m)
		}
		far := http.StatusOK
		if x.quiet {
			far = http.StatusServiceUnavailable
		}
		if got := asks("8.8.8.8:1000"); got != far {
			t.Errorf("at %d:%d one who is far is answered %d", x.hour, x.minute, got)
		}
		if got := asks("[::ffff:127.0.0.1]:1000"); got != http.StatusOK {
			t.Errorf("at %d:%d one who is near is answered %d", x.hour, x.minute, got)
		}
	}
}

// TestToday: what was given and taken since midnight is counted across
// processes, and begins anew with a day.
func TestToday(t *testing.T) {
	c := &clock{}
	c.unix.Store(time.Date(2031, time.March, 3, 12, 0, 0, 0, time.Local).Unix())
	dj := newBox(t, c)
	name := do(t, dj, OpPublish, PublishRequest{Paths: []string{tone(t, t.TempDir(), "a.wav", 44_100)}, Playlist: "bar"}).Name
	venue := &box{t: t, dir: tempDir(t), args: []string{"--listen=/ip4/127.0.0.1/tcp/0", "--metered"}} // its own building is free
	venue.start(c)
	do(t, venue, OpFollow, FollowRequest{Link: name, Once: true, Node: NodeRequest{Peers: []string{dj.opened.node.Addrs()[0]}}})
	s := do(t, venue, OpStatus, struct{}{})
	if s.Today.Received < 80_000 || s.Today.Received != s.Traffic.Received || s.Today.BySource["lan"] != s.Traffic.BySource["lan"] || !s.Line.Metered {
		t.Errorf("today %+v, of %+v; the line %+v", s.Today, s.Traffic, s.Line)
	}
	if g := do(t, dj, OpStatus, struct{}{}); g.Today.Sent < s.Today.Received || g.Today.ByWay["playnodes"]+g.Today.ByWay["bitswap"] != g.Today.Sent {
		t.Errorf("the DJ gave %+v, the venue had %+v", g.Today, s.Today)
	}
	venue.stop()
	venue.start(c)
	again := do(t, venue, OpStatus, struct{}{})
	if again.Traffic.Received != 0 || again.Today.Received != s.Today.Received || again.Today.BySource["lan"] != s.Today.BySource["lan"] {
		t.Errorf("after a restart today is %+v, of %+v", again.Today, again.Traffic)
	}
	c.forward(12 * time.Hour)
	if next := do(t, venue, OpStatus, struct{}{}).Today; next.Received != 0 || next.Sent != 0 || next.Since.Day() != 4 {
		t.Errorf("the day after begins with %+v", next)
	}
}
