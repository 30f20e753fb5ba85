// Package follow takes a name in and gives verified catalogues out, whole on
// this box and pinned there.
//
// What comes in: names and links from people, records from ipns, blocks from
// whoever has them. What goes out: catalogues whose every record is signed as
// the rules demand by keys of the DJ that was pinned at first contact, and is
// no older than any accepted before. What is trusted: the DJ named in a link;
// without one, whoever the name points at when it is first followed.
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
)

var (
	// ErrNotFound says that a name is not followed, has no record that anyone
	// would give, or that blocks could not be had in time.
	ErrNotFound = errors.New("not found")
	// ErrVerify says that what a name points at breaks the rules: a
	// signature, a canonical form, a role, another DJ, a version below one
	// seen before. What was held stays.
	ErrVerify = errors.New("verification failed")
	// ErrFull says that the store's limit leaves no room for what is missing.
	// It is a node.ErrNoSpace.
	ErrFull error = fullError{}
)

type fullError struct{}

func (fullError) Error() string {
	return "the store's limit is reached: raise store-limit, or unfollow something"
}
func (fullError) Is(target error) bool { return target == node.ErrNoSpace }

// Dialer connects to addresses found in links and keeps them; see node.Peers.
type Dialer interface {
	Connect(ctx context.Context, addr string) error
}

// dialing bounds the wait for the peers of a link.
const dialing = 5 * time.Second

// Config is what a Follower needs. All from Judge on are optional.
type Config struct {
	Names *ipns.Namer
	// Fetch reads blocks from anywhere and keeps them in Blocks.
	Fetch node.Getter
	// Many, when set, is asked in place of Fetch for the tails of tracks, a
	// thousand at once, so that it may choose their order.
	Many   Asker
	Blocks node.Blocks
	Pinner node.Pinner
	Held   node.Held
	Store  Store
	// Now dates what is accepted and, so far as something outside the box
	// keeps it, refuses what is dated over a day ahead. Synchronised says
	// whether that is so now; nil means always. A box without a clock must
	// be able to follow.
	Now          func() time.Time
	Synchronised func() bool
	// Judge, when set, is asked last before a version is accepted. Its error
	// ends the sync: one that wraps ErrVerify refuses the version, any other
	// is this box's.
	Judge func(*Catalogue) error
	Peers Dialer
	// Bulk, when set, is tried where one answer may stand for many.
	Bulk Bulk
	// Origin, when set, has a gateway that a link gave asked for blocks and
	// records from now on; again is no error.
	Origin func(url string)
	// Limit is how many bytes of blocks are held, about; 0 means any number.
	Limit int64
	// Keep says how dear a track is; without it all are Unleased.
	Keep func(track cid.Cid) Priority
	// Own are the roots of what is this box's own, and never let go, whole or
	// not. It may ask what pins keep already.
	Own func(pinned func(cid.Cid) bool) ([]cid.Cid, error)
	// Every is how often Run asks by itself; 0 means 10 minutes.
	Every time.Duration
	// Spare is how often Run asks for the backup name; 0 means an hour.
	Spare time.Duration
	// Parallel is how many blocks are sought at once; 0 means 32.
	Parallel int
	Log      *slog.Logger
}

// Follower follows names. Safe for concurrent use; of the syncs of one name
// one runs at a time.
type Follower struct {
	cfg Config

	// collecting is held for writing while blocks are let go, for reading by
	// whoever writes blocks that nothing pins yet.
	collecting sync.RWMutex

	mu      sync.Mutex        // guards what follows, and the order of writes to Store
	walks   map[*walk]bool    // that run
	given   map[cid.Cid]int64 // tails that Collect gave up, and their sizes
	coming  int64             // bytes of leaves under way
	lack    int64             // bytes that had no room since the last Collect
	lacking Priority          // the dearest of them
	names   map[ipns.Name]*followed
	newer   map[*hook]bool // of OnNewer
	changed chan struct{}  // closed and replaced when names has changed
}

