package archivist

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/node"
)

const (
	// copyName begins the names of our pins elsewhere; the archived name
	// follows.
	copyName = "playnode/"
	// looking is how often it is looked whether what is pinned here has changed
	// or what was asked for has come, checking how often all is asked anew.
	looking, checking = 2 * time.Second, 10 * time.Minute
	// meeting bounds the wait while a service's peers are dialled.
	meeting = 10 * time.Second
)

// Elsewhere is a service that pins what is archived, as well.
type Elsewhere struct {
	// Copies is the service; nil means none, and the rest is unused.
	Copies node.Copies
	// Origins are full multiaddrs at which blocks are had here.
	Origins func() []string
	// Meet connects to one of the service's own peers.
	Meet func(ctx context.Context, addr string) error
	// Looking is how often it is looked after what was asked for; 0 means 2
	// seconds.
	Looking time.Duration
}

// copies is how the archived names stand elsewhere.
type copies struct {
	mu     sync.Mutex // guards states
	states map[ipns.Name]string
	busy   sync.Mutex // held by the place that runs; guards failed
	// failed are the looks to let pass before a root that has failed is asked
	// for anew.
	failed map[cid.Cid]int
}

func (c *copies) set(name ipns.Name, state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states[name] = state
}

func (c *copies) of(name ipns.Name) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.states[name]
}

// place has the service pin what is pinned here of name, and, once it has all
// of it, forget what is not any more. It returns the state of that which is
// furthest behind. What others have asked the service for is left alone.
func (a *Archivist) place(ctx context.Context, name ipns.Name) (state string, err error) {
	a.copies.busy.Lock()
	defer a.copies.busy.Unlock()
	defer func() {
		if err != nil {
			state, err = node.CopyFailed, fmt.Errorf("pin %s elsewhere: %w", name, err)
		}
		a.copies.set(name, state)
	}()
	pins, err := a.cfg.Follow.Pinned(ctx, name)
	if err != nil || len(pins) == 0 {
		return "", err // it is not whole here yet
	}
	there, err := a.cfg.Elsewhere.Copies.Copies(ctx, copyName+name.String())
	if err != nil {
		return "", err
	}
	state = node.CopyPinned
	keep := map[cid.Cid]bool{}
	for _, p := range pins {
		keep[p.Root] = true
		c, err := a.ask(ctx, node.Pin{Name: copyName + name.String(), Root: p.Root}, there)
		if err != nil {
			return "", err
		}
		if rank(c.State) < rank(state) {
			state = c.State
		}
	}
	if state != node.CopyPinned {
		return state, nil
	}
	for _, c := range there {
		if c.Ours && !keep[c.Pin.Root] {
			if err := a.cfg.Elsewhere.Copies.Remove(ctx, c.ID); err != nil {
				return "", err
			}
		}
	}
	return state, nil
}

// states from the furthest behind.
func rank(state string) int {
	return slices.Index([]string{node.CopyFailed, node.CopyQueued, node.CopyPinning, node.CopyPinned}, state)
}

// ask finds p among what is there, or else asks for it. What has failed is
// asked for anew, but not again and again: one box of many that is away may be
// all that has. What was asked before goes only after. a.copies.busy is held.
func (a *Archivist) ask(ctx context.Context, p node.Pin, there []node.Copy) (node.Copy, error) {
	service := a.cfg.Elsewhere.Copies
	same := func(c node.Copy) bool { return c.Pin.Root.Equals(p.Root) }
	good := func(c node.Copy) bool { return same(c) && c.State != node.CopyFailed }
	if i := slices.IndexFunc(there, good); i >= 0 {
		delete(a.copies.failed, p.Root)
		return there[i], nil
	}
	others, err := service.Of(ctx, p.Root)
	if err != nil {
		return node.Copy{}, err
	}
	if i := slices.IndexFunc(others, good); i >= 0 {
		delete(a.copies.failed, p.Root)
		return others[i], nil
	}
	before := slices.Concat(there, others)
	if i := slices.IndexFunc(before, same); i >= 0 {
		if left := a.copies.failed[p.Root]; left > 0 {
			a.copies.failed[p.Root]--
			return before[i], nil
		}
		a.copies.failed[p.Root] = int(checking / a.cfg.Elsewhere.Looking)
	}
	c, err := service.Add(ctx, p, a.cfg.Elsewhere.Origins())
	if err != nil {
		return node.Copy{}, err
	}
	for _, old := range before {
		if old.Ours && same(old) && old.ID != c.ID {
			if err := service.Remove(ctx, old.ID); err != nil {
				return node.Copy{}, err
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, meeting)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, d := range c.Delegates {
		wg.Go(func() {
			if err := a.cfg.Elsewhere.Meet(ctx, d); err != nil {
				a.cfg.Log.Debug("meet the service's peer", "addr", d, "err", err)
			}
		})
	}
	return c, nil
}

// placed has the service pin what is pinned here of name, and waits until it
// has.
func (a *Archivist) placed(ctx context.Context, name ipns.Name) error {
	for {
		state, err := a.place(ctx, name)
		if err != nil || state == node.CopyPinned {
			return err
		}
		select {
		case <-time.After(a.cfg.Elsewhere.Looking):
		case <-ctx.Done():
			return fmt.Errorf("pin %s elsewhere: there it is %s: %w", name, state, ctx.Err())
		}
	}
}

// Forget takes back what the service was asked for of name, which is followed
// no more.
func (a *Archivist) Forget(ctx context.Context, name ipns.Name) error {
	if a.cfg.Elsewhere.Copies == nil {
		return nil
	}
	a.copies.busy.Lock()
	defer a.copies.busy.Unlock()
	there, err := a.cfg.Elsewhere.Copies.Copies(ctx, copyName+name.String())
	for _, c := range there {
		if err == nil && c.Ours {
			err = a.cfg.Elsewhere.Copies.Remove(ctx, c.ID)
		}
	}
	if err != nil {
		return fmt.Errorf("forget %s elsewhere: %w", name, err)
	}
	a.copies.set(name, "")
	return nil
}

// keepCopies looks after what was asked for until ctx ends.
func (a *Archivist) keepCopies(ctx context.Context) {
	last := map[ipns.Name]string{} // what was pinned here when all was there
	wait := map[ipns.Name]int{}    // looks to let pass, after a failure or when all is there
	for {
		for _, s := range a.cfg.Follow.Follows() {
			pins, err := a.cfg.Follow.Pinned(ctx, s.Name)
			now := fmt.Sprint(pins)
			if wait[s.Name]--; err != nil || wait[s.Name] > 0 && last[s.Name] == now {
				continue
			}
			state, err := a.place(ctx, s.Name)
			if err != nil && ctx.Err() == nil {
				a.cfg.Log.Warn("not pinned elsewhere", "err", err)
			}
			last[s.Name], wait[s.Name] = now, 0
			if err != nil || state == node.CopyPinned {
				wait[s.Name] = int(checking / a.cfg.Elsewhere.Looking)
				if err != nil {
					wait[s.Name] /= 10
				}
			}
		}
		select {
		case <-time.After(a.cfg.Elsewhere.Looking):
		case <-ctx.Done():
			return
		}
	}
}
