package daemon

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/internal/repo"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
	"playnode/node/embedded"
	"playnode/node/kubo"
	"playnode/publisher"
)

// floor is the node that everything stands on: an embedded one, or a Kubo with
// a host of ours beside it.
type floor interface {
	node.Getter
	node.Blocks
	node.Pinner
	node.Held
	node.Streams
	node.Topics
	node.Peers
	node.Records
	node.Company
	node.Reach
	node.Finder
	// Reachability is whether others can dial us, Relays are the peers
	// through which they reach us where they cannot.
	Reachability() node.Reachability
	Relays() []string
	// NearIP tells whether an address is in one of our networks.
	NearIP(netip.Addr) bool
	// Source is what its blocks are counted under, Routers are its ways to
	// name records.
	Source() string
	Routers() []ipns.Router
	Traffic() node.Traffic
	Close() error
}

// openNode makes the node that the settings say.
func (d *Daemon) openNode(ctx context.Context, cfg repo.Config, key ed25519.PrivateKey, line *node.Line) (floor, error) {
	if d.opt.node != nil {
		return d.opt.node()
	}
	listen := cfg.Listen
	if !d.opt.Serve && len(listen) == 0 {
		// Enough for others to send us what we ask for; nobody is told.
		listen = []string{"/ip4/127.0.0.1/tcp/0"}
	}
	ec := embedded.Config{
		Dir: d.repo.NodeDir(), Identity: key, Listen: listen, Peers: cfg.Peers,
		Network: embedded.Network(cfg.Network), Bootstrap: cfg.Bootstrap, Log: d.log,
		Allow: cfg.Allow, Small: small(), Relay: cfg.Relay && d.opt.Serve, Reach: reachOf(cfg.Reach), Line: line,
		Keep: func(peer string) bool { return d.manners().Keep && !d.nearPeer(peer) },
	}
	if cfg.Kubo != "" {
		k, err := kubo.Open(ctx, kubo.Config{RPC: cfg.Kubo, Auth: cfg.KuboAuth, Log: d.log})
		if err != nil {
			return nil, err
		}
		ec.Peers = nil
		if len(ec.Allow) > 0 { // what others the Kubo has to do with is its own settings'
			ec.Allow = append(slices.Clone(ec.Allow), k.KuboID())
		}
		h, err := embedded.OpenHost(ec)
		if err != nil {
			return nil, err
		}
		return attach(d, k, h, cfg)
	}
	n, err := embedded.New(ctx, ec)
	if err != nil {
		return nil, err
	}
	return whole{n, cfg.Network == "public"}, nil
}

// whole is an embedded node.
type whole struct {
	*embedded.Node
	dht bool
}

func (w whole) Source() string { return "bitswap" }

func (w whole) Routers() []ipns.Router {
	if !w.dht {
		return nil
	}
	return []ipns.Router{ipns.DHT(w.Node)}
}

// attached is a Kubo, which holds, pins, fetches and serves blocks and carries
// records, and our host, which speaks what a Kubo's RPC does not offer: leases,
// questions about blocks, names by push. The two are peers of each other, and
// whoever is met by one is met by both. No key of ours is the Kubo's.
type attached struct {
	*kubo.Node
	*embedded.Host
	d    *Daemon
	life context.Context // ended by Close
	end  context.CancelFunc
	work sync.WaitGroup

	mu   sync.Mutex // guards kept
	kept map[string]bool
}

// maxMet bounds the peers that the Kubo is kept connected to at our asking.
const maxMet = 256

func attach(d *Daemon, k *kubo.Node, h *embedded.Host, cfg repo.Config) (*attached, error) {
	a := &attached{Node: k, Host: h, d: d, kept: map[string]bool{}}
	a.life, a.end = context.WithCancel(context.Background())
	addrs, err := a.kuboAddrs(a.life)
	if err != nil {
		a.Close()
		return nil, err
	}
	h.OnConnect(a.introduce)
	a.spawn(func() {
		if err := a.joined(addrs); err != nil {
			d.log.Warn("no connection between this host and its Kubo", "err", err)
		}
	})
	for _, p := range cfg.Peers {
		a.spawn(func() {
			if err := a.Connect(a.life, p); err != nil {
				d.log.Debug("connect", "err", err)
			}
		})
	}
	return a, nil
}

// spawn runs f as one of ours, unless we are closing.
func (a *attached) spawn(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.life.Err() == nil {
		a.work.Go(f)
	}
}

// joined has the two connected, by any address that works.
func (a *attached) joined(addrs []string) error {
	var errs []error
	for _, to := range addrs {
		if err := a.Host.Connect(a.life, to); err != nil {
			errs = append(errs, err)
			continue
		}
		return nil
	}
	return errors.Join(errs...)
}

// introduce has the Kubo meet who has met us. A Kubo that comes back is told
// anew whom to keep.
func (a *attached) introduce(peer string) {
	a.spawn(func() {
		if peer != a.KuboID() {
			if addrs := a.Reached(peer); len(addrs) > 0 {
				if err := a.Node.Meet(a.life, false, addrs...); err != nil {
					a.d.log.Debug("introduce", "peer", peer, "err", err)
				}
			}
			return
		}
		a.mu.Lock()
		kept := a.kept
		a.mu.Unlock()
		for to := range kept {
			if err := a.Node.Meet(a.life, true, to); err != nil {
				a.d.log.Debug("introduce", "peer", to, "err", err)
			}
		}
	})
}