// followed is one name followed. Its fields are guarded by Follower.mu, busy
// apart.
type followed struct {
	row       row
	head      *headRow // nil before first contact
	catalogue *Catalogue
	progress  Progress // of head
	filling   bool     // the sync that runs has had its version accepted
	tidied    bool     // no pin of an older version is left from before a cut
	err       error
	unwatch   func()
	unspare   func()        // of the backup name, where it is known
	kick      chan struct{} // one slot: there is something newer
	listeners map[*func(Progress)]bool

	busy chan struct{} // one slot: held by the sync that runs
}

// hook is one OnNewer.
type hook struct{ f func(*Catalogue) }

// Progress counts one version while it is fetched.
type Progress struct {
	// Tracks of all selections; Held of them whole on this box.
	Tracks, Held int
	// Blocks are of everything public in this version, as far as it is known
	// by now; Missing of them are not yet here.
	Blocks, Missing int
	// Bytes are those of the blocks that are here.
	Bytes int64
}

// Status is one name followed.
type Status struct {
	Name ipns.Name
	// DJ is empty until first contact, unless a link named it.
	DJ string
	// Seq and Envelope are of the newest version accepted, if any.
	Seq      uint64
	Envelope cid.Cid
	Progress Progress
	// Whole tells that this version was all here and pinned.
	Whole bool
	// Issued is when its DJ signed it, End when she meant to have signed a
	// newer one; Stale tells that this has passed. It is used all the same.
	Issued, End time.Time
	Stale       bool
	// Since is when the newest version was accepted.
	Since time.Time
	// History is what SetHistory was told.
	History int
	// Err is how the last sync ended, nil when it ended well.
	Err error
}

