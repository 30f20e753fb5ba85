// Package daemon is the composition root: it opens the repo, makes the node
// and the roles from it, and runs their requests, for itself and, over the
// repo's socket, for other commands.
//
// What comes in: settings, and requests from whoever may open the socket,
// who is trusted like the repo's owner. What goes out: the results of the
// roles, as the documents that the command line prints, and errors of a Kind.
// What is trusted: the repo. What comes from the network is verified by the
// rooms below.
package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"playnode/archivist"
	"playnode/fetch"
	"playnode/follow"
	"playnode/internal/repo"
	"playnode/internal/seal"
	"playnode/ipns"
	"playnode/lease"
	"playnode/meet"
	"playnode/node"
	nodehttp "playnode/node/http"
	"playnode/node/kubo"
	"playnode/player"
	"playnode/player/schedule"
	"playnode/publisher"
)

// Options is how a repo is opened.
type Options struct {
	// Dir is the repo's directory.
	Dir string
	// Flags go before the environment and config.yaml where they have the
	// name of a setting; nil means none.
	Flags *pflag.FlagSet
	// Version is told to those who ask.
	Version string
	// Log is where the log goes; nil drops it.
	Log io.Writer
	// Serve says that Run will be called to serve: the node then listens as
	// configured, else only as far as fetching needs.
	Serve bool
	// Pages makes the handler of what is served at the setting http, of the sets
	// on air that the daemon screens, and of its loudspeaker for whom it admits;
	// nil serves nothing there.
	Pages func(*Daemon) http.Handler
	// Open makes the handler of what is served at the gateway below /open/, of
	// what is on air by listed; nil serves nothing there.
	Open func(listed func(dj, id string) ([]byte, bool)) http.Handler
	// Now is the clock; nil means the system's. Another one is for tests, and
	// keeps off the public network.
	Now func() time.Time
	// Clock is what leases go by; nil means Now, which whoever sets it
	// answers for, and the system's uptime.
	Clock lease.Clock
	// Ticks tells when it is time to look again whether a name, a period or a
	// key has come to its end, at least so often; nil means a ticker. stop is
	// called when nobody looks any more.
	Ticks func(every time.Duration) (ticks <-chan time.Time, stop func())

	node func() (floor, error) // in place of the one that the settings say
	sets player.Sets           // brings what is on air in place of what this box carries
}

// Daemon is an open repo with its node and roles. It is a Client of itself.
// Safe for concurrent use.
type Daemon struct {
	opt  Options
	repo *repo.Repo
	now  func() time.Time
	log  *slog.Logger

	// net is opened by the first request that needs it.
	net func() (*network, error)

	keys   *publisher.Keyring
	device lease.Identity
	venue  *lease.Venue
	clock  lease.Clock

	hours       *schedule.Book
	rescheduled chan struct{} // holds one: hours has changed

	sound   *sound
	remotes *repo.Secrets // what lets a phone drive it
	// remoting is held while their key is made.
	remoting sync.Mutex
	life     context.Context // of what is detached from its request; ended by Close
	end      context.CancelFunc

	mirroring sync.Mutex // held while a mirror is written

	zone   *time.Location // the venue's
	quiet  repo.Hours
	handed atomic.Int64 // bytes that the gateway has sent
	today  today

	mu      sync.Mutex // guards what follows
	opened  *network
	onAir   map[string]context.CancelFunc // ends a playlist's set
	pagesAt string                        // the address at which pages are served
}

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

// DefaultRepo is where the repo lies unless told otherwise.
func DefaultRepo() string { return repo.DefaultDir() }

// config is what the repo's settings and the flags say.
func (opt Options) config() (repo.Config, error) {
	cfg, err := repo.LoadConfig(opt.Dir, opt.Flags)
	if err != nil {
		return repo.Config{}, &Error{Kind: Usage, Message: err.Error(), cause: err}
	}
	if opt.Now != nil && cfg.Network == "public" {
		// The DHT's own code reads the wall clock, and would drop or spread
		// records by it.
		return repo.Config{}, usage("a clock of your own and the public network do not go together, as the DHT goes by the wall clock: use network lan or none")
	}
	return cfg, nil
}

