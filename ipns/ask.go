package ipns

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// settle is how long the others may still answer after a first record.
	settle = time.Second
	// doubt is how long an honest answer may still come after a bad or a
	// stale one.
	doubt = 3 * time.Second
	// again is how often Ask repeats a question nobody has answered.
	again = time.Second
)

// Resolve answers from disk at once when a record is held, past its end of
// life or not (Record.Ended), and has it refined behind the caller's back: a
// newer one is told to watchers. Else it asks everyone at once and returns the
// first good record; the others' answers are still heard. Errors are Ask's.
func (n *Namer) Resolve(ctx context.Context, name Name) (Record, error) {
	if rec, err := n.Newest(name); err == nil {
		n.refine(name)
		return rec, nil
	}
	first := make(chan Record, 1)
	defer n.Watch(name, func(rec Record) {
		if rec.Ended(n.cfg.Now()) {
			return // Ask waits for a better one
		}
		select {
		case first <- rec:
		default:
		}
	})()
	type answer struct {
		rec Record
		err error
	}
	asked := make(chan answer, 1)
	life, cancel := context.WithCancelCause(n.ctx)
	if !n.spawn(func(context.Context) {
		rec, err := n.Ask(life, name)
		cancel(nil)
		asked <- answer{rec, err}
	}) {
		return Record{}, fmt.Errorf("resolve %s: the namer is closed: %w", name, ErrNotFound)
	}
	select {
	case rec := <-first:
		time.AfterFunc(doubt, func() { cancel(nil) }) // a push may have come before any answer
		return rec, nil
	case <-ctx.Done():
		cancel(context.Cause(ctx))
	case a := <-asked:
		return a.rec, a.err
	}
	a := <-asked
	return a.rec, a.err
}

// refine asks everyone about name, behind the caller's back, unless that was
// done within a record's TTL.
func (n *Namer) refine(name Name) {
	now := n.cfg.Now()
	n.mu.Lock()
	if last, ok := n.asked[name]; ok && now.Sub(last) < ttl && !now.Before(last) || len(n.routers) == 0 {
		n.mu.Unlock()
		return
	}
	n.asked[name] = now
	n.mu.Unlock()
	n.spawn(func(life context.Context) {
		life, cancel := context.WithTimeout(life, ttl)
		defer cancel()
		if _, err := n.askOnce(life, name); err != nil {
			n.cfg.Log.Debug("refine", "name", name, "err", err)
		}
	})
}

// Ask asks every router and connected peer, again while nobody has answered,
// and returns the newest record known after that. It returns within a second
// of the first good answer, or as soon as all asked have answered; without
// one it goes on until ctx ends. A record past its end of life (Record.Ended)
// is returned only when all asked had none better, or not within 3 s.
// ErrNotFound: nobody answered with a record. ErrRollback, ErrInvalid,
// ErrExpired: those who answered offered only such.
func (n *Namer) Ask(ctx context.Context, name Name) (Record, error) {
	var refused error // what was wrong with the answers so far
	var until <-chan time.Time
	for {
		n.mu.Lock()
		connected := n.connected
		n.mu.Unlock()
		answered, err := n.askOnce(ctx, name)
		if answered {
			return n.Newest(name)
		}
		if err != nil {
			refused = err
			if until == nil {
				until = time.After(doubt)
			}
		}
		select {
		case <-connected:
		case <-time.After(again):
		case <-until:
			return Record{}, fmt.Errorf("resolve %s: %w", name, refused)
		case <-ctx.Done():
			if refused != nil {
				return Record{}, fmt.Errorf("resolve %s: %w", name, refused)
			}
			return Record{}, fmt.Errorf("resolve %s: no peer answered: %w (%w)", name, ErrNotFound, context.Cause(ctx))
		}
	}
}

// Look asks every router and connected peer once and returns the newest
// record known after that. Errors are those of Ask: nobody has answered with
// one that holds and is no older than what is known.
func (n *Namer) Look(ctx context.Context, name Name) (Record, error) {
	answered, err := n.askOnce(ctx, name)
	if answered {
		return n.Newest(name)
	}
	if err == nil {
		err = ErrNotFound
	}
	return Record{}, fmt.Errorf("look for %s: %w", name, err)
}

// askOnce asks all once. answered: at least one gave a record that holds and
// is no older than what is known. Else err is the weightiest refusal.
func (n *Namer) askOnce(ctx context.Context, name Name) (answered bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan []byte)
	done := make(chan struct{}, len(n.routers))
	for _, r := range n.routers {
		go func() {
			err := r.Get(ctx, name, func(raw []byte) {
				select {
				case answers <- raw:
				case <-ctx.Done():
				}
			})
			if err != nil {
				n.cfg.Log.Debug("ask for record", "name", name, "err", err)
			}
			done <- struct{}{}
		}()
	}
	good := false // one was within its time
	var enough <-chan time.Time
	for left := len(n.routers); left > 0; {
		select {
		case raw := <-answers:
			rec, _, e := n.Accept(name, raw)
			if e != nil {
				err = graver(err, e)
				continue
			}
			if ended := rec.Ended(n.cfg.Now()); !ended && !good {
				good, enough = true, time.After(settle)
			} else if ended && enough == nil {
				enough = time.After(doubt)
			}
			answered = true
		case <-done:
			left--
		case <-enough:
			return true, nil
		case <-ctx.Done():
			return answered, err
		}
	}
	return answered, err
}

// graver keeps the error that says more about who answered: a bad record
// before an old one, an old one before an expired one.
func graver(a, b error) error {
	for _, kind := range []error{ErrInvalid, ErrRollback, ErrExpired} {
		switch {
		case errors.Is(a, kind):
			return a
		case errors.Is(b, kind):
			return b
		}
	}
	return errors.Join(a, b)
}