// New makes a Follower of what Store says is followed.
func New(cfg Config) (*Follower, error) {
	if cfg.Names == nil || cfg.Fetch == nil || cfg.Blocks == nil || cfg.Pinner == nil || cfg.Held == nil || cfg.Store == nil || cfg.Now == nil {
		return nil, errors.New("make follower: Names, Fetch, Blocks, Pinner, Held, Store and Now are required")
	}
	if cfg.Every <= 0 {
		cfg.Every = 10 * time.Minute
	}
	if cfg.Spare <= 0 {
		cfg.Spare = time.Hour
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = 32
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	f := &Follower{
		cfg: cfg, names: map[ipns.Name]*followed{},
		walks: map[*walk]bool{}, given: map[cid.Cid]int64{},
		newer: map[*hook]bool{}, changed: make(chan struct{}),
	}
	rows, err := loadRows(cfg.Store)
	if err != nil {
		return nil, fmt.Errorf("read what is followed: %w", err)
	}
	for _, r := range rows {
		head, err := loadHead(cfg.Store, r.Name)
		if err != nil {
			return nil, fmt.Errorf("read what is followed: %w", err)
		}
		f.add(r, head)
		f.origins(r)
	}
	return f, nil
}

// add takes a name in. f.mu is held, or f not yet shared.
func (f *Follower) add(r row, head *headRow) *followed {
	n := &followed{
		row: r, head: head, kick: make(chan struct{}, 1),
		listeners: map[*func(Progress)]bool{}, busy: make(chan struct{}, 1),
	}
	if head != nil {
		n.progress = head.Progress
	}
	if head != nil {
		n.row.Held = true
	}
	n.unwatch, n.unspare = f.watch(n, r.Name), func() {}
	if r.Backup != "" {
		n.unspare = f.watch(n, r.Backup)
	}
	f.names[r.Name] = n
	close(f.changed)
	f.changed = make(chan struct{})
	return n
}

// watch has newer records of name kick n.
func (f *Follower) watch(n *followed, name ipns.Name) (stop func()) {
	return f.cfg.Names.Watch(name, func(ipns.Record) { f.again(n) })
}

// Follow begins to follow target: k51 text, an /ipns/ path, a playnode://
// link, or one of its https forms (manifests.ParseLink). A link's DJ is pinned, and
// its addresses are dialled and kept, its origins asked. Records and blocks are left to Sync. A
// DJ other than the one pinned gives ErrVerify, once a version of hers was
// accepted; before, the newest link is the one that counts.
func (f *Follower) Follow(ctx context.Context, target string) (ipns.Name, error) {
	link, err := manifests.ParseLink(target)
	if err != nil {
		return "", fmt.Errorf("follow %.200q: %w", target, err)
	}
	name, err := ipns.ParseName(string(link.Name))
	if err != nil {
		return "", fmt.Errorf("follow %.200q: %w", target, err)
	}
	if err := f.take(name, link); err != nil {
		return "", fmt.Errorf("follow %s: %w", name, err)
	}
	f.origins(row{Origins: link.Origins})
	f.dial(ctx, link.Addrs)
	return name, nil
}

// Visited is what a visitor finds out about a DJ.
type Visited struct {
	// Chain is who signs for her now.
	Chain *manifests.Chain
	f     *Follower
	head  *manifests.Head
}

// Card fetches her card; nil where she has none. It is not pinned:
// the next Collect may let it go.
func (v *Visited) Card(ctx context.Context) (*manifests.Card, error) {
	card, err := v.f.visitor().card(ctx, v.head)
	if err != nil {
		return nil, fmt.Errorf("visit %s: %w", v.Chain.DJ(), kindOf(err))
	}
	return card, nil
}

// visitor fetches a record. It is not pinned: the next Collect may let it go.
func (f *Follower) visitor() getter {
	return func(ctx context.Context, c cid.Cid) ([]byte, error) {
		return f.cfg.Fetch.Get(ctx, c, node.Want{Class: node.Now})
	}
}

// Visit finds out who signs for a DJ now, without following her: the roots that
// the name in a link leads to, verified, and hers. Her catalogue is not fetched,
// and nothing is pinned. The error wraps ErrNotFound or ErrVerify, or is ctx's.
func (f *Follower) Visit(ctx context.Context, dj manifests.DJ, link manifests.Link) (*Visited, error) {
	name, err := ipns.ParseName(string(link.Name))
	if err != nil {
		return nil, fmt.Errorf("visit %.200q: %w", link.Name, err)
	}
	f.origins(row{Origins: link.Origins})
	f.dial(ctx, link.Addrs)
	defer f.Hold()()
	rec, err := f.cfg.Names.Ask(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("visit %s: %w", name, kindOf(err))
	}
	fetched := f.visitor()
	get := func(ctx context.Context, c cid.Cid) ([]byte, error) {
		data, err := fetched(ctx, c)
		if err == nil && len(data) > manifests.MaxPayload {
			err = refuse("record %s has %d bytes", c, len(data))
		}
		return data, err
	}
	v, err := readHead(ctx, get, f.cfg.Parallel, name, dj.String(), rec.Value)
	if err != nil {
		return nil, fmt.Errorf("visit %s: %w", name, kindOf(err))
	}
	return &Visited{v.chain, f, v.head}, nil
}

// origins has the gateways that links gave asked.
func (f *Follower) origins(r row) {
	if f.cfg.Origin == nil {
		return
	}
	for _, o := range r.Origins {
		f.cfg.Origin(o)
	}
}

// Reach has the peers connected that links gave for a followed name; it waits
// a little for those that answer.
func (f *Follower) Reach(ctx context.Context, name ipns.Name) {
	n, err := f.lookup(name)
	if err != nil {
		return
	}
	f.mu.Lock()
	addrs := n.row.Addrs
	f.mu.Unlock()
	f.dial(ctx, addrs)
}

// dial has the peers at addrs connected and kept; it waits a little for those
// that answer.
func (f *Follower) dial(ctx context.Context, addrs []string) {
	if f.cfg.Peers == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, dialing)
	defer cancel()
	var wg sync.WaitGroup
	for _, a := range addrs {
		wg.Go(func() {
			if err := f.cfg.Peers.Connect(ctx, a); err != nil {
				f.cfg.Log.Info("peer from a link does not answer yet", "addr", a, "err", err)
			}
		})
	}
	wg.Wait()
}

