package daemon

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
	"playnode/lease"
	"playnode/live"
	"playnode/manifests"
	"playnode/node"
	"playnode/player"
)

// air is what is on air: this box's sets go out by it, and others' come in.
// Safe for concurrent use.
type air struct {
	d       *Daemon
	n       *network
	carrier *live.Carrier

	mu      sync.Mutex // guards what follows
	chains  map[manifests.DJ]*manifests.Chain
	names   map[ipns.Name]manifests.DJ
	watched map[manifests.DJ]context.CancelFunc
	known   map[airing]live.Set // newest on air, by what it is leased as
	changed chan struct{}       // closed when known changes
	kept    map[live.Set]*kept
	shown   map[live.Set]*Screening
	visits  map[ipns.Name]int // who is heard by a link, and by how many
	own     map[live.Set]bool // this box's own that are on air
	listed  map[live.Set]*noticeboard
}

// airing is what a set is leased as.
type airing struct {
	dj  manifests.DJ
	sel manifests.SelID
}

// kept are the segments of a set that went by here: they stay, as they are the
// leaves of the track that it becomes, until a track that is pinned has them.
type kept struct {
	segments []keptSegment
	bytes    int64
	last     time.Time
}

type keptSegment struct {
	cid  cid.Cid
	size int64
}

const (
	// keptFor is how long after a set's end its segments stay without its track.
	keptFor = time.Hour
	// keptShare is the part of store-limit that segments take which are of no
	// track yet: then the oldest go.
	keptShare = 4
	// resting is how often it is looked whether the line is ours again.
	resting = time.Minute
)

// endWith is how long what a set's end has come to is given on.
const endWith = 10 * time.Second

// startCarrying has sets carried until the daemon is closed.
func (d *Daemon) startCarrying(n *network) error {
	a := &air{
		d: d, n: n, chains: map[manifests.DJ]*manifests.Chain{}, names: map[ipns.Name]manifests.DJ{}, watched: map[manifests.DJ]context.CancelFunc{},
		known: map[airing]live.Set{}, changed: make(chan struct{}), kept: map[live.Set]*kept{}, shown: map[live.Set]*Screening{}, visits: map[ipns.Name]int{},
		own: map[live.Set]bool{}, listed: map[live.Set]*noticeboard{},
	}
	cfg := live.Config{
		Streams: n.node, Peers: n.node, Chain: a.chain, Now: d.now, Topics: n.node, Upload: d.repo.Config.UploadLimit, Hush: func() bool { return d.manners().Keep }, Sent: n.fetch.Sent, Keep: n.fetch, Fetch: n.fetch,
		OnAir: a.onAir, Log: d.log,
		Report: func(kept, other manifests.Signed) {
			d.log.Error("a set's DJ has signed two things under one number", "kept", kept.Payload.CID, "other", other.Payload.CID)
		},
	}
	if n.meeting != nil { // strangers are not told whom this box follows
		cfg.Known = a.followers
	}
	if own, ok := n.node.(whole); ok {
		cfg.Near, cfg.Meet = own.Near, own.Meet
		cfg.Dialable = func() bool { return n.node.Reachability() != node.PrivateReach }
	}
	var err error
	if a.carrier, err = live.New(cfg); err != nil {
		return err
	}
	n.air = a
	close(n.onAir)
	n.follow.OnNewer(a.follows)
	for _, f := range n.follow.Follows() {
		if c, err := n.follow.Newest(f.Name); err == nil {
			a.follows(c)
		}
	}
	n.carried = make(chan struct{})
	go func() {
		defer close(n.carried)
		if err := a.carrier.Run(d.life); d.life.Err() == nil {
			d.log.Error("carry sets", "err", err)
		}
	}()
	return nil
}

// carries lists the sets that go by here.
func (a *air) carries() []Carries {
	out := []Carries{}
	for _, c := range a.carrier.Carried() {
		out = append(out, Carries{c.Live.String(), c.Depth, c.Children, c.Received, c.Twice, c.Sent})
	}
	slices.SortFunc(out, func(a, b Carries) int { return cmp.Compare(a.Set, b.Set) })
	return out
}

