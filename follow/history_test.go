package follow_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
)

// roots are the pins of b, by name.
func roots(t *testing.T, b *box) (out []cid.Cid) {
	t.Helper()
	for _, p := range must(b.Pins(t.Context())) {
		out = append(out, p.Root)
	}
	return out
}

// TestHistory keeps so many past versions as it is told, each with its
// record, also over a restart; unfollowing lets all go.
func TestHistory(t *testing.T) {
	_, d, venue := stage(t)
	a := d.track(500, 100)
	name := mustFollow(t, venue, string(d.name))
	var versions []cid.Cid
	var records [][]byte
	next := func() {
		t.Helper()
		versions = append(versions, d.publish(uint64(len(versions)+1), a, d.track(300, 100)))
		records = append(records, must(d.box.names.Newest(d.name)).Raw)
		mustSync(t, venue, name)
	}
	want := func(first int) {
		t.Helper()
		var past []cid.Cid
		for i, p := range must(venue.follow.History(name)) {
			past = append(past, p.Envelope)
			rec, err := ipns.Open(name, p.Record)
			if err != nil || rec.Value != p.Envelope || string(p.Record) != string(records[first+i]) || p.Issued != now {
				t.Fatalf("past %+v: record %v, %v", p, rec.Value, err)
			}
		}
		newest := len(versions) - 1
		if !slices.Equal(past, versions[first:newest]) {
			t.Fatalf("history %v, want %v", past, versions[first:newest])
		}
		if got := roots(t, venue); len(got) != newest-first+1 || !slices.Contains(got, versions[newest]) {
			t.Fatalf("pins %v, want those of %v", got, versions[first:])
		}
	}
	next()
	next()
	want(1) // without a history the newest alone
	if err := venue.follow.SetHistory(t.Context(), name, 2); err != nil {
		t.Fatal(err)
	}
	next()
	want(1)
	venue = venue.restart(t)
	next()
	want(1)
	next()
	want(2)
	if err := venue.follow.SetHistory(t.Context(), name, follow.All); err != nil {
		t.Fatal(err)
	}
	next()
	next()
	want(2)
	if err := venue.follow.SetHistory(t.Context(), name, 1); err != nil {
		t.Fatal(err)
	}
	want(5)
	if err := venue.follow.SetHistory(t.Context(), name, -2); err == nil {
		t.Fatal("history -2 was taken")
	}
	if err := venue.follow.Unfollow(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if got := roots(t, venue); len(got) != 0 {
		t.Fatalf("pins after Unfollow %v", got)
	}
	mustFollow(t, venue, string(d.name))
	if past := must(venue.follow.History(name)); len(past) != 0 {
		t.Fatalf("history after Unfollow %v", past)
	}
}

// TestCutWhileTidying has the process end after the new version was noted as
// whole, the old one's pin still there.
func TestCutWhileTidying(t *testing.T) {
	_, d, venue := stage(t)
	first := d.publish(1, d.track(500, 100))
	name := mustFollow(t, venue, string(d.name))
	mustSync(t, venue, name)
	old := must(venue.Pins(t.Context()))[0]
	second := d.publish(2, d.track(300, 100))
	mustSync(t, venue, name)
	if err := venue.Pin(t.Context(), old); err != nil { // as if it had not gone
		t.Fatal(err)
	}
	venue = venue.restart(t)
	if _, err := venue.follow.Sync(t.Context(), name, follow.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := roots(t, venue); !slices.Equal(got, []cid.Cid{second}) {
		t.Fatalf("pins %v, want %s without %s", got, second, first)
	}
}

// TestVerify finds what was damaged and lost, of past versions and of blocks
// that no name reaches, and mends what a peer gives.
func TestVerify(t *testing.T) {
	w, d, venue := stage(t)
	a, b := d.track(1000, 100), d.track(700, 100)
	d.publish(1, a, b)
	name := mustFollow(t, venue, string(d.name))
	mustSync(t, venue, name)
	if err := venue.follow.SetHistory(t.Context(), name, follow.All); err != nil {
		t.Fatal(err)
	}
	newest := d.publish(2, a)
	mustSync(t, venue, name)
	stray := manifests.NewRawBlock([]byte("of no name"))
	d.put(stray)
	if err := venue.Put(t.Context(), node.Block(stray)); err != nil {
		t.Fatal(err)
	}
	verify := func(ctx context.Context) (follow.Check, error) {
		k := &follow.Checked{}
		err := venue.follow.Verify(ctx, name, k)
		if err == nil {
			err = venue.follow.VerifyRest(ctx, k)
		}
		return k.Sum(), err
	}
	clean, err := verify(t.Context())
	if err != nil || clean.Damaged+clean.Lost+clean.Repaired != 0 || clean.Blocks < 25 {
		t.Fatalf("clean: %+v, %v", clean, err)
	}
	hurt := []cid.Cid{d.leaves(a.Track)[4], b.Track, d.leaves(b.Track)[2], newest, a.Info, stray.CID}
	for _, c := range hurt {
		venue.Damage(c)
	}
	lost := d.leaves(a.Track)[1]
	venue.Delete(t.Context(), lost)
	got, err := verify(t.Context())
	want := clean
	want.Damaged, want.Lost, want.Repaired = len(hurt), 1, len(hurt)+1
	if err != nil || got != want {
		t.Fatalf("hurt: %+v, %v, want %+v", got, err, want)
	}
	if again, err := verify(t.Context()); err != nil || again != clean {
		t.Fatalf("again: %+v, %v, want %+v", again, err, clean)
	}
	w.Cut(d.box.Node, venue.Node)
	venue.Damage(hurt[0])
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := verify(ctx); !errors.Is(err, context.DeadlineExceeded) || got.Damaged != 1 || got.Repaired != 0 {
		t.Fatalf("alone: %+v, %v", got, err)
	}
}
