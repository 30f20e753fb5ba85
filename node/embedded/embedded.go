// Package embedded is a whole IPFS peer inside the process: a libp2p host on
// TCP and QUIC, bitswap, gossipsub, blocks in packs, pins, and, by Network, a
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
	"time"

	"github.com/ipfs/boxo/bitswap"
	bsclient "github.com/ipfs/boxo/bitswap/client"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	bsserver "github.com/ipfs/boxo/bitswap/server"
	pin "github.com/ipfs/boxo/pinning/pinner"
	"github.com/ipfs/boxo/pinning/pinner/dspinner"
	"github.com/ipfs/go-cid"
	leveldb "github.com/ipfs/go-ds-leveldb"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

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
	// Dir is the node's own directory, made 0700 when absent. Required of a
	// Node; a Host has none.
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
	// Line, when set, is shared by all connections, through all transports.
	Line *node.Line
	// Keep, when set, tells that bitswap is to give a peer nothing now. It must
	// cost nothing to ask.
	Keep func(peer string) bool
	// Grace is how long a released block stays; 0 means 2 minutes.
	Grace time.Duration
	// Now is the clock of that grace; nil means time.Now.
	Now func() time.Time
	// Log, when nil, drops everything.
	Log *slog.Logger
}

// askers is how many of bitswap's goroutines look into the store at once: for what
// it has, which asks no disk, and for the blocks that it gives, each of which is
// read. A stack of 8 KiB waits for each.
const askers = 8

// Node is the peer. It is a node.Getter (peers only, never its own disk),
// node.Blocks, node.Keeper, node.Lender, node.Pinner, node.Held, node.Values, node.Streams,
// node.Topics, node.Peers, node.Records, node.Company, node.Reach and
// node.Finder. Safe for concurrent use.
type Node struct {
	*Host
	store    *store
	meta     *leveldb.Datastore
	pinner   pin.Pinner
	pinning  chan struct{} // one slot: held while pins change
	exchange *bitswap.Bitswap
	dht      *dht.IpfsDHT      // nil unless Public, and no fleet
	provides chan announcement // Public only
}

// New opens the directory, listens and starts to connect. ctx bounds the
// start alone. Peers that cannot be reached yet are no error.
func New(ctx context.Context, cfg Config) (n *Node, err error) {
	if cfg.Dir == "" {
		return nil, errors.New("open node: Dir is required")
	}
	h, err := listen(cfg)
	if h == nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	n = &Node{Host: h, pinning: make(chan struct{}, 1), provides: make(chan announcement, 1024)}
	defer func() {
		if err != nil {
			n.Close()
			n, err = nil, fmt.Errorf("open node in %s: %w", cfg.Dir, err)
		}
	}()
	if err != nil {
		return n, err
	}
	if err := n.openDisk(ctx, cfg); err != nil {
		return n, err
	}
	var find routing.ContentDiscovery // stays untyped nil without a DHT: bitswap asks
	if h.network == Public && h.allowed == nil {
		if err := n.startDHT(cfg); err != nil {
			return n, err
		}
		find = n.dht
	}
	keeps := func(p peer.ID) bool { return cfg.Keep != nil && cfg.Keep(p.String()) }
	n.exchange = bitswap.New(n.ctx, newReminders(bsnet.NewFromIpfsHost(n.host), served{n.store}.Has, keeps), find, served{n.store},
		bitswap.MaxOutstandingBytesPerPeer(16<<20),
		bitswap.WithWantHaveReplaceSize(16<<10),
		bitswap.TaskWorkerCount(24), bitswap.EngineTaskWorkerCount(24),
		bitswap.EngineBlockstoreWorkerCount(askers),
		bitswap.WithServerOption(bsserver.WithPeerBlockRequestFilter(func(p peer.ID, _ cid.Cid) bool { return !keeps(p) })),
		bitswap.WithClientOption(bsclient.WithoutDuplicatedBlockStats()))
	return n, n.begin()
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
	if n.store, err = openStore(cfg, unwanted); err != nil {
		return err
	}
	// Pins are little: stock buffers are 12 MiB.
	few := leveldb.Options{WriteBuffer: 128 << 10, BlockCacheCapacity: 128 << 10}
	if n.meta, err = leveldb.NewDatastore(filepath.Join(dir, "meta"), &few); err != nil {
		return err
	}
	n.pinner, err = dspinner.New(ctx, n.meta, nil)
	return err
}

// Close stops everything within 5 s; what was acknowledged is on disk.
func (n *Node) Close() error { return n.close(n.stop) }

// stop ends all parts, those that use others first.
func (n *Node) stop() error {
	var errs []error
	if n.exchange != nil {
		errs = append(errs, n.exchange.Close())
	}
	if n.dht != nil {
		errs = append(errs, n.dht.Close())
	}
	errs = append(errs, n.Host.stop())
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