// Init makes a repo with keys and settings where there is none, and finishes
// one whose making was interrupted.
func Init(ctx context.Context, opt Options) error {
	cfg, err := opt.config()
	if err != nil {
		return err
	}
	if err := repo.Create(opt.Dir, cfg); err != nil {
		return err
	}
	if c, ok := Dial(ctx, opt.Dir); ok {
		return c.Close() // a daemon has it open: it is whole
	}
	d, err := Open(ctx, opt)
	if err != nil {
		return err
	}
	return d.Close()
}

// Open opens the repo at opt.Dir for this process alone. The caller closes it.
func Open(ctx context.Context, opt Options) (*Daemon, error) {
	cfg, err := opt.config()
	if err != nil {
		return nil, err
	}
	r, err := repo.Open(opt.Dir, cfg)
	if err != nil {
		return nil, crossing(err)
	}
	d := &Daemon{opt: opt, repo: r, now: opt.Now, log: logger(opt.Log, cfg.LogLevel)}
	if d.now == nil {
		d.now = time.Now
	}
	d.quiet, err = repo.ParseHours(cfg.QuietHours)
	if err == nil {
		d.zone, err = repo.LoadZone(cfg.Zone)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	d.today.store = r.Bucket("traffic")
	if d.opt.Ticks == nil {
		d.opt.Ticks = func(every time.Duration) (<-chan time.Time, func()) {
			t := time.NewTicker(every)
			return t.C, t.Stop
		}
	}
	if d.clock = opt.Clock; d.clock == nil {
		d.clock = boxClock{d.now, opt.Now != nil}
	}
	d.life, d.end = context.WithCancel(context.WithoutCancel(ctx))
	d.net = sync.OnceValues(func() (*network, error) {
		n, err := d.openNetwork(context.WithoutCancel(ctx))
		if err == nil {
			d.mu.Lock()
			d.opened = n
			d.mu.Unlock()
		}
		return n, err
	})
	seal.Erasing(func() { err = d.openKeys() })
	if err == nil {
		err = d.openSchedule()
	}
	if err == nil {
		d.sound, err = openSound(d)
	}
	if err == nil {
		d.remotes, err = r.Secrets("remote")
	}
	if err != nil {
		d.end()
		r.Close()
		return nil, err
	}
	return d, nil
}

func logger(w io.Writer, level string) *slog.Logger {
	if w == nil {
		w = io.Discard
	}
	var l slog.Level
	if l.UnmarshalText([]byte(level)) != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l}))
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

// Remote is false: the work is done here.
func (d *Daemon) Remote() bool { return false }

// Close stops the node and gives the repo back.
func (d *Daemon) Close() error {
	d.mu.Lock()
	n := d.opened
	d.opened = nil
	d.mu.Unlock()
	d.end()
	d.sound.close()
	err := d.venue.Persist()
	if n != nil {
		<-n.met
		<-n.carried
		err = errors.Join(err, n.names.Close(), n.search.close(), n.fetch.Close(), n.node.Close())
	}
	return errors.Join(err, d.repo.Close())
}

// Ready is the line that a daemon prints when it serves.
type Ready struct {
	Ready   bool     `json:"ready"`
	Peer    string   `json:"peer"`
	Addrs   []string `json:"addrs"`
	HTTP    string   `json:"http"`
	Gateway string   `json:"gateway"`
	Metrics string   `json:"metrics"`
}

