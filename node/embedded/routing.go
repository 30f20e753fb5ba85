package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/routing"

	"playnode/node"
)

// reprovide is how often all pinned roots are announced: provider records
// live 48 h.
const reprovide = 22 * time.Hour

// startDHT joins the Amino DHT. Its rules name its validators, which read the
// wall clock; package ipns judges again by the injected one.
func (n *Node) startDHT(cfg Config) error {
	boot := dht.GetDefaultBootstrapPeerAddrInfos()
	if len(cfg.Bootstrap) > 0 {
		boot = nil
		for _, a := range cfg.Bootstrap {
			info, err := peer.AddrInfoFromString(a)
			if err != nil {
				return fmt.Errorf("bootstrap peer %q is not a multiaddr that ends in /p2p/ID: %w", a, err)
			}
			boot = append(boot, *info)
		}
	}
	opts := []dht.Option{dht.Mode(dht.ModeAuto), dht.BootstrapPeers(boot...)}
	if cfg.Prefix != "" {
		opts = append(opts, dht.ProtocolPrefix(protocol.ID(cfg.Prefix)), dht.Mode(dht.ModeServer))
	}
	var err error
	n.dht, err = dht.New(n.host, opts...)
	if err != nil {
		return err
	}
	if err := n.dht.Bootstrap(n.ctx); err != nil {
		return err
	}
	n.peers.wg.Go(n.announce)
	return nil
}

// announcement is a root that is held here. One under a key takes the place
// of the one before; pins have none, and are listed anew.
type announcement struct {
	key  string
	root cid.Cid
}

// announce tells the DHT of pinned roots and of what Announce was told, new
// ones soon and all again at the start, and before their records end.
func (n *Node) announce() {
	tick := time.NewTicker(reprovide)
	defer tick.Stop()
	named := map[string]cid.Cid{}
	all := func() {
		pins, err := n.Pins(n.ctx)
		if err != nil {
			n.log.Warn("announce pins", "err", err)
		}
		for _, p := range pins {
			n.provide(p.Root)
		}
		for _, root := range named {
			n.provide(root)
		}
	}
	met := make(chan struct{}, 1)
	n.peers.onConnect(func(string) {
		select {
		case met <- struct{}{}:
		default:
		}
	})
	select {
	case <-met: // before there is nobody to tell
		all()
	case <-n.ctx.Done():
		return
	}
	for {
		select {
		case a := <-n.provides:
			if a.key != "" {
				if named[a.key] == a.root {
					continue
				}
				named[a.key] = a.root
			}
			n.provide(a.root)
		case <-tick.C:
			all()
		case <-n.ctx.Done():
			return
		}
	}
}

func (n *Node) provide(root cid.Cid) {
	ctx, cancel := context.WithTimeout(n.ctx, 2*time.Minute)
	defer cancel()
	if err := n.dht.Provide(ctx, root, true); err != nil {
		n.log.Debug("announce", "root", root, "err", err)
	}
}

// Announce is as node.Finder says.
func (n *Node) Announce(key string, root cid.Cid) {
	if n.dht == nil || !root.Defined() {
		return
	}
	select {
	case n.provides <- announcement{key, root}:
	default: // 1024 wait already; it will be pinned, or announced again, by then
	}
}

// Find is as node.Finder says.
func (n *Node) Find(ctx context.Context, root cid.Cid, most int) (int, error) {
	if n.dht == nil {
		return 0, fmt.Errorf("find who holds %s: no DHT in this network: %w", root, node.ErrNotFound)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	found := 0
	for info := range n.dht.FindProvidersAsync(ctx, root, 2*most) {
		if info.ID == n.host.ID() || n.host.Network().Connectedness(info.ID) != network.NotConnected {
			continue
		}
		dial, stop := context.WithTimeout(ctx, dialing)
		err := n.host.Connect(dial, info)
		stop()
		if err != nil {
			n.log.Debug("dial a provider", "peer", info.ID, "err", err)
		} else if found++; found == most {
			break
		}
	}
	return found, ctx.Err()
}

// PutValue writes to the DHT; without one it fails with node.ErrNotFound.
func (n *Node) PutValue(ctx context.Context, key string, value []byte) error {
	if n.dht == nil {
		return fmt.Errorf("put value: no DHT in this network: %w", node.ErrNotFound)
	}
	return n.dht.PutValue(ctx, key, value)
}

// GetValue reads from the DHT; without one it fails with node.ErrNotFound.
func (n *Node) GetValue(ctx context.Context, key string) ([]byte, error) {
	if n.dht == nil {
		return nil, fmt.Errorf("get value: no DHT in this network: %w", node.ErrNotFound)
	}
	v, err := n.dht.GetValue(ctx, key)
	if errors.Is(err, routing.ErrNotFound) {
		err = fmt.Errorf("%w: %w", node.ErrNotFound, err)
	}
	return v, err
}
