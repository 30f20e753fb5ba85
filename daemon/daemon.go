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
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"playnode/internal/repo"
	"playnode/internal/seal"
	"playnode/lease"
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
