package ipns

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Ask asks every router and connected peer, again while nobody has answered,
// and returns the newest record known after that. It returns within a second
// of the first good answer, or as soon as all asked have answered; without
// one it goes on until ctx ends. ErrNotFound: nobody answered with a record.
// ErrRollback, ErrInvalid, ErrExpired: those who answered offered only such.
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
	var enough <-chan time.Time
	for left := len(n.routers); left > 0; {
		select {
		case raw := <-answers:
			if _, _, e := n.Accept(name, raw); e != nil {
				err = graver(err, e)
				continue
			}
			if !answered {
				answered, enough = true, time.After(settle)
			}
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
