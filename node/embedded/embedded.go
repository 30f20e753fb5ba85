// Package embedded is a whole IPFS peer inside the process: a libp2p host on
// TCP and QUIC, bitswap, gossipsub, blocks in flatfs, pins, and, by Network, a
// DHT or mDNS.
//
// What comes in: blocks, streams and values from any peer. What goes out:
// blocks that hash to their CID, checked at every read from disk too. What is
// trusted: the disk with keeping what fsync acknowledged, and the transport
// with proving a peer's identity.
package embedded

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/boxo/bitswap"
	bsclient "github.com/ipfs/boxo/bitswap/client"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	pin "github.com/ipfs/boxo/pinning/pinner"
	"github.com/ipfs/boxo/pinning/pinner/dspinner"
	leveldb "github.com/ipfs/go-ds-leveldb"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"

	"playnode/node"
)

// Network says whom the node looks for by itself.
type Network string

const (
	// Public uses the Amino DHT and its bootstrap peers, and mDNS where the
	// box is in a private network.
	Public Network = "public"
	// LAN uses mDNS and the given peers.
	LAN Network = "lan"
	// None uses the given peers and nothing else.
	None Network = "none"
)

// Config is how a Node is made.
type Config struct {
	// Dir is the node's own directory, made 0700 when absent. Required.
	Dir string
	// Identity is the libp2p key. Required.
	Identity ed25519.PrivateKey
	// Listen are multiaddrs; none means all interfaces, TCP and QUIC, on
	// ports of the system's choice. "none" alone: the node only dials.
	Listen []string
	// Peers are full multiaddrs that are connected and kept.
	Peers []string
	// Network is Public when empty.
	Network Network
	// Bootstrap are full multiaddrs in place of the public bootstrap peers.
	Bootstrap []string
	// Prefix, when set, is that of a DHT of one's own ("/fleet"), in which
	// every node serves; empty is the Amino DHT.
	Prefix string
	// Allow are the peer ids that this node has to do with, when it is to
	// have to do with no others: connections of all others are refused either
	// way, and there is no DHT.
	Allow []string
	// Small are the protocols that may go through a relay; all others, and
	// blocks, need a direct connection.
	Small []string
	// Relay serves as a relay to those who are kept, preferred or allowed.
	Relay bool
	// Reach says whether others can dial us; empty: find out.
	Reach node.Reachability
	// Room is what libp2p may take of the box; zero: by its size.
	Room Room
	// Grace is how long a released block stays; 0 means 2 minutes.
	Grace time.Duration
	// Now is the clock of that grace; nil means time.Now.
	Now func() time.Time
	// Log, when nil, drops everything.
	Log *slog.Logger
}

// closing is how long Close waits for what does not end.
const closing = 4 * time.Second

// Node is the peer. It is a node.Getter (peers only, never its own disk),
// node.Blocks, node.Pinner, node.Held, node.Values, node.Streams, node.Topics,
// node.Peers, node.Records, node.Company, node.Reach and node.Finder. Safe for concurrent use.
type Node struct {
	log    *slog.Logger
	ctx    context.Context // ends when the node closes; no request's
	cancel context.CancelFunc

	store    *store
	meta     *leveldb.Datastore
	pinner   pin.Pinner
	pinning  chan struct{} // one slot: held while pins change
	host     host.Host
	exchange *bitswap.Bitswap
	dht      *dht.IpfsDHT // nil unless Public
	mdns     mdns.Service // nil where it is not used
	peers    *peers
	topics   *topics
	provides chan announcement // Public only
	slots    slots
	small    map[string]bool // protocols that may go through a relay
	subnets  subnets
	owned    owned
	relays   *relays
	// reachable is a network.Reachability.
	reachable atomic.Int32
	down      sync.Once
	downErr   error // of Close's first call
}