// Connect has both connect and keep; see node.Peers. One that gets through is
// enough.
func (a *attached) Connect(ctx context.Context, addr string) error {
	met := make(chan error, 1)
	go func() { met <- a.Node.Meet(ctx, true, addr) }()
	err := a.Host.Connect(ctx, addr)
	a.mu.Lock()
	if len(a.kept) < maxMet && !a.kept[addr] {
		next := map[string]bool{addr: true}
		for to := range a.kept {
			next[to] = true
		}
		a.kept = next
	}
	a.mu.Unlock()
	if other := <-met; err == nil || other == nil {
		return nil
	} else {
		return errors.Join(err, other)
	}
}

// Addrs are our host's and the Kubo's, by turns, so that the first few tell of
// both: blocks are the Kubo's.
func (a *attached) Addrs() []string {
	ours := a.Host.Addrs()
	theirs, err := a.kuboAddrs(a.life)
	if err != nil {
		a.d.log.Warn("where is the Kubo?", "err", err)
	}
	var out []string
	for i := range max(len(ours), len(theirs)) {
		if i < len(ours) {
			out = append(out, ours[i])
		}
		if i < len(theirs) {
			out = append(out, theirs[i])
		}
	}
	return out
}

// kuboAddrs are those of the Kubo's addresses that our kind of host can dial.
func (a *attached) kuboAddrs(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	all, err := a.KuboAddrs(ctx)
	if err != nil {
		return nil, err
	}
	end := "/p2p/" + a.KuboID()
	all = slices.DeleteFunc(all, func(s string) bool {
		at, ok := strings.CutSuffix(s, end)
		return !ok || strings.Count(at, "/") != 4 && !strings.HasSuffix(at, "/quic-v1") // /ip4/A/tcp/N, /ip4/A/udp/N/quic-v1
	})
	embedded.Order(all)
	return all, nil
}

// Announce does nothing: a Kubo announces what it holds by itself.
func (a *attached) Announce(string, cid.Cid) {}

// Find finds nobody: a Kubo that lacks a block asks its routing itself.
func (a *attached) Find(_ context.Context, root cid.Cid, _ int) (int, error) {
	return 0, fmt.Errorf("find who holds %s: that is its Kubo's: %w", root, node.ErrNotFound)
}

func (a *attached) Source() string { return "kubo" }

func (a *attached) Routers() []ipns.Router {
	return []ipns.Router{ipns.Delegated("kubo", a.Node)}
}

// Close ends our host; the Kubo runs on.
func (a *attached) Close() error {
	a.mu.Lock()
	a.end()
	a.mu.Unlock()
	err := a.Host.Close()
	a.work.Wait()
	return err
}

// ownPin begins the names of the pins of what is this DJ's own.
const ownPin = "own/"

// pinned are a DJ's names, where nothing but a pin keeps what they point at:
// in a Kubo, which others collect.
type pinned struct {
	*ipns.Namer
	d    *Daemon
	pins node.Pinner
}

// Publish pins what the name is to point at first, and lets go of what it
// pointed at after. All names of the DJ point at the same, and it is pinned
// under her first. What ctx's deadline leaves is for the network: a pin of a
// large catalogue takes its time.
func (p pinned) Publish(ctx context.Context, key ed25519.PrivateKey, value cid.Cid, seq uint64, eol time.Time) (ipns.Record, int, error) {
	longer := publisher.Unhurried(ctx)
	network := longer
	deadline, bounded := ctx.Deadline()
	left := time.Until(deadline)
	own := node.Pin{Name: ownPin + string(p.d.keys.Names()[0]), Root: value}
	pinErr := p.pins.Pin(longer, own)
	if pinErr != nil {
		// Of a catalogue that was restored some may be elsewhere still.
		p.d.log.Warn("not pinned: what is published may be collected in the Kubo", "err", pinErr)
	}
	if bounded {
		var cancel context.CancelFunc
		network, cancel = context.WithTimeout(longer, left)
		defer cancel()
	}
	rec, holders, err := p.Namer.Publish(network, key, value, seq, eol)
	if err != nil || pinErr != nil { // what was pinned before keeps most of it until a pin succeeds
		return rec, holders, err
	}
	all, err := p.pins.Pins(longer)
	for _, old := range all {
		if err == nil && p.isOwn(old.Name) && old != own {
			err = p.pins.Unpin(longer, old)
		}
	}
	if err != nil {
		p.d.log.Warn("let go of what was published before", "err", err)
	}
	return rec, holders, nil
}

// isOwn tells whether a pin is of one of this DJ's names.
func (p pinned) isOwn(pin string) bool {
	name, own := strings.CutPrefix(pin, ownPin)
	names := p.d.keys.Names()
	return own && slices.Contains(names[:], manifests.Name(name))
}
