package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/fetch"
	"playnode/manifests"
	"playnode/node"
)

// How often peers are asked what they hold: while it is not enough, ever less
// while nothing comes of it, and anew for what they may have let go.
const (
	servedSoon  = 2 * time.Second
	servedLater = time.Minute
	servedAgain = 10 * time.Minute
	// servedAbreast is how many peers are asked at once.
	servedAbreast = 32
)

// Served is whether the DJ may close her laptop: how many of the newest
// version's Blocks at least Want others hold. Safe is when all are.
type Served struct {
	Seq    uint64 `json:"seq"`
	Want   int    `json:"want"`
	Blocks int    `json:"blocks"`
	Held   int    `json:"held"`
	Safe   bool   `json:"safe"`
}

// served knows who holds what the DJ has published.
type served struct {
	holders *fetch.Holders

	mu   sync.Mutex // guards what follows
	head cid.Cid    // that holders watches
	seq  uint64
	mute map[string]bool // peers that do not answer, until they connect anew
}

// anew forgets what peer said, or that it said nothing.
func (s *served) anew(peer string) {
	s.holders.Forget(peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mute, peer)
}

// watchServed has the newest version counted.
func (d *Daemon) watchServed(ctx context.Context, n *network) error {
	head, seq, err := n.publisher.Head()
	if err != nil {
		return err
	}
	n.served.mu.Lock()
	defer n.served.mu.Unlock()
	if head == n.served.head || !head.Defined() {
		return nil
	}
	var list []fetch.Digest
	seen := map[fetch.Digest]bool{}
	for todo := []cid.Cid{head}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		dg := manifests.Digest(c)
		if seen[dg] {
			continue
		}
		seen[dg] = true
		list = append(list, dg)
		if c.Prefix().Codec == cid.Raw {
			continue
		}
		data, err := n.node.Read(ctx, c)
		if err != nil {
			return fmt.Errorf("list what is published: %w", err)
		}
		links, err := node.Links(c, data)
		if err != nil {
			return fmt.Errorf("list what is published: %w", err)
		}
		todo = append(todo, links...)
	}
	n.served.holders.Watch(list)
	n.served.head, n.served.seq = head, seq
	n.node.Announce("head", head) // nothing pins what is her own
	return nil
}

// askServed asks the peers that are connected.
func (d *Daemon) askServed(ctx context.Context, n *network) {
	var g errgroup.Group
	g.SetLimit(servedAbreast)
	for _, p := range n.node.Connected() {
		n.served.mu.Lock()
		mute := n.served.mute[p]
		n.served.mu.Unlock()
		if mute {
			continue
		}
		g.Go(func() error {
			_, err := n.served.holders.Ask(ctx, p)
			if err == nil || errors.Is(err, fetch.ErrBusy) || ctx.Err() != nil {
				return nil
			}
			d.log.Debug("ask what a peer holds", "peer", p, "err", err)
			n.served.mu.Lock()
			defer n.served.mu.Unlock()
			n.served.mute[p] = true
			return nil
		})
	}
	g.Wait()
}

func (n *network) servedBy(want int) *Served {
	n.served.mu.Lock()
	defer n.served.mu.Unlock()
	if !n.served.head.Defined() {
		return nil
	}
	s := &Served{Seq: n.served.seq, Want: want}
	s.Blocks, s.Held = n.served.holders.Count(want)
	s.Safe = s.Held == s.Blocks
	return s
}

// keepServed keeps the count while the daemon runs.
func (d *Daemon) keepServed(ctx context.Context, n *network) error {
	n.node.OnConnect(n.served.anew) // it may have let go of something
	again, wait := d.now(), servedSoon
	var last Served
	for {
		if err := d.watchServed(ctx, n); err != nil && ctx.Err() == nil {
			d.log.Error("safe to close?", "err", err)
		}
		if now := d.now(); now.Sub(again) >= servedAgain {
			again = now
			for _, p := range n.node.Connected() {
				n.served.anew(p)
			}
		}
		if s := n.servedBy(d.repo.Config.Copies); s != nil && !s.Safe {
			d.askServed(ctx, n)
			s = n.servedBy(d.repo.Config.Copies)
			if s.Safe {
				d.log.Info("safe to close", "seq", s.Seq, "copies", s.Want)
			}
			wait = min(2*wait, servedLater)
			if *s != last {
				last, wait = *s, servedSoon
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// waitServed waits until want others hold every block of what is published.
func (d *Daemon) waitServed(ctx context.Context, n *network, want int, alive func(), emit func(Event)) (*Served, error) {
	best := -1
	for {
		if err := d.watchServed(ctx, n); err != nil {
			return nil, err
		}
		d.askServed(ctx, n)
		s := n.servedBy(want)
		if s == nil {
			return nil, usage("nothing is published yet")
		}
		if s.Held > best {
			best = s.Held
			alive()
		}
		emit(Event{Progress: &Progress{What: "held by others", Done: int64(best), Total: int64(s.Blocks), Unit: "blocks"}})
		if s.Safe {
			return s, nil
		}
		pause := servedSoon
		if s.Blocks <= fetch.MaxHave { // one question a peer
			pause /= 4
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return s, &Error{Kind: NotFound, Message: fmt.Sprintf("%d of %d blocks are held by %d others: it is not safe to close yet", s.Held, s.Blocks, want), cause: ctx.Err()}
		}
	}
}
