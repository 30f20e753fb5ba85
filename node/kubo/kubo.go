// Package kubo uses a running Kubo by its RPC
// (https://docs.ipfs.tech/reference/kubo/rpc/): its disk for blocks, its pins,
// its peers to fetch from, and its routing for name records. Streams and topics
// of our own it does not offer; those are a host's beside it.
//
// What comes in: the address of an RPC, which is trusted to store what it is
// given, as far as a disk is; it is never to be open to others. What goes out:
// blocks that hash to their CID, checked at every read, and records that nobody
// has verified yet. No key of ours goes there.
package kubo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// oldest is the first Kubo, 0.oldest, that takes and gives name records.
const oldest = 40

const (
	// meeting bounds the wait for Kubo to dial a peer, maxAddrs the addresses
	// that it is given, or taken at its word for.
	meeting  = 30 * time.Second
	maxAddrs = 32
)

// Config is how a Kubo is used.
type Config struct {
	// RPC is its address, such as http://127.0.0.1:5001. Required.
	RPC string
	// Auth is as NewNames takes it.
	Auth string
	// Log, when nil, drops everything.
	Log *slog.Logger
}

// Node is a Kubo. It is a node.Getter, node.Blocks, node.Pinner and node.Held,
// and Names. Safe for concurrent use; other programs may use the same Kubo, of
// whose pins and blocks none is touched.
type Node struct {
	*Names
	log   *slog.Logger
	id    string
	since node.Traffic // Kubo's counts when we came

	pinning sync.Mutex         // held while our pins change; guards loose
	loose   map[cid.Cid]pinned // roots whose pins wait for damage to be mended
}

// Open looks whether a Kubo answers that is new enough. ctx bounds that alone.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	names, err := NewNames(cfg.RPC, cfg.Auth)
	if err != nil {
		return nil, fmt.Errorf("use Kubo: %w", err)
	}
	n := &Node{Names: names, log: cfg.Log, loose: map[cid.Cid]pinned{}}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	var v struct{ Version string }
	if err := n.rpc.ask(ctx, "version", "", &v); err != nil {
		return nil, fmt.Errorf("use Kubo: %w", err)
	}
	if !recent(v.Version) {
		return nil, fmt.Errorf("use Kubo: it is version %.40q, and 0.%d is the first that carries name records: update it", v.Version, oldest)
	}
	if n.id, _, err = n.whoami(ctx); err != nil {
		return nil, fmt.Errorf("use Kubo: %w", err)
	}
	if n.since, err = n.traffic(ctx); err != nil {
		return nil, fmt.Errorf("use Kubo: %w", err)
	}
	if err := n.remember(ctx); err != nil {
		return nil, fmt.Errorf("use Kubo: %w", err)
	}
	n.mended(ctx)
	return n, nil
}

// recent tells whether a version, such as 0.43.1 or 0.44.0-dev, will do.
func recent(version string) bool {
	f := strings.SplitN(version, ".", 3)
	if len(f) < 2 {
		return false
	}
	major, err := strconv.Atoi(f[0])
	minor, errs := strconv.Atoi(f[1])
	return err == nil && errs == nil && (major > 0 || minor >= oldest)
}

// KuboID is Kubo's peer id.
func (n *Node) KuboID() string { return n.id }

// KuboAddrs are full multiaddrs at which Kubo says that peers reach it.
func (n *Node) KuboAddrs(ctx context.Context) ([]string, error) {
	_, addrs, err := n.whoami(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask Kubo for its addresses: %w", err)
	}
	return addrs, nil
}

func (n *Node) whoami(ctx context.Context) (id string, addrs []string, err error) {
	var who struct {
		ID        string
		Addresses []string
	}
	if err := n.rpc.ask(ctx, "id", "", &who); err != nil {
		return "", nil, err
	}
	if who.ID == "" {
		return "", nil, errors.New("the Kubo does not say who it is")
	}
	return who.ID, who.Addresses[:min(len(who.Addresses), maxAddrs)], nil
}

// Meet has Kubo connect to a peer at full multiaddrs, and, when keep is set,
// stay connected as long as it runs.
func (n *Node) Meet(ctx context.Context, keep bool, addrs ...string) error {
	ctx, cancel := context.WithTimeout(ctx, meeting)
	defer cancel()
	var pairs []string
	for _, a := range addrs[:min(len(addrs), maxAddrs)] {
		pairs = append(pairs, "arg", a)
	}
	if keep {
		if err := n.rpc.ask(ctx, "swarm/peering/add", args(pairs...), nil); err != nil {
			return fmt.Errorf("have Kubo keep a peer: %w", err)
		}
	}
	if err := n.rpc.ask(ctx, "swarm/connect", args(pairs...), nil); err != nil {
		return fmt.Errorf("have Kubo connect to a peer: %w", err)
	}
	return nil
}

// Traffic is what Kubo has sent and received by bitswap since Open, for
// whomever; zero while it does not answer.
func (n *Node) Traffic() node.Traffic {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	t, err := n.traffic(ctx)
	if err != nil || t.Received < n.since.Received || t.Sent < n.since.Sent {
		return node.Traffic{BySource: map[string]int64{}} // or it was started anew
	}
	in := t.Received - n.since.Received
	return node.Traffic{Sent: t.Sent - n.since.Sent, Received: in, BySource: map[string]int64{"kubo": in}}
}

func (n *Node) traffic(ctx context.Context) (t node.Traffic, err error) {
	var s struct{ DataReceived, DataSent int64 }
	if err := n.rpc.ask(ctx, "stats/bitswap", "", &s); err != nil {
		return t, err
	}
	return node.Traffic{Sent: s.DataSent, Received: s.DataReceived}, nil
}

// Each lists what our pins reach, by the CIDs that link to it: of the rest of
// Kubo's disk nothing is said to be ours. Sizes are not told.
func (n *Node) Each(ctx context.Context, f func(c cid.Cid, size int64) error) error {
	pins, err := n.Pins(ctx)
	if err != nil {
		return fmt.Errorf("list blocks: %w", err)
	}
	seen := map[cid.Cid]bool{}
	tell := func(c cid.Cid) error {
		if seen[c] {
			return nil
		}
		seen[c] = true
		return f(c, 0)
	}
	for _, p := range pins {
		if err := tell(p.Root); err != nil {
			return err
		}
		// Below what is damaged nothing is told.
		if err := n.below(ctx, p.Root, tell); err != nil && !errors.Is(err, node.ErrNotFound) {
			return fmt.Errorf("list blocks: %w", err)
		}
	}
	return nil
}

// Used is what Kubo's repo takes, whoever's it is.
func (n *Node) Used(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	var s struct{ RepoSize int64 }
	if err := n.rpc.ask(ctx, "repo/stat", args("size-only", "true"), &s); err != nil {
		return 0, fmt.Errorf("measure Kubo's repo: %w", err)
	}
	return s.RepoSize, nil
}

// Release deletes nothing: what no pin keeps is for Kubo's own collection.
func (n *Node) Release(context.Context, []cid.Cid) (int, int64, error) { return 0, 0, nil }

// full makes err a node.ErrNoSpace where Kubo's disk is full.
func full(err error) error {
	f := (*failure)(nil)
	if errors.As(err, &f) && (strings.Contains(f.Message, "no space left") || strings.Contains(f.Message, "quota exceeded")) {
		return fmt.Errorf("%w: %w", node.ErrNoSpace, err)
	}
	return err
}
