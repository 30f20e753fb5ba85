package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"playnode/live"
)

// play cuts segments until the set ends, and waits for the last to arrive.
func (s *stage) play(ctx context.Context, air *live.Air) error {
	next := time.NewTicker(s.cfg.Pace)
	defer next.Stop()
	defer s.air(nil)
	n := int(s.cfg.Length / s.cfg.Pace)
	for i := range n {
		head, seg := s.dj.Next(time.Now(), s.cfg.Size, i == n-1)
		s.air(append(s.cut, time.Now()))
		if !s.cfg.Plain {
			if err := air.Announce(head, seg); err != nil {
				return err
			}
		}
		select {
		case <-next.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), fmt.Errorf("the set was cut off at segment %d", i))
		}
	}
	<-time.After(2 * s.cfg.Patience)
	return nil
}

// air says that there is one more segment on air; with nil, that there will be
// no more.
func (s *stage) air(cut []time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended = cut == nil; !s.ended {
		s.cut = cut
	}
	close(s.aired)
	s.aired = make(chan struct{})
}

// count notes once a second what has gone over each line.
func (s *stage) count(ctx context.Context) {
	for {
		s.mu.Lock()
		for _, l := range append(s.all, s.source) {
			l.mu.Lock()
			l.sent = append(l.sent, l.node.Carried().Sent)
			l.mu.Unlock()
		}
		s.mu.Unlock()
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

// lend has an archivist's box come.
func (s *stage) lend(ctx context.Context, seedbox *listener) {
	if s.cfg.Lent > 0 {
		select {
		case <-time.After(s.cfg.Lent):
		case <-ctx.Done():
			return
		}
	}
	d := s.depths()
	s.mu.Lock()
	s.before = d
	s.mu.Unlock()
	s.run(ctx, seedbox, nil)
	s.come(seedbox)
}

// kill ends one after the other of those who carry for others.
func (s *stage) kill(ctx context.Context) {
	every := time.Duration(float64(time.Minute) / s.cfg.Kills)
	wait := cmp.Or(s.cfg.KillFrom, every)
	for i := 0; ; i++ {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		if wait = every; s.cfg.KillTo > 0 && time.Since(s.begin) > s.cfg.KillTo {
			return
		}
		s.mu.Lock()
		var relays []*listener
		for _, l := range s.all {
			l.mu.Lock()
			if !l.killed && l.feed != nil && !l.lends() && l.feed.Stats().Children > 0 {
				relays = append(relays, l)
			}
			l.mu.Unlock()
		}
		if len(relays) == 0 {
			s.mu.Unlock()
			continue
		}
		l := relays[s.rand.IntN(len(relays))]
		silent := s.rand.Float64() < s.cfg.Silent
		heir := s.box(fmt.Sprint(l.node.Name, "'", i), l.node.Line, l.node.Undialable, l.lan)
		know := s.source.node.Addrs()
		for range s.cfg.Neighbours {
			know = append(know, s.all[s.rand.IntN(len(s.all))].node.Addrs()[0])
		}
		s.mu.Unlock()
		l.mu.Lock()
		l.killed = true
		l.mu.Unlock()
		if silent {
			l.node.Vanish()
			l.stop()
		} else {
			l.stop()
			l.node.Close()
		}
		s.wg.Go(func() {
			select {
			case <-time.After(10 * time.Second):
				s.run(ctx, heir, know)
				s.come(heir)
			case <-ctx.Done():
			}
		})
	}
}
