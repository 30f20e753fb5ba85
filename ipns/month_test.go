package ipns_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"playnode/ipns"
	"playnode/node"
	"playnode/node/memory"
)

// TestThirtyDays: the DJ signs, hands out and is gone. Her followers keep the
// name for thirty days and re-put it; who comes on day 29 resolves it from any
// of them, and on day 31 is told what it was and that it has ended.
func TestThirtyDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		w := memory.NewWorld()
		w.Delay = 20 * time.Millisecond
		ctx, stop := context.WithCancel(t.Context())
		open := func(name string) (*memory.Node, *ipns.Namer) {
			m := w.Node(name)
			names := namer(t, ipns.Config{Now: time.Now, Peers: m, Topics: m, Routers: []ipns.Router{ipns.DHT(m)}})
			go names.Run(ctx)
			return m, names
		}
		dj, djNames := open("dj")
		var nodes []*memory.Node
		for i := range 3 {
			f, names := open(string(rune('a' + i)))
			names.Watch(n, nil)
			for _, o := range append(nodes, dj) {
				w.Link(f, o)
			}
			nodes = append(nodes, f)
		}
		synctest.Wait()
		signed, holders, err := djNames.Publish(ctx, k, value("x"), 0, time.Now().Add(30*day))
		if err != nil || holders < 3 {
			t.Fatalf("%d holders, %v", holders, err)
		}
		<-time.After(time.Second)
		djNames.Close()
		dj.Close()

		lost := 0 // of daily looks at the DHT, which forgets after each
		for range 28 {
			<-time.After(day)
			if raw, err := nodes[0].GetValue(ctx, n.RoutingKey()); err != nil || len(raw) == 0 {
				lost++
			}
			nodes[0].PutValue(ctx, n.RoutingKey(), nil)
		}
		if lost > 0 {
			t.Errorf("on %d of 28 days nobody had put the record again", lost)
		}
		// Only one of them is near, and it never met the DJ's address.
		<-time.After(day)
		venue, venueNames := open("venue")
		w.Link(venue, nodes[2])
		<-time.After(time.Second)
		asked := time.Now()
		r, err := venueNames.Resolve(ctx, n)
		if err != nil || r.Value != signed.Value || r.Ended(time.Now()) {
			t.Fatalf("day 29: %+v, %v", r, err)
		}
		if took := time.Since(asked); took > 100*time.Millisecond {
			t.Errorf("resolving took %v", took)
		}
		<-time.After(2 * day)
		late, lateNames := open("late")
		defer lateNames.Watch(n, nil)()
		w.Link(late, nodes[1])
		r, err = lateNames.Resolve(ctx, n)
		if err != nil || r.Value != signed.Value || !r.Ended(time.Now()) {
			t.Fatalf("day 31: %+v, %v", r, err)
		}
		if a := lateNames.Alerts(); len(a) != 1 || a[0].Kind != ipns.Stale || !a[0].Since.Equal(signed.EOL) {
			t.Errorf("day 31: alerts %+v", a)
		}
		// She is back, and one record clears it everywhere.
		dj, djNames = open("dj again")
		w.Link(dj, nodes[0])
		w.Link(late, nodes[0])
		back := time.Now()
		if r, err := djNames.Ask(ctx, n); err != nil || r.Seq != 1 {
			t.Fatalf("the DJ asks what she had signed: %+v, %v", r, err)
		}
		if _, _, err := djNames.Publish(ctx, k, value("yy"), 0, time.Now().Add(30*day)); err != nil {
			t.Fatal(err)
		}
		<-time.After(2*time.Second - time.Since(back))
		for name, names := range map[string]*ipns.Namer{"venue": lateNames} {
			if r, _ := names.Newest(n); r.Seq != 2 || len(names.Alerts()) != 0 {
				t.Errorf("%s: %d after 2 s, alerts %+v", name, r.Seq, names.Alerts())
			}
		}
		stop()
		for _, m := range append(nodes, dj, venue, late) {
			m.Close()
		}
	})
}

