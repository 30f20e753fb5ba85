package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"playnode/node"
)

const (
	// rpcSpare is what a message's envelope and control may add, in bytes.
	rpcSpare = 64 << 10
	// maxTopics bounds the topics that a peer announces at once, maxTopic
	// the length of a topic's name in bytes.
	maxTopics, maxTopic = 1024, 1024
	// waiting bounds the messages that await their verdict; more are dropped.
	waiting = 256
)

// topics is gossipsub: the one PubSub of this identity. Messages are signed
// by it, and what it publishes itself goes to every neighbour that subscribes
// and not to the mesh alone.
type topics struct {
	self   peer.ID
	pubsub *pubsub.PubSub

	// sending is held while a message is numbered and queued: stock Kubo
	// drops an author's message whose number is below the last it has seen.
	sending sync.Mutex

	mu     sync.Mutex // guards joined, and that a topic is joined once
	joined map[string]*joined
}

// joined is a topic in use.
type joined struct {
	*pubsub.Topic
	users int
}

// newTopics ends with ctx.
func newTopics(ctx context.Context, h host.Host) (*topics, error) {
	ps, err := pubsub.NewGossipSub(ctx, h,
		pubsub.WithFloodPublish(true),
		pubsub.WithMaxMessageSize(node.MaxMessage+rpcSpare),
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(anyTopic{}, maxTopics)),
		pubsub.WithValidateQueueSize(waiting),
		pubsub.WithValidateWorkers(1)) // one after the other, in order
	if err != nil {
		return nil, fmt.Errorf("start pubsub: %w", err)
	}
	return &topics{self: h.ID(), pubsub: ps, joined: map[string]*joined{}}, nil
}

// anyTopic takes all announcements of names that are not absurdly long: what
// a peer subscribes to before we do must be known when we do.
type anyTopic struct{}

func (anyTopic) CanSubscribe(topic string) bool { return len(topic) <= maxTopic }

func (f anyTopic) FilterIncomingSubscriptions(_ peer.ID, subs []*pb.RPC_SubOpts) ([]*pb.RPC_SubOpts, error) {
	return pubsub.FilterSubscriptions(subs, f.CanSubscribe), nil
}

func (t *topics) join(topic string) (*pubsub.Topic, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	j := t.joined[topic]
	if j == nil {
		handle, err := t.pubsub.Join(topic)
		if err != nil {
			return nil, err
		}
		j = &joined{Topic: handle}
		t.joined[topic] = j
	}
	j.users++
	return j.Topic, nil
}

func (t *topics) leave(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	j := t.joined[topic]
	if j.users--; j.users == 0 {
		j.Close()
		delete(t.joined, topic)
	}
}

// Publish signs and sends; see node.Topics.
func (n *Host) Publish(ctx context.Context, topic string, data []byte) error {
	if len(data) > node.MaxMessage {
		return fmt.Errorf("publish %d bytes to %s: over %d", len(data), topic, node.MaxMessage)
	}
	t, err := n.topics.join(topic)
	if err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	defer n.topics.leave(topic)
	n.topics.sending.Lock()
	defer n.topics.sending.Unlock()
	if err := t.Publish(ctx, data); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// Subscribe calls h until ctx ends or n closes; see node.Topics.
func (n *Host) Subscribe(ctx context.Context, topic string, h func(peer string, data []byte) bool) error {
	t, err := n.topics.join(topic)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	defer n.topics.leave(topic)
	var mu sync.Mutex // guards ended; held while h runs
	ended := false
	judge := func(_ context.Context, _ peer.ID, m *pubsub.Message) pubsub.ValidationResult {
		if m.GetFrom() == n.topics.self {
			return pubsub.ValidationAccept
		}
		mu.Lock()
		defer mu.Unlock()
		if !ended && len(m.Data) <= node.MaxMessage && h(m.GetFrom().String(), m.Data) {
			return pubsub.ValidationAccept
		}
		return pubsub.ValidationIgnore
	}
	// The verdict is what h is for, so h is the topic's validator; a Relay
	// takes part in the topic without a second queue.
	if err := n.topics.pubsub.RegisterTopicValidator(topic, judge, pubsub.WithValidatorInline(true)); err != nil {
		return fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	defer n.topics.pubsub.UnregisterTopicValidator(topic)
	defer func() {
		mu.Lock()
		ended = true
		mu.Unlock()
	}()
	stop, err := t.Relay()
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	defer stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-n.ctx.Done():
		return fmt.Errorf("subscribe to %s: %w: %w", topic, errors.New("node closed"), node.ErrNotFound)
	}
}
