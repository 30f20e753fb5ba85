package lease

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/manifests"
)

// Whatever a chain of amendments makes, over periods, generations and
// doublings of the shards, a leased venue reads what the DJ listed; and what
// no amendment touched keeps its bytes under the same MK.
func TestAmendedIsRead(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	d := newDJ(t, manifests.Day)
	v := newVenue(t)
	for i := range 250 {
		d.addTrack(fmt.Sprint(i))
	}
	first := d.publish()
	d.tenant(v.id, start+year)
	for step := range 40 {
		mk, meta := d.sel.MK, slices.Clone(d.sel.Meta)
		var a Amend
		for range r.IntN(4) {
			a.Tracks = append(a.Tracks, d.addTrack(fmt.Sprint("more ", step)))
		}
		news := len(a.Tracks)
		if i := r.IntN(len(d.order) - len(a.Tracks)); step%3 == 1 { // a listed track's info
			d.order[i].Info = manifests.NewRawBlock(fmt.Append(nil, "info ", step)).CID
			a.Tracks = append(a.Tracks, d.order[i])
		}
		if step%5 == 2 {
			out := int64(1000 + step)
			d.mixing = manifests.Mixing{Fade: 100 * step, Album: step%2 == 0, Cues: map[cid.Cid]manifests.Cue{
				d.order[step].CID: {Out: &out}, d.order[2*step].CID: {In: new(int64), Out: &out},
			}}
			a.List, a.Mixing = "main", &d.mixing
		}
		if step%7 == 5 { // one track moves; those that are new come last all the same
			had := len(d.order) - news
			from, to := r.IntN(had), r.IntN(had)
			moved := d.order[from]
			d.order = slices.Insert(slices.Delete(d.order, from, from+1), to, moved)
			a.List, a.Order = "main", draftOf(d)[:had]
		}
		switch step % 8 {
		case 3:
			d.now += manifests.Day
			v.clock.pass(manifests.Day)
		case 6:
			d.sel = d.sel.Revoke()
		}
		draft := d.draft()
		draft.Tracks, draft.Lists, draft.Amend = nil, nil, &a
		rev, next, err := d.sel.Revise(draft)
		if err != nil {
			t.Fatal(step, err)
		}
		m := d.accept(rev, next)
		if anew := step%8 == 3 || step%8 == 6; d.sel.MK.Equal(mk) == anew {
			t.Errorf("step %d: MK drawn anew is not %v", step, anew)
		}
		v.receive(d, m)
		u, err := v.Unlock(m)
		if err != nil {
			t.Fatal(step, err)
		}
		entries := d.entries(m)
		var sealed [][]byte
		for _, c := range m.Meta {
			sealed = append(sealed, d.store[c])
		}
		lists, err := u.Playlists(sealed, entries)
		if err != nil || len(lists) != 1 || !slices.Equal(lists[0].Tracks, draftOf(d)) {
			t.Fatalf("step %d: the list is another: %v", step, err)
		}
		if got, want := lists[0].Mixing, d.mixing; got.Fade != want.Fade || got.Album != want.Album ||
			!maps.EqualFunc(got.Cues, want.Cues, func(a, b manifests.Cue) bool { return reflect.DeepEqual(a, b) }) {
			t.Fatalf("step %d: mixed as %+v, want %+v", step, got, want)
		}
		if len(entries) != len(d.order) {
			t.Fatalf("step %d: %d entries of %d", step, len(entries), len(d.order))
		}
		for _, tr := range d.order {
			e := entries[slices.IndexFunc(entries, func(e manifests.Entry) bool { return e.Track == tr.CID })]
			if k, err := u.FileKey(e); err != nil || k != tr.Key || e.Info != tr.Info {
				t.Fatalf("step %d: track %s opens to another key or info: %v", step, tr.CID, err)
			}
		}
		if d.sel.MK.Equal(mk) && a.Mixing == nil && a.Order == nil && len(meta) > 1 && !slices.Equal(d.sel.Meta[:len(meta)-1], meta[:len(meta)-1]) {
			t.Errorf("step %d: a meta block moved", step)
		}
	}
	if first.Tracks == d.sel.Tracks || len(d.order) < 257 {
		t.Error("nothing was amended, or no shard doubled")
	}
}

func draftOf(d *testDJ) []cid.Cid { return d.draft().Lists[0].Tracks }

// One block that is not held, and all is asked for; a whole draft then gives a
// revision, under a new MK, since nobody can say whether a track is gone.
func TestAmendWithoutTheBlocks(t *testing.T) {
	d := newDJ(t, 0)
	for i := range 300 {
		d.addTrack(fmt.Sprint(i))
	}
	m := d.publish()
	tr := d.addTrack("more")
	for _, gone := range []cid.Cid{m.Tracks, m.Meta[len(m.Meta)-1]} {
		kept := d.store[gone]
		delete(d.store, gone)
		draft := d.draft()
		draft.Amend = &Amend{Tracks: []Track{tr}}
		if _, _, err := d.sel.Revise(draft); !errors.Is(err, ErrWhole) {
			t.Errorf("amended without a block: %v", err)
		}
		draft.Amend = nil
		if _, next, err := d.sel.Revise(draft); err != nil || next.MK.Equal(d.sel.MK) == (gone == m.Tracks) {
			t.Errorf("the whole, without a block: %v", err)
		}
		d.store[gone] = kept
	}
	none := d.draft()
	none.Amend, none.Held = &Amend{}, nil
	if _, _, err := d.sel.Revise(none); !errors.Is(err, ErrWhole) {
		t.Errorf("amended with no blocks at all: %v", err)
	}
	fresh := NewSelection(d.chain.DJ(), 0)
	draft := d.draft()
	draft.Amend = &Amend{}
	if _, _, err := fresh.Revise(draft); !errors.Is(err, ErrWhole) {
		t.Errorf("a first revision amends: %v", err)
	}
}