// Run serves, follows, keeps names alive and answers the socket until ctx
// ends, whose error it returns. ready, when not nil, is called once.
func (d *Daemon) Run(ctx context.Context, ready func(Ready)) error {
	n, err := d.net()
	if err != nil {
		return err
	}
	d.settleAll(n)
	g, ctx := errgroup.WithContext(ctx)
	r := Ready{Ready: true, Peer: n.node.ID(), Addrs: n.node.Addrs()}
	if a := d.repo.Config.Gateway; a != "" {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return fmt.Errorf("open gateway: %w", err)
		}
		r.Gateway = l.Addr().String()
		g.Go(func() error { return serveHTTP(ctx, n.line.Listener(tally{l, &d.handed}), d.keptFrom(n, d.public(n))) })
	}
	if a := d.repo.Config.HTTP; a != "" && d.opt.Pages != nil {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return fmt.Errorf("open pages: %w", err)
		}
		r.HTTP = l.Addr().String()
		d.mu.Lock()
		d.pagesAt = r.HTTP
		d.mu.Unlock()
		g.Go(func() error { return serveHTTP(ctx, l, d.opt.Pages(d)) })
	}
	if a := d.repo.Config.Metrics; a != "" {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return fmt.Errorf("open metrics: %w", err)
		}
		r.Metrics = l.Addr().String()
		g.Go(func() error { return serveHTTP(ctx, l, d.metrics(n)) })
	}
	sock, err := listenSocket(d.repo.Dir)
	if err != nil {
		return err
	}
	g.Go(func() error { return serveHTTP(ctx, sock, socketHandler(d.Do)) })
	d.tend(ctx, g, n)
	if ready != nil {
		ready(r)
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// tend has all roles do by g what they do by themselves, until ctx ends.
func (d *Daemon) tend(ctx context.Context, g *errgroup.Group, n *network) {
	g.Go(func() error { return n.names.Run(ctx) })
	g.Go(func() error { return n.archivist.Run(ctx) })
	g.Go(func() error { return d.keepPublished(ctx, n) })
	g.Go(func() error { return d.keepTime(ctx) })
	g.Go(func() error { return n.search.run(ctx) })
	if d.repo.Config.Kubo == "" { // a Kubo collects by itself
		g.Go(func() error { return d.keepRoom(ctx, n) })
	}
	g.Go(func() error { return d.keepServed(ctx, n) })
	g.Go(func() error { return d.keepToday(ctx, n) })
	g.Go(func() error { return d.keepSound(ctx, n) })
	g.Go(func() error { return d.keepScheduled(ctx, n) })
}

// Do runs one operation here; see Client.
func (d *Daemon) Do(ctx context.Context, op string, req json.RawMessage, emit func(Event)) (json.RawMessage, error) {
	if emit == nil {
		emit = func(Event) {}
	}
	h, ok := d.handlers()[op]
	if !ok {
		return nil, &Error{Kind: Usage, Message: fmt.Sprintf("this playnode (%s) knows no request %q", d.opt.Version, op)}
	}
	var mu sync.Mutex // one event at a time, and none once it is over: what goes on behind it has nobody to tell
	over := false
	res, err := h(ctx, req, func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			emit(e)
		}
	})
	mu.Lock()
	over = true
	mu.Unlock()
	if err != nil {
		return res, crossing(err)
	}
	d.refreshAfter(ctx, op, emit)
	return res, nil
}

type handler func(ctx context.Context, req json.RawMessage, emit func(Event)) (json.RawMessage, error)