// chain is a DJ's as it is known here.
func (a *air) chain(dj manifests.DJ) *manifests.Chain {
	if dj == a.d.keys.DJ() {
		return a.d.keys.Chain()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.chains[dj]
}

// followers are the connected peers that have proved that they follow a DJ.
func (a *air) followers(dj manifests.DJ) (out []string) {
	var names []string
	if dj == a.d.keys.DJ() {
		names = append(names, string(a.d.keys.Name()))
	}
	a.mu.Lock()
	for name, of := range a.names {
		if of == dj {
			names = append(names, name.String())
		}
	}
	a.mu.Unlock()
	for _, name := range names {
		for _, p := range a.n.meeting.Neighbours(name) {
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// knows tells that a peer follows somebody whom this box follows.
func (n *network) knows(life context.Context, peer string) {
	select {
	case <-n.onAir:
		n.air.carrier.Met(peer)
	case <-life.Done():
	}
}

// follows has a followed DJ's going on air heard of.
func (a *air) follows(c *follow.Catalogue) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.chains[c.DJ], a.names[c.Name] = c.Chain, c.DJ
	if a.watched[c.DJ] != nil || c.DJ == a.d.keys.DJ() {
		return
	}
	ctx, cancel := context.WithCancel(a.d.life)
	a.watched[c.DJ] = cancel
	go func() {
		if err := a.carrier.Watch(ctx, c.DJ); ctx.Err() == nil {
			a.d.log.Warn("hear of a DJ's sets", "dj", c.DJ, "err", err)
		}
	}()
}

// leaves ends what follows began.
func (a *air) leaves(name ipns.Name) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.visits[name] > 0 {
		return // it is heard still
	}
	dj, ok := a.names[name]
	delete(a.names, name)
	for _, other := range a.names {
		ok = ok && other != dj
	}
	if end := a.watched[dj]; ok && end != nil {
		end()
		delete(a.watched, dj)
		delete(a.chains, dj)
		for of := range a.known {
			if of.dj == dj {
				delete(a.known, of)
			}
		}
	}
}

// onAir is told of a set that has gone on air.
func (a *air) onAir(set live.Set, l *manifests.Live) {
	a.mu.Lock()
	a.known[airing{set.DJ, l.Sel}] = set
	close(a.changed)
	a.changed = make(chan struct{})
	a.mu.Unlock()
	a.d.log.Info("on air", "dj", set.DJ, "set", set.Live)
	leases := a.d.venue.Leases()
	if !slices.ContainsFunc(leases, func(x lease.Lease) bool { return x.DJ == set.DJ && x.Sel == l.Sel }) && a.follower(set.DJ) {
		a.lend(set)
	}
}

// lend carries a set that this box may not hear, unread, until it ends: an
// archive's upload for those who do. While the line is left to others it takes
// nothing in that it may not give.
func (a *air) lend(set live.Set) {
	ticks, stop := a.d.opt.Ticks(resting)
	defer stop()
	for {
		if !a.d.manners().Keep {
			f := a.carrier.Hear(set, 0)
			err := a.lent(set, f, ticks)
			sent := f.Stats().Sent
			if !errors.Is(err, errHush) {
				a.over(set)
				a.d.log.Info("carried a set", "set", set.Live, "sent", sent)
				a.linger()
				f.Close()
				return
			}
			f.Close()
		}
		select {
		case <-ticks:
		case <-a.d.life.Done():
			return
		}
		if !a.airs(set) {
			return
		}
	}
}

// errHush ends what is carried for others alone.
var errHush = errors.New("the line is left to others")

// lent keeps what comes of a set until it ends, or the line is left to others
// and nobody is given it any more.
func (a *air) lent(set live.Set, f *live.Feed, ticks <-chan time.Time) error {
	ctx, cancel := context.WithCancelCause(a.d.life)
	defer cancel(nil)
	go func() {
		for {
			select {
			case <-ticks:
			case <-ctx.Done():
				return
			}
			if a.d.manners().Keep && f.Stats().Children == 0 {
				cancel(errHush)
			}
		}
	}()
	for {
		it, err := f.Next(ctx)
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		a.keep(set, it)
	}
}

// linger gives on for a while what a set's end has come to.
func (a *air) linger() {
	t := time.NewTimer(endWith)
	defer t.Stop()
	select {
	case <-t.C:
	case <-a.d.life.Done():
	}
}

// keep notes a segment that is here.
func (a *air) keep(set live.Set, it live.Item) {
	if it.Head == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.kept[set]
	if k == nil {
		k = &kept{}
		a.kept[set] = k
	}
	if n := len(k.segments); n == 0 || k.segments[n-1].cid != it.Head.Seg {
		k.segments = append(k.segments, keptSegment{it.Head.Seg, int64(len(it.Sealed))})
		k.bytes += int64(len(it.Sealed))
	}
	k.last = a.d.now()
}

// airs tells whether a set is on air, as far as is known.
func (a *air) airs(set live.Set) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.known {
		if s == set {
			return true
		}
	}
	return false
}

// over notes that a set has ended.
func (a *air) over(set live.Set) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for l, s := range a.known {
		if s == set {
			delete(a.known, l)
		}
	}
}

