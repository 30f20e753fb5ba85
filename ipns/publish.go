package ipns

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
)

// putting bounds one record's way by one router.
const putting = 2 * time.Minute

// Publish signs and keeps a record that points key's name at value, and hands
// it to every router at once. A seq of 0 means one more than the highest
// known; one that is not above it gives ErrRollback. The record is durable
// here when an error is nil; Publish then returns as soon as Config.Enough
// others hold it, all routers have answered, or ctx has ended, and what is
// under way goes on until it is done or the Namer is closed. holders counts
// the others that hold it by then, Holders later; none is no error.
func (n *Namer) Publish(ctx context.Context, key ed25519.PrivateKey, value cid.Cid, seq uint64, eol time.Time) (rec Record, holders int, err error) {
	name, err := NameOf(key.Public().(ed25519.PublicKey))
	if err != nil {
		return Record{}, 0, err
	}
	rec, err = n.sign(name, key, value, seq, eol)
	if err != nil {
		return Record{}, 0, err
	}
	return rec, n.put(ctx, rec, n.cfg.Enough), nil
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
	n.signal()
	return rec, n.keep(rec)
}

// Spread hands the newest record held of name to every router, and to every
// connected peer that is not known to hold it, and tells how many others hold
// it. It returns when all have answered or ctx has ended.
func (n *Namer) Spread(ctx context.Context, name Name) (holders int, err error) {
	rec, err := n.Newest(name)
	if err != nil {
		return 0, err
	}
	return n.put(ctx, rec, 0), nil
}

// put hands rec to every router at once, and returns how many others hold it
// once enough do (0: however many), all have answered, or ctx has ended.
func (n *Namer) put(ctx context.Context, rec Record, enough int) int {
	more, done := make(chan struct{}, 1), make(chan struct{}, len(n.routers))
	left := 0
	for _, r := range n.routers {
		if n.spawn(func(life context.Context) {
			life, cancel := context.WithTimeout(life, putting)
			defer cancel()
			err := r.Put(life, rec.Name, rec.Raw, func(who string) {
				n.holds(rec.Name, rec.Raw, who)
				select {
				case more <- struct{}{}:
				default:
				}
			})
			if err != nil {
				n.cfg.Log.Debug("put record", "name", rec.Name, "err", err)
			}
			done <- struct{}{}
		}) {
			left++
		}
	}
	for left > 0 && (enough == 0 || n.count(rec) < enough) {
		select {
		case <-more:
		case <-done:
			left--
		case <-ctx.Done():
			return n.count(rec)
		}
	}
	return n.count(rec)
}

// count is how many others hold rec; none when it is not the newest any more.
func (n *Namer) count(rec Record) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r := n.reached(rec.Name, rec.Raw); r != nil {
		return len(r.holders)
	}
	return 0
}
