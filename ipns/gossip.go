package ipns

import (
	"bytes"
	"context"
	"encoding/base64"
	"math/rand/v2"
	"time"
)

// Topics is publish and subscribe; see node.Topics for the promises.
type Topics interface {
	Publish(ctx context.Context, topic string, data []byte) error
	Subscribe(ctx context.Context, topic string, h func(peer string, data []byte) bool) error
}

// Topic is where records of the name are published, by the IPNS PubSub
// standard: "/record/" and the base64url of the routing key. A message is a
// record's bytes and nothing else.
func (n Name) Topic() string {
	return "/record/" + base64.RawURLEncoding.EncodeToString([]byte(n.RoutingKey()))
}

// gossip is the Router over topics. It answers no question: what it brings
// comes by itself, and is on disk before anyone asks.
type gossip struct {
	namer  *Namer
	topics Topics
}

// Put publishes; who has heard it is not known.
func (g *gossip) Put(ctx context.Context, name Name, raw []byte, _ func(who string)) error {
	g.heard(name, raw)
	return g.topics.Publish(ctx, name.Topic(), raw)
}

func (g *gossip) Get(context.Context, Name, func(raw []byte)) error { return nil }

// heard notes that raw has been on its topic, and tells whether that is new.
func (g *gossip) heard(name Name, raw []byte) bool {
	n := g.namer
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.reached(name, raw)
	if r == nil || r.gossiped {
		return false
	}
	r.gossiped = true
	return true
}

// listen takes what comes for name until ctx ends.
func (g *gossip) listen(ctx context.Context, name Name) {
	for wait := again; ; wait = min(2*wait, ttl) {
		err := g.topics.Subscribe(ctx, name.Topic(), func(peer string, raw []byte) bool { return g.hear(name, peer, raw) })
		if ctx.Err() != nil {
			return
		}
		// The subscription before may not have ended yet.
		g.namer.cfg.Log.Debug("subscribe", "name", name, "err", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// hear judges one message: it goes on if it is the newest record known, and
// has not gone on before.
func (g *gossip) hear(name Name, peer string, raw []byte) bool {
	newest, _, err := g.namer.Accept(name, raw)
	if err != nil {
		g.namer.cfg.Log.Debug("record on topic", "peer", peer, "name", name, "err", err)
		return false
	}
	if !bytes.Equal(newest.Raw, raw) {
		return false
	}
	g.namer.holds(name, raw, peer)
	return g.heard(name, raw)
}

// How the ways share the work, so that nobody is told twice for nothing:
//
//   - Who signs a record puts it by every way at once (Publish).
//   - Subscribers pass it on within the topic as it comes.
//   - Who has heard a new record by any way waits a moment, and then pushes it
//     to those neighbours only that have not shown to hold it; and publishes
//     it on the topic only if it has not been there by then.
//   - To the DHT and to delegated routers it is put by its signer at once, and
//     by everyone who keeps it after a while that each draws for itself,
//     within a twelfth of Config.Every, and then once each Every.
//
// The moment is passing at the least and twice that at the most; without
// topics there is nothing to wait for.
const passing = 150 * time.Millisecond

// tend keeps one name alive until ctx ends: it listens on its topic, passes on
// what is new (kick: there is a newer record) and re-puts what is held.
func (n *Namer) tend(ctx context.Context, name Name, kick <-chan struct{}) {
	if n.topics != nil {
		listening := make(chan struct{})
		go func() {
			defer close(listening)
			n.topics.listen(ctx, name)
		}()
		defer func() { <-listening }()
	}
	within := func(d time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(d)) + 1) }
	pass := time.NewTimer(passing)
	pass.Stop()
	reput := time.NewTimer(within(n.cfg.Every / 12))
	defer pass.Stop()
	defer reput.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-kick:
			reput.Reset(within(n.cfg.Every / 12))
			if n.topics == nil {
				n.passOn(name)
			} else {
				pass.Reset(passing + within(passing))
			}
		case <-pass.C:
			n.passOn(name)
		case <-reput.C:
			reput.Reset(n.cfg.Every)
			n.putAgain(name)
		}
	}
}

// passOn hands a new record to those who seem to lack it.
func (n *Namer) passOn(name Name) {
	rec, err := n.Newest(name)
	if err != nil || rec.Ended(n.cfg.Now()) {
		return
	}
	hand := func(r Router) {
		n.spawn(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, putting)
			defer cancel()
			if err := r.Put(ctx, name, rec.Raw, func(who string) { n.holds(name, rec.Raw, who) }); err != nil {
				n.cfg.Log.Debug("pass record on", "name", name, "err", err)
			}
		})
	}
	if n.direct != nil {
		hand(n.direct)
	}
	if n.topics != nil && n.topics.heard(name, rec.Raw) {
		hand(n.topics)
	}
}

// putAgain puts what is held by every way, as if nobody were known to have it:
// peers come back empty, and a DHT forgets.
func (n *Namer) putAgain(name Name) {
	rec, err := n.Newest(name)
	if err != nil || rec.Ended(n.cfg.Now()) {
		return
	}
	n.mu.Lock()
	delete(n.reach, name)
	n.mu.Unlock()
	n.spawn(func(ctx context.Context) {
		k := n.put(ctx, rec, 0)
		n.cfg.Log.Debug("put again", "name", name, "seq", rec.Seq, "holders", k)
	})
}
