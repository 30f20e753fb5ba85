// Package stock is names as stock IPFS carries them, for bench to measure ours
// beside: IPNS over pubsub as Kubo configures it, and a DHT.
//
// What comes in: hosts on loopback and records that bench signed. What goes
// out: when each peer had them. Nothing here is part of playnode.
package stock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	namesys "github.com/libp2p/go-libp2p-pubsub-router"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

func newHost() (host.Host, error) {
	return libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics())
}

// Peer is a host with IPNS over pubsub and nothing else.
type Peer struct {
	host   host.Host
	values *namesys.PubsubValueStore
	cancel context.CancelFunc
}

// NewPeer starts a peer; heard is called whenever it has found a record good,
// which is before it keeps it.
func NewPeer(heard func(value []byte)) (*Peer, error) {
	h, err := newHost()
	if err != nil {
		return nil, fmt.Errorf("start stock peer: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Peer{host: h, cancel: cancel}
	ps, err := pubsub.NewGossipSub(ctx, h, pubsub.WithFloodPublish(true))
	if err == nil {
		p.values, err = namesys.NewPubsubValueStore(ctx, h, ps,
			validator{record.NamespacedValidator{"ipns": ipns.Validator{KeyBook: h.Peerstore()}}, heard},
			namesys.WithRebroadcastInterval(time.Minute))
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("start stock peer: %w", err)
	}
	return p, nil
}

// validator tells when a record was found good.
type validator struct {
	record.Validator
	heard func(value []byte)
}

func (v validator) Validate(key string, value []byte) error {
	err := v.Validator.Validate(key, value)
	if err == nil {
		v.heard(value)
	}
	return err
}

// Connect connects to another.
func (p *Peer) Connect(ctx context.Context, o *Peer) error {
	return p.host.Connect(ctx, peer.AddrInfo{ID: o.host.ID(), Addrs: o.host.Addrs()})
}

// Subscribe takes an interest in a routing key.
func (p *Peer) Subscribe(key string) error { return p.values.Subscribe(key) }

// Publish puts a record.
func (p *Peer) Publish(ctx context.Context, key string, value []byte) error {
	return p.values.PutValue(ctx, key, value)
}

// Close ends it.
func (p *Peer) Close() error {
	p.cancel()
	return p.host.Close()
}

// DHT is a network of servers of its own.
type DHT struct {
	hosts []host.Host
	nodes []*dht.IpfsDHT
}

// NewDHT starts n nodes that know one another.
func NewDHT(ctx context.Context, n int) (_ *DHT, err error) {
	d := &DHT{}
	defer func() {
		if err != nil {
			d.Close()
			err = fmt.Errorf("start DHT: %w", err)
		}
	}()
	for range n {
		h, err := newHost()
		if err != nil {
			return nil, err
		}
		d.hosts = append(d.hosts, h)
		node, err := dht.New(h, dht.Mode(dht.ModeServer), dht.ProtocolPrefix("/bench"),
			dht.NamespacedValidator("ipns", ipns.Validator{KeyBook: h.Peerstore()}), dht.NamespacedValidator("pk", record.PublicKeyValidator{}))
		if err != nil {
			return nil, err
		}
		d.nodes = append(d.nodes, node)
	}
	for i, h := range d.hosts {
		for _, o := range d.hosts[:i] {
			if err := h.Connect(ctx, peer.AddrInfo{ID: o.ID(), Addrs: o.Addrs()}); err != nil {
				return nil, err
			}
		}
	}
	for _, node := range d.nodes {
		for node.RoutingTable().Size() < n/2 {
			select {
			case <-node.RefreshRoutingTable():
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	return d, nil
}

// Put puts a record from the first node.
func (d *DHT) Put(ctx context.Context, key string, value []byte) error {
	return d.nodes[0].PutValue(ctx, key, value)
}

// Get resolves at node i.
func (d *DHT) Get(ctx context.Context, i int, key string) ([]byte, error) {
	return d.nodes[i].GetValue(ctx, key)
}

// Close ends it.
func (d *DHT) Close() error {
	var errs []error
	for _, n := range d.nodes {
		errs = append(errs, n.Close())
	}
	for _, h := range d.hosts {
		errs = append(errs, h.Close())
	}
	return errors.Join(errs...)
}
