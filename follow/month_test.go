package follow_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
	"playnode/node/memory"
)

// TestThirtyDays: a DJ publishes three versions and is gone. Who was connected
// had each at once, who was not finds the last when he is; for thirty days it
// is what all have, stale or not, whatever older thing they are shown, after a
// new start too; and when she is back her next version is there at once.
// Nobody asks more often than once a day.
func TestThirtyDays(t *testing.T) { synctest.Test(t, thirtyDays) }

func thirtyDays(t *testing.T) {
	const day = 24 * time.Hour
	begun := time.Now()
	clock := func() time.Time { return now.Add(time.Since(begun)) }
	w := memory.NewWorld()
	w.Delay = 10 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	run := func(b *box) (end func()) {
		own, cancel := context.WithCancel(ctx)
		go b.names.Run(own)
		go b.follow.Run(own)
		return cancel
	}
	fresh := func(name string) *box {
		return openAt(t, w.Node(name), [2]*store{{m: map[string][]byte{}}, {m: map[string][]byte{}}}, clock, day)
	}
	d := newDJ(t, fresh("dj"), "d")
	defer run(d.box)()
	all := []*box{fresh("a"), fresh("b"), fresh("c")}
	ends := map[*box]func(){}
	for i, b := range all {
		for _, o := range append(all[:i:i], d.box) {
			w.Link(b.Node, o.Node)
		}
		ends[b] = run(b)
		mustFollow(t, b, string(d.name))
	}
	// at wants envelope to be what b has, whole, within a time.
	at := func(b *box, envelope cid.Cid, within time.Duration) {
		t.Helper()
		<-time.After(within)
		synctest.Wait()
		if s := b.follow.Follows()[0]; s.Envelope != envelope || !s.Whole {
			t.Fatalf("day %d, %s: %+v, want %s", clock().Sub(now)/day, b.ID(), s, envelope)
		}
	}
	var records []ipns.Record
	var heads []cid.Cid
	sign := func(entries ...manifests.Entry) cid.Cid {
		t.Helper()
		seq := uint64(len(heads) + 1)
		s, m := d.manifest(0, seq, entries, func(m *manifests.Manifest) {
			m.IAT, m.Exp, m.Cur = clock().Unix(), clock().Unix()+1e5, manifests.Period(clock().Unix(), manifests.Week)
		})
		heads = append(heads, d.head([]manifests.Signed{s}, []*manifests.Manifest{m}, func(h *manifests.Head) { h.IAT = m.IAT }))
		return heads[len(heads)-1]
	}
	publish := func(least uint64, entries ...manifests.Entry) cid.Cid {
		t.Helper()
		envelope := sign(entries...)
		rec, _, err := d.box.names.Publish(ctx, d.ipns, envelope, least, clock().Add(30*day))
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
		return envelope
	}
	<-time.After(time.Second)
	one, two, three := d.track(900, 100), d.track(700, 100), d.track(500, 100)
	for _, entries := range [][]manifests.Entry{{one}, {one, two}} {
		envelope := publish(0, entries...)
		at(all[0], envelope, 2*time.Second) // Publish itself may take one
		for _, b := range all {
			at(b, envelope, 0)
		}
		<-time.After(time.Hour)
	}
	for _, o := range []*box{d.box, all[0], all[1]} {
		w.Cut(all[2].Node, o.Node)
	}
	last := publish(0, one, two, three)
	at(all[0], last, time.Second)
	at(all[1], last, 0)
	at(all[2], heads[1], time.Hour)

	// She is gone, and the third is back.
	for _, b := range all {
		w.Cut(b.Node, d.box.Node)
	}
	w.Link(all[2].Node, all[1].Node)
	at(all[2], last, time.Second)

	for today := 1; today <= 29; today++ {
		<-time.After(day)
		for _, b := range all {
			s := b.follow.Follows()[0]
			if late := clock().Unix() >= s.End.Unix(); s.Stale != late || today > 1 && !s.Stale {
				t.Fatalf("day %d, %s: %+v", today, b.ID(), s)
			}
			at(b, last, 0)
		}
	}
	// A newcomer that meets one of them only.
	late := fresh("newcomer")
	w.Link(late.Node, all[1].Node)
	ends[late] = run(late)
	mustFollow(t, late, string(d.name))
	all = append(all, late)
	at(late, last, time.Second)
	if s := late.follow.Follows()[0]; !s.Stale || s.Issued.Unix() != now.Add(2*time.Hour+5*time.Second).Unix() {
		t.Errorf("the newcomer is told %+v", s)
	}

	// Somebody shows them every older record, and then, with the name's key,
	// every older head under a new one.
	liar := fresh("liar")
	var lies []ipns.Record
	lies = append(lies, records[:len(records)-1]...)
	for i, envelope := range heads[:len(heads)-1] {
		rec, err := ipns.Sign(d.ipns, envelope, uint64(100+i), clock().Add(day))
		if err != nil {
			t.Fatal(err)
		}
		lies = append(lies, rec)
	}
	copyBlocks(t, d.box, liar)
	for i, lie := range lies {
		if _, _, err := liar.names.Accept(d.name, lie.Raw); err != nil {
			t.Fatal(err)
		}
		for j, b := range all {
			w.Link(b.Node, liar.Node)
			_, err := syncOnce(t, b, d.name)
			if refused := errors.Is(err, follow.ErrVerify); lie.Seq >= 100 && !refused {
				t.Errorf("lie %d to %s: %v", i, b.ID(), err)
			}
			at(b, last, time.Second)
			// And after a new start.
			ends[b]()
			synctest.Wait()
			all[j] = b.restart(t)
			if c, err := all[j].follow.Newest(d.name); err != nil || c.Envelope != last {
				t.Fatalf("lie %d to %s, after a new start: %v", i, b.ID(), err)
			}
			least := max(lie.Seq, records[len(records)-1].Seq)
			if rec, err := all[j].names.Newest(d.name); err != nil || rec.Seq < least {
				t.Errorf("lie %d to %s, after a new start: record %d, %v", i, b.ID(), rec.Seq, err)
			}
			ends[all[j]] = run(all[j])
			at(all[j], last, time.Second)
			w.Cut(b.Node, liar.Node)
		}
	}

	// She is back, at one of them.
	w.Link(d.box.Node, all[0].Node)
	w.Link(all[0].Node, all[3].Node)
	<-time.After(time.Second)
	next := publish(200, one, two, three, d.track(300, 100))
	at(all[0], next, 2*time.Second)
	for _, b := range all {
		at(b, next, 0)
		if s := b.follow.Follows()[0]; s.Stale {
			t.Errorf("%s still says stale: %+v", b.ID(), s)
		}
	}
	stop()
	synctest.Wait()
	for _, b := range append(all, d.box, liar) {
		b.names.Close()
		b.Close()
	}
}

// copyBlocks gives to what from holds.
func copyBlocks(t *testing.T, from, to *box) {
	t.Helper()
	err := from.Each(t.Context(), func(c cid.Cid, _ int64) error {
		return to.Put(t.Context(), node.Block{CID: c, Data: must(from.Read(t.Context(), c))})
	})
	if err != nil {
		t.Fatal(err)
	}
}
