package daemon

import (
	"testing"
	"time"
)

// The key of remote controls is one, over a restart as well, until another is
// made; nothing else is admitted, and before there is one nothing is.
func TestRemoteKey(t *testing.T) {
	c := &clock{}
	c.forward(time.Duration(1<<30) * time.Second)
	b := newBox(t, c)
	if b.Admits("") || b.Admits("x") {
		t.Error("a box without a key lets somebody in")
	}
	k := do(t, b, OpRemote, RemoteRequest{}).Key
	if len(k) != 22 || !b.Admits(k) || b.Admits("") || b.Admits(k[1:]) || b.Admits(k+"x") {
		t.Errorf("the key %q admits others, or not itself", k)
	}
	b.stop()
	b.start(c)
	if again := do(t, b, OpRemote, RemoteRequest{}).Key; again != k || !b.Admits(k) {
		t.Errorf("after a restart it is %q, and was %q", again, k)
	}
	if none := do(t, b, OpRemote, RemoteRequest{New: true}); none != (RemoteKey{}) || !b.Admits(k) {
		t.Errorf("where nobody would see it there is a new key, or the old one admits nobody: %+v", none)
	}
	b.pagesAt = "127.0.0.1:1"
	other := do(t, b, OpRemote, RemoteRequest{New: true}).Key
	if other == k || b.Admits(k) || !b.Admits(other) {
		t.Errorf("the new key is %q, and the old one admits: %v", other, b.Admits(k))
	}
}

// What is played instead is played by the loudspeaker that plays, which says what
// comes next.
func TestPlayInstead(t *testing.T) {
	p := newPair(t, time.Hour)
	plays := func(req PlayRequest) Sound {
		t.Helper()
		do(t, p.venue, OpPlay, req)
		var s Sound
		until(t, "it plays", func() bool {
			s = do(t, p.venue, OpCtl, CtlRequest{Do: "now"})
			return s.State == "playing" && s.Next != nil
		})
		return s
	}
	s := plays(PlayRequest{Name: p.name, Sink: "null", Detach: true})
	if s.Next.Title == "" || s.Next.CID == s.CID {
		t.Errorf("next is %+v, while %s is heard", s.Next, s.CID)
	}
	plays(PlayRequest{Name: p.name, Detach: true, Instead: true})
	p.venue.sound.mu.Lock()
	defer p.venue.sound.mu.Unlock()
	if all := p.venue.sound.all; len(all) != 1 || all[0].sink != "null" {
		t.Errorf("%d playbacks, the first by %q", len(all), all[0].sink)
	}
}
