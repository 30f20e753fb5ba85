package ipns

import (
	"bytes"
	"context"
	"encoding/base64"
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
