package ipns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Router is one way to carry records. Both methods may be slow and lie.
type Router interface {
	// Put hands a record on and calls held, from any goroutine, for each
	// other that is known to hold it then: a peer by its id, a service by its
	// name. It returns when all have answered or ctx ends.
	Put(ctx context.Context, name Name, raw []byte, held func(who string)) error
	// Get asks for a name's record and calls found, from one goroutine at a
	// time, for each answer as it comes, until all have answered or ctx ends.
	Get(ctx context.Context, name Name, found func(raw []byte)) error
}

// Store keeps records; internal/repo's Bucket satisfies it.
type Store interface {
	Get(key string) ([]byte, error)     // nil, nil when absent
	Put(key string, value []byte) error // durable when it returns
}

// Config is what a Namer needs.
type Config struct {
	// Store keeps the newest record of each name. Required.
	Store Store
	// Now judges ends of life. Required.
	Now func() time.Time
	// Peers, when set, are asked and told directly (/playnode/ipns/1.0.0).
	Peers Peers
	// Topics, when set, carry records as the IPNS PubSub standard has it.
	Topics Topics
	// Routers are further ways, such as DHT.
	Routers []Router
	// Enough is how many others must hold a record for Publish to return
	// while it goes on; 0 means 3.
	Enough int
	// Every is how often Run re-puts what it watches; 0 means 12 h, well
	// inside the 48 h that a DHT keeps a record.
	Every time.Duration
	// Log, when nil, drops everything.
	Log *slog.Logger
}

// Namer publishes, resolves and remembers. Safe for concurrent use.
type Namer struct {
	cfg     Config
	direct  *exchange // nil without Peers
	topics  *gossip   // nil without Topics
	routers []Router

	ctx    context.Context // ends with Close: what goes on behind a call's back
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex // guards all below, and the order of writes to Store
	closed    bool
	held      map[Name]Record
	lacking   map[Name]bool // some of those that Store has no record of
	reach     map[Name]*reach
	watches   map[Name][]*watch
	own       map[Name]bool
	asked     map[Name]time.Time // when Resolve last had a name refined
	connected chan struct{}      // closed and replaced when a peer connects
	arrivals  []string           // peers that Run has yet to greet
	fresh     map[Name]bool      // names whose record Run has yet to pass on
	wake      chan struct{}      // one slot: arrivals, fresh or interests have changed
}

// New makes a Namer; the caller closes it. With Peers it answers them from
// now on for every record that it holds, whoever signed it.
func New(cfg Config) (*Namer, error) {
	if cfg.Store == nil || cfg.Now == nil {
		return nil, errors.New("make namer: Store and Now are required")
	}
	if cfg.Every <= 0 {
		cfg.Every = 12 * time.Hour
	}
	if cfg.Enough <= 0 {
		cfg.Enough = 3
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	n := &Namer{
		cfg: cfg, held: map[Name]Record{}, lacking: map[Name]bool{}, reach: map[Name]*reach{}, watches: map[Name][]*watch{},
		own: map[Name]bool{}, asked: map[Name]time.Time{},
		connected: make(chan struct{}), fresh: map[Name]bool{}, wake: make(chan struct{}, 1),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if cfg.Peers != nil {
		n.direct = &exchange{namer: n, peers: cfg.Peers}
		n.routers = append(n.routers, n.direct)
	}
	if cfg.Topics != nil {
		n.topics = &gossip{namer: n, topics: cfg.Topics}
		n.routers = append(n.routers, n.topics)
	}
	n.routers = append(n.routers, cfg.Routers...)
	if cfg.Peers != nil {
		cfg.Peers.Handle(Protocol, n.direct.serve)
		cfg.Peers.Handle(fetchProtocol, n.direct.serveFetch)
		cfg.Peers.OnConnect(n.arrived)
	}
	return n, nil
}

// Close ends what Publish and Resolve have left to go on, and waits for it.
// The Namer still answers from disk.
func (n *Namer) Close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.cancel()
	n.wg.Wait()
	return nil
}

// spawn runs f, unless the Namer is closed, until it is. It tells whether.
func (n *Namer) spawn(f func(ctx context.Context)) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.wg.Go(func() { f(n.ctx) })
	return true
}

// Newest is the newest record ever accepted, from disk alone, past its end of
// life or not; ErrNotFound when there is none.
func (n *Namer) Newest(name Name) (Record, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.load(name)
}

