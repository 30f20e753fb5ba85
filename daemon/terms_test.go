package daemon

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/fetch"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
)

// watched are ticks that a test gives. What was done at one is over when the
// next is taken.
type watched struct{ published chan time.Time }

func (w watched) ticks(every time.Duration) (<-chan time.Time, func()) {
	if every == time.Minute {
		return w.published, func() {}
	}
	return nil, func() {}
}

// renewed is a DJ whose daemon is told the time by the test.
func (p *pair) renewed() watched {
	w := watched{make(chan time.Time)}
	p.dj.stop()
	p.dj.ticks = w.ticks
	p.dj.start(p.clock)
	return w
}

// round has the daemon look, and waits until it has.
func (w watched) round(c *clock) {
	w.published <- c.now()
	w.published <- c.now()
}

// record is the DJ's name's, as she keeps it.
func (p *pair) record() ipns.Record {
	p.t.Helper()
	n, err := ipns.ParseName(p.name)
	if err != nil {
		p.t.Fatal(err)
	}
	rec, err := p.dj.opened.names.Newest(n)
	if err != nil {
		p.t.Fatal(err)
	}
	return rec
}

// A daemon that nobody asks for anything turns the period and keeps its name
// from ending, for sixty days; the venue has music in all of them.
func TestRotationRunsByItself(t *testing.T) {
	p := newPair(t, 365*24*time.Hour)
	w := p.renewed()
	first, periods := p.record(), map[uint64]bool{}
	for day := range 60 {
		p.clock.forward(24 * time.Hour)
		w.round(p.clock)
		if rec := p.record(); !rec.EOL.After(p.clock.now()) {
			t.Fatalf("day %d: the name ended at %s", day, rec.EOL)
		}
		m := p.manifest()
		if m.Cur != manifests.Period(p.clock.now().Unix(), m.Unit) {
			t.Fatalf("day %d: the newest manifest is of period %d", day, m.Cur)
		}
		if !periods[m.Cur] {
			p.follow()
			p.mustPlay(firstFrames + secondFrames)
		}
		periods[m.Cur] = true
	}
	if len(periods) != 10 {
		t.Errorf("%d periods in sixty days", len(periods))
	}
	if last := p.record(); last.Seq <= first.Seq+8 {
		t.Errorf("the record's sequence went from %d to %d", first.Seq, last.Seq)
	}
	for _, l := range p.venue.venue.Leases() {
		if l.Grant.N < 8 || l.Grant.Keys() > 8 {
			t.Errorf("grant %d of %d keys", l.Grant.N, l.Grant.Keys())
		}
	}
}

