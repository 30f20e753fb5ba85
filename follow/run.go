package follow

import (
	"context"
	"errors"
	"sync"
	"time"

	"playnode/ipns"
)

// asking bounds one question of Run to the peers, failing the wait after a
// sync that did not end well.
const asking, failing = time.Minute, 30 * time.Second

// Run keeps every followed name in sync, when a newer record is pushed or a
// peer brings one, and every Every, until ctx ends; its error is ctx's. The
// Namer's Run must run beside it.
func (f *Follower) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	running := map[*followed]context.CancelFunc{}
	for {
		f.mu.Lock()
		changed := f.changed
		current := map[*followed]ipns.Name{}
		for name, n := range f.names {
			current[n] = name
		}
		f.mu.Unlock()
		for n, stop := range running {
			if _, ok := current[n]; !ok {
				stop()
				delete(running, n)
			}
		}
		for n, name := range current {
			if running[n] == nil {
				own, stop := context.WithCancel(ctx)
				running[n] = stop
				wg.Go(func() { defer stop(); f.attend(own, n, name) })
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// attend keeps one name in sync until ctx ends.
func (f *Follower) attend(ctx context.Context, n *followed, name ipns.Name) {
	f.mu.Lock()
	addrs := n.row.Addrs
	f.mu.Unlock()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { f.dial(ctx, addrs) })
	wg.Go(func() { f.refresh(ctx, n, name) })
	for ctx.Err() == nil {
		wait := f.syncUntilKicked(ctx, n, name)
		select {
		case <-n.kick:
		case <-wait:
		case <-ctx.Done():
		}
	}
}

// refresh asks the peers now and then; what is newer kicks attend.
func (f *Follower) refresh(ctx context.Context, n *followed, name ipns.Name) {
	tick, spare := time.NewTicker(f.cfg.Every), time.NewTicker(f.cfg.Spare)
	defer tick.Stop()
	defer spare.Stop()
	for first := true; ; first = false {
		ask, cancel := context.WithTimeout(ctx, asking)
		if _, err := f.cfg.Names.Ask(ask, name); err != nil && ctx.Err() == nil {
			f.cfg.Log.Debug("ask for a newer record", "name", name, "err", err)
		}
		cancel()
		if first {
			f.spare(ctx, n)
		}
		for wait := true; wait; {
			select {
			case <-tick.C:
				wait = false
			case <-spare.C:
				f.spare(ctx, n)
			case <-ctx.Done():
				return
			}
		}
	}
}

// syncUntilKicked syncs once; a newer record that comes meanwhile ends it, and
// is left for the next. It returns when to try again by itself.
func (f *Follower) syncUntilKicked(ctx context.Context, n *followed, name ipns.Name) <-chan time.Time {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := f.Sync(ctx, name, Options{})
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, context.Canceled) {
			f.cfg.Log.Info("not in sync", "name", name, "err", err)
			return time.After(failing)
		}
		return nil
	case <-n.kick:
		cancel()
		<-done
		f.again(n)
		return nil
	}
}

// again leaves a kick for the next round.
func (f *Follower) again(n *followed) {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}