// Accept verifies a record and keeps it, durably, if it is the newest. It
// returns the newest known then; fresh tells that it is this one, and was not
// known before. Of two with one sequence Compare's winner is kept, and
// another value under that sequence is reported (Conflict, Alerts). A record
// past its end of life is taken only where none is held, or only such: it is
// stale, and better than nothing. The error wraps ErrInvalid, ErrExpired or
// ErrRollback, and nothing was kept.
func (n *Namer) Accept(name Name, raw []byte) (newest Record, fresh bool, err error) {
	// Most of what comes is what is held: it comes by every way.
	if held, err := n.Newest(name); err == nil && bytes.Equal(held.Raw, raw) {
		return held, false, nil
	}
	rec, err := Open(name, raw)
	if err != nil {
		return Record{}, false, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	held, err := n.load(name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Record{}, false, err
	}
	now, first := n.cfg.Now(), err != nil
	order := 1
	if !first {
		order = rec.Compare(held)
	}
	switch {
	case order == 0:
		return held, false, nil
	case rec.Seq < held.Seq:
		return Record{}, false, fmt.Errorf("record of %s has sequence %d, %d was seen: %w", name, rec.Seq, held.Seq, ErrRollback)
	case rec.Ended(now) && !first && !held.Ended(now):
		return Record{}, false, fmt.Errorf("record of %s ended %s: %w", name, rec.EOL.Format(time.RFC3339), ErrExpired)
	}
	if !first && rec.Seq == held.Seq && !rec.Value.Equals(held.Value) {
		loser := rec
		if order > 0 {
			loser = held
		}
		if err := n.accuse(loser); err != nil {
			return Record{}, false, err
		}
	}
	if order < 0 {
		return held, false, nil
	}
	if err := n.keep(rec); err != nil {
		return Record{}, false, err
	}
	n.fresh[name] = true
	n.signal()
	return rec, true, nil
}

func recordKey(name Name) string { return "record/" + string(name) }

// keep makes rec the newest, on disk first. n.mu is held.
func (n *Namer) keep(rec Record) error {
	if err := n.cfg.Store.Put(recordKey(rec.Name), rec.Raw); err != nil {
		return fmt.Errorf("keep record of %s: %w", rec.Name, err)
	}
	n.held[rec.Name] = rec
	delete(n.lacking, rec.Name)
	delete(n.reach, rec.Name)
	for _, w := range n.watches[rec.Name] {
		w.notify(rec)
	}
	return nil
}

// load is the newest record held. n.mu is held.
func (n *Namer) load(name Name) (Record, error) {
	if rec, ok := n.held[name]; ok {
		return rec, nil
	}
	if n.lacking[name] {
		return Record{}, fmt.Errorf("record of %s: %w", name, ErrNotFound)
	}
	rec, err := n.read(name, recordKey(name))
	if errors.Is(err, ErrNotFound) { // each peer that comes may be asked about it, and ask
		if len(n.lacking) >= maxLacking {
			clear(n.lacking)
		}
		n.lacking[name] = true
	}
	if err != nil {
		return Record{}, err
	}
	n.held[name] = rec
	return rec, nil
}

// maxLacking bounds the names of which it is remembered that no record is held.
const maxLacking = 256

func (n *Namer) read(name Name, key string) (Record, error) {
	raw, err := n.cfg.Store.Get(key)
	if err != nil {
		return Record{}, fmt.Errorf("read record of %s: %w", name, err)
	}
	if raw == nil {
		return Record{}, fmt.Errorf("record of %s: %w", name, ErrNotFound)
	}
	return Open(name, raw)
}

// maxReach bounds the peers that are remembered for one record.
const maxReach = 1024

// reach is how far the newest record of a name has come, as far as is known
// here: what saves telling somebody twice.
type reach struct {
	holders  map[string]bool // others that hold it
	told     map[string]bool // and those that were shown it and did not take it
	gossiped bool            // it has been on the name's topic
}

// reached is the reach of raw, nil when it is not the newest any more. n.mu
// is held.
func (n *Namer) reached(name Name, raw []byte) *reach {
	if held, err := n.load(name); err != nil || !bytes.Equal(held.Raw, raw) {
		return nil
	}
	r := n.reach[name]
	if r == nil {
		r = &reach{holders: map[string]bool{}, told: map[string]bool{}}
		n.reach[name] = r
	}
	return r
}

// holds notes that who holds raw.
func (n *Namer) holds(name Name, raw []byte, who string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r := n.reached(name, raw); r != nil && len(r.holders) < maxReach {
		r.holders[who] = true
	}
}

// tell notes that peer was shown raw.
func (n *Namer) tell(name Name, raw []byte, peer string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r := n.reached(name, raw); r != nil && len(r.told) < maxReach {
		r.told[peer] = true
	}
}

// knows tells whether peer holds raw or was shown it.
func (n *Namer) knows(name Name, raw []byte, peer string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.reached(name, raw)
	return r != nil && (r.holders[peer] || r.told[peer])
}

// Holders is how many others are known to hold the newest record of name.
func (n *Namer) Holders(name Name) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r := n.reach[name]; r != nil {
		return len(r.holders)
	}
	return 0
}