// TestNobodyIsToldTwice: in a full mesh of followers a record is pushed about
// once to each, and is on its topic once.
func TestNobodyIsToldTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const followers = 12
		w := memory.NewWorld()
		w.Delay = 5 * time.Millisecond
		ctx, stop := context.WithCancel(t.Context())
		var nodes []*counted
		var dj *ipns.Namer
		for i := range followers + 1 {
			m := &counted{Node: w.Node(string(rune('a' + i)))}
			names := namer(t, ipns.Config{Now: time.Now, Peers: m, Topics: m})
			if i == 0 {
				dj = names
			} else {
				names.Watch(n, nil)
			}
			go names.Run(ctx)
			for _, o := range nodes {
				w.Link(m.Node, o.Node)
			}
			nodes = append(nodes, m)
		}
		<-time.After(time.Second)
		for _, m := range nodes {
			m.opened.Store(0)
		}
		if _, holders, err := dj.Publish(ctx, k, value("x"), 0, time.Now().Add(time.Hour)); err != nil || holders < 3 {
			t.Fatal(holders, err)
		}
		<-time.After(time.Second)
		pushes, published := 0, 0
		for _, m := range nodes {
			pushes += int(m.opened.Load())
			published += int(m.published.Load())
		}
		if holders := dj.Holders(n); holders != followers {
			t.Errorf("%d of %d hold it", holders, followers)
		}
		// Who cannot know that a neighbour has it by the topic asks by pushing:
		// at most once a pair, whoever is first.
		if most := followers + followers*(followers-1)/2 + followers; pushes > most {
			t.Errorf("%d pushes, at most %d were to be expected", pushes, most)
		}
		if published != 1 {
			t.Errorf("published %d times", published)
		}
		before := pushes
		<-time.After(30 * time.Minute)
		pushes = 0
		for _, m := range nodes {
			pushes += int(m.opened.Load())
		}
		if pushes > before+followers*followers {
			t.Errorf("%d pushes within half an hour", pushes-before)
		}
		stop()
		for _, m := range nodes {
			m.Close()
		}
	})
}

// TestTopicAlone: with no direct exchange between them, as with stock Kubo, a
// record comes and goes by its topic; interest ends the subscription.
func TestTopicAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memory.NewWorld()
		a, b, c := w.Node("a"), w.Node("b"), w.Node("c")
		w.Link(a, b)
		w.Link(b, c)
		ctx, stop := context.WithCancel(t.Context())
		relayed := 0 // by b, to one who would take anything
		go c.Subscribe(ctx, n.Topic(), func(string, []byte) bool { relayed++; return true })
		pub := namer(t, ipns.Config{Topics: a})
		sub := namer(t, ipns.Config{Topics: b})
		go pub.Run(ctx)
		go sub.Run(ctx)
		unwatch := sub.Watch(n, nil)
		synctest.Wait()
		if _, holders, err := pub.Publish(ctx, k, value("x"), 0, later); err != nil || holders != 0 {
			t.Fatal(holders, err)
		}
		synctest.Wait()
		if r, err := sub.Newest(n); err != nil || r.Seq != 1 {
			t.Fatalf("by the topic: %d, %v", r.Seq, err)
		}
		foreign, _ := key(2)
		other, _ := ipns.Sign(foreign, value("x"), 9, later)
		for name, bad := range map[string][]byte{
			"empty": nil, "nonsense": {1}, "oversized": make([]byte, ipns.MaxRecord+1),
			"another key's": other.Raw, "ended": sign(t, 9, "x", start.Add(-1)).Raw, "older": sign(t, 0, "x", later).Raw,
		} {
			a.Publish(ctx, n.Topic(), bad)
			synctest.Wait()
			if r, err := sub.Newest(n); err != nil || r.Seq != 1 {
				t.Errorf("%s record on the topic: newest is %d, %v", name, r.Seq, err)
			}
		}
		again, _ := sub.Newest(n)
		a.Publish(ctx, n.Topic(), again.Raw)
		synctest.Wait()
		if relayed != 1 {
			t.Errorf("%d messages were passed on, of which one was new and good", relayed)
		}
		unwatch()
		synctest.Wait()
		if err := b.Subscribe(expired(ctx), n.Topic(), nil); !errors.Is(err, context.Canceled) {
			t.Fatalf("the topic is still subscribed: %v", err)
		}
		stop()
		synctest.Wait()
		a.Close()
		b.Close()
		c.Close()
	})
}

// expired is a context that has ended.
func expired(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// counted counts what a node does for names.
type counted struct {
	*memory.Node
	opened, published atomic.Int64
}

func (c *counted) Open(ctx context.Context, peer, protocol string) (node.Stream, error) {
	c.opened.Add(1)
	return c.Node.Open(ctx, peer, protocol)
}

func (c *counted) Publish(ctx context.Context, topic string, data []byte) error {
	c.published.Add(1)
	return c.Node.Publish(ctx, topic, data)
}