// New opens the directory, listens and starts to connect. ctx bounds the
// start alone. Peers that cannot be reached yet are no error.
func New(ctx context.Context, cfg Config) (n *Node, err error) {
	if cfg.Dir == "" || cfg.Identity == nil {
		return nil, errors.New("open node: Dir and Identity are required")
	}
	if cfg.Network == "" {
		cfg.Network = Public
	}
	if cfg.Network != Public && cfg.Network != LAN && cfg.Network != None {
		return nil, fmt.Errorf("open node: network %q is not public, lan or none", cfg.Network)
	}
	n = &Node{
		log: cfg.Log, pinning: make(chan struct{}, 1), slots: slots{by: map[peer.ID]int{}},
		provides: make(chan announcement, 1024), small: map[string]bool{},
	}
	for _, p := range cfg.Small {
		n.small[p] = true
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			n.Close()
			n, err = nil, fmt.Errorf("open node in %s: %w", cfg.Dir, err)
		}
	}()
	if err := n.openDisk(ctx, cfg); err != nil {
		return n, err
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(cfg.Identity)
	if err != nil {
		return n, err
	}
	allowed, err := newFleet(cfg.Allow)
	if err != nil {
		return n, err
	}
	if n.host, err = newHost(key, cfg, allowed); err != nil {
		return n, err
	}
	if n.topics, err = newTopics(n.ctx, n.host); err != nil {
		return n, err
	}
	n.peers, err = newPeers(n.ctx, n.host, n.log)
	if err != nil {
		return n, err
	}
	if n.relays, err = newRelays(n, cfg, allowed); err != nil {
		return n, err
	}
	var find routing.ContentDiscovery // stays untyped nil without a DHT: bitswap asks
	if cfg.Network == Public && allowed == nil {
		if err := n.startDHT(cfg); err != nil {
			return n, err
		}
		find = n.dht
	}
	n.exchange = bitswap.New(n.ctx, bsnet.NewFromIpfsHost(n.host), find, served{n.store},
		bitswap.MaxOutstandingBytesPerPeer(16<<20),
		bitswap.WithWantHaveReplaceSize(16<<10),
		bitswap.TaskWorkerCount(24), bitswap.EngineTaskWorkerCount(24),
		bitswap.WithClientOption(bsclient.WithoutDuplicatedBlockStats()))
	if cfg.Network == LAN || cfg.Network == Public && allowed == nil && n.subnets.private() {
		n.mdns = mdns.NewMdnsService(n.host, "", finder{n.peers, allowed, make(chan struct{}, maxDialing)})
		if err := n.mdns.Start(); err != nil {
			n.log.Warn("mDNS does not work here; only given peers will be found", "err", err)
			n.mdns = nil
		}
	}
	for _, a := range cfg.Peers {
		if err := n.peers.keep(a); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (n *Node) openDisk(ctx context.Context, cfg Config) error {
	dir, unwanted := cfg.Dir, &doomed{grace: cfg.Grace, now: cfg.Now}
	if unwanted.grace <= 0 {
		unwanted.grace = grace
	}
	if unwanted.now == nil {
		unwanted.now = time.Now
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var err error
	if n.store, err = openStore(filepath.Join(dir, "blocks"), unwanted); err != nil {
		return err
	}
	if n.meta, err = leveldb.NewDatastore(filepath.Join(dir, "meta"), nil); err != nil {
		return err
	}
	n.pinner, err = dspinner.New(ctx, n.meta, nil)
	return err
}

// Close stops everything within 5 s; what was acknowledged is on disk.
func (n *Node) Close() error {
	n.down.Do(func() {
		n.cancel()
		done := make(chan error, 1)
		go func() { done <- n.stop() }()
		select {
		case n.downErr = <-done:
		case <-time.After(closing):
			n.downErr = errors.New("close node: something did not stop in time")
		}
	})
	return n.downErr
}

// stop ends all parts, those that use others first.
func (n *Node) stop() error {
	var errs []error
	if n.mdns != nil {
		errs = append(errs, n.mdns.Close())
	}
	if n.exchange != nil {
		errs = append(errs, n.exchange.Close())
	}
	if n.dht != nil {
		errs = append(errs, n.dht.Close())
	}
	if n.relays != nil {
		errs = append(errs, n.relays.close())
	}
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	if n.peers != nil {
		n.peers.wait()
	}
	if n.pinner != nil {
		errs = append(errs, n.pinner.Close())
	}
	if n.meta != nil {
		errs = append(errs, n.meta.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.close())
	}
	return errors.Join(errs...)
}

// Traffic is what bitswap has sent and received since New.
func (n *Node) Traffic() node.Traffic {
	s, err := n.exchange.Stat()
	if err != nil {
		return node.Traffic{}
	}
	in := int64(s.DataReceived)
	return node.Traffic{Sent: int64(s.DataSent), Received: in, BySource: map[string]int64{"bitswap": in}}
}
