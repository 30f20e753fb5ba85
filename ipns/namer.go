package ipns

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
)

const (
	// settle is how long the others may still answer after a first record.
	settle = time.Second
	// doubt is how long an honest answer may still come after a bad one.
	doubt = 3 * time.Second
	// again is how often Ask repeats a question nobody has answered.
	again = time.Second
)

// Router is one way to carry records. Both methods may be slow and lie.
type Router interface {
	// Put hands a record on and tells how many others now hold it.
	Put(ctx context.Context, name Name, raw []byte) (holders int, err error)
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
	// Routers are further ways, such as DHT.
	Routers []Router
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
	routers []Router

	mu        sync.Mutex // guards all below, and the order of writes to Store
	held      map[Name]Record
	watches   map[Name][]*watch
	own       map[Name]bool
	connected chan struct{} // closed and replaced when a peer connects
	arrivals  []string      // peers that Run has yet to greet
	fresh     map[Name]bool // names whose record Run has yet to pass on
	wake      chan struct{} // one slot: arrivals or fresh has grown
}

// New makes a Namer. With Peers it answers them from now on for every record
// that it holds, whoever signed it.
func New(cfg Config) (*Namer, error) {
	if cfg.Store == nil || cfg.Now == nil {
		return nil, errors.New("make namer: Store and Now are required")
	}
	if cfg.Every <= 0 {
		cfg.Every = 12 * time.Hour
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	n := &Namer{
		cfg: cfg, routers: cfg.Routers,
		held: map[Name]Record{}, watches: map[Name][]*watch{}, own: map[Name]bool{},
		connected: make(chan struct{}), fresh: map[Name]bool{}, wake: make(chan struct{}, 1),
	}
	if cfg.Peers != nil {
		n.direct = &exchange{namer: n, peers: cfg.Peers}
		n.routers = append([]Router{n.direct}, cfg.Routers...)
		cfg.Peers.Handle(Protocol, n.direct.serve)
		cfg.Peers.OnConnect(n.arrived)
	}
	return n, nil
}

// Publish signs and keeps a record that points key's name at value, and hands
// it to every router. A seq of 0 means one more than the highest known; one
// that is not above it gives ErrRollback. The record is durable here when an
// error is nil; Publish then waits until the routers have answered or ctx has
// ended. holders counts the others that hold it; none is no error.
func (n *Namer) Publish(ctx context.Context, key ed25519.PrivateKey, value cid.Cid, seq uint64, eol time.Time) (rec Record, holders int, err error) {
	name, err := NameOf(key.Public().(ed25519.PublicKey))
	if err != nil {
		return Record{}, 0, err
	}
	rec, err = n.sign(name, key, value, seq, eol)
	if err != nil {
		return Record{}, 0, err
	}
	return rec, n.spread(ctx, rec), nil
}

// sign makes the next record of name and keeps it, in one step.
func (n *Namer) sign(name Name, key ed25519.PrivateKey, value cid.Cid, seq uint64, eol time.Time) (Record, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	held, err := n.load(name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Record{}, err
	}
	if seq == 0 {
		seq = held.Seq + 1
	}
	if seq <= held.Seq {
		return Record{}, fmt.Errorf("publish %s with sequence %d, %d being known: %w", name, seq, held.Seq, ErrRollback)
	}
	rec, err := Sign(key, value, seq, eol)
	if err != nil {
		return Record{}, err
	}
	n.own[name] = true
	return rec, n.keep(rec)
}

// Spread hands the newest record held of name to every router and connected
// peer and tells how many others hold it. It returns when all have answered
// or ctx has ended.
func (n *Namer) Spread(ctx context.Context, name Name) (holders int, err error) {
	rec, err := n.Newest(name)
	if err != nil {
		return 0, err
	}
	return n.spread(ctx, rec), nil
}

// spread puts rec by every router at once.
func (n *Namer) spread(ctx context.Context, rec Record) int {
	counts := make(chan int, len(n.routers))
	for _, r := range n.routers {
		go func() {
			k, err := r.Put(ctx, rec.Name, rec.Raw)
			if err != nil {
				n.cfg.Log.Debug("put record", "name", rec.Name, "err", err)
			}
			counts <- k
		}()
	}
	holders := 0
	for range n.routers {
		select {
		case k := <-counts:
			holders += k
		case <-ctx.Done():
			return holders
		}
	}
	return holders
}

// Newest is the newest record ever accepted, from disk alone, past its end of
// life or not; ErrNotFound when there is none.
func (n *Namer) Newest(name Name) (Record, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.load(name)
}

// Resolve answers from disk at once when a record is held whose end of life
// has not passed, else as Ask.
func (n *Namer) Resolve(ctx context.Context, name Name) (Record, error) {
	if rec, err := n.Newest(name); err == nil && !n.cfg.Now().After(rec.EOL) {
		return rec, nil
	}
	return n.Ask(ctx, name)
}

// Accept verifies a record and keeps it, durably, if it is the newest. It
// returns the newest known then; fresh tells that it is this one, and was not
// known before. Of two with one sequence Compare's winner is kept, and
// another value under that sequence is reported (Conflict). The error wraps
// ErrInvalid, ErrExpired or ErrRollback, and nothing was kept.
func (n *Namer) Accept(name Name, raw []byte) (newest Record, fresh bool, err error) {
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
	order := 1
	if err == nil {
		order = rec.Compare(held)
	}
	switch {
	case order == 0:
		return held, false, nil
	case rec.Seq < held.Seq:
		return Record{}, false, fmt.Errorf("record of %s has sequence %d, %d was seen: %w", name, rec.Seq, held.Seq, ErrRollback)
	case n.cfg.Now().After(rec.EOL):
		return Record{}, false, fmt.Errorf("record of %s ended %s: %w", name, rec.EOL.Format(time.RFC3339), ErrExpired)
	}
	if err == nil && rec.Seq == held.Seq && !rec.Value.Equals(held.Value) {
		loser := rec
		if order > 0 {
			loser = held
		}
		n.cfg.Log.Warn("two records with one sequence", "name", name, "seq", rec.Seq, "kept", rec.Compare(held) < 0)
		if err := n.cfg.Store.Put(conflictKey(name), loser.Raw); err != nil {
			return Record{}, false, fmt.Errorf("keep evidence against %s: %w", name, err)
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

// Conflict is the losing record of the last pair seen that had one sequence
// and two values: evidence that name's key signed both. ErrNotFound: none.
func (n *Namer) Conflict(name Name) (Record, error) {
	return n.read(name, conflictKey(name))
}

func recordKey(name Name) string   { return "record/" + string(name) }
func conflictKey(name Name) string { return "conflict/" + string(name) }

// keep makes rec the newest, on disk first. n.mu is held.
func (n *Namer) keep(rec Record) error {
	if err := n.cfg.Store.Put(recordKey(rec.Name), rec.Raw); err != nil {
		return fmt.Errorf("keep record of %s: %w", rec.Name, err)
	}
	n.held[rec.Name] = rec
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
	rec, err := n.read(name, recordKey(name))
	if err != nil {
		return Record{}, err
	}
	n.held[name] = rec
	return rec, nil
}

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
