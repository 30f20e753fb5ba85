package daemon

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node/memory"
)

// hum writes a WAV of so many seconds as a telephone has it, and returns its path.
func hum(t *testing.T, dir, name string, seconds int, hz float64) string {
	t.Helper()
	le := binary.LittleEndian
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data")
	b = le.AppendUint32(b, uint32(2*8000*seconds))
	le.PutUint32(b[4:], uint32(36+2*8000*seconds))
	for i := range 8000 * seconds {
		b = le.AppendUint16(b, uint16(int16(8000*math.Sin(2*math.Pi*hz*float64(i)/8000))))
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A venue whose line is left to others fetches what is scheduled within a day, and no other music; plays it when its time
// has come, by its own zone's clock, and is silent before and behind; and says all that beforehand.
func TestAVenueKeepsToItsSchedule(t *testing.T) {
	dir := t.TempDir()
	lunch, dinner := hum(t, dir, "lunch.wav", 70, 300), hum(t, dir, "dinner.wav", 70, 400)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now() // midnight in UTC
		w := memory.NewWorld()
		w.Delay = 20 * time.Millisecond
		dj, venue := settle(t, w, "dj", began), settle(t, w, "venue", began, "--metered", "--zone=Asia/Kathmandu") // 5:45 ahead
		defer dj.stop()
		defer venue.stop()
		w.Link(dj.n.node.(island).Node, venue.n.node.(island).Node)
		do(t, dj, OpPublish, PublishRequest{Paths: []string{lunch}, Playlist: "lunch"})
		name := do(t, dj, OpPublish, PublishRequest{Paths: []string{dinner}, Playlist: "dinner"}).Name
		do(t, venue, OpFollow, FollowRequest{Link: name})
		device := do(t, venue, OpID, struct{}{}).Device
		for _, p := range []string{"lunch", "dinner"} {
			do(t, dj, OpLeaseGrant, GrantRequest{Playlist: p, Device: device, For: 60 * 24 * time.Hour})
		}
		until := func(at time.Duration) { <-time.After(time.Until(began.Add(at))) }
		held := func() int { return do(t, venue, OpFollows, struct{}{})[0].Held }
		until(3 * time.Minute)
		if n := len(venue.venue.Leases()); n != 2 || held() != 0 {
			t.Errorf("%d leases, and %d tracks held on a line that is left to others", n, held())
		}
		playing := func() Sound { return do(t, venue, OpCtl, CtlRequest{Do: "now"}) }
		var notes []string
		if _, err := Call(t.Context(), venue, OpPlay, PlayRequest{Detach: true, Sink: "null"}, func(e Event) { notes = append(notes, e.Note) }); err != nil {
			t.Fatal(err)
		}
		do(t, venue, OpScheduleSet, SlotRequest{Playlist: name + "/dinner", From: "05:55", Till: "05:57"})
		s := do(t, venue, OpScheduleSet, SlotRequest{Playlist: "supper", From: "05:56", Till: "06:00"})
		if s.ID != "2" || s.Zone != "Asia/Kathmandu" || s.Now != nil || s.Slots[0].Why != "no name that is followed here has it yet" || s.Slots[1].Why != "" {
			t.Errorf("%+v", s)
		}
		if n := s.Next; n == nil || n.Playlist != name+"/dinner" || !n.From.Equal(began.Add(10*time.Minute)) || !n.Until.Equal(began.Add(11*time.Minute)) || n.From.Format("15:04") != "05:55" {
			t.Errorf("next is %+v", n)
		}
		until(5 * time.Minute)
		if n := held(); n != 1 || venue.n.follow.Follows()[0].Progress.Tracks != 2 {
			t.Errorf("of what is scheduled %d tracks are here", n)
		}
		until(9*time.Minute + 50*time.Second)
		if p := playing(); p.State == "playing" {
			t.Errorf("before its time: %+v", p)
		}
		until(10*time.Minute + 2*time.Second)
		if p := playing(); p.State != "playing" || p.Playlist != "dinner" || p.AtMs < 1000 || p.AtMs > 2500 {
			t.Errorf("two seconds into its time: %+v", p)
		}
		until(11*time.Minute + 10*time.Second) // supper is nobody's
		st := do(t, venue, OpStatus, struct{}{})
		if st.Sound.Playlist != "dinner" || st.Schedule.Now.Playlist != "supper" || st.Schedule.Now.Why == "" || len(st.Faults) == 0 || st.Faults[0].Kind != "schedule" {
			t.Errorf("instead of what nobody has: %+v, %+v, faults %+v", st.Sound, st.Schedule.Now, st.Faults)
		}
		until(12*time.Minute + 10*time.Second)
		if p := playing(); p.State != "silent" || p.CID != "" {
			t.Errorf("behind its time: %+v", p)
		}
		if o := do(t, venue, OpScheduleOverride, OverrideRequest{Playlist: "https://dj.example/ipns/" + name + "?p=lunch", Till: "06:30"}).Override; o == nil || o.Why != "" {
			t.Errorf("a link: %+v", o)
		}
		until(14 * time.Minute)
		if p := playing(); p.State != "playing" || p.Playlist != "lunch" || held() != 2 {
			t.Errorf("what is played by hand: %+v, %d tracks held", p, held())
		}
		do(t, venue, OpScheduleRemove, ScheduleRemoveRequest{ID: "override"})
		until(15*time.Minute + time.Second)
		if _, err := Call(t.Context(), venue, OpPlay, PlayRequest{Once: true, Sink: "wav:" + filepath.Join(dir, "x.wav")}, nil); err == nil || !strings.Contains(err.Error(), "playnode schedule ls") {
			t.Errorf("one pass in a gap: %v", err)
		}
		if _, err := Call(t.Context(), venue, OpPlay, PlayRequest{Detach: true, Sink: "null"}, func(e Event) { notes = append(notes, e.Note) }); err != nil {
			t.Fatal(err)
		}
		if len(notes) != 1 || !strings.HasPrefix(notes[0], "nothing is scheduled until Sun 2 Jan 05:55; then k51") {
			t.Errorf("told %q", notes)
		}
	})
}
