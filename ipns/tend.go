package ipns

import (
	"context"
	"math/rand/v2"
	"time"
)

// How the ways share the work, so that nobody is told twice for nothing:
//
//   - Who signs a record puts it by every way at once (Publish).
//   - Subscribers pass it on within the topic as it comes.
//   - Who has heard a new record by any way waits a moment, and then pushes it
//     to those neighbours only that have not shown to hold it; and publishes
//     it on the topic only if it has not been there by then.
//   - To the DHT and to delegated routers it is put by its signer at once, and
//     by everyone who keeps it after a while that each draws for itself,
//     within a twelfth of Config.Every, and then once each Every.
//
// The moment is passing at the least and twice that at the most; without
// topics there is nothing to wait for.
const passing = 150 * time.Millisecond

// tend keeps one name alive until ctx ends: it listens on its topic, passes on
// what is new (kick: there is a newer record) and re-puts what is held.
func (n *Namer) tend(ctx context.Context, name Name, kick <-chan struct{}) {
	if n.topics != nil {
		listening := make(chan struct{})
		go func() {
			defer close(listening)
			n.topics.listen(ctx, name)
		}()
		defer func() { <-listening }()
	}
	within := func(d time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(d)) + 1) }
	pass := time.NewTimer(passing)
	pass.Stop()
	reput := time.NewTimer(within(n.cfg.Every / 12))
	defer pass.Stop()
	defer reput.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-kick:
			reput.Reset(within(n.cfg.Every / 12))
			if n.topics == nil {
				n.passOn(name)
			} else {
				pass.Reset(passing + within(passing))
			}
		case <-pass.C:
			n.passOn(name)
		case <-reput.C:
			reput.Reset(n.cfg.Every)
			n.putAgain(name)
		}
	}
}

// passOn hands a new record to those who seem to lack it.
func (n *Namer) passOn(name Name) {
	rec, err := n.Newest(name)
	if err != nil || rec.Ended(n.cfg.Now()) {
		return
	}
	hand := func(r Router) {
		n.spawn(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, putting)
			defer cancel()
			if err := r.Put(ctx, name, rec.Raw, func(who string) { n.holds(name, rec.Raw, who) }); err != nil {
				n.cfg.Log.Debug("pass record on", "name", name, "err", err)
			}
		})
	}
	if n.direct != nil {
		hand(n.direct)
	}
	if n.topics != nil && n.topics.heard(name, rec.Raw) {
		hand(n.topics)
	}
}

// putAgain puts what is held by every way, as if nobody were known to have it:
// peers come back empty, and a DHT forgets.
func (n *Namer) putAgain(name Name) {
	rec, err := n.Newest(name)
	if err != nil || rec.Ended(n.cfg.Now()) {
		return
	}
	n.mu.Lock()
	delete(n.reach, name)
	n.mu.Unlock()
	n.spawn(func(ctx context.Context) {
		k := n.put(ctx, rec, 0)
		n.cfg.Log.Debug("put again", "name", name, "seq", rec.Seq, "holders", k)
	})
}