// take notes, durably, that name is followed.
func (f *Follower) take(name ipns.Name, link manifests.Link) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, known := f.names[name]
	r := row{Name: name}
	if known {
		r = n.row
	} else if old, err := loadRow(f.cfg.Store, djKey(name)); err != nil {
		return err
	} else if old != nil {
		r = *old // pinned when it was followed before
	}
	if link.DJ != nil {
		if r.Held && r.DJ != "" && r.DJ != link.DJ.String() {
			return fmt.Errorf("the link names DJ %s, and %s is pinned: %w", link.DJ, r.DJ, ErrVerify)
		}
		r.DJ = link.DJ.String()
	}
	for _, a := range link.Addrs {
		if !slices.Contains(r.Addrs, a) && len(r.Addrs) < 16 {
			r.Addrs = append(r.Addrs, a)
		}
	}
	for _, o := range link.Origins {
		if !slices.Contains(r.Origins, o) && len(r.Origins) < manifests.MaxOrigins {
			r.Origins = append(r.Origins, o)
		}
	}
	if err := f.cfg.Store.Apply(map[string][]byte{rowKey(name): r.encode()}, nil); err != nil {
		return err
	}
	if known {
		n.row = r
		return nil
	}
	head, err := loadHead(f.cfg.Store, name)
	if err != nil {
		return err
	}
	f.add(r, head)
	return nil
}

// Unfollow ends it and drops the pins, those of past versions too. Floors and the pinned DJ stay, for the
// day it is followed again.
func (f *Follower) Unfollow(ctx context.Context, name ipns.Name) error {
	f.mu.Lock()
	n, ok := f.names[name]
	if !ok {
		f.mu.Unlock()
		return fmt.Errorf("unfollow %s: not followed: %w", name, ErrNotFound)
	}
	kept := row{Name: name, DJ: n.row.DJ, Held: n.row.Held, Backup: n.row.Backup}
	past, err := loadPast(f.cfg.Store, name)
	if err == nil {
		gone := []string{rowKey(name), headKey(name)}
		for _, v := range past {
			gone = append(gone, v.key(name))
		}
		err = f.cfg.Store.Apply(map[string][]byte{djKey(name): kept.encode()}, gone)
	}
	if err == nil {
		n.unwatch()
		n.unspare()
		delete(f.names, name)
		close(f.changed)
		f.changed = make(chan struct{})
	}
	f.mu.Unlock()
	if err == nil {
		err = f.unpin(ctx, name, nil, nil)
	}
	if err != nil {
		return fmt.Errorf("unfollow %s: %w", name, err)
	}
	return nil
}

// Follows lists what is followed, by name.
func (f *Follower) Follows() []Status {
	now := f.cfg.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Status
	for _, name := range slices.Sorted(maps.Keys(f.names)) {
		n := f.names[name]
		s := Status{Name: name, DJ: n.row.DJ, Progress: n.progress, History: n.row.History, Err: n.err}
		if h := n.head; h != nil {
			s.Seq, s.Envelope, s.Whole = h.Seq, h.Envelope.Cid, h.Whole
			s.Since, s.Stale = time.Unix(h.Since, 0), now.Unix() >= h.Exp
			s.Issued, s.End = time.Unix(h.IAT, 0), time.Unix(h.Exp, 0)
		}
		out = append(out, s)
	}
	return out
}

// OnNewer calls g, in a goroutine of its own, after each newly accepted
// version: its records, boxes and metadata are here, its tails may be coming.
func (f *Follower) OnNewer(g func(*Catalogue)) (stop func()) {
	h := &hook{g}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newer[h] = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.newer, h)
	}
}

func (f *Follower) lookup(name ipns.Name) (*followed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, ok := f.names[name]
	if !ok {
		return nil, fmt.Errorf("%s is not followed: %w", name, ErrNotFound)
	}
	return n, nil
}