// manifest is the newest of the DJ's only playlist.
func (p *pair) manifest() *manifests.Manifest {
	p.t.Helper()
	_, payload := p.head()
	h, err := manifests.DecodeHead(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	e, err := manifests.OpenEnvelope(p.block(h.Sels[0].Manifest))
	if err != nil {
		p.t.Fatal(err)
	}
	m, err := manifests.DecodeManifest(p.block(e.Payload))
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// held are the hashes of all blocks that the venue has.
func (p *pair) held() map[string]bool {
	p.t.Helper()
	out := map[string]bool{}
	if err := p.venue.opened.node.Each(p.t.Context(), func(c cid.Cid, _ int64) error {
		out[string(c.Hash())] = true
		return nil
	}); err != nil {
		p.t.Fatal(err)
	}
	return out
}

// fetched is what the venue has had from others.
func (p *pair) fetched() (all fetch.Count) {
	for from, c := range p.venue.opened.fetch.Counts() {
		if from != "local" {
			all.Blocks, all.Bytes = all.Blocks+c.Blocks, all.Bytes+c.Bytes
		}
	}
	return all
}

// A DJ who sleeps longer than her keys reach loses nothing but time: the venue
// falls silent, and one version later it plays, with no part of a track
// fetched again.
func TestDJAwayLongerThanHerKeys(t *testing.T) {
	for _, days := range []time.Duration{57, 100, 300} {
		p := newPair(t, 365*24*time.Hour)
		const all = firstFrames + secondFrames
		p.mustPlay(all)
		p.dj.stop()
		keys := time.Unix(p.venue.venue.Leases()[0].Keys, 0)
		if away := keys.Sub(p.clock.now()); away < 45*24*time.Hour || away > 56*24*time.Hour {
			t.Fatalf("the keys last for %s", away)
		}
		p.clock.forward(keys.Sub(p.clock.now()) - time.Second)
		p.mustPlay(all)
		p.clock.forward(days*24*time.Hour - keys.Sub(p.clock.now()))
		_, wav, err := p.play(nil)
		wantKind(t, err, NoLease, wav)
		if n := p.periodKeys(); n != 0 {
			t.Errorf("%d days: %d keys are left", days, n)
		}
		held, before := p.held(), p.fetched()
		p.renewed().round(p.clock)
		p.follow()
		for c := range p.tracks() { // what is here is never asked for
			if !held[string(c.Hash())] {
				t.Errorf("%d days: the venue has lost %s of a track", days, c)
			}
		}
		if after := p.fetched(); after.Blocks == before.Blocks {
			t.Errorf("%d days: nothing came of a new version", days)
		}
		p.mustPlay(all)
	}
}

// tracks are all blocks of the sealed files.
func (p *pair) tracks() map[cid.Cid]bool {
	p.t.Helper()
	m, out := p.manifest(), map[cid.Cid]bool{}
	got, err := manifests.ReadTracks(m.Tracks, func(cs []cid.Cid) (bs [][]byte, _ error) {
		for _, c := range cs {
			bs = append(bs, p.block(c))
		}
		return bs, nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range got.Entries {
		for todo := []cid.Cid{e.Track, e.Info}; len(todo) > 0; todo = todo[1:] {
			out[todo[0]] = true
			links, err := node.Links(todo[0], p.block(todo[0]))
			if err != nil {
				p.t.Fatal(err)
			}
			todo = append(todo, links...)
		}
	}
	if len(out) < 4 {
		p.t.Fatalf("%d blocks of tracks", len(out))
	}
	return out
}

// A revoked venue that has not seen it plays on to the end of the keys that it
// has: a track that began before it is played out, and none begins at it.
func TestRevokedUnseenEndsWithItsWindow(t *testing.T) {
	p := newPair(t, 365*24*time.Hour)
	p.venue.stop() // one that is there is told at once, and may have it before she goes
	do(t, p.dj, OpLeaseRevoke, RevokeRequest{Leases: []string{do(t, p.dj, OpLeases, struct{}{})[0].Lease}})
	p.dj.stop()
	p.venue.start(p.clock)
	l := p.venue.venue.Leases()[0]
	if l.Keys != int64(l.Grant.Win.Last+1)*l.Grant.Unit || l.Keys >= l.Until {
		t.Fatalf("keys to %d, the window is %v and the lease ends at %d", l.Keys, l.Grant.Win, l.Until)
	}
	p.clock.unix.Store(l.Keys - 1)
	p.mustPlay(firstFrames + secondFrames)
	told := false
	got, _, err := p.play(func(e PlayEvent) {
		if e.Event == "track" && !told {
			told = true
			p.clock.unix.Store(l.Keys)
		}
	})
	wantKind(t, err, NoLease, "")
	if !told || got.Samples != firstFrames {
		t.Errorf("played %d samples, %d were begun before the end", got.Samples, firstFrames)
	}
	_, wav, err := p.play(nil)
	wantKind(t, err, NoLease, wav)
	if n := p.periodKeys(); n != 0 {
		t.Errorf("%d keys after the end", n)
	}
}

// Mailboxes whose grants cannot be kept are this box's failure and not the
// DJ's: what was accepted stays, and the next try takes them in.
func TestMailboxesThatCannotBeKept(t *testing.T) {
	p := newPair(t, time.Hour)
	before := p.follow()
	id := do(t, p.venue, OpID, struct{}{})
	// No file can take the place of a directory that is not empty.
	file := filepath.Join(p.venue.dir, "keys", "leases.json")
	aside := filepath.Join(t.TempDir(), "leases.json")
	if err := os.Rename(file, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(file, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	// Now, as the venue is told of a version at once and need not be asked to look.
	do(t, p.dj, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: id.Device, For: 48 * time.Hour})
	_, err := p.tryFollow()
	wantKind(t, err, Failed, "")
	if f := do(t, p.venue, OpFollows, struct{}{})[0]; f.Manifest != before.Manifest {
		t.Errorf("the version was accepted: %+v", f)
	}
	if err := os.RemoveAll(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, file); err != nil {
		t.Fatal(err)
	}
	p.follow()
	if n := len(p.venue.venue.Leases()); n != 2 {
		t.Errorf("%d leases", n)
	}
}