// carries tells whether segments are kept here that no pin may keep, for a time.
func (n *network) carries() bool {
	select {
	case <-n.onAir:
	default:
		return false
	}
	n.air.mu.Lock()
	defer n.air.mu.Unlock()
	return len(n.air.kept) > 0
}

// roots are the segments that stay, but for those that a pin keeps already.
func (a *air) roots(pinned func(cid.Cid) bool) (out []cid.Cid) {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var all int64
	for set, k := range a.kept {
		if a.d.now().Sub(k.last) > keptFor {
			delete(a.kept, set)
			continue
		}
		left := k.segments[:0]
		for _, s := range k.segments {
			if pinned(s.cid) {
				k.bytes -= s.size
			} else {
				left = append(left, s)
			}
		}
		clear(k.segments[len(left):])
		k.segments = slices.Clip(left)
		all += k.bytes
	}
	limit := a.d.repo.Config.StoreLimit
	for _, k := range a.kept {
		for limit > 0 && all > limit/keptShare && len(k.segments) > 0 {
			k.bytes -= k.segments[0].size
			all -= k.segments[0].size
			k.segments = k.segments[1:]
		}
		for _, s := range k.segments {
			out = append(out, s.cid)
		}
	}
	return out
}

// OnAir waits for a set; see player.Sets.
func (a *air) OnAir(ctx context.Context, name ipns.Name, sel manifests.SelID) (player.Set, error) {
	for {
		a.mu.Lock()
		set, ok := a.known[airing{a.names[name], sel}]
		changed := a.changed
		a.mu.Unlock()
		if ok {
			return &hearing{a, set, a.carrier.Hear(set, 0)}, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// hearing is a set that this box's player hears.
type hearing struct {
	a    *air
	set  live.Set
	feed *live.Feed
}

func (h *hearing) Next(ctx context.Context) (player.LiveItem, error) {
	it, err := h.feed.Next(ctx)
	if err != nil {
		if ctx.Err() == nil {
			h.a.over(h.set)
		}
		return player.LiveItem{}, err
	}
	h.a.keep(h.set, it)
	return player.LiveItem{Record: it.Record, Head: it.Head, Sealed: it.Sealed, Missing: it.Missing}, nil
}

// Recorded is false: it is on air.
func (h *hearing) Recorded() bool { return false }

func (h *hearing) Close() error {
	go func() { // those behind us may not have the end yet
		h.a.linger()
		h.feed.Close()
	}()
	return nil
}

// mouthpiece has a set of this box's DJ go out; see publisher.Carrier.
type mouthpiece struct {
	a   *air
	set *live.Air // nil before the first record
}

func (m *mouthpiece) Record(_ context.Context, record manifests.Signed) (err error) {
	if m.set != nil {
		return m.set.Record(record)
	}
	if m.set, err = m.a.carrier.Go(record); err != nil {
		return err
	}
	m.a.mu.Lock()
	defer m.a.mu.Unlock()
	m.a.own[m.set.Set()] = true
	return nil
}

func (m *mouthpiece) Segment(_ context.Context, head manifests.Signed, segment manifests.Block) error {
	if m.set == nil {
		return errors.New("a segment before its record")
	}
	return m.set.Announce(head, segment)
}

// end goes off air, a while after the last segment.
func (m *mouthpiece) end() {
	if m.set != nil {
		go func() {
			m.a.linger()
			m.a.mu.Lock()
			delete(m.a.own, m.set.Set())
			m.a.mu.Unlock()
			m.set.Close()
		}()
	}
}
