package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
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
	var err error
	n.dht, err = dht.New(n.host, dht.Mode(dht.ModeAuto), dht.BootstrapPeers(boot...))
	if err != nil {
		return err
	}
	if err := n.dht.Bootstrap(n.ctx); err != nil {
		return err
	}
	n.peers.wg.Go(n.announce)
	return nil
}

// announce tells the DHT of pinned roots, new ones soon and all again before
// their records end.
func (n *Node) announce() {
	tick := time.NewTicker(reprovide)
	defer tick.Stop()
	for {
		select {
		case root := <-n.provides:
			n.provide(root)
		case <-tick.C:
			pins, err := n.Pins(n.ctx)
			if err != nil {
				n.log.Warn("announce pins", "err", err)
			}
			for _, p := range pins {
				n.provide(p.Root)
			}
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
