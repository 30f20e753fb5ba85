package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/ipns"
	"playnode/lease"
	"playnode/manifests"
	"playnode/publisher"
)

// copied is a box with what was copied from the DJ's laptop, by way of a
// backup; alone says that it does not look for what was published since.
func (p *pair) copied(backup string, alone bool) *box {
	p.t.Helper()
	b := newBox(p.t, p.clock)
	b.stop()
	opt := b.opt
	opt.Serve = false
	if _, err := Restore(p.t.Context(), opt, BackupRequest{File: backup, Passphrase: "word"}, alone); err != nil {
		p.t.Fatal(err)
	}
	b.start(p.clock)
	return b
}

func (p *pair) backup() string {
	p.t.Helper()
	file := filepath.Join(p.t.TempDir(), "dj.backup")
	do(p.t, p.dj, OpKeysBackup, BackupRequest{File: file, Passphrase: "word"})
	return file
}

// meet connects a to b.
func linkUp(t *testing.T, a, b *box) {
	t.Helper()
	if err := a.opened.node.Connect(t.Context(), b.opened.node.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
}

// followFrom follows the DJ's name by one peer.
func (p *pair) followFrom(b *box) (Followed, error) {
	return Call(p.t.Context(), p.venue, OpFollow, FollowRequest{
		Link: p.name, Once: true, Node: NodeRequest{Peers: []string{b.opened.node.Addrs()[0]}, Timeout: 20 * time.Second},
	}, nil)
}

// edited signs the newest head and its manifests anew, edited, with a key.
func (p *pair) edited(key seal.Signing, head func(*manifests.Head), each func(*manifests.Manifest)) cid.Cid {
	p.t.Helper()
	_, payload := p.head()
	h, err := manifests.DecodeHead(payload)
	if err != nil {
		p.t.Fatal(err)
	}
	sign := func(t manifests.Type, payload []byte, err error) manifests.Signed {
		p.t.Helper()
		var s manifests.Signed
		if err == nil {
			s, err = manifests.Sign(t, payload, key.Private())
		}
		if err != nil {
			p.t.Fatal(err)
		}
		p.put(s.Payload, s.Env)
		return s
	}
	for i, l := range h.Sels {
		e, err := manifests.OpenEnvelope(p.block(l.Manifest))
		if err != nil {
			p.t.Fatal(err)
		}
		m, err := manifests.DecodeManifest(p.block(e.Payload))
		if err != nil {
			p.t.Fatal(err)
		}
		each(m)
		b, err := m.Encode()
		h.Sels[i].Manifest = sign(manifests.TypeManifest, b, err).Env.CID
	}
	head(h)
	b, err := h.Encode()
	return sign(manifests.TypeHead, b, err).Env.CID
}

// TestThiefOfThePublisherKey is negative test 6 over real peers: a thief's
// last sequence is accepted, then root 2 and its first is, and nothing of his.
func TestThiefOfThePublisherKey(t *testing.T) {
	p := newPair(t, time.Hour)
	p.follow()
	const all = firstFrames + secondFrames
	stolen, err := seal.ParseSigning(func() string { s, _ := p.dj.repo.Secrets("dj"); b, _ := s.Get("key/publisher"); return string(b) }())
	if err != nil {
		t.Fatal(err)
	}
	// Dated 2099 he is refused by whoever knows the time; dated a day ahead,
	// with the last sequence there is, he is not.
	year2099 := int64(4_070_908_800)
	p.point(p.edited(stolen, func(h *manifests.Head) { h.Seq, h.IAT = manifests.MaxInt, year2099 }, func(m *manifests.Manifest) { m.Seq = manifests.MaxInt }))
	_, err = p.tryFollow()
	wantKind(t, err, Verify, "")
	p.mustPlay(all)
	now := p.clock.now().Unix()
	last := func(h *manifests.Head) { h.Seq, h.IAT = manifests.MaxInt, now+86000 }
	p.point(p.edited(stolen, last, func(m *manifests.Manifest) { m.Seq = manifests.MaxInt }))
	if f := p.follow(); f.Seq != manifests.MaxInt {
		t.Fatalf("the thief is at %d", f.Seq)
	}
	// The rid says which sequence a lock is of: he cannot have it played.
	_, _, err = p.play(nil)
	if err == nil {
		t.Error("a manifest of the thief's plays")
	}

	if _, err := Call(t.Context(), p.dj, OpPublish, PublishRequest{}, nil); KindOf(err) != Verify || !errors.Is(err, publisher.ErrRival) {
		t.Errorf("the DJ publishes beside a thief: %v", err)
	}
	r := do(t, p.dj, OpKeysRotate, RotateRequest{})
	if r.RootN != 2 || r.Seq != 1 || r.Leases != 1 || r.Name != p.name {
		t.Errorf("%+v", r)
	}
	if f := p.follow(); f.Seq != 1 || f.Manifest != r.Manifest {
		t.Fatalf("root 2 is not believed: %+v", f)
	}
	p.mustPlay(all)
	honest := p.name
	forgeries := map[string]func() cid.Cid{
		"under root 1": func() cid.Cid {
			return p.edited(stolen, func(h *manifests.Head) { h.RootN, h.Seq, h.Roots = 1, manifests.MaxInt, h.Roots[:1] }, func(m *manifests.Manifest) { m.RootN, m.Seq = 1, manifests.MaxInt })
		},
		"under root 2": func() cid.Cid {
			return p.edited(stolen, func(h *manifests.Head) { h.Seq = 9 }, func(m *manifests.Manifest) { m.Seq = 9 })
		},
		"manifests under the last root there can be": func() cid.Cid {
			return p.edited(stolen, func(h *manifests.Head) { h.Seq = 9 }, func(m *manifests.Manifest) { m.RootN, m.Seq = manifests.MaxInt, 9 })
		},
	}
	for name, forge := range forgeries {
		p.point(forge())
		if _, err := p.tryFollow(); KindOf(err) != Verify {
			t.Errorf("%s: %v", name, err)
		}
		if f := do(t, p.venue, OpFollows, struct{}{})[0]; f.Manifest != r.Manifest || f.Name != honest {
			t.Errorf("%s moved the venue to %+v", name, f)
		}
		do(t, p.dj, OpPublish, PublishRequest{}) // the name comes back
	}
	p.publish(tone(t, p.music, "third.wav", 1000))
	if f := p.follow(); f.Seq != 2 {
		t.Errorf("after root 2 the next is %d", f.Seq)
	}
	p.mustPlay(all + 1000)
}

// The thief of the name's key points it at an old version, then at another
// DJ's; the DJ's new root arrives by the backup name.
func TestBackupNameOverRealPeers(t *testing.T) {
	p := newPair(t, time.Hour)
	first, _ := p.head()
	p.publish(tone(t, p.music, "third.wav", 1000))
	before := p.follow()
	other := newPair(t, time.Hour)
	theirs, _ := other.head()
	for _, to := range []cid.Cid{first.CID, theirs.CID} {
		p.point(to)
		linkUp(t, p.venue, other.dj)
		_, err := p.tryFollow()
		wantKind(t, err, Verify, "")
		if f := do(t, p.venue, OpFollows, struct{}{})[0]; f.Manifest != before.Manifest {
			t.Fatalf("moved to %+v", f)
		}
	}
	// He uses up the name's sequence, so that she cannot move it back.
	if _, _, err := p.dj.opened.names.Publish(t.Context(), p.key("ipns"), theirs.CID, 1<<63-1, p.clock.now().Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	r := do(t, p.dj, OpKeysRotate, RotateRequest{})
	if f := p.follow(); f.Manifest != r.Manifest || f.Seq != 1 {
		t.Fatalf("by the backup name: %+v, want %s", f, r.Manifest)
	}
	p.mustPlay(firstFrames + secondFrames + 1000)
	p.publish(tone(t, p.music, "fourth.wav", 1000))
	if f := p.follow(); f.Seq != 2 {
		t.Errorf("%+v", f)
	}
}

// TestAnOlderBackupRevivesNobody is negative test 5: what was revoked since
// the backup stays so, and what has been published since is gone on from.
func TestAnOlderBackupRevivesNobody(t *testing.T) {
	p := newPair(t, 30*24*time.Hour)
	backup := p.backup()
	lost := do(t, p.dj, OpLeases, struct{}{})[0].Lease
	do(t, p.dj, OpLeaseRevoke, RevokeRequest{Leases: []string{lost}})
	kept := newBox(t, p.clock)
	do(t, kept, OpArchive, ArchiveRequest{Names: []string{p.name}, Once: true, Node: NodeRequest{Peers: []string{p.dj.opened.node.Addrs()[0]}, Timeout: 20 * time.Second}})
	seq := do(t, p.dj, OpPublish, PublishRequest{}).Seq
	p.dj.stop()

	again := p.copied(backup, false)
	// Nobody there has it: nothing is signed.
	if _, err := Call(t.Context(), again, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: do(t, p.venue, OpID, struct{}{}).Device, For: time.Hour}, nil); KindOf(err) != NotFound {
		t.Errorf("granted before what was published was found: %v", err)
	}
	linkUp(t, again, kept)
	var notes []string
	out, err := Call(t.Context(), again, OpPublish, PublishRequest{}, func(e Event) { notes = append(notes, e.Note) })
	if err != nil {
		t.Fatal(err)
	}
	if out.Seq != seq+1 {
		t.Errorf("revision %d after %d", out.Seq, seq)
	}
	// Its daemon may have gone on by itself before it was asked to.
	if l := do(t, again, OpLeases, struct{}{}); len(l) != 1 || l[0].State != "revoked" {
		t.Errorf("leases %+v, told %q", l, notes)
	}
	if f, err := p.followFrom(again); err != nil || f.Seq != out.Seq {
		t.Fatalf("%+v, %v", f, err)
	}
	_, wav, err := p.play(nil)
	wantKind(t, err, NoLease, wav)
	if !errors.Is(err, lease.ErrRevoked) && !strings.Contains(err.Error(), "revoked") {
		t.Errorf("told as %v", err)
	}
}

// Two laptops of one DJ both revoke, and so make the same generation: the one
// that sees the other says so, and the venue keeps to the first it saw.
func TestTwoLaptops(t *testing.T) {
	p := newPair(t, 30*24*time.Hour)
	backup := p.backup()
	id := do(t, p.dj, OpLeases, struct{}{})[0].Lease
	second := p.copied(backup, true)
	do(t, p.dj, OpPublish, PublishRequest{Paths: []string{tone(t, p.music, "third.wav", 1000)}, Playlist: "bar"})
	first := p.follow()
	do(t, second, OpPublish, PublishRequest{Paths: []string{tone(t, p.music, "other.wav", 2000)}, Playlist: "bar"})
	do(t, second, OpLeaseRevoke, RevokeRequest{Leases: []string{id}})
	linkUp(t, second, p.dj)
	// They tell each other of the name when they meet; whichever record
	// counts, both laptops and the venue have heard of both by the time that
	// they are asked.
	told := false
	for _, b := range []*box{p.dj, second} {
		for _, n := range b.keys.Names() {
			name, err := ipns.ParseName(string(n))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.opened.names.Ask(t.Context(), name); err != nil {
				t.Log(err) // an older record than its own
			}
		}
		_, err := Call(t.Context(), b, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: do(t, p.venue, OpID, struct{}{}).Device, For: time.Hour}, nil)
		told = told || KindOf(err) == Verify && errors.Is(err, publisher.ErrRival)
	}
	if !told {
		t.Error("neither laptop says that there is another")
	}
	if f := do(t, p.venue, OpFollows, struct{}{})[0]; f.Seq < first.Seq {
		t.Errorf("the venue went back to %d", f.Seq)
	}
	// A new root on the one that is to go on ends it.
	r := do(t, p.dj, OpKeysRotate, RotateRequest{})
	if f := p.follow(); f.Manifest != r.Manifest {
		t.Errorf("%+v", f)
	}
	p.mustPlay(firstFrames + secondFrames + 1000)
}

