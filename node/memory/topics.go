package memory

import (
	"bytes"
	"context"
	"fmt"

	"playnode/node"
)

// subscription is one Subscribe under way.
type subscription struct{ messages chan *message }

// message is one message on its way through the world.
type message struct {
	from, topic string
	data        []byte
	met         map[string]bool // nodes it was handed to; guarded by World.mu
}

// Publish sends to the linked nodes that subscribe; see node.Topics. One that
// has fallen 64 messages behind misses it.
func (n *Node) Publish(ctx context.Context, topic string, data []byte) error {
	if len(data) > node.MaxMessage {
		return fmt.Errorf("publish %d bytes to %s: over %d", len(data), topic, node.MaxMessage)
	}
	if err := n.world.travel(ctx); err != nil {
		return err
	}
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	n.gossip(&message{n.id, topic, bytes.Clone(data), map[string]bool{n.id: true}})
	return nil
}

// gossip hands m to the linked nodes that have not met it. World.mu is held.
func (n *Node) gossip(m *message) {
	for _, p := range n.linked() {
		s := n.world.nodes[p].topics[m.topic]
		if s == nil || m.met[p] {
			continue
		}
		select {
		case s.messages <- m:
			m.met[p] = true
		default:
		}
	}
}

// Subscribe calls h until ctx ends or n closes; see node.Topics.
func (n *Node) Subscribe(ctx context.Context, topic string, h func(peer string, data []byte) bool) error {
	s := &subscription{make(chan *message, 64)}
	n.world.mu.Lock()
	if n.topics[topic] != nil {
		n.world.mu.Unlock()
		return fmt.Errorf("subscribe to %s: subscribed already", topic)
	}
	n.topics[topic] = s
	n.world.mu.Unlock()
	defer func() {
		n.world.mu.Lock()
		delete(n.topics, topic)
		n.world.mu.Unlock()
	}()
	for {
		select {
		case m := <-s.messages:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if h(m.from, bytes.Clone(m.data)) && n.world.travel(ctx) == nil {
				n.world.mu.Lock()
				n.gossip(m)
				n.world.mu.Unlock()
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-n.done:
			return fmt.Errorf("subscribe to %s: node closed: %w", topic, node.ErrNotFound)
		}
	}
}
