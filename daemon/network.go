package daemon

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"

	"playnode/archivist"
	"playnode/fetch"
	"playnode/follow"
	"playnode/ipns"
	"playnode/meet"
	"playnode/node"
	nodehttp "playnode/node/http"
	"playnode/node/kubo"
	"playnode/player"
	"playnode/publisher"
)

// network is the node and what is made of it.
type network struct {
	node      floor
	line      *node.Line // nil unless something is bound
	fetch     *fetch.Scheduler
	origins   *origins
	names     *ipns.Namer
	follow    *follow.Follower
	archivist *archivist.Archivist
	publisher *publisher.Publisher
	air       *air          // once onAir is closed
	onAir     chan struct{} // closed when sets can be carried
	carried   chan struct{} // closed when air has ended
	player    *player.Player
	search    *finder
	keeps     keeps
	served    served
	meeting   *meet.Meeting // nil in a fleet
	met       chan struct{} // closed when meeting has ended
}

// openNetwork makes the node and all that stands on it.
func (d *Daemon) openNetwork(ctx context.Context) (_ *network, err error) {
	cfg := d.repo.Config
	key, err := d.identity()
	if err != nil {
		return nil, err
	}
	line := node.NewLine(node.LineConfig{Up: cfg.UploadLimit, Down: cfg.DownloadLimit}) // real bytes, by the real clock
	n, err := d.openNode(ctx, cfg, key, line)
	if err != nil {
		return nil, fmt.Errorf("start node: %w", err)
	}
	defer func() {
		if err != nil {
			n.Close() // ends the exchange's streams, too
		}
	}()
	exchange := fetch.Config{Local: n, Now: d.now, Upload: ofLine(cfg.UploadLimit), Download: ofLine(cfg.DownloadLimit), Manners: d.manners, Log: d.log}
	if own, ok := n.(whole); ok { // an attached Kubo's blocks go by its bitswap
		exchange.Streams, exchange.Peers, exchange.Near, exchange.Meet = own, own, own.Near, own.Meet
		exchange.Speaks, exchange.Expect, exchange.Dialled, exchange.Slow, exchange.Waits = own.Speaks, own.Expects, own.Dialled, own.Slow, own.Waits
	}
	w := &network{node: n, line: line, fetch: fetch.New(exchange), onAir: make(chan struct{})}
	w.origins = &origins{fetch: w.fetch, line: line, local: cfg.Network == "none"}
	w.fetch.Add(fetch.Source{Name: n.Source(), Getter: company{n, w.origins}, Company: true})
	fetch.ServeHave(fetch.HaveConfig{Streams: n, Blocks: n, Now: d.now, Log: d.log})
	w.served.holders, w.served.mute = fetch.NewHolders(n, n), map[string]bool{}
	routers := n.Routers()
	for _, o := range cfg.Origins {
		if err := w.origins.add(o, false); err != nil {
			return nil, fmt.Errorf("use origin %s: %w", o, err)
		}
	}
	routers = append(routers, w.origins)
	for _, o := range cfg.Routers {
		r, err := nodehttp.NewRouter(nodehttp.ClientConfig{URL: o, Line: line})
		if err != nil {
			return nil, fmt.Errorf("use router %s: %w", o, err)
		}
		routers = append(routers, ipns.Delegated(o, r))
	}
	for _, o := range cfg.KuboNames {
		k, err := kubo.NewNames(o, cfg.KuboAuth)
		if err != nil {
			return nil, fmt.Errorf("use %w", err)
		}
		routers = append(routers, ipns.Delegated(o, k))
	}
	if w.names, err = ipns.New(ipns.Config{
		Store: d.repo.Bucket("ipns"), Now: d.now, Peers: n, Topics: n, Routers: routers, Log: d.log,
	}); err != nil {
		return nil, err
	}
	// Our own names' records come back from whoever kept them.
	for _, own := range d.keys.Names() {
		name, err := ipns.ParseName(string(own))
		if err != nil {
			return nil, err
		}
		w.names.Watch(name, nil)
	}
	if w.follow, err = follow.New(follow.Config{
		Names: w.names, Fetch: w.fetch, Many: w.fetch, Blocks: n, Pinner: n, Held: n, Store: d.repo.Bucket("follow"),
		Now: d.now, Synchronised: d.synchronised, Peers: n, Log: d.log,
		Judge: func(c *follow.Catalogue) error { return d.believe(n, c) },
		Bulk:  fetch.NewBulk(w.fetch), Origin: func(url string) {
			if err := w.origins.add(url, true); err != nil {
				d.log.Warn("origin of a link left out", "origin", url, "err", err)
			}
		},
		Limit: cfg.StoreLimit, Keep: func(c cid.Cid) follow.Priority { return w.keeps.of(c) }, Own: func(pinned func(cid.Cid) bool) ([]cid.Cid, error) {
			roots, err := w.publisher.Roots()
			return append(roots, w.air.roots(pinned)...), err
		},
	}); err != nil {
		return nil, err
	}
	w.search = newFinder(d, w)
	w.follow.OnNewer(func(c *follow.Catalogue) {
		d.settle(c)
		w.search.changed()
		w.look()
	})
	if err := d.startMeeting(w); err != nil {
		return nil, err
	}
	elsewhere, err := d.elsewhere(n)
	if err != nil {
		return nil, err
	}
	w.archivist = archivist.New(archivist.Config{Follow: w.follow, Names: w.names, Elsewhere: elsewhere, Log: d.log})
	if w.publisher, err = d.openPublisher(w); err != nil {
		return nil, err
	}
	if err := d.startCarrying(w); err != nil {
		return nil, err
	}
	if w.player, err = d.openPlayer(w); err != nil {
		return nil, err
	}
	if d.opt.Serve {
		d.serveRequests(w)
	}
	return w, nil
}