// handlers is every operation that crosses the socket.
func (d *Daemon) handlers() map[string]handler {
	hs := map[string]handler{}
	on(hs, OpID, d.id)
	on(hs, OpIDLink, d.idLink)
	on(hs, OpStatus, d.status)
	on(hs, opSettings, d.settings)
	on(hs, OpPublish, d.publish)
	on(hs, OpLive, d.live)
	on(hs, OpLiveEnd, d.liveEnd)
	on(hs, OpExcerptAdd, d.excerptAdd)
	on(hs, OpExcerpts, d.excerpts)
	on(hs, OpExcerptRemove, d.excerptRemove)
	on(hs, OpPlaylists, d.playlists)
	on(hs, OpPlaylist, d.playlist)
	on(hs, OpPlaylistSet, d.playlistSet)
	on(hs, OpPlaylistCue, d.playlistCue)
	on(hs, OpPlaylistCreate, d.playlistCreate)
	on(hs, OpPlaylistAdd, d.playlistAdd)
	on(hs, OpPlaylistRemove, d.playlistRemove)
	on(hs, OpPlaylistMove, d.playlistMove)
	on(hs, OpPlaylistImport, d.playlistImport)
	on(hs, OpPlaylistExport, d.playlistExport)
	on(hs, OpShare, d.share)
	on(hs, OpCardSet, d.cardSet)
	on(hs, OpCardShow, d.cardShow)
	on(hs, OpCardPreview, d.cardPreview)
	on(hs, OpLeaseGrant, d.leaseGrant)
	on(hs, OpLeaseRenew, d.leaseRenew)
	on(hs, OpLeaseRevoke, d.leaseRevoke)
	on(hs, OpLeaseImport, d.leaseImport)
	on(hs, OpOfferSet, d.offerSet)
	on(hs, OpOffers, d.offers)
	on(hs, OpRequests, d.requests)
	on(hs, OpLeaseApprove, d.leaseApprove)
	on(hs, OpLeaseRefuse, d.leaseRefuse)
	on(hs, OpLeaseRequest, d.leaseRequest)
	on(hs, OpLeaseShow, d.leaseShow)
	on(hs, OpLeases, d.leases)
	on(hs, OpKeysArchive, d.keysArchive)
	on(hs, OpKeysBackup, d.keysBackup)
	on(hs, OpKeysRotate, d.keysRotate)
	on(hs, OpKeysOffline, d.keysOffline)
	on(hs, OpFollow, d.followName)
	on(hs, OpUnfollow, d.unfollow)
	on(hs, OpFollows, d.follows)
	on(hs, OpArchive, d.archive)
	on(hs, OpArchives, d.archives)
	on(hs, OpVerify, d.verify)
	on(hs, OpExport, d.export)
	on(hs, OpImport, d.importCAR)
	on(hs, OpMirror, d.mirror)
	on(hs, OpSchedule, d.schedule)
	on(hs, OpScheduleSet, d.scheduleSet)
	on(hs, OpScheduleRemove, d.scheduleRemove)
	on(hs, OpScheduleOverride, d.scheduleOverride)
	on(hs, OpPlay, d.play)
	on(hs, OpListen, d.listen)
	on(hs, OpPreview, d.preview)
	on(hs, OpSearch, d.search)
	on(hs, OpCtl, d.ctl)
	on(hs, OpSinks, d.sinks)
	on(hs, OpRemote, d.remoteKey)
	return hs
}

// on gives an operation its handler, types and all.
func on[Req, Res any](hs map[string]handler, op Op[Req, Res], f func(context.Context, Req, func(Event)) (Res, error)) {
	hs[string(op)] = func(ctx context.Context, in json.RawMessage, emit func(Event)) (json.RawMessage, error) {
		var req Req
		if err := json.Unmarshal(in, &req); err != nil {
			return nil, &Error{Kind: Usage, Message: fmt.Sprintf("read %s request: %v", op, err)}
		}
		res, err := f(ctx, req, emit)
		if err != nil {
			return nil, err
		}
		out, err := json.Marshal(res)
		if err != nil {
			return nil, fmt.Errorf("encode %s result: %w", op, err)
		}
		return out, nil
	}
}

// kinds say what the rooms' errors mean.
var kinds = []struct {
	err  error
	kind Kind
}{
	{repo.ErrNoRepo, NoRepo},
	{repo.ErrLocked, Locked},
	{repo.ErrNewer, Locked},
	{node.ErrNoSpace, NoSpace},
	{lease.ErrLapsed, NoLease},
	{lease.ErrNoLease, NoLease},
	{lease.ErrNotYours, NoLease},
	{lease.ErrNotYet, NoLease},
	{lease.ErrRevoked, NoLease},
	{lease.ErrBehind, NoLease},
	{lease.ErrOld, Verify},
	{lease.ErrRefused, Verify},
	{lease.ErrFuture, Verify},
	{publisher.ErrNoPlaylist, Failed},
	{publisher.ErrPlaylist, Failed},
	{publisher.ErrLabel, Usage},
	{publisher.ErrOnAir, Usage},
	{publisher.ErrInUse, Usage},
	{publisher.ErrRival, Verify},
	{publisher.ErrStolen, Verify},
	{seal.ErrOpen, Verify},
	{follow.ErrVerify, Verify},
	{publisher.ErrRestored, NotFound},
	{ipns.ErrRollback, Verify},
	{ipns.ErrInvalid, Verify},
	{follow.ErrNotFound, NotFound},
	{player.ErrOffAir, NotFound},
	{ipns.ErrNotFound, NotFound},
	{ipns.ErrExpired, NotFound},
	{node.ErrNotFound, NotFound},
}