// The root key in a drawer: work goes on without it, backups are made and
// restored without it, and a new root has to be given it.
func TestRootKeyInADrawer(t *testing.T) {
	p := newPair(t, time.Hour)
	drawer := t.TempDir()
	if _, err := Call(t.Context(), p.dj, OpKeysOffline, OfflineRequest{Dir: p.dj.dir}, nil); KindOf(err) != Usage {
		t.Errorf("into the repo: %v", err)
	}
	if _, err := Call(t.Context(), p.dj, OpKeysOffline, OfflineRequest{Dir: filepath.Join(drawer, "none")}, nil); KindOf(err) != Usage {
		t.Errorf("into nowhere: %v", err)
	}
	m := do(t, p.dj, OpKeysOffline, OfflineRequest{Dir: drawer, Passphrase: "word"})
	if st, err := os.Stat(m.File); err != nil || st.Mode().Perm() != 0o600 || !m.Sealed {
		t.Errorf("%+v, %v, %v", m, st, err)
	}
	text := "pnsign1"
	if holds(t, drawer, text) {
		t.Error("the key is in clear")
	}
	secret, err := os.ReadFile(filepath.Join(p.dj.dir, "keys", "dj.json"))
	if err != nil || strings.Contains(string(secret), `"key/root"`) {
		t.Errorf("it is still here: %v", err)
	}
	if _, err := Call(t.Context(), p.dj, OpKeysOffline, OfflineRequest{Dir: drawer}, nil); KindOf(err) != Usage {
		t.Errorf("moved twice: %v", err)
	}
	p.publish(tone(t, p.music, "third.wav", 1000))
	backup := p.backup()
	_, err = Call(t.Context(), p.dj, OpKeysRotate, RotateRequest{}, nil)
	if KindOf(err) != Usage || !strings.Contains(err.Error(), "--root") {
		t.Errorf("a root without its key: %v", err)
	}
	_, err = Call(t.Context(), p.dj, OpKeysRotate, RotateRequest{Root: m.File, Passphrase: "another"}, nil)
	wantKind(t, err, Verify, "")
	_, err = Call(t.Context(), p.dj, OpKeysRotate, RotateRequest{Root: filepath.Join(p.music, "third.wav")}, nil)
	wantKind(t, err, Usage, "")
	p.follow()
	p.dj.stop()
	p.dj = p.copied(backup, true)
	r := do(t, p.dj, OpKeysRotate, RotateRequest{Root: m.File, Passphrase: "word"})
	if r.RootN != 2 {
		t.Errorf("%+v", r)
	}
	if k := p.dj.keys; func() bool { _, here := k.Roots(); return here }() {
		t.Error("the key came back")
	}
	if a := do(t, p.dj, OpKeysArchive, struct{}{}); len(a.Identities) != 2 || a.Identity != a.Identities[0] {
		t.Errorf("%d identities", len(a.Identities))
	}
	p.follow()
	p.mustPlay(firstFrames + secondFrames + 1000)
}
