package main

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"playnode/daemon"
	"playnode/web"
)

func TestRemoteLinks(t *testing.T) {
	for at, want := range map[string]string{
		"":                  "",
		"127.0.0.1:8080":    "http://127.0.0.1:8080/remote/#key",
		"192.168.1.20:8080": "http://192.168.1.20:8080/remote/#key",
		"[fd00::1]:80":      "http://[fd00::1]:80/remote/#key",
	} {
		links, err := remoteLinks(daemon.RemoteKey{Key: "key", HTTP: at})
		if err != nil || strings.Join(links, " ") != want {
			t.Errorf("%q: %q, %v", at, links, err)
		}
	}
	var all []net.Addr
	for _, s := range []string{"127.0.0.1/8", "::1/128", "fe80::1/64", "169.254.3.4/16", "2001:db8::7/64", "203.0.113.9/24", "10.1.2.3/8"} {
		p := netip.MustParsePrefix(s)
		all = append(all, &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	got := reachable(all)
	if want := []netip.Addr{netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("2001:db8::7")}; !slices.Equal(got, want) {
		t.Errorf("reachable by %v, want %v", got, want)
	}
}

// A shelf has what this box may play now, and says what its staff should know.
func TestShelf(t *testing.T) {
	until := time.Date(2027, 1, 3, 12, 0, 0, 0, time.Local)
	lease := func(playlist, state string, held bool, until time.Time) daemon.Leased {
		return daemon.Leased{DJ: "dj", Playlist: playlist, State: state, Held: held, Until: until}
	}
	st := daemon.Status{
		Follows: []daemon.Followed{{Name: "k51a", DJ: "dj", DJName: "Mira", Tracks: 12}, {Name: "k51b", DJ: "other", Tracks: 5, Missing: 5}},
		Leases: []daemon.Leased{
			lease("bar", "active", true, until.Add(time.Hour)), lease("late", "active", true, until), lease("old", "lapsed", true, until),
			lease("given", "active", false, until), // by this box, to another
		},
		Alerts: []daemon.Alert{{Text: "two records"}, {Text: "settled", Settled: true}},
		Faults: []daemon.Fault{{Message: "no card"}, {Message: "mended", Mended: &until}},
	}
	got := shelf(st)
	want := []web.Item{{Plays: "k51a/bar", Label: "bar", DJ: "Mira", Until: until.Add(time.Hour)}, {Plays: "k51a/late", Label: "late", DJ: "Mira", Until: until}}
	if !slices.Equal(got.Items, want) || got.Scheduled || !slices.Equal(got.Wrong, []string{"two records", "no card"}) ||
		!strings.Contains(got.Fine, "until 3 January, when the lease of late ends") {
		t.Errorf("%+v", got)
	}
	st.Follows[0].Missing = 2
	st.Schedule.Slots = make([]daemon.Slot, 1)
	if got := shelf(st); !strings.HasPrefix(got.Fine, "10 of 12 tracks") || !got.Scheduled {
		t.Errorf("%+v", got)
	}
	if got := shelf(daemon.Status{}); len(got.Wrong) != 1 || got.Fine != "" {
		t.Errorf("of nothing: %+v", got)
	}
}
