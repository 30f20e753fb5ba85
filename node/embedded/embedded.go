// Package embedded is a whole IPFS peer inside the process: a libp2p host on
// TCP and QUIC, bitswap, blocks in flatfs, pins, and, by Network, a DHT or
// mDNS.
//
// What comes in: blocks, streams and values from any peer. What goes out:
// blocks that hash to their CID, checked at every read from disk too. What is
// trusted: the disk with keeping what fsync acknowledged, and the transport
// with proving a peer's identity.
package embedded

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"time"

	"playnode/node"
)

// Network says whom the node looks for by itself.
type Network string

const (
	// Public uses the Amino DHT and its bootstrap peers.
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
	// Listen are multiaddrs; none means all interfaces, TCP and QUIC, on a
	// port of the system's choice.
	Listen []string
	// Peers are full multiaddrs that are connected and kept.
	Peers []string
	// Network is Public when empty.
	Network Network
	// Bootstrap replaces the public bootstrap peers.
	Bootstrap []string
	// Now is the clock for what is stored and judged; never for sockets.
	// Required.
	Now func() time.Time
	// Log, when nil, drops everything.
	Log *slog.Logger
}

// Node is the peer. It is a node.Getter (peers only, never its own disk),
// node.Blocks, node.Pinner, node.Values, node.Streams and node.Peers. All is
// safe for concurrent use.
type Node struct{ cfg Config }

// New opens the directory, listens and starts to connect. ctx bounds the
// start alone. Peers that cannot be reached yet are no error.
func New(ctx context.Context, cfg Config) (*Node, error) { panic("soon") }

// Close stops everything within 5 s; what was acknowledged is on disk.
func (n *Node) Close() error { panic("soon") }

// Traffic is what bitswap has sent and received since New.
func (n *Node) Traffic() node.Traffic { panic("soon") }
