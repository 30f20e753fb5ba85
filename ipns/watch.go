package ipns

import (
	"context"
	"slices"
	"sync"
)

// maxArrivals bounds how many peers wait to be greeted; those beyond it are
// asked at the next Ask or re-put instead.
const maxArrivals = 256

// watch is one interest in one name.
type watch struct {
	f func(Record)

	mu      sync.Mutex // guards what follows
	next    *Record    // newest not yet handed to f
	running bool
	stopped bool
}

// notify has f called with rec, after a call under way has returned; one that
// waited for it is skipped.
func (w *watch) notify(rec Record) {
	if w.f == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = &rec
	if w.running || w.stopped {
		return
	}
	w.running = true
	go w.drain()
}

func (w *watch) drain() {
	for {
		w.mu.Lock()
		rec := w.next
		w.next = nil
		if rec == nil || w.stopped {
			w.running = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		w.f(*rec)
	}
}

// Watch takes an interest in name: records that peers push are accepted from
// now on, and f (which may be nil) is called after each newer one, in a
// goroutine of its own, one call at a time. stop ends it and does not wait
// for a call under way.
func (n *Namer) Watch(name Name, f func(Record)) (stop func()) {
	w := &watch{f: f}
	n.mu.Lock()
	n.watches[name] = append(n.watches[name], w)
	n.signal()
	n.mu.Unlock()
	return func() {
		n.mu.Lock()
		left := slices.DeleteFunc(n.watches[name], func(o *watch) bool { return o == w })
		if n.watches[name] = left; len(left) == 0 {
			delete(n.watches, name)
			n.signal()
		}
		n.mu.Unlock()
		w.mu.Lock()
		w.stopped = true
		w.mu.Unlock()
	}
}

// Wants tells whether pushed records of name are taken.
func (n *Namer) Wants(name Name) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.own[name] || len(n.watches[name]) > 0
}

// interests are all names wanted, sorted.
func (n *Namer) interests() []Name {
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []Name
	for name := range n.watches {
		names = append(names, name)
	}
	for name := range n.own {
		if len(n.watches[name]) == 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// arrived notes a peer that has connected.
func (n *Namer) arrived(peer string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.connected)
	n.connected = make(chan struct{})
	if len(n.arrivals) < maxArrivals {
		n.arrivals = append(n.arrivals, peer)
		n.signal()
	}
}

// signal wakes Run. n.mu is held.
func (n *Namer) signal() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Run asks each peer that connects for the names of interest, listens on
// their topics, passes newer records on as they come, and re-puts what is
// held, until ctx ends; its error is ctx's.
func (n *Namer) Run(ctx context.Context) error {
	type tended struct {
		kick chan struct{}
		stop context.CancelFunc
	}
	tends := map[Name]tended{}
	var wg sync.WaitGroup // a slow router holds up nobody else
	defer wg.Wait()
	for {
		current := n.interests()
		for name, t := range tends {
			if !slices.Contains(current, name) {
				t.stop()
				delete(tends, name)
			}
		}
		for _, name := range current {
			if _, ok := tends[name]; !ok {
				own, stop := context.WithCancel(ctx)
				t := tended{make(chan struct{}, 1), stop}
				tends[name] = t
				wg.Go(func() { defer stop(); n.tend(own, name, t.kick) })
			}
		}
		n.mu.Lock()
		peers, fresh := n.arrivals, n.fresh
		n.arrivals, n.fresh = nil, map[Name]bool{}
		n.mu.Unlock()
		for name := range fresh {
			if t, ok := tends[name]; ok {
				select {
				case t.kick <- struct{}{}:
				default:
				}
			}
		}
		if len(peers) > 0 {
			wg.Go(func() { n.greet(ctx, peers, current) })
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.wake:
		}
	}
}

// greet asks peers for the names of interest, and tells them what they lack.
func (n *Namer) greet(ctx context.Context, peers []string, names []Name) {
	slots := make(chan struct{}, abreast)
	var wg sync.WaitGroup
	for _, p := range peers {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for _, name := range names {
				if ctx.Err() != nil {
					return
				}
				n.direct.ask(ctx, p, name, func(raw []byte) {
					if _, _, err := n.Accept(name, raw); err != nil {
						n.cfg.Log.Debug("record from peer", "peer", p, "name", name, "err", err)
					}
				})
			}
		})
	}
	wg.Wait()
}
